// The stage table: what stands where, its output, its costs.
import { table } from "../dom.js";

export const STANDS = ["part", "output", "blocks", "through"];
export const keyOf = (part) => `${part.kind}${part.stage}`;

// What is told of a stage's inside where it is not 1.
const INSIDE = ["stride", "dilation", "groups"];

export default {
  id: "stages",
  view: "overview",
  parts: ["stages"],
  mount(root, context) {
    const { t, number, change } = context;
    const head = [...STANDS, "params", "macs", "activations", "train_bytes"].map((key) => t(`stages.${key}`));
    const made = table(t("stages.caption"), head);
    root.append(made.element);
    return {
      update({ stages }, baseline) {
        const base = new Map((baseline?.stages ?? []).map((part) => [keyOf(part), part]));
        const figure = (part, metric, form) => ({
          text: number(part[metric], form), note: change(part[metric], base.get(keyOf(part))?.[metric], form),
        });
        const total = (rows, metric) => rows.reduce((sum, part) => sum + part[metric], 0);
        const rows = stages.map((part) => [
          ...whatStands(part, base.get(keyOf(part)), context),
          figure(part, "params", "si"), figure(part, "macs", "si"), figure(part, "activations", "si"), figure(part, "train_bytes", "bytes"),
        ]);
        const sum = (metric, form) => {
          const now = total(stages, metric);
          return { text: number(now, form), note: change(now, baseline?.stages && total(baseline.stages, metric), form) };
        };
        made.update(rows, [[t("stages.total"), "", sum("blocks", ""), "", sum("params", "si"), sum("macs", "si"), sum("activations", "si"), sum("train_bytes", "bytes")]]);
      },
    };
  },
};

/** A part of the network in cells, those of STANDS: its name, its output, its blocks and their inside, with the
 * differences from the same part of the baseline. */
export function whatStands(part, before, { t, change, changes, signed }) {
  const cells = [
    t(`draw.part.${part.kind}`, { stage: part.stage + 1 }),
    { text: part.output.join("×"), note: changes(part.output, before?.output) },
  ];
  if (part.kind !== "stage") return [...cells, "–", ""];
  const block = part.block.length > 24 ? t("block.own") : part.block;
  return [
    ...cells,
    { text: `${part.blocks} × ${block}`, note: change(part.blocks, before?.blocks, "") },
    { text: through(part, t), note: before ? moved(part, before, { t, change, signed }) : "" },
  ];
}

/** 64 → 64, stride 2, 32 groups: what is not usual of a stage's inside. */
function through(part, t) {
  const told = INSIDE.filter((name) => part[name] > 1).map((name) => t(`stages.${name}`, { n: part[name] }));
  return [String(part.inner), ...told].join(" · ");
}

/** How a stage's inside differs from the baseline's: channels, and what else does. */
function moved(part, before, { t, change, signed }) {
  const told = INSIDE.filter((name) => part[name] !== before[name])
    .map((name) => t(`stages.${name}`, { n: signed(part[name] - before[name]) }));
  return [change(part.inner, before.inner, ""), ...told].join(" · ");
}
