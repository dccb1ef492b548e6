// A sample as two pictures that share one filter, ranges of figures: a scatter over two quantities and parallel
// coordinates over all. Dragging over either sets ranges; clicking picks a design.
import { ASIDE, MORE, OVER, WITHIN, misses, span } from "./explore_model.js";

const LINES = 600; // of parallel coordinates, beside the front
const DECADES = 30; // times between least and most beyond which an axis is logarithmic
const WHOLE = ["parallelAxis", "series"]; // an axis that is no longer asked for goes

/** How a quantity is written: bytes, milliseconds, or plain with k, M and G. */
export const form = (name) => (name.endsWith("_bytes") || name.endsWith("_bytes_lean") ? "bytes" : name.startsWith("latency_ms") ? ".3g" : "si");

/** A quantity's name in words; latency says of which table. */
export function title({ t }, name) {
  const [quantity, where] = name.split(/@(.*)/s);
  return t(`draw.quantity.${quantity}`) + (where ? ` ${where}` : "");
}

function axis(context, name, column, extra = {}) {
  const [low, high] = span(column) ?? [0, 1];
  const { muted, line } = context.colours();
  const wide = low > 0 && high > DECADES * low;
  const label = (value) => context.number(value, form(name));
  return {
    type: wide ? "log" : "value", scale: true, axisLabel: { color: muted, formatter: label, hideOverlap: true },
    axisLine: { show: true, lineStyle: { color: muted } }, splitLine: { lineStyle: { color: line } },
    // Not left out where they are open: the axis before this one would leave its own.
    min: wide ? low / 1.1 : null, max: wide ? high * 1.1 : null, ...extra,
  };
}

/** An axis from least to most that says these two alone. */
function ends(context, name, column) {
  const [low, high] = span(column) ?? [0, 1];
  const plain = axis(context, name, column);
  const marks = low < high ? [low, high] : [low];
  return {
    ...plain, min: low, max: low < high ? high : low + 1, axisTick: { customValues: marks },
    axisLabel: { ...plain.axisLabel, hideOverlap: false, customValues: marks, backgroundColor: context.colours().paper, padding: [1, 2], borderRadius: 2 },
  };
}

/** Design `i` in a few lines. */
function tip(context, { sample, limits, base }, names, i) {
  const beyond = misses(sample, limits, i).map((miss) => missWords(context, miss));
  const figures = names.map((name) => [`${title(context, name)}:`, figure(context, sample, name, i), change(context, sample, name, i, base)].join(" ").trim());
  return [cut(sample.text(i)), ...figures, ...beyond].join("\n");
}

export const figure = (context, sample, name, i) => {
  const value = sample.values(name)[i];
  return value === null ? "–" : context.number(value, form(name));
};

/** How far a figure is from the baseline's; `base` are the baseline's by their names. */
export const change = (context, sample, name, i, base) => {
  const value = sample.values(name)[i];
  return value === null ? "" : context.change(value, base?.[name], form(name));
};

/** Which budget is missed and by how much. */
export const missWords = ({ t }, miss) => t("explore.misses", { budget: miss.text, share: miss.share });

const cut = (text) => (text.match(/.{1,48}/g) ?? []).join("\n");

/** The scatter. `on.pick(i)`, `on.ranges({quantity: [low, high]})`. */
export function scatter(root, context, on) {
  const { t } = context;
  const held = context.chart(root, t("explore.scatter"));
  let shown = null;
  held.instance.on("click", (event) => { if (event.value?.length > 2) on.pick(event.value[2]); });
  held.instance.on("brushEnd", ({ areas }) => {
    const area = areas[0]?.coordRange;
    if (area && shown) on.ranges({ [shown.x.name]: sorted(area[0]), [shown.y.name]: sorted(area[1]) });
  });

  function draw(view) {
    const { sample, states, front, x, y, limits, here, ranges } = view;
    const first = !shown;
    shown = view;
    const [xs, ys] = [sample.values(x.name), sample.values(y.name)];
    const colour = context.colours();
    const points = [[], [], []];
    for (let i = 0; i < sample.size; i += 1) if (xs[i] !== null && ys[i] !== null) points[states[i]].push([xs[i], ys[i], i]);
    const [across, up] = [axis(context, x.name, xs), axis(context, y.name, ys)];
    const series = (id, name, data, itemStyle, rest = {}) => ({
      id, name, type: "scatter", data, symbolSize: 5, itemStyle, emphasis: { scale: 1.6 }, ...rest,
    });
    held.draw({
      grid: { left: 16, right: 28, top: 52, bottom: 36, containLabel: true },
      legend: {
        top: 6, left: 8, type: "scroll", textStyle: { color: colour.ink }, pageTextStyle: { color: colour.ink },
        data: [
          { name: t("explore.over"), itemStyle: { color: "transparent", borderColor: colour.muted, borderWidth: 1.5, opacity: 1 } },
          ...["aside", "within", "front", "here"].map((name) => t(`explore.${name}`)),
        ],
      },
      tooltip: {
        trigger: "item", backgroundColor: colour.panel,
        formatter: ({ value, seriesName }) => (value.length > 2 ? tip(context, shown, [x.name, y.name], value[2]) : seriesName),
      },
      xAxis: { ...across, name: named(context, x), nameLocation: "middle", nameGap: 28, nameTextStyle: { color: colour.ink } },
      yAxis: { ...up, name: named(context, y), nameTextStyle: { color: colour.ink, align: "left" } },
      brush: {
        xAxisIndex: 0, yAxisIndex: 0, toolbox: [], transformable: false, removeOnClick: false,
        brushStyle: { color: "rgba(110,140,190,0.16)", borderColor: colour.link },
        inBrush: { opacity: 1 }, outOfBrush: { opacity: 1 },
      },
      series: [
        series("over", t("explore.over"), points[OVER], { color: "transparent", borderColor: colour.muted, opacity: 0.35 }),
        series("aside", t("explore.aside"), points[ASIDE], { color: colour.muted, opacity: 0.22 }),
        series("within", t("explore.within"), points[WITHIN], { color: colour.series2, opacity: 0.7 }),
        {
          id: "front", name: t("explore.front"), type: "line", data: front.map((i) => [xs[i], ys[i], i]), symbol: "circle",
          symbolSize: 8, showSymbol: true, lineStyle: { color: colour.series0, width: 1.4 }, itemStyle: { color: colour.series0 },
          triggerLineEvent: false, z: 3,
        },
        series("here", t("explore.here"), here ? [[here[0], here[1]]] : [], { color: colour.series3, borderColor: colour.ink, borderWidth: 1 },
          { symbol: "diamond", symbolSize: 16, z: 5 }),
      ],
    }, t("explore.scatter_told", { x: title(context, x.name), y: title(context, y.name), designs: sample.size, front: front.length }));
    const area = [x, y].map(({ name }) => clamped(ranges[name], span(sample.values(name))));
    const wanted = ranges[x.name] || ranges[y.name]
      ? [{ brushType: "rect", xAxisIndex: 0, yAxisIndex: 0, coordRange: area }] : [];
    held.instance.dispatchAction({ type: "brush", areas: wanted });
    if (first) {
      held.instance.dispatchAction({
        type: "takeGlobalCursor", key: "brush", brushOption: { brushType: "rect", brushMode: "single" },
      });
    }
  }

  /** The page's design is somewhere else now. */
  function mark(here) {
    held.instance.setOption({ series: [{ id: "here", data: here ? [here] : [] }] });
  }

  return { draw, mark };
}

