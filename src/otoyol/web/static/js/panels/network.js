// The whole network as a road with exits; beside a baseline, what stands where and how that differs.
import { svgInto } from "../diagram.js";
import { h, table } from "../dom.js";
import { STANDS, keyOf, whatStands } from "./stages.js";

export default {
  id: "network",
  view: "network",
  parts: ["network", "stages"],
  mount(root, context) {
    const { t } = context;
    const place = h("div", { class: "diagram", tabindex: "0", role: "group", "aria-label": t("panel.network") });
    const beside = table(t("network.caption"), STANDS.map((key) => t(`stages.${key}`)));
    root.append(place, beside.element);
    let drawn = "";
    return {
      update({ network, stages }, baseline) {
        beside.element.hidden = !baseline?.stages;
        if (baseline?.stages) {
          const base = new Map(baseline.stages.map((part) => [keyOf(part), part]));
          beside.update(stages.map((part) => whatStands(part, base.get(keyOf(part)), context)));
        }
        if (network === drawn) return;
        drawn = network;
        svgInto(place, network);
      },
    };
  },
};
