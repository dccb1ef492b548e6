// The column of controls: one for every field of the schema, in groups, and what is wrong beside the one that it is about.
import { h, say } from "./dom.js";
import { columnsOf, controlOf, fieldsOf, matters, mostStages, stageFields } from "./fields.js";
import { split, withStages } from "./state.js";
import { widget } from "./widgets.js";

// Groups in order, by the first part of a key; what the schema has besides goes into the last.
const GROUPS = {
  input: ["input"],
  block: ["block", "expansion", "groups", "group_width", "stride_at", "act"],
  shortcut: ["shortcut"],
  attention: ["attention"],
  stem: ["stem"],
  norm: ["norm"],
  training: ["zero_init", "drop_path"],
  head: ["head", "taps", "dilation_first"],
};
const OPEN = matchMedia("(max-width: 700px)").matches ? [] : ["input", "stages", "block"];

/**
 * {accept(own, shown), refuse(error, offers)}: `own` is the design as asked for, `shown` what came of it; `offers` are
 * the nearest valid designs, null while they are not known.
 */
export function mountControls(root, context) {
  const { t, choices, set } = context;
  const { schema } = choices;
  let edited = ""; // the key of the last change: a refusal stands beside it where it may be about it
  const edit = (changes) => {
    [edited] = Object.keys(changes);
    context.edit(changes);
  };
  const made = new Map(); // by key
  const groups = new Map();
  let words = {};
  let chosen = null; // the offer that was taken and is not answered yet

  const notice = h("div", { class: "notice", role: "alert" });
  const add = (field, place, change, label = labelOf(context, field.key)) => {
    const control = widget(field, label, t, change);
    made.set(field.key, control);
    place.append(control.element);
    return control;
  };
  const group = (name) => {
    const body = h("fieldset", { class: "fields" }, h("legend", { class: "said" }, t(`group.${name}`)));
    const fold = h("details", { class: "group", "data-group": name, open: OPEN.includes(name) },
      h("summary", {}, t(`group.${name}`), h("span", { class: "brief" })), body);
    groups.set(name, { fold, body });
    return body;
  };

  // Family and what is counted for.
  const first = group("input");
  const families = widget({ key: "family", kind: "choice", options: choices.families }, t("field.family"), t,
    (word) => set({ spec: word }));
  made.set("family", families);
  first.append(families.element);
  const settings = [
    [{ key: "batch", kind: "whole", low: 1, high: 1048576 }, (word) => set({ batch: Number(word) })],
    [{ key: "dtype", kind: "choice", options: choices.dtypes }, (word) => set({ dtype: word })],
    [{ key: "optimizer", kind: "choice", options: choices.optimizers }, (word) => set({ optimizer: word })],
  ];

  const stagesBody = group("stages");
  const stages = mountStages(stagesBody, { ...context, edit }, made, () => words);

  const known = new Set(Object.values(GROUPS).flat());
  const fields = fieldsOf(schema);
  for (const [name, members] of Object.entries(GROUPS)) {
    const body = groups.get(name)?.body ?? group(name);
    const here = fields.filter((field) => members.includes(field.group) || (name === "head" && !known.has(field.group)));
    here.forEach((field) => add(field, body, (word) => edit({ [field.key]: word })));
  }
  settings.forEach(([field, change]) => add(field, first, change));
  root.replaceChildren(h("h2", { class: "said" }, t("controls")), notice, ...[...groups.values()].map(({ fold }) => fold));
  root.setAttribute("aria-label", t("controls"));

  const columns = columnsOf(schema);
  /** Where an offer has changed something; elsewhere the family, which is always there. */
  const focusOn = ({ field, given, word }) => {
    const key = controlOf(field, (name) => made.has(name));
    const control = key in columns ? stages.at(key, given, word) : made.get(key);
    if (!control || !focused(control)) focused(families);
  };

  return {
    accept(own, shown) {
      words = own.leaves;
      const state = context.state();
      families.accept(own.spec.split("@")[0]);
      made.get("batch").accept(String(state.batch));
      made.get("dtype").accept(state.dtype);
      made.get("optimizer").accept(state.optimizer);
      stages.accept(words, shown);
      for (const field of fields) {
        const control = made.get(field.key);
        control.accept(words[field.key], shown.usual[field.key]);
        control.element.hidden = !matters(field.key, words);
      }
      briefs(groups, words, own.spec, t);
      const lost = notice.contains(document.activeElement) || document.activeElement === document.body;
      clear(made, notice);
      if (chosen && lost) focusOn(chosen); // its button has gone
      chosen = null;
    },
    refuse(error, offers) {
      const lost = notice.contains(document.activeElement);
      chosen = null;
      clear(made, notice);
      const key = controlOf(error.field ?? "", (name) => made.has(name), edited);
      const control = made.get(key);
      const label = key ? labelOf(context, key) : "";
      const sentence = error.allowed ? t("refused.sentence", { field: error.field, given: error.given, allowed: error.allowed }) : error.message;
      if (control) {
        control.element.hidden = false;
        control.element.closest("details")?.setAttribute("open", "");
        control.element.classList.add("bad");
        say(control.wrong, t("refused.beside", { given: error.given, allowed: error.allowed }));
        control.wrong.hidden = false;
        control.inputs.forEach((input) => {
          input.setAttribute("aria-invalid", "true");
          input.setAttribute("aria-describedby", control.wrong.id);
        });
      }
      notice.replaceChildren(h("p", {}, h("strong", {}, t("refused.title")), " ", control ? label + ": " : "", sentence));
      if (offers?.length) {
        notice.append(h("p", {}, t("offer.lead")), h("ul", { class: "offers" }, offers.map((offer) => h("li", {},
          h("button", { type: "button", onclick: () => { chosen = offer; set({ spec: offer.spec }); } },
            offer.word ? t("offer.change", { field: offer.field, given: offer.given, word: offer.word }) : t("offer.drop", { field: offer.field }))))));
      } else if (offers && error.field) notice.append(h("p", {}, t("offer.none")));
      if (lost && !(control && focused(control))) focused(families);
    },
  };
}