/** Parallel coordinates. `on` as for the scatter. */
export function parallel(root, context, on) {
  const { t } = context;
  const held = context.chart(root, t("explore.parallel"));
  let shown = null;
  let telling = false; // the picture is being told the ranges, so that it need not tell them back
  held.instance.on("click", (event) => { if (shown && event.seriesType === "parallel") on.pick(event.value[event.value.length - 1]); });
  held.instance.on("axisareaselected", ({ parallelAxisId, parallelAxisIndex, intervals = [] }) => {
    if (telling || !shown) return;
    const name = shown.sample.names.includes(parallelAxisId) ? parallelAxisId : shown.sample.names[parallelAxisIndex];
    if (!name) return;
    const bounds = intervals.flat();
    on.ranges({ [name]: bounds.length ? [Math.min(...bounds), Math.max(...bounds)] : null });
  });

  function draw(view) {
    const { sample, states, front, ranges } = view;
    shown = view;
    const colour = context.colours();
    const columns = sample.names.map(sample.values);
    const row = (i) => [...columns.map((column) => column[i] ?? "-"), i];
    const onFront = new Set(front);
    const met = Array.from(states.keys()).filter((i) => states[i] !== OVER && !onFront.has(i));
    const step = Math.max(1, met.length / LINES);
    const some = Array.from({ length: Math.min(met.length, LINES) }, (_, k) => met[Math.floor(k * step)]);
    held.draw({
      tooltip: { show: false },
      legend: { top: 6, left: 8, textStyle: { color: colour.ink } },
      parallel: {
        left: 40, right: 60, top: 74, bottom: 24,
        parallelAxisDefault: {
          nameLocation: "end", nameGap: 14, realtime: false,
          areaSelectStyle: { width: 16, borderWidth: 1, borderColor: colour.link, color: colour.link, opacity: 0.25 },
        },
      },
      parallelAxis: sample.names.map((name, dim) => ({
        id: name, dim, name: short(title(context, name)), nameTextStyle: { color: colour.ink, fontSize: 11, lineHeight: 13 },
        ...ends(context, name, sample.values(name)),
      })),
      series: [
        lines("within", t("explore.within"), some.map(row), colour.series2, 0.2, 1),
        lines("front", t("explore.front"), front.map(row), colour.series0, 0.9, 1.8),
      ],
    }, t("explore.parallel_told", {
      quantities: sample.names.length, lines: some.length + front.length, all: met.length + front.length,
    }), WHOLE);
    telling = true;
    for (const name of sample.names) {
      const area = clamped(ranges[name], span(sample.values(name)));
      held.instance.dispatchAction({ type: "axisAreaSelect", parallelAxisId: name, intervals: ranges[name] ? [area] : [] });
    }
    telling = false;
  }

  return { draw };
}

const lines = (id, name, data, color, opacity, width) => ({
  id, name, type: "parallel", data, lineStyle: { color, opacity, width }, itemStyle: { color },
  inactiveOpacity: 0.03, activeOpacity: opacity, progressive: 0,
});

const named = (context, { name, more }) => `${title(context, name)} (${context.t(more ? "draw.front.more" : "draw.front.less")})`;
const sorted = ([a, b]) => (a <= b ? [a, b] : [b, a]);
const clamped = (range, bounds) => [Math.max(range?.[0] ?? -Infinity, bounds?.[0] ?? 0), Math.min(range?.[1] ?? Infinity, bounds?.[1] ?? 0)];
const short = (text) => (text.length > 14 ? text.replace(/ (?=\S+$)/, "\n") : text);

/** Whether more of a quantity is better, unless the user says otherwise. */
export const usuallyMore = (name) => MORE.has(name);
