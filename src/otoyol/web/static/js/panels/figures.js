// The figures that an engineer looks for first, each with its difference from the baseline.
import { h, joined, say } from "../dom.js";

const FIGURES = [
  ["params", "si"], ["macs", "si"], ["activations", "si"], ["weight_bytes", "bytes"], ["train_bytes", "bytes"],
  ["peak_inference_bytes", "bytes"], ["pure", ""], ["receptive_field", ""],
];
const NEITHER = ["pure", "receptive_field"]; // of these, less is not better

export default {
  id: "figures",
  view: "always",
  parts: ["figures"],
  mount(root, { t, number, change }) {
    const cells = new Map(FIGURES.map(([name]) => {
      const cell = { value: h("dd", {}), note: h("dd", { class: "note" }), diff: h("dd", { class: "diff" }) };
      return [name, cell];
    }));
    root.append(h("dl", { class: "figures" }, FIGURES.map(([name]) => {
      const { value, note, diff } = cells.get(name);
      return h("div", { "data-figure": name }, h("dt", {}, t(`report.quantity.${name}`)), value, note, diff);
    })));
    /** How the part has changed, and the whole where it has. */
    const ofWhole = (now, before) => {
      const [part, whole] = ["pure", "depth"].map((name) => change(now[name], before?.[name], ""));
      return whole === "=" || whole === "" ? part : t("of", { part, whole });
    };
    return {
      update({ figures }, baseline) {
        for (const [name, form] of FIGURES) {
          const { value, note, diff } = cells.get(name);
          const now = figures[name];
          say(value, name === "pure" ? t("of", { part: now, whole: figures.depth }) : name === "receptive_field" ? `${number(now)} px` : number(now, form));
          say(note, form === "si" ? number(now) : "");
          const base = baseline?.figures?.[name];
          say(diff, joined(name === "pure" ? ofWhole(figures, baseline?.figures) : change(now, base, form)));
          diff.className = `diff ${base === undefined || now === base || NEITHER.includes(name) ? "" : now < base ? "less" : "more"}`;
        }
      },
    };
  },
};
