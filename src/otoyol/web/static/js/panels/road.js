// The highway at a glance: a lane of blocks, open or not, and one sentence.
import { h, say } from "../dom.js";

export default {
  id: "road",
  view: "overview",
  parts: ["road"],
  mount(root, { t, set, change }) {
    const lane = h("div", { class: "lane", role: "img" });
    const headline = h("p", { class: "headline" });
    const note = h("small", {});
    const open = (stages) => stages?.reduce((sum, { depth, first, rest }) => sum + first + rest * (depth - 1), 0);
    root.append(lane, h("div", {}, headline, note), h("p", {}, h("button", { type: "button", class: "quiet", onclick: () => set({ view: "why" }) }, t("road.more"))));
    let drawn = "";
    return {
      update({ road }, baseline) {
        const { headline: sentence, stages } = road;
        say(headline, sentence);
        say(note, change(open(stages), open(baseline?.road?.stages), ""));
        const now = JSON.stringify(stages);
        if (now === drawn) return;
        drawn = now;
        const blocks = stages.flatMap(({ depth, first, rest }, stage) => Array.from({ length: depth }, (_, i) => ({ stage, open: i ? rest : first })));
        lane.setAttribute("aria-label", t("road.told", { open: blocks.filter((block) => block.open).length, blocks: blocks.length }));
        const few = blocks.slice(0, 200);
        lane.replaceChildren(...few.map((block, i) => h("span", {
          class: `${block.open ? "clear" : "barred"}${i && block.stage !== few[i - 1].stage ? " next" : ""}`,
        })));
      },
    };
  },
};
