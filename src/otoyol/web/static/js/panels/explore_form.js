// What is asked for: the space, how many designs, the budgets, the plane. The state holds all of it.
import { h, say } from "../dom.js";
import { title, usuallyMore } from "./explore_charts.js";

const SPACES = ["around", "classification", "detection", "text"];

/** `on.draw()`: another sample is wanted; `on.here()`: one for the design that the page shows; `on.budgets()`: other
 * budgets; `on.plane()`: other axes. */
export function mountForm(context, on) {
  const { t, state, set, choices } = context;
  const field = (id, label, control, note = "") => {
    control.id = `explore-${id}`;
    if (note) control.setAttribute("aria-describedby", `explore-${id}-note`);
    return h("div", { class: `ask ask-${id}` }, h("label", { for: control.id }, label), control,
      note ? h("small", { id: `explore-${id}-note` }, note) : null);
  };
  const options = (select, words, chosen) => {
    select.replaceChildren(...words.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
    select.value = chosen;
  };

  const space = h("select", { onchange: () => {
    set({ space: space.value });
    shape();
    if (space.value !== "text") on.here();
  } });
  const text = h("textarea", { rows: 9, spellcheck: "false", maxlength: 4096, onchange: () => set({ text: text.value }) });
  const whole = (name, low, high) => h("input", {
    type: "number", min: low, max: high, step: 1, inputmode: "numeric",
    onchange: (event) => {
      const value = Math.round(Number(event.target.value));
      set({ [name]: Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : state()[name] });
      event.target.value = state()[name];
    },
  });
  const count = whole("count", 1, 5000);
  const seed = whole("seed", 0, 999999999);
  const budgets = h("input", {
    type: "text", spellcheck: "false", autocomplete: "off", placeholder: "macs<=4.1e9 params<=26M",
    onchange: () => { set({ budgets: budgets.value.slice(0, 1000) }); on.budgets(); },
  });
  const predict = h("input", { type: "checkbox", "aria-describedby": "explore-predict-note", onchange: () => { set({ predict: predict.checked ? "yes" : "" }); on.draw(); } });
  const unfit = h("small", { id: "explore-predict-note", hidden: true });
  const axes = ["x", "y"].map((axis) => {
    const name = h("select", { onchange: () => change() });
    const sense = h("select", { "aria-label": t(`explore.sense_${axis}`), onchange: () => change() });
    const change = () => {
      const usual = usuallyMore(name.value) ? "more" : "less";
      if (name.value !== chosen(axis)[0]) sense.value = usual;
      set({ [axis]: sense.value === usual ? name.value : `${name.value}:${sense.value}` });
      on.plane();
    };
    options(sense, [["less", t("draw.front.less")], ["more", t("draw.front.more")]], "less");
    return { axis, name, sense };
  });
  const chosen = (axis) => {
    const [, name, sense] = /^(.*?)(?::(more|less))?$/.exec(state()[axis]);
    return [name, sense ?? (usuallyMore(name) ? "more" : "less")];
  };
  const submit = h("button", { type: "submit", class: "primary" }, t("explore.draw"));
  const asText = h("button", { type: "button", disabled: true, onclick: () => edit() }, t("explore.edit"));
  const textField = field("text", t("explore.text"), text, t("explore.text_note"));
  const element = h("form", {
    class: "explore-form", "aria-label": t("panel.explore"), novalidate: true,
    onsubmit: (event) => {
      event.preventDefault();
      set({ text: text.value, budgets: budgets.value.slice(0, 1000) });
      on.here();
    },
  },
  field("space", t("explore.space"), space),
  field("count", t("explore.count"), count),
  field("seed", t("explore.seed"), seed),
  field("budgets", t("explore.budgets"), budgets, t("explore.budgets_note")),
  ...axes.map(({ axis, name, sense }) => h("div", { class: "ask ask-axis" },
    h("label", { for: `explore-${axis}` }, t(`explore.${axis}`)), h("span", { class: "pair" }, Object.assign(name, { id: `explore-${axis}` }), sense))),
  choices.tables.length ? h("div", { class: "ask ask-check" }, Object.assign(predict, { id: "explore-predict" }), h("label", { for: "explore-predict" }, t("explore.predict")), unfit) : null,
  textField,
  h("div", { class: "actions" }, submit, asText));

  let last = "";
  function edit() {
    set({ space: "text", text: last });
    update();
    text.focus();
  }

  function shape() {
    textField.hidden = state().space !== "text";
  }

  let names = ["macs", "params"];
  function planes() {
    for (const { axis, name, sense } of axes) {
      const [quantity, way] = chosen(axis);
      const usual = axis === "x" ? "macs" : "params"; // as the picture is drawn where a sample has no such figures
      options(name, names.map((word) => [word, title(context, word)]), names.includes(quantity) ? quantity : usual);
      sense.value = way;
    }
  }

  /** Show the state, but leave alone what is being typed. */
  function update() {
    const now = state();
    for (const [control, value] of [[space, now.space], [text, now.text], [count, now.count], [seed, now.seed], [budgets, now.budgets]]) {
      if (document.activeElement !== control && control.value !== String(value)) control.value = value;
    }
    predict.checked = now.predict === "yes";
    shape();
  }

  options(space, SPACES.map((word) => [word, t(`explore.space_${word}`)]), state().space);
  planes();
  update();

  return {
    element,
    update,
    /** A sample has come: its space as text to edit, its quantities to choose from. */
    sampled(drawn, quantities) {
      last = drawn.space;
      asText.disabled = false;
      unfit.hidden = !drawn.unfit.length;
      say(unfit, drawn.unfit.map(({ where, why }) => `${where}: ${t("latency.unfit", { why })}`).join("; "));
      if (quantities.join() !== names.join()) {
        names = quantities;
        planes();
      }
    },
    busy(on_) {
      submit.setAttribute("aria-disabled", String(on_));
      say(submit, t(on_ ? "explore.drawing" : "explore.draw"));
    },
    /** Mark the control that an error is about. */
    mark(about) {
      const of = { budget: budgets, budgets, count, seed, spec: space };
      const at = about.startsWith("space") || about.startsWith("file") ? (state().space === "text" ? text : space) : of[about.split(/[.[]/)[0]];
      for (const control of [space, text, count, seed, budgets]) {
        if (control === at) control.setAttribute("aria-invalid", "true");
        else control.removeAttribute("aria-invalid");
      }
    },
  };
}
