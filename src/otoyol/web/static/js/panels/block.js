// One block: its diagram, and the formulas of the operator that was chosen in it.
import { svgInto } from "../diagram.js";
import { h, say } from "../dom.js";

export default {
  id: "block",
  view: "overview",
  parts: ["block", "op"],
  mount(root, context) {
    const { t, number, set, change, changes } = context;
    const pick = h("select", { "aria-label": t("block.which"), onchange: () => set({ block: pick.value, op: "" }) });
    const place = h("div", { class: "diagram", tabindex: "0", role: "group", "aria-label": t("panel.block") });
    const title = h("h3", {});
    const where = h("p", { class: "where" });
    const moved = h("p", { class: "where" });
    const lines = h("dl", { class: "formulas" });
    const close = h("button", { type: "button", class: "quiet", onclick: () => leave() }, t("close"));
    const op = h("div", { class: "op", "aria-live": "polite" }, h("div", { class: "op-head" }, title, close), where, moved, lines,
      h("p", { class: "hint" }, t("op.per_image")));
    const hint = h("p", { class: "hint" }, t("op.hint"));
    root.append(h("div", { class: "pick" }, pick), h("div", { class: "block-body" }, place, h("div", { class: "op-place" }, hint, op)));
    let drawn = "";
    let listed = "";
    let told = null; // the operator whose formulas stand here
    /** Its button goes with it: the focus goes back to the operator, or where another block is drawn, to the list. */
    const leave = () => {
      (place.querySelector(`g[data-op="${CSS.escape(told.name)}"]`) ?? pick).focus();
      set({ op: "" });
    };
    /** How the operator's shapes and letters differ from the baseline's. */
    const shapes = (now, before) => {
      const [from, to] = ["shape_in", "shape_out"].map((end) => changes(now[end], before[end]));
      const letters = Object.entries(now.where).map(([letter, value]) => [letter, change(value, before.where[letter], "")]);
      return [from === to ? from : `${from} → ${to}`, ...letters.filter(([, told]) => told && told !== "=").map((pair) => pair.join(" "))].join(" · ");
    };
    return {
      update(design, baseline) {
        const { block, leaves } = design;
        if (leaves.depths !== listed) {
          listed = leaves.depths;
          pick.replaceChildren(...leaves.depths.split("-").flatMap((depth, stage) => [
            h("option", { value: `${stage}.0` }, t("block.first", { stage: stage + 1 })),
            ...(depth > 1 ? [h("option", { value: `${stage}.1` }, t("block.others", { stage: stage + 1, last: Number(depth) }))] : []),
          ]));
        }
        pick.value = `${block.stage}.${Math.min(block.block, 1)}`;
        if (block.svg !== drawn) {
          drawn = block.svg;
          svgInto(place, block.svg, (name) => set({ op: name }), t);
        }
        told = design.op ?? null;
        for (const group of place.querySelectorAll("g[data-op]")) {
          group.setAttribute("aria-pressed", String(group.dataset.op === told?.name));
        }
        op.hidden = !told;
        hint.hidden = Boolean(told);
        if (!told) return;
        say(title, told.what);
        const shape = (s) => s.join("×");
        say(where, `${told.name} · ${shape(told.shape_in)} → ${shape(told.shape_out)}${
          Object.entries(told.where).map(([letter, value]) => ` · ${letter} = ${value}`).join("")}`);
        moved.hidden = !baseline?.op;
        if (baseline?.op) say(moved, t("op.moved", { text: shapes(told, baseline.op) }));
        const base = new Map((baseline?.op?.lines ?? []).map((line) => [line.quantity, line.value]));
        lines.replaceChildren(...told.lines.flatMap((line) => [
          h("dt", {}, t(`op.${line.quantity}`)),
          h("dd", {}, h("span", { class: "letters" }, line.letters), h("span", { class: "numbers" }, `= ${line.numbers}`),
            h("strong", {}, `= ${number(line.value)}`), h("small", {}, change(line.value, base.get(line.quantity)))),
        ]));
      },
    };
  },
};
