// What can be chosen, read from the JSON Schema of a spec. Pure. A field's key is that of the text form:
// `attention.place`, `depths`, `stage2.attention`.

/**
 * Every field below `properties`: {key, group, kind, options, low, high, optional}. Kinds: `choice` (options), `flag`,
 * `whole`, `number`, `ratio`, `list` (whole numbers joined by -), `size` (channels, height, width), `block` (options, or
 * slots written out).
 */
export function fieldsOf(schema, properties = schema.properties, prefix = "") {
  return Object.entries(properties)
    .filter(([name]) => name !== "stages" && name !== "family")
    .flatMap(([name, raw]) => {
      const { inner, optional } = unwrap(schema, raw);
      const part = (inner.anyOf ?? []).find((form) => form.properties);
      if (!part || part.properties.branch) return [{ key: prefix + name, group: name, ...scalar(schema, raw) }];
      if (part.properties.height && part.properties.channels) {
        const sizes = Object.fromEntries(Object.entries(part.properties).map(([k, s]) => [k, scalar(schema, s)]));
        return [{ key: prefix + name, group: name, kind: "size", sizes, optional }];
      }
      const [short] = inner.anyOf;
      const primary = Object.entries(part.properties).find(([, s]) => sameForm(s, short))?.[0];
      const preset = primary ? [] : [{ key: prefix + name, group: name, kind: "preset", options: short.enum, optional }];
      return [...preset, ...Object.entries(part.properties).map(([leaf, s]) => ({
        key: prefix + (leaf === primary ? name : `${name}.${leaf}`),
        group: name,
        ...scalar(schema, s),
        optional: scalar(schema, s).optional || (optional && leaf === primary),
      }))];
    });
}

/** The fields of one stage, counted from 1, but for its columns. */
export function stageFields(schema, stage) {
  const { depth, width, stride, dilation, ...rest } = schema.$defs.Stage.properties;
  return fieldsOf(schema, rest, `stage${stage}.`);
}

/** The columns over the stages: {depths: {kind, low, high}, …}. */
export function columnsOf(schema) {
  const { depth, width, stride, dilation } = schema.$defs.Stage.properties;
  const named = { depths: depth, widths: width, strides: stride, dilations: dilation };
  return Object.fromEntries(Object.entries(named).map(([key, s]) => [key, scalar(schema, s)]));
}

/** Most stages that a spec can have. */
export const mostStages = (schema) => schema.properties.stages.maxItems;

/** The control that a refusal is about: `edited`, the key of the last change, if it is of that field or of the text as
 * a whole, which no field but the last one changed can have broken; the key itself, or the nearest that there is.
 * `has(key)` tells of controls. */
export function controlOf(field, has, edited = "") {
  const inside = /^stage(\d+)\.(.+)$/.exec(field);
  const own = (inside ? inside[2] : field).replace(/\[\d+\]/g, "");
  const column = { depth: "depths", width: "widths", stride: "strides", dilation: "dilations" }[own];
  const kept = own.replace(/\.(kind|classes)$/, "");
  const last = own === "spec" || [column, own, kept].includes(edited) ? edited : "";
  return [last, field, column, own, kept, own.split(".")[0], { stages: "depths", spec: "family" }[own]].find((key) => key && has(key)) ?? "";
}

/** Fields that mean something only beside others: whether they do in a design of these words. */
export function matters(key, words) {
  const [head] = key.split(".").slice(-2);
  const stage = /^stage\d+\./.exec(key)?.[0] ?? "";
  const own = key.slice(stage.length);
  const word = (name) => words[stage + name] ?? words[name];
  const rule = {
    "attention.place": () => word("attention") !== "none",
    "attention.reduction": () => ["se", "cbam"].includes(word("attention")),
    "attention.divisor": () => ["se", "cbam"].includes(word("attention")),
    "norm.groups": () => word("norm") === "group",
    "norm.momentum": () => ["batch", "sync"].includes(word("norm")),
    "shortcut.reads": () => ["B", "C", "D"].includes(word("shortcut")),
    "shortcut.norm": () => ["B", "C", "D"].includes(word("shortcut")),
    "shortcut.scale": () => word("shortcut.gate") === "scale",
    "shortcut.branch_scale": () => word("shortcut.gate") === "scale",
    "shortcut.gate_bias": () => ["exclusive", "shortcut-only"].includes(word("shortcut.gate")),
    "shortcut.dropout": () => word("shortcut.gate") === "dropout",
  }[own];
  if (stage && head && own.includes(".") && !(stage + own.split(".")[0] in words)) return false; // the stage follows the spec
  return rule ? rule() : true;
}

function unwrap(schema, raw) {
  const forms = raw.anyOf ?? [raw];
  const optional = forms.some((form) => form.type === "null");
  const real = forms.filter((form) => form.type !== "null");
  const only = real.length === 1 ? real[0] : { anyOf: real };
  const inner = only.$ref ? schema.$defs[only.$ref.split("/").pop()] : only;
  return { inner, optional };
}

function sameForm(s, short) {
  return ["type", "minimum", "maximum"].every((name) => s[name] === short[name]) && String(s.enum) === String(short.enum) && short.type !== undefined;
}

function scalar(schema, raw) {
  const { inner, optional } = unwrap(schema, raw);
  const forms = inner.anyOf ?? [inner];
  const find = (test) => forms.find(test);
  const options = find((form) => form.enum)?.enum;
  const whole = find((form) => form.type === "integer");
  if (forms.some((form) => form.properties)) return { kind: "block", options, optional };
  if (options && whole) {
    const numbers = Array.from({ length: whole.maximum - whole.minimum + 1 }, (_, i) => String(whole.minimum + i));
    return { kind: "choice", options: [...options, ...numbers], optional };
  }
  if (options) return { kind: "choice", options, optional };
  if (inner.type === "boolean") return { kind: "flag", optional };
  if (inner.type === "array") return { kind: "list", optional };
  if (whole) return { kind: "whole", low: whole.minimum, high: whole.maximum, optional };
  if (forms.some((form) => form.pattern)) return { kind: "ratio", optional };
  return { kind: "number", low: inner.minimum ?? inner.exclusiveMinimum, high: inner.maximum ?? inner.exclusiveMaximum, optional };
}
