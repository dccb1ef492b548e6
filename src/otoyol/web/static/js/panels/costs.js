// Costs part by part: four small charts of bars, the baseline's beside the design's.
import { h } from "../dom.js";

const METRICS = [["macs", "si"], ["params", "si"], ["activations", "si"], ["train_bytes", "bytes"]];
// Where the four stand, in percent.
const PLACES = [["15%", "53%", "2%", "55%"], ["62%", "6%", "2%", "55%"], ["15%", "53%", "53%", "4%"], ["62%", "6%", "53%", "4%"]];

export default {
  id: "costs",
  view: "overview",
  parts: ["stages"],
  mount(root, { t, number, change, chart, colours }) {
    const place = root.appendChild(h("div", {}));
    const drawn = chart(place, t("panel.costs"));
    const keyOf = (part) => `${part.kind}${part.stage}`;
    const nameOf = (part) => t(`draw.part.${part.kind}`, { stage: part.stage + 1 });
    return {
      update({ stages }, baseline) {
        const { ink, muted, series0, series1 } = colours();
        const base = new Map((baseline?.stages ?? []).map((part) => [keyOf(part), part]));
        const bar = (metric, form, index, of, name, colour) => ({
          id: `${name}-${metric}`, name, type: "bar", xAxisIndex: index, yAxisIndex: index, barMaxWidth: 13, barGap: "10%",
          itemStyle: { color: colour, borderRadius: 2 }, data: stages.map((part) => of(part)?.[metric] ?? null),
          label: { show: name === "design", position: "right", fontSize: 10.5, color: ink, distance: 4,
            formatter: ({ value }) => (value === null || value === undefined ? "" : number(value, form)) },
        });
        const option = {
          aria: { enabled: false },
          legend: { show: base.size > 0, bottom: 0, left: 0, itemWidth: 14, textStyle: { color: ink, fontSize: 11 }, formatter: (name) => t(`series.${name}`) },
          title: METRICS.map(([metric], i) => ({
            text: t(`costs.${metric}`), left: PLACES[i][0], top: PLACES[i][2], padding: 0,
            textStyle: { fontSize: 12, fontWeight: 600, color: ink },
          })),
          grid: PLACES.map(([left, right, top, bottom], i) => ({ // the lower two leave room for the legend
            left, right, top: plus(top, 6), bottom: base.size && i > 1 ? plus(bottom, 7) : bottom, containLabel: false,
          })),
          xAxis: METRICS.map((_, i) => ({ gridIndex: i, type: "value", show: false, min: 0, max: ({ max }) => max * (drawn.instance.getWidth() < 480 ? 1.6 : 1.34) || 1 })),
          yAxis: METRICS.map((_, i) => ({
            gridIndex: i, type: "category", inverse: true, data: stages.map(nameOf), axisTick: { show: false },
            axisLine: { show: false }, axisLabel: { show: i % 2 === 0, color: muted, fontSize: 11, margin: 6 },
          })),
          tooltip: { trigger: "item", formatter: ({ seriesName, name, value, seriesIndex, dataIndex }) => {
            const [metric, form] = METRICS[seriesIndex % 4];
            const moved = seriesName === "design" ? change(value, base.get(keyOf(stages[dataIndex]))?.[metric], form) : "";
            return `${name} · ${t(`costs.${metric}`)}\n${t(`series.${seriesName}`)}: ${number(value, form)} ${moved}`.trim();
          } },
          series: [
            ...METRICS.map(([metric, form], i) => bar(metric, form, i, (part) => part, "design", series0)),
            ...METRICS.map(([metric, form], i) => bar(metric, form, i, (part) => base.get(keyOf(part)), "baseline", series1)),
          ],
        };
        const most = stages.reduce((a, b) => (b.macs > a.macs ? b : a));
        drawn.draw(option, t("costs.told", { part: nameOf(most), macs: number(most.macs, "si") }));
      },
    };
  },
};

const plus = (percent, more) => `${parseFloat(percent) + more}%`;
