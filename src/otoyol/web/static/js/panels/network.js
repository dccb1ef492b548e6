// The whole network as a road with exits.
import { svgInto } from "../diagram.js";
import { h } from "../dom.js";

export default {
  id: "network",
  view: "network",
  parts: ["network"],
  mount(root, { t }) {
    const place = h("div", { class: "diagram", tabindex: "0", role: "group", "aria-label": t("panel.network") });
    root.append(place);
    let drawn = "";
    return {
      update({ network }) {
        if (network === drawn) return;
        drawn = network;
        svgInto(place, network);
      },
    };
  },
};
