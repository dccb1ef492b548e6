// A training step in every memory mode: its peak, what is held for backward, and what that costs in work.
import { h, table } from "../dom.js";

/** A step between round figures of bytes: about four of them up to `most`. */
const step = (most) => 2 ** Math.ceil(Math.log2(Math.max(most, 4) / 4));

export default {
  id: "memory",
  view: "memory",
  parts: ["memory"],
  mount(root, { t, number, chart, colours, change }) {
    const drawn = chart(root.appendChild(h("div", {})), t("panel.memory"));
    const made = table(t("memory.caption"), ["mode", "peak", "held", "work"].map((key) => t(`memory.${key}`)));
    root.append(made.element, h("p", { class: "hint" }, t("memory.note")));
    return {
      update({ memory }, baseline) {
        const { ink, muted, line, series0, series1, series4 } = colours();
        const base = new Map((baseline?.memory ?? []).map((step) => [step.mode, step]));
        const bars = (id, values, colour, labelled) => ({
          id, name: id, type: "bar", data: values, barMaxWidth: 14, itemStyle: { color: colour, borderRadius: 2 },
          label: { show: labelled, position: "right", color: ink, fontSize: 10.5, formatter: ({ value }) => number(value, "bytes") },
        });
        drawn.draw({
          grid: { left: 122, right: 84, top: drawn.instance.getWidth() < 560 ? 56 : 30, bottom: 24 }, // the legend may need two lines
          legend: {
            top: 0, left: 0, itemWidth: 14, textStyle: { color: ink }, formatter: (name) => t(`memory.${name}`),
            data: ["peak", "held", ...(base.size ? ["baseline"] : [])],
          },
          xAxis: { type: "value", axisLabel: { color: muted, hideOverlap: true, formatter: (value) => number(value, "bytes") }, interval: step(Math.max(...memory.map(({ peak_bytes: peak }) => peak))), splitLine: { lineStyle: { color: line } } },
          yAxis: { type: "category", inverse: true, data: memory.map((step) => step.mode), axisLabel: { color: muted }, axisTick: { show: false } },
          tooltip: { trigger: "item", formatter: ({ seriesName, name, value }) => {
            const moved = change(value, base.get(name)?.[`${seriesName}_bytes`], "bytes"); // the baseline has no bytes of that name
            return `${name}\n${t(`memory.${seriesName}`)}: ${number(value, "bytes")} ${moved}`.trim();
          } },
          series: [
            bars("peak", memory.map((step) => step.peak_bytes), series0, true),
            bars("held", memory.map((step) => step.held_bytes), series4, false),
            bars("baseline", memory.map(({ mode }) => base.get(mode)?.peak_bytes ?? null), series1, false),
          ],
        }, t("memory.told", { peak: number(memory[0].peak_bytes, "bytes"), least: number(Math.min(...memory.map((s) => s.peak_bytes)), "bytes") }));
        made.update(memory.map((step) => [
          step.mode,
          { text: number(step.peak_bytes, "bytes"), note: change(step.peak_bytes, base.get(step.mode)?.peak_bytes, "bytes") },
          { text: number(step.held_bytes, "bytes"), note: change(step.held_bytes, base.get(step.mode)?.held_bytes, "bytes") },
          { text: `${number(step.work, ".3f")}×`, note: change(step.work, base.get(step.mode)?.work, ".3f") },
        ]));
      },
    };
  },
};
