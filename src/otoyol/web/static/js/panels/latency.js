// Latency as the tables of this machine predict it, where the studio was given any.
import { h, table } from "../dom.js";

export default {
  id: "latency",
  view: "memory",
  parts: ["latency"],
  mount(root, { t, number, change, choices, again }) {
    if (!choices.tables.length) {
      root.append(h("p", {}, t("latency.none")), h("pre", { tabindex: "0" }, "otoyol measure --table latency.json\notoyol studio --table latency.json"));
      return { update() {} };
    }
    const made = table(t("latency.caption"), ["where", "ms", "interval", "beyond"].map((key) => t(`latency.${key}`)), { words: [0, 3] });
    root.append(made.element, h("p", { class: "hint" }, t("latency.note")));
    let timer = 0;
    const ms = (value) => number(value, value < 100 ? ".3g" : ".0f");
    /** How far either end has moved. */
    const ends = (told, before) => {
      const [low, high] = ["low_ms", "high_ms"].map((end) => change(told[end], before?.[end], ".3g"));
      return low === high ? low : `${low} – ${high}`;
    };
    return {
      update({ latency }, baseline) {
        const base = new Map((baseline?.latency ?? []).map((told) => [told.where, told]));
        clearTimeout(timer);
        if ([...latency, ...(baseline?.latency ?? [])].some(({ ms: known, why }) => known === null && !why)) timer = setTimeout(again, 2000);
        const still = ({ where, why }) => [where, why ? t("latency.unfit", { why }) : t("latency.fitting"), "", ""];
        made.update(latency.map((told) => (told.ms === null ? still(told) : [
          told.where, { text: ms(told.ms), note: change(told.ms, base.get(told.where)?.ms, ".3g") },
          { text: `${ms(told.low_ms)} – ${ms(told.high_ms)}`, note: ends(told, base.get(told.where)) }, told.warnings.join("; ") || "–",
        ])));
      },
    };
  },
};
