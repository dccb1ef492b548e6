// An answer in words: headline, paragraphs, a table, sources. Text is replaced only where it differs. Numbers of the
// table show their difference from the baseline's, where its answer has the same row and column.
import { h, say, table } from "./dom.js";

/** {element, update(answer, of the baseline)} for the server's answers. */
export function answerView({ t, change }) {
  const headline = h("p", { class: "headline" });
  const other = h("p", { class: "other" });
  const paragraphs = h("div", {});
  const tables = h("div", {});
  const sources = h("ul", { class: "sources" });
  const element = h("div", { class: "answer" }, headline, other, paragraphs, tables, sources);
  let held = "";
  let made = null;
  return {
    element,
    update(answer, base) {
      say(headline, answer.headline);
      other.hidden = !base;
      if (base) say(other, t("series.other", { headline: base.headline }));
      lines(paragraphs, answer.paragraphs, "p");
      const head = JSON.stringify(answer.table.header);
      if (head !== held) {
        held = head;
        const rows = answer.table.rows;
        const words = answer.table.header.map((_, i) => i).filter((i) => i === 0 || rows.some((row) => /\p{L}{4}/u.test(row[i].text ?? row[i])));
        made = table(answer.table.caption, answer.table.header, { words });
        tables.replaceChildren(made.element);
      }
      made.title(answer.table.caption);
      made.update(compared(answer.table, base?.table));
      lines(sources, answer.sources, "li");
    },
  };

  function compared({ header, keys, rows }, base) {
    const before = new Map(base?.keys.map((key, i) => [key, base.rows[i]]));
    const columns = header.map((title) => base?.header.indexOf(title));
    const note = (key, column, { value, form }) => change(value, before.get(key)?.[columns[column]]?.value, form);
    return rows.map((row, i) => row.map((cell, column) => (
      typeof cell === "string" ? cell : { text: cell.text, note: note(keys[i], column, cell) })));
  }
}

function lines(place, texts, tag) {
  while (place.children.length > texts.length) place.lastChild.remove();
  texts.forEach((text, i) => say(place.children[i] ?? place.appendChild(h(tag)), text));
}
