// What each tap sees of the image: receptive fields against its shorter side, and the taps' shapes.
import { h, table } from "../dom.js";

export default {
  id: "taps",
  view: "network",
  parts: ["taps"],
  mount(root, { t, number, chart, colours, change, changes }) {
    const drawn = chart(root.appendChild(h("div", { class: "low" })), t("panel.taps"));
    const made = table(t("taps.caption"), ["tap", "channels", "size", "stride", "receptive_field", "offset"].map((key) => t(`report.head.${key}`)));
    root.append(made.element);
    return {
      update({ taps }, baseline) {
        const { ink, muted, line, series0, series1, stop } = colours();
        const base = new Map((baseline?.taps?.rows ?? []).map((tap) => [tap.name, tap]));
        const bars = (name, values, colour) => ({
          id: name, name, type: "bar", data: values, barMaxWidth: 16, itemStyle: { color: colour, borderRadius: 2 },
          label: { show: name === "design", position: "right", color: ink, fontSize: 11, formatter: ({ value }) => `${number(value)} px` },
        });
        const { side, rows } = taps;
        drawn.draw({
          legend: { show: base.size > 0, top: 0, right: 0, itemWidth: 14, textStyle: { color: ink, fontSize: 11 }, formatter: (name) => t(`series.${name}`) },
          grid: { left: 44, right: 70, top: base.size && drawn.instance.getWidth() < 480 ? 44 : 26, bottom: 24 }, // the legend above the side's label
          xAxis: { type: "value", axisLabel: { color: muted, hideOverlap: true }, splitLine: { lineStyle: { color: line } } },
          yAxis: { type: "category", inverse: true, data: rows.map((tap) => tap.name), axisLabel: { color: muted }, axisTick: { show: false } },
          tooltip: { trigger: "item", formatter: ({ seriesName, name, value }) => {
            const moved = seriesName === "design" ? change(value, base.get(name)?.receptive_field, "") : "";
            return `${name} · ${t(`series.${seriesName}`)}: ${number(value)} px ${moved}`.trim();
          } },
          series: [
            { ...bars("design", rows.map((tap) => tap.receptive_field), series0), markLine: {
              symbol: "none", silent: true, lineStyle: { color: stop, type: "dashed" }, data: [{ xAxis: side }],
              label: { color: ink, fontSize: 11, position: "start", formatter: () => t("taps.side", { side }) } } },
            bars("baseline", rows.map((tap) => base.get(tap.name)?.receptive_field ?? null), series1),
          ],
        }, t("taps.told", { tap: rows.at(-1).name, pixels: rows.at(-1).receptive_field, side }));
        made.update(rows.map((tap) => {
          const before = base.get(tap.name);
          const figure = (name) => ({ text: number(tap[name]), note: change(tap[name], before?.[name], "") });
          const size = ({ height, width }) => [height, width];
          return [
            tap.name, figure("channels"), { text: size(tap).join(" × "), note: changes(size(tap), before && size(before)) },
            figure("stride"), figure("receptive_field"), figure("offset"),
          ];
        }));
      },
    };
  },
};