/** Give the focus to where a control's value is typed or chosen, unfolding what it stands in; whether it took it. */
function focused({ element, inputs }) {
  for (let fold = element.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  inputs.find((input) => input.type !== "range" && !input.hidden)?.focus();
  return element.contains(document.activeElement);
}

/** What a field is called; a part is called after its first field. Among a stage's own, which stand in no group, the
 * group is named as well. */
function labelOf({ t, has }, key) {
  const name = key.replace(/^stage\d+\./, "");
  const own = `field.${name}`;
  const label = t(has(own) ? own : `${own}.kind`);
  const [group] = name.split(".");
  return name !== key && (name !== group || !has(own)) && has(`group.${group}`) ? `${t(`group.${group}`)}: ${label}` : label;
}

function clear(made, notice) {
  if (!notice.firstChild) return;
  notice.replaceChildren();
  for (const control of made.values()) {
    if (!control.element.classList.contains("bad")) continue;
    control.element.classList.remove("bad");
    control.wrong.hidden = true;
    control.inputs.forEach((input) => {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    });
  }
}

/** What a folded group holds, in a few words. */
function briefs(groups, words, spec, t) {
  const told = {
    input: `${spec.split("@")[0]} · ${words.input.replaceAll("x", "×")}`,
    stages: words.depths,
    block: words.block.length > 24 ? t("block.own") : words.block,
    shortcut: words.shortcut,
    attention: words.attention === "none" ? t("word.none") : `${words.attention} · ${words["attention.place"]}`,
    stem: `${words["stem.kernels"]} · ${words["stem.widths"]}`,
    norm: words.norm,
    training: words.zero_init === "true" ? "zero-init" : "",
    head: `${words.head}`,
  };
  for (const [name, { fold }] of groups) say(fold.querySelector(".brief"), told[name] ?? "");
}

const COLUMN_SLIDES = ["depths", "widths"];

/** One stage's entry in a column: a slider for depth and width, a few words for the stride. */
function columnField(name, field, index) {
  const key = `stage${index + 1}.${name}`;
  if (name !== "strides") return { ...field, key, slide: COLUMN_SLIDES.includes(name) ? name : "none" };
  const options = Array.from({ length: field.high - field.low + 1 }, (_, i) => String(field.low + i));
  return { key, kind: "choice", options };
}

/** Depth, width, stride and dilation stage by stage, how many stages there are, and each one's own choices. */
function mountStages(body, context, made, wordsNow) {
  const { t, choices, set, edit, state } = context;
  const { schema } = choices;
  const columns = columnsOf(schema);
  const place = h("div", { class: "stages" });
  const rows = [];
  let usual = {};
  const countLabel = h("span", { class: "count" });
  // What was asked for last may not be answered yet.
  const columnNow = (name) => {
    const answered = wordsNow()[name].split("-");
    const asked = split(state().spec).edits.get(name)?.split("-");
    return asked?.length === answered.length ? asked : answered;
  };
  const answeredNumbers = () => Object.fromEntries(Object.keys(columns).map((name) => [name, wordsNow()[name].split("-").map(Number)]));
  const numbers = () => Object.fromEntries(Object.keys(columns).map((name) => [name, columnNow(name).map(Number)]));
  const resize = (count) => set({ spec: withStages(state().spec, numbers(), count) });
  const fewer = h("button", { type: "button", "aria-label": t("stages.fewer"), onclick: () => resize(rows.length - 1) }, "−");
  const more = h("button", { type: "button", "aria-label": t("stages.more"), onclick: () => resize(rows.length + 1) }, "+");
  // Refusals about a whole column stand here.
  const anchors = Object.keys(columns).map((name) => {
    const wrong = h("p", { class: "wrong", id: `wrong-${name}`, hidden: true });
    const element = h("div", { class: "field column", "data-key": name }, wrong);
    made.set(name, { key: name, element, wrong, inputs: [] });
    return element;
  });
  body.append(h("div", { class: "count-row" }, countLabel, fewer, more), place, ...anchors);

  const addRow = () => {
    const index = rows.length;
    const legend = h("legend", {}, t("stages.title", { stage: index + 1 }));
    const row = h("fieldset", { class: "stage" }, legend);
    const controls = Object.fromEntries(Object.entries(columns).map(([name, field]) => {
      const control = widget(columnField(name, field, index), t(`field.${name}`), t, (word) => {
        const values = columnNow(name);
        values[index] = word;
        edit({ [name]: values.join("-") });
      });
      row.append(control.element);
      return [name, control];
    }));
    const note = h("p", { class: "rescaled", hidden: true });
    const own = h("details", { class: "own" }, h("summary", {}, t("stages.own")));
    let fields = null;
    const build = () => {
      fields = stageFields(schema, index + 1);
      fields.forEach((field) => {
        const control = widget(field, labelOf(context, field.key), t, (word) => edit({ [field.key]: word }));
        made.set(field.key, control);
        own.append(control.element);
      });
      fill();
    };
    const fill = () => fields?.forEach((field) => {
      const control = made.get(field.key);
      const general = field.key.replace(/^stage\d+\./, "");
      control.accept(wordsNow()[field.key], usual[field.key] ?? wordsNow()[general]);
      control.element.hidden = !matters(field.key, wordsNow());
    });
    own.addEventListener("toggle", () => own.open && !fields && build());
    row.append(note, own);
    rows.push({ row, controls, note, fill, own });
    place.append(row);
  };
  const dropRow = () => {
    const { row } = rows.pop();
    const gone = `stage${rows.length + 1}.`;
    [...made.keys()].filter((key) => key.startsWith(gone)).forEach((key) => made.delete(key));
    row.remove();
  };

  return {
    accept(asked, { leaves: shown, usual: known }) {
      usual = known;
      const values = answeredNumbers();
      while (rows.length < values.depths.length) addRow();
      while (rows.length > values.depths.length) dropRow();
      say(countLabel, t("stages.count", { n: rows.length }));
      fewer.disabled = rows.length <= 1;
      more.disabled = rows.length >= mostStages(schema);
      const got = { depths: shown.depths.split("-"), widths: shown.widths.split("-") };
      rows.forEach(({ controls, note, fill, own }, i) => {
        for (const [name, control] of Object.entries(controls)) control.accept(String(values[name][i]));
        const changed = ["depths", "widths"].filter((name) => got[name][i] !== String(values[name][i]));
        note.hidden = !changed.length;
        if (changed.length) say(note, t("rescaled", { what: changed.map((name) => `${t(`field.${name}`)} ${got[name][i]}`).join(", ") }));
        const any = Object.keys(asked).some((key) => key.startsWith(`stage${i + 1}.`));
        own.classList.toggle("set", any);
        fill();
      });
    },
    /** The control of a column's first entry that differs between two words. */
    at(name, before, after) {
      const [old, now] = [before, after].map((word) => word.split("-"));
      return rows[Math.max(0, now.findIndex((word, i) => word !== old[i]))]?.controls[name];
    },
  };
}
