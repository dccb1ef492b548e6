// The whole state of the page, and its text in the URL behind the #. Pure: no server, no DOM.
//
// `v=1&spec=resnet50@attention=se&pin=resnet34&view=memory`: pairs in a fixed order, usual values left out. Texts of
// specs need no escaping. What a later version wrote, or a hand damaged, is told and the usual value taken.

export const VERSION = 1;

const oneOf = (...allowed) => (text) => (allowed.includes(text) ? text : undefined);
const matching = (pattern, most) => (text) => (text.length <= most && pattern.test(text) ? text : undefined);
const whole = (low, high) => (text) => {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  return value >= low && value <= high ? value : undefined;
};
const SPEC = /^[A-Za-z0-9.,=@_/:-]*$/;
// What the server takes (otoyol/web/asks.py): a link with anything else would show nothing at all.
const MOST_INDEX = 4096;
const place = (text) => {
  const [, stage, block] = /^(\d{1,4})\.(\d{1,4})$/.exec(text) ?? [];
  return text === "" || (Number(stage) <= MOST_INDEX && Number(block) <= MOST_INDEX) ? text : undefined;
};
const listed = (text) => (text ? text.split(",") : []);
const words = (text) => (/^([a-z_]+(,[a-z_]+)*)?$/.test(text) ? [...new Set(listed(text))].join() : undefined);

/** Every field: its usual value, and `read`, which gives the value that a text stands for or undefined. `words` of a
 * value are those that the server knows, or does not. */
export const FIELDS = {
  spec: { usual: "resnet50", read: matching(/^[A-Za-z0-9.,=@_/:-]+$/, 4096) },
  pin: { usual: "", read: matching(SPEC, 4096) },
  equal: {
    usual: "",
    read: oneOf("", "macs", "params", "activations", "train_bytes", "train_bytes_lean", "peak_inference_bytes", "latency"),
  },
  vary: { usual: "widths", read: oneOf("widths", "depths", "both") },
  table: { usual: "", read: matching(/^[a-z0-9,-]*$/, 64) },
  batch: { usual: 1, read: whole(1, 1048576) },
  dtype: { usual: "float32", read: oneOf("float64", "float32", "float16", "bfloat16") },
  optimizer: { usual: "momentum", read: oneOf("sgd", "momentum", "adamw") },
  view: { usual: "overview", read: oneOf("overview", "network", "memory", "why", "explore", "runs") },
  block: { usual: "", read: place },
  op: { usual: "", read: matching(/^[a-z0-9._]*$/, 80) },
  ask: { usual: "bottleneck", read: words, words: listed },
  space: { usual: "around", read: oneOf("around", "classification", "detection", "text") },
  around: { usual: "", read: matching(SPEC, 4096) }, // the design that the sample was drawn for
  text: { usual: "", read: matching(/^[^\0]*$/, 4096) },
  count: { usual: 2000, read: whole(1, 5000) },
  seed: { usual: 0, read: whole(0, 999999999) },
  budgets: { usual: "", read: matching(/^[^\0]*$/, 1000) },
  predict: { usual: "", read: oneOf("", "yes") },
  x: { usual: "macs", read: matching(/^[a-z_]+(@[a-z0-9,-]+)?(:more|:less)?$/, 80) },
  y: { usual: "params", read: matching(/^[a-z_]+(@[a-z0-9,-]+)?(:more|:less)?$/, 80) },
  ranges: { usual: "", read: matching(/^[a-z0-9_@,:;.e+-]*$/, 1000) },
  files: { usual: "", read: matching(/^[^\0]*$/, 2000) },
  figure: { usual: "", read: matching(/^[^\0]*$/, 80) },
  lang: { usual: "", read: matching(/^[a-z]*$/, 16) },
  theme: { usual: "", read: oneOf("", "light", "dark") },
};

/** The state of a page that nobody has touched. */
export function usual() {
  return Object.fromEntries(Object.entries(FIELDS).map(([name, field]) => [name, field.usual]));
}

/** A state as the text behind the #. Equal states give equal texts. */
export function encode(state) {
  const pairs = Object.entries(FIELDS)
    .filter(([name, field]) => state[name] !== field.usual)
    .map(([name]) => `${name}=${escaped(String(state[name]))}`);
  return [`v=${VERSION}`, ...pairs].join("&");
}

/** {state, wrong}: `wrong` names the fields whose text meant nothing; they have their usual value. `known`: field →
 * the words that it may consist of, where the server says that (/api/choices). */
export function decode(text, known = {}) {
  const state = usual();
  const wrong = [];
  const pairs = text.replace(/^#/, "").split("&").filter(Boolean).map((pair) => pair.split(/=(.*)/s));
  const version = pairs.find(([name]) => name === "v")?.[1];
  if (pairs.length && version !== String(VERSION)) return { state, wrong: ["v"] };
  for (const [name, raw = ""] of pairs) {
    if (name === "v") continue;
    const field = Object.hasOwn(FIELDS, name) ? FIELDS[name] : null;
    const value = field?.read(unescaped(raw));
    const strange = (word) => name in known && !known[name].includes(word);
    if (value === undefined || (field.words?.(value) ?? [value]).some(strange)) wrong.push(name.slice(0, 40));
    else state[name] = value;
  }
  return { state, wrong };
}

const escaped = (text) => encodeURIComponent(text).replace(/%(2C|3D|40|2F|3A)/g, decodeURIComponent);

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "\0"; // which no field allows
  }
}

// ---- Texts of specs: family@field=value,field=value ----

/** {family, edits}: a Map of the fields that differ from the family, in order. What is no field=value is dropped: it
 * would stand in every spec that is made from this one, and no control could take it out again. */
export function split(spec) {
  const [family, rest = ""] = spec.split(/@(.*)/s);
  const pairs = rest.split(",").filter((pair) => /^[^=]+=/.test(pair));
  return { family, edits: new Map(pairs.map((pair) => pair.split(/=(.*)/s))) };
}

/** The text of a family and edits. */
export function join({ family, edits }) {
  return edits.size ? `${family}@${[...edits].map(([key, word]) => `${key}=${word}`).join(",")}` : family;
}

/** The spec with fields set, in words of the text form. Last said, last applied, but a stage's own part stays before its
 * fields; the name of a stem clears its fields, as does a stage that has no part of its own any longer. */
export function withEdits(spec, changes) {
  const { family, edits } = split(spec);
  for (const [key, word] of Object.entries(changes)) {
    const own = /^stage\d+\.\w+$/.test(key);
    if (key === "stem" || (own && (word === null || word === "default"))) {
      [...edits.keys()].filter((k) => k.startsWith(`${key}.`)).forEach((k) => edits.delete(k));
    }
    if (!own || word === null) edits.delete(key);
    if (word !== null) edits.set(key, word);
  }
  return join({ family, edits });
}

/** The edits that give a spec `count` stages: columns are cut, or go on as the last stages do. */
export function withStages(spec, columns, count) {
  const now = columns.depths.length;
  const grown = Object.fromEntries(Object.entries(columns).map(([name, values]) => {
    const kept = values.slice(0, count);
    while (kept.length < count) {
      const last = kept[kept.length - 1];
      kept.push(name === "widths" ? Math.min(2 * last, 65536) : name === "strides" ? 2 : last);
    }
    return [name, kept.join("-")];
  }));
  const { family, edits } = split(spec);
  for (const key of [...edits.keys()]) {
    const stage = /^stage(\d+)\./.exec(key);
    if (stage && Number(stage[1]) > Math.min(count, now)) edits.delete(key);
  }
  return withEdits(join({ family, edits }), grown);
}
