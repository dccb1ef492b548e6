// Controls for single fields. Each is {element, accept(word), inputs}: `accept` shows a word of the text form,
// `change(word)` is called with the word that the user chose.
import { h } from "./dom.js";

const WIDTHS = [8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 144, 160, 176, 192, 208,
  224, 240, 256, 288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 832, 896, 960, 1024, 1152, 1280, 1408, 1536,
  1792, 2048];
const steps = (low, high, step = 1) => Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => +(low + i * step).toFixed(4));
// Where a slider goes, by the end of the key; the number beside it goes further.
const SLIDES = {
  depths: steps(1, 48),
  widths: WIDTHS,
  dilations: steps(1, 8),
  side: [16, 24, 32, 48, 64, 96, 112, 128, 160, 192, 224, 256, 288, 320, 352, 384, 448, 512, 640, 800, 1024],
  expansion: [0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8],
  "attention.reduction": [1, 2, 4, 8, 12, 16, 24, 32, 64],
  groups: [1, 2, 4, 8, 16, 32, 64],
  group_width: [1, 2, 4, 8, 16, 32, 64],
  "norm.groups": [1, 2, 4, 8, 16, 32, 64],
  drop_path: steps(0, 0.5, 0.05),
  "head.dropout": steps(0, 0.9, 0.1),
  "shortcut.dropout": steps(0, 0.9, 0.1),
  "shortcut.scale": steps(-1, 2, 0.1),
  "shortcut.branch_scale": steps(-1, 2, 0.1),
  "shortcut.gate_bias": steps(-10, 10),
  batch: [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024],
};
export const slideOf = (key) => SLIDES[key] ?? SLIDES[key.replace(/^stage\d+\./, "")];

let count = 0;
const freshId = () => `c${(count += 1)}`;
const CLEAR = "default";

