// Curves of runs: one picture, and the same in a table.
import { h } from "../dom.js";
import { span } from "./explore_model.js";

const DECADES = 30;
const COLOURS = ["series0", "series3", "series1", "series4", "series2", "series5"];

/** What a curve is of: its own name, its file's, or both where several files are shown. */
const ownName = (curve, { file, alone }) => (alone ? curve.label || file : [file, curve.label].filter(Boolean).join(" · "));

/** The picture. `draw(name, found)`: found are figures with their `file`; gives the curves as they are named. */
export function curves(root, context) {
  const held = context.chart(root, context.t("runs.figure"));
  return {
    draw(name, found, t) {
      const colour = context.colours();
      const all = found.flatMap((figure) => figure.curves.map((curve) => {
        const of = ownName(curve, figure);
        return { ...curve, of, label: curve.early ? t("runs.early", { name: of }) : of };
      }));
      const own = [...new Set(all.map((curve) => curve.of))]; // before and after training share a colour
      const values = all.flatMap((curve) => curve.points.map(([, y]) => y));
      const [low, high] = span(values) ?? [0, 1];
      const wide = low > 0 && high > DECADES * low;
      const over = found[0]?.over ?? "";
      const tone = (curve) => colour[COLOURS[own.indexOf(curve.of) % COLOURS.length]];
      held.instance.clear();
      held.draw({
        grid: { left: 12, right: 24, top: 30 + 22 * Math.min(4, all.length), bottom: 36, containLabel: true },
        legend: { top: 6, left: 8, itemStyle: { opacity: 0 }, type: all.length > 4 ? "scroll" : "plain", orient: "vertical", height: 88, textStyle: { color: colour.ink, width: Math.max(160, root.clientWidth - 80), overflow: "truncate" }, pageTextStyle: { color: colour.ink } },
        tooltip: { trigger: "axis", backgroundColor: colour.panel, valueFormatter: (value) => (typeof value === "number" ? context.number(value, ".4g") : "–") },
        xAxis: { type: "value", name: axisName(over, context), nameLocation: "middle", nameGap: 26, minInterval: over === "block" ? 1 : 0, min: "dataMin", max: "dataMax", axisLabel: { color: colour.muted, hideOverlap: true, formatter: (value) => context.number(value, ".4g") }, nameTextStyle: { color: colour.ink }, splitLine: { show: false }, axisLine: { lineStyle: { color: colour.muted } } },
        yAxis: { type: wide ? "log" : "value", scale: true, axisLabel: { color: colour.muted, formatter: (value) => context.number(value, ".3g") }, splitLine: { lineStyle: { color: colour.line } } },
        series: all.map((curve) => ({
          type: "line", symbol: "circle", name: curve.label, data: curve.points, showSymbol: curve.points.length <= 40, symbolSize: 5, sampling: "lttb",
          lineStyle: { width: 1.8, type: curve.early ? "dashed" : "solid", color: tone(curve) }, itemStyle: { color: tone(curve) },
        })),
      }, context.t("runs.told", { figure: name, over: axisName(over, context), count: all.length }));
      return all;
    },
    dispose: held.dispose,
  };
}

const axisName = (over, { t, has }) => (has(`runs.over.${over}`) ? t(`runs.over.${over}`) : over);

/** Of every curve its first and last, least and greatest figure. */
export function curveTable(context) {
  const { t, number } = context;
  const element = h("div", { hidden: true });
  return {
    element,
    update(name, all) {
      const head = ["curve", "first", "last", "least", "greatest"].map((key) => h("th", { scope: "col", class: key === "curve" ? "words" : null }, t(`runs.head.${key}`)));
      const rows = all.map(({ label, points }) => {
        const values = points.map(([, y]) => y);
        const cells = [values[0], values[values.length - 1], ...(span(values) ?? [])];
        return h("tr", {}, h("th", { scope: "row" }, label), cells.map((value) => h("td", {}, number(value, ".4g"))));
      });
      element.replaceChildren(h("div", { class: "box", role: "region", tabindex: "0", "aria-label": name }, h("table", {}, h("caption", {}, name), h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows))));
    },
  };
}
