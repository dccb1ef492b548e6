// What the pictures show, for who reads or types: the front as a list, ranges as fields, what was left out and why.
import { h, joined, say, unbroken } from "../dom.js";
import { split } from "../state.js";
import { change, figure, missWords, title } from "./explore_charts.js";
import { budgetReport, misses, span } from "./explore_model.js";

const LISTED = 60;
const box = (label, ...children) => h("div", { class: "box", role: "region", "aria-label": label, tabindex: "0" }, ...children);

/** Whether a text of the sample is the design that the page shows, whose own text has other fields in another order:
 * what either of them names, the design has. */
function isDesign(text, { spec, leaves }) {
  const [row, own] = [split(text), split(spec)];
  return row.family === own.family && [...own.edits.keys()].every((key) => row.edits.has(key))
    && [...row.edits].every(([key, word]) => (leaves[key] ?? own.edits.get(key)) === word);
}

/** A figure of design `i`, and how far it is from the baseline's. */
function cell(context, sample, name, i, base) {
  const told = change(context, sample, name, i, base);
  return h("td", {}, figure(context, sample, name, i), told ? h("small", {}, unbroken(told)) : null);
}

/** The front's designs by x, each with a button that loads it. */
export function frontTable(context, load) {
  const { t } = context;
  const element = h("div", {});
  return {
    element,
    /** The page shows another design. */
    now(here) {
      for (const button of element.querySelectorAll("button")) {
        if (isDesign(button.textContent, here)) button.setAttribute("aria-current", "true");
        else button.removeAttribute("aria-current");
      }
    },
    update(sample, front, x, y, here, base) {
      const names = [x.name, y.name, ...sample.names.filter((name) => name !== x.name && name !== y.name)];
      const rows = front.slice(0, LISTED).map((i) => {
        const text = sample.text(i);
        const current = here && isDesign(text, here) ? "true" : null;
        const attributes = { type: "button", class: "link", onclick: () => load(i), "aria-current": current };
        const button = h("button", attributes, text);
        return h("tr", {}, h("th", { scope: "row" }, button), names.map((name) => cell(context, sample, name, i, base)));
      });
      const caption = t(front.length ? "explore.front_caption" : "explore.front_empty", { shown: rows.length, all: front.length });
      const focused = element.contains(document.activeElement) ? document.activeElement.textContent : null;
      element.replaceChildren(box(t("explore.front_title"), h("table", { class: "front" }, h("caption", {}, caption),
        h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "words" }, t("explore.design")), names.map((name) => h("th", { scope: "col" }, title(context, name))))),
        h("tbody", {}, rows))));
      if (focused) [...element.querySelectorAll("button")].find((button) => button.textContent === focused)?.focus();
    },
  };
}

/** Ranges as numbers to type: the brushes of who has no mouse. `keep` takes {quantity: [low, high] or null}. */
export function rangeFields(context, keep) {
  const { t } = context;
  const body = h("div", { class: "ranges" });
  const clear = h("button", { type: "button", onclick: () => keep(Object.fromEntries([...fields.keys()].map((name) => [name, null]))) }, t("explore.clear"));
  const summary = h("summary", {}, t("explore.ranges"));
  const element = h("details", { class: "range-fields" }, summary, h("p", { class: "hint" }, t("explore.ranges_note")), body, clear);
  const fields = new Map();

  function field(name) {
    const inputs = ["from", "to"].map((end) => h("input", {
      type: "number", step: "any", "aria-label": t(`explore.${end}`, { quantity: title(context, name) }),
      onchange: () => {
        const [low, high] = inputs.map((input) => (input.value === "" ? null : Number(input.value)));
        keep({ [name]: low === null && high === null ? null : [low ?? -Infinity, high ?? Infinity] });
      },
    }));
    const row = h("div", { class: "range" }, h("span", {}, title(context, name)), ...inputs);
    fields.set(name, { row, inputs });
    return row;
  }

  return {
    element,
    update(sample, ranges) {
      if (sample.names.join() !== [...fields.keys()].join()) {
        fields.clear();
        body.replaceChildren(...sample.names.map(field));
      }
      const set = Object.keys(ranges).length;
      say(summary, set ? t("explore.ranges_set", { count: set }) : t("explore.ranges"));
      for (const [name, { inputs }] of fields) {
        const bounds = span(sample.values(name)) ?? ["", ""];
        inputs.forEach((input, end) => {
          const value = ranges[name]?.[end];
          const word = Number.isFinite(value) ? String(value) : "";
          if (document.activeElement !== input && input.value !== word) input.value = word;
          input.placeholder = bounds[end];
        });
      }
    },
  };
}

