// The stage table: what stands where, its output, its costs.
import { table } from "../dom.js";

export default {
  id: "stages",
  view: "overview",
  parts: ["stages"],
  mount(root, { t, number, change }) {
    const head = ["part", "output", "blocks", "through", "params", "macs", "activations", "train_bytes"].map((key) => t(`stages.${key}`));
    const made = table(t("stages.caption"), head);
    root.append(made.element);
    const keyOf = (part) => `${part.kind}${part.stage}`;
    return {
      update({ stages }, baseline) {
        const base = new Map((baseline?.stages ?? []).map((part) => [keyOf(part), part]));
        const figure = (part, metric, form) => ({
          text: number(part[metric], form), note: change(part[metric], base.get(keyOf(part))?.[metric], form),
        });
        const total = (rows, metric) => rows.reduce((sum, part) => sum + part[metric], 0);
        const rows = stages.map((part) => [
          t(`draw.part.${part.kind}`, { stage: part.stage + 1 }), part.output.join("×"),
          part.kind === "stage" ? `${part.blocks} × ${part.block.length > 24 ? t("block.own") : part.block}` : "–",
          part.kind === "stage" ? notes(part, t) : "",
          figure(part, "params", "si"), figure(part, "macs", "si"), figure(part, "activations", "si"), figure(part, "train_bytes", "bytes"),
        ]);
        const sum = (metric, form) => {
          const now = total(stages, metric);
          return { text: number(now, form), note: change(now, baseline?.stages && total(baseline.stages, metric), form) };
        };
        made.update(rows, [[t("stages.total"), "", String(total(stages, "blocks")), "", sum("params", "si"), sum("macs", "si"), sum("activations", "si"), sum("train_bytes", "bytes")]]);
      },
    };
  },
};

/** 64 → 64, stride 2, 32 groups: what is not usual of a stage's inside. */
function notes(part, t) {
  const told = [String(part.inner)];
  if (part.stride > 1) told.push(t("stages.stride", { n: part.stride }));
  if (part.dilation > 1) told.push(t("stages.dilation", { n: part.dilation }));
  if (part.groups > 1) told.push(t("stages.groups", { n: part.groups }));
  return told.join(" · ");
}