/** A control for a field of fields.js, under `label`. `t` says words. */
export function widget(field, label, t, change) {
  const id = freshId();
  const made = { choice, preset, flag, whole, number: decimal, ratio, list, block, size }[field.kind](field, id, label, t, change);
  const wrong = h("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
  const element = h("div", { class: `field ${field.kind}`, "data-key": field.key }, made.nodes, wrong);
  return { ...made, key: field.key, element, wrong };
}

/** What was typed, in the text form's letters: a comma or a blank there would part the field from the rest of the
 * spec. The entry shows what became of it; an entry with the focus is otherwise left alone. */
function typed(entry, tidy) {
  const word = tidy(entry.value.trim());
  if (entry.value !== word) entry.value = word;
  return word;
}

const asRatio = (text) => text.replace(",", ".").replace(/\s*\/\s*/, "/");
const asList = (text) => text.replace(/[\s,;x×]+/g, "-").replace(/-{2,}/g, "-").replace(/^-|-$/g, "");
const asSlots = (text) => text.replace(/\s*([./])\s*/g, "$1").replace(/[\s,;]+/g, ".");

const labelled = (id, label) => h("label", { for: id }, label);

function choice(field, id, label, t, change) {
  const options = [...(field.optional ? [CLEAR] : []), ...field.options];
  const select = h("select", { id, onchange: () => change(select.value) },
    options.map((word) => h("option", { value: word }, wordOf(t, word))));
  return {
    nodes: [labelled(id, label), select],
    inputs: [select],
    accept(word = CLEAR) {
      if (![...select.options].some((option) => option.value === word)) select.append(h("option", { value: word }, word));
      if (select.value !== word) select.value = word;
    },
  };
}

/** Named values of several fields at once: chosen, they show in those fields. */
function preset(field, id, label, t, change) {
  const select = h("select", { id, onchange: () => select.value && change(select.value) },
    h("option", { value: "" }, t("preset")), field.options.map((word) => h("option", { value: word }, word)));
  return { nodes: [labelled(id, label), select], inputs: [select], accept: () => { select.value = ""; } };
}

function flag(field, id, label, t, change) {
  const box = h("input", { type: "checkbox", id, onchange: () => change(String(box.checked)) });
  return { nodes: [box, labelled(id, label)], inputs: [box], accept: (word) => { box.checked = word === "true"; } };
}

function whole(field, id, label, t, change) {
  const entry = h("input", {
    type: "number", id, min: field.low, max: field.high, step: 1, inputmode: "numeric",
    placeholder: field.optional ? wordOf(t, CLEAR) : null,
    onchange: () => (entry.value !== "" || field.optional) && change(entry.value === "" ? CLEAR : entry.value),
  });
  return slid(field, id, label, entry, t, change);
}

function decimal(field, id, label, t, change) {
  const entry = h("input", {
    type: "number", id, min: field.low, max: field.high, step: "any", inputmode: "decimal",
    onchange: () => entry.value !== "" && change(entry.value),
  });
  return slid(field, id, label, entry, t, change);
}

/** A rational: 4, 3/2 or 1.5. */
function ratio(field, id, label, t, change) {
  const entry = h("input", {
    type: "text", id, size: 6, placeholder: wordOf(t, CLEAR), inputmode: "decimal",
    onchange: () => change(typed(entry, asRatio) || CLEAR),
  });
  return slid(field, id, label, entry, t, change);
}

/** An entry, and a slider where the key has one. */
function slid(field, id, label, entry, t, change) {
  const values = slideOf(field.slide ?? field.key);
  const open = (word) => word === undefined || word === CLEAR;
  const show = (word, usual) => {
    const text = open(word) ? "" : word;
    if (document.activeElement !== entry && entry.value !== text) entry.value = text;
    if (entry.placeholder) entry.placeholder = open(usual) ? "–" : usual;
  };
  if (!values) return { nodes: [labelled(id, label), entry], inputs: [entry], accept: show };
  const slider = h("input", {
    type: "range", id: `${id}-slide`, min: 0, max: values.length - 1, step: 1, "aria-label": label,
    oninput: () => {
      const word = String(values[slider.value]);
      entry.value = word;
      slider.setAttribute("aria-valuetext", word);
      change(word);
    },
  });
  return {
    nodes: [labelled(id, label), slider, entry],
    inputs: [slider, entry],
    accept(word, usual) {
      show(word, usual);
      const meant = open(word) ? usual : word;
      const value = amount(meant);
      const at = String(Number.isNaN(value) ? 0 : nearest(values, value));
      if (document.activeElement !== slider && slider.value !== at) slider.value = at;
      const told = Number.isNaN(value) ? wordOf(t, CLEAR) : open(word) ? `${wordOf(t, CLEAR)}: ${meant}` : word;
      if (slider.getAttribute("aria-valuetext") !== told) slider.setAttribute("aria-valuetext", told);
    },
  };
}

function list(field, id, label, t, change) {
  const entry = h("input", { type: "text", id, size: 10, onchange: () => change(typed(entry, asList)) });
  return {
    nodes: [labelled(id, label), entry], inputs: [entry],
    accept: (word) => { if (document.activeElement !== entry) entry.value = word; },
  };
}

/** A block by name, or its slots written out. */
function block(field, id, label, t, change) {
  const OWN = "\u0000";
  const entry = h("input", {
    type: "text", id: `${id}-own`, "aria-label": t("block.slots"), hidden: true,
    onchange: () => change(typed(entry, asSlots)),
  });
  const select = h("select", {
    id,
    onchange: () => {
      entry.hidden = select.value !== OWN;
      if (select.value === OWN) entry.focus();
      else change(select.value);
    },
  }, (field.optional ? [CLEAR] : []).concat(field.options).map((word) => h("option", { value: word }, wordOf(t, word))),
  h("option", { value: OWN }, t("block.own")));
  return {
    nodes: [labelled(id, label), select, entry],
    inputs: [select, entry],
    accept(word = CLEAR) {
      const named = [...select.options].some((option) => option.value === word);
      if (document.activeElement === entry) return;
      select.value = named ? word : OWN;
      entry.hidden = named;
      entry.value = word === CLEAR ? "" : named ? SLOTS : word;
    },
  };
}

// Where writing one's own slots starts from: a bottleneck before whose convolutions norm and activation stand.
const SLOTS = "norm.act/conv1.norm.act.conv3.norm.act.conv1//x4";

/** channels × height × width in one word; the slider moves height and width together. */
function size(field, id, label, t, change) {
  const names = ["channels", "height", "width"];
  const now = () => entries.map((entry) => entry.value).join("x");
  const entries = names.map((name, i) => h("input", {
    type: "number", id: i ? `${id}-${name}` : id, min: field.sizes[name].low, max: field.sizes[name].high, step: 1,
    "aria-label": t(`size.${name}`), onchange: (event) => event.target.value && change(now()),
  }));
  const values = SLIDES.side;
  const slider = h("input", {
    type: "range", min: 0, max: values.length - 1, "aria-label": t("size.side"),
    oninput: () => {
      entries[1].value = entries[2].value = values[slider.value];
      slider.setAttribute("aria-valuetext", entries[1].value);
      change(now());
    },
  });
  return {
    nodes: [labelled(id, label), slider, h("span", { class: "sizes" }, entries[0], "×", entries[1], "×", entries[2])],
    inputs: [slider, ...entries],
    accept(word) {
      word.split("x").forEach((text, i) => { if (document.activeElement !== entries[i]) entries[i].value = text; });
      const at = String(nearest(values, Number(word.split("x")[1])));
      if (document.activeElement !== slider) slider.value = at;
      slider.setAttribute("aria-valuetext", word.split("x")[1]);
    },
  };
}

const wordOf = (t, word) => (["default", "none", "auto", "yes", "no", "start", "spatial", "end", "first", "previous", "same", "raw", "preact", "postact"].includes(word) ? t(`word.${word}`) : word);

/** 3/2 as 1.5; NaN for what is no number. */
function amount(word) {
  const [top, bottom = "1"] = String(word ?? "").split("/");
  return top === "" ? NaN : Number(top) / Number(bottom);
}

function nearest(values, value) {
  return values.reduce((best, candidate, i) => (Math.abs(candidate - value) < Math.abs(values[best] - value) ? i : best), 0);
}