/** Any design, clicked or by its number: its figures, what it misses, and a button that loads it all the same. */
export function picked(context, load) {
  const { t } = context;
  const number = h("input", {
    type: "number", id: "explore-number", min: 1, step: 1, inputmode: "numeric",
    onchange: () => { if (order.length) show(order[Math.min(order.length, Math.max(1, Math.round(number.value) || 1)) - 1]); },
  });
  const all = h("span", {});
  const body = h("div", { "aria-live": "polite" });
  const element = h("div", { class: "picked", role: "group", "aria-label": t("explore.picked") },
    h("div", { class: "pair" }, h("label", { for: "explore-number" }, t("explore.number")), number, all), body);
  let order = [];
  let sample = null;
  let limits = [];
  let at = -1; // the design on the card
  let base; // the baseline's figures
  const figures = h("dl", { class: "figures" });

  function tell() {
    figures.replaceChildren(...sample.names.map((name) => h("div", { "data-figure": name }, h("dt", {}, title(context, name)),
      h("dd", {}, figure(context, sample, name, at)), h("dd", { class: "diff" }, joined(change(context, sample, name, at, base))))));
  }

  function show(i) {
    number.value = order.indexOf(i) + 1;
    if (i === at) return; // its button may have the focus
    at = i;
    const reasons = misses(sample, limits, i).map((miss) => h("li", {}, missWords(context, miss)));
    tell();
    body.replaceChildren(
      h("code", {}, sample.text(i)),
      figures,
      reasons.length ? h("div", {}, h("p", { class: "wrong" }, t("explore.infeasible")), h("ul", {}, reasons)) : "",
      h("button", { type: "button", onclick: () => load(i) }, t(reasons.length ? "explore.load_anyway" : "explore.load")),
    );
  }

  return {
    element,
    show,
    /** Designs are numbered along the quantity `name`. */
    update(drawn, budgets, name, before) {
      if (drawn !== sample || budgets !== limits) {
        body.replaceChildren();
        at = -1;
      }
      [sample, limits, base] = [drawn, budgets, before];
      if (at >= 0) tell();
      const values = sample.values(name);
      order = [...values.keys()].sort((i, j) => (values[i] ?? Infinity) - (values[j] ?? Infinity));
      number.max = order.length;
      say(all, t("explore.of_all", { all: order.length, quantity: title(context, name) }));
    },
  };
}

/** Why designs are left out: budgets with how many miss them and how narrowly, then rules. */
export function leftOut(context) {
  const { t } = context;
  const summary = h("summary", {}, t("explore.left_out"));
  const body = h("div", {});
  const element = h("details", { class: "left-out" }, summary, body);
  const list = (items) => h("ul", {}, items.map((item) => h("li", {}, item)));
  const words = (choices) => Object.entries(choices).map(([key, value]) => `${key}=${value}`).join(", ");
  return {
    element,
    update(sample, limits, { refused, impossible, seen }) {
      const known = limits.filter(({ quantity }) => sample.names.includes(quantity));
      const rows = budgetReport(sample, known).map(({ text, missed, nearest }) => (missed
        ? t("explore.budget_misses", { budget: text, missed, all: sample.size, nearest }) : t("explore.budget_met", { budget: text })));
      const parts = [];
      if (rows.length) parts.push(h("h3", {}, t("explore.by_budget")), list(rows));
      if (refused.length) parts.push(h("h3", {}, t("explore.by_choice", { count: refused.length })), list(refused.map(({ choices, reason }) => [h("code", {}, words(choices)), " ", reason])));
      if (impossible.length) {
        const all = seen - sample.size;
        parts.push(h("h3", {}, t("explore.by_rule", { count: all, shown: impossible.length })),
          list(impossible.map(({ design, reason }) => [h("code", {}, design), " ", reason])));
      }
      say(summary, t("explore.left_out"));
      body.replaceChildren(...(parts.length ? parts : [h("p", {}, t("explore.nothing_out"))]));
    },
  };
}
