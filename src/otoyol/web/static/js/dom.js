// Elements without markup: text is always text, styles are classes.

/** An element: h("button", {type: "button", onclick: f, "aria-label": "…"}, "text", child, …). */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Put text into an element only where it differs: what does not change is not said again, nor laid out again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * A table that is updated cell by cell. `head`: column titles; `update(rows, foot)`: rows of cells, each a text or
 * {text, note, tone}. The first cell of a row heads it. A table scrolls in a box that the keyboard reaches.
 */
export function table(caption, head, { words = [0] } = {}) {
  const body = h("tbody");
  const foot = h("tfoot");
  const align = (i) => (words.includes(i) ? "words" : null);
  const heading = h("caption", {}, caption);
  const box = h(
    "div",
    { class: "box", role: "region", "aria-label": caption, tabindex: "0" },
    h("table", {}, heading, h("thead", {}, h("tr", {}, head.map((text, i) =>
      h("th", { scope: "col", class: align(i) }, text)))), body, foot),
  );
  return {
    element: box,
    title(text) {
      say(heading, text);
      box.setAttribute("aria-label", text);
    },
    update(rows, last = []) {
      fill(body, rows, align);
      fill(foot, last, align);
    },
  };
}

/** A text whose −%5 is not broken between the signs. */
export const joined = (text) => text.replace(/%(?=\d)/g, "\u2060%");

/** A note that is broken before what stands in brackets and nowhere else. */
export const unbroken = (note) => joined(note).replace(/ (?!\()/g, "\u00a0");

function fill(section, rows, align) {
  while (section.rows.length > rows.length) section.deleteRow(-1);
  rows.forEach((cells, r) => {
    const row = section.rows[r] ?? section.insertRow();
    while (row.cells.length > cells.length) row.lastChild.remove();
    cells.forEach((cell, i) => {
      const { text, note = "", tone = "" } = typeof cell === "object" ? cell : { text: cell };
      const place = row.cells[i] ?? row.appendChild(i === 0 ? h("th", { scope: "row" }) : h("td"));
      place.className = [align(i), tone].filter(Boolean).join(" ");
      if (place.firstChild?.nodeType !== Node.TEXT_NODE) place.prepend("");
      if (place.firstChild?.data !== text) {
        if (place.firstChild?.nodeType === Node.TEXT_NODE) place.firstChild.data = text;
        else place.prepend(document.createTextNode(text));
      }
      const small = place.querySelector("small");
      if (note && small) say(small, unbroken(note));
      else if (note) place.append(h("small", {}, unbroken(note)));
      else small?.remove();
    });
  });
}
