// Probes and trainings beside the design: files dropped or picked, which stay in the browser, and those of
// `otoyol studio --runs`, which the server reads and never writes.
import { Refused } from "../ask.js";
import { h, say } from "../dom.js";
import { curves, curveTable } from "./results_charts.js";
import { MAX_BYTES, Malformed, readFile } from "./results_read.js";

const MAX_FILES = 12;
// name → {…file read, served}: they outlive a change of language. A link says which served ones there are to be;
// `linked` is what it said last, or was made to say.
const kept = new Map();
let linked = "";

export default {
  id: "runs",
  view: "runs",
  parts: [],
  mount(root, context) {
    const { t } = context;
    const wrong = h("div", { role: "alert" });
    const input = h("input", { // its own button speaks the browser's language
      type: "file", multiple: true, accept: ".json,.csv", id: "runs-files", hidden: true,
      onchange: async () => { await take([...input.files]); input.value = ""; },
    });
    const pick = h("button", { type: "button", "aria-describedby": "runs-note", onclick: () => input.click() },
      t("runs.pick"));
    const drop = h("div", { class: "drop" }, input, pick,
      h("small", { id: "runs-note" }, t("runs.note")));
    const served = h("div", { class: "served", hidden: true });
    const files = h("ul", { class: "files" });
    const which = h("select", { id: "runs-figure", onchange: () => { context.set({ figure: which.value }); paint(); } });
    const chooser = h("div", { class: "ask", hidden: true }, h("label", { for: "runs-figure" }, t("runs.figure")), which);
    const picture = h("div", { class: "tall", hidden: true });
    const numbers = curveTable(context);
    const facts = h("div", {});
    root.append(h("p", { class: "hint" }, t("runs.lead")), drop, served, wrong, files, chooser, picture, numbers.element, facts);

    const hold = (event) => { event.preventDefault(); drop.classList.toggle("over", event.type === "dragover"); };
    for (const kind of ["dragover", "dragleave", "drop"]) root.addEventListener(kind, hold);
    root.addEventListener("drop", (event) => take([...event.dataTransfer.files]));

    let drawn = null;
    let asked = false;
    const gone = () => !root.isConnected; // the page was mounted anew while an answer was on its way
    follow(context.state().files);

    /** Another link: of the served files those stay that it names. */
    function follow(files) {
      if (files === linked) return;
      linked = files;
      for (const [name, file] of kept) if (file.served && !files.split("|").includes(name)) kept.delete(name);
    }

    const trouble = (name, text) => wrong.append(h("p", { class: "wrong" }, h("strong", {}, name), " ", text));
    const sentence = (error) => {
      if (error instanceof Malformed) return t(`runs.wrong.${error.key}`, error.facts);
      if (error instanceof Refused) return error.status ? error.message : t("refused.silent");
      throw error;
    };

    /** Read dropped files one by one: what one lacks does not stop the others. */
    async function take(given) {
      wrong.replaceChildren();
      for (const file of given) {
        try {
          if (file.size > MAX_BYTES) throw new Malformed("large", { most: MAX_BYTES });
          add(freeName(file.name), await file.text());
        } catch (error) {
          trouble(file.name, sentence(error));
        }
      }
      paint();
    }

    async function takeServed(name) {
      try {
        const { text } = await context.ask("/api/run", { name });
        if (!gone()) add(name, text, true);
      } catch (error) {
        trouble(name, sentence(error));
      }
      paint();
    }

    /** The name, or where another file has it already, the name with a number: every run has a metrics.csv. */
    function freeName(name) {
      let free = name;
      for (let n = 2; kept.has(free); n += 1) free = name.replace(/(\.[^.]*)?$/, ` (${n})$1`);
      return free;
    }

    function add(name, text, onServer = false) {
      if (!kept.has(name) && kept.size >= MAX_FILES) throw new Malformed("many", { most: MAX_FILES });
      kept.set(name, { ...readFile(name, text), served: onServer });
      context.announce(t("runs.read", { name }));
    }

    /** The names of served files are part of the address; files of this computer are nobody else's business. */
    function remember() {
      const names = [...kept.values()].filter((file) => file.served).map((file) => file.name);
      while (names.join("|").length > 2000) names.pop();
      linked = names.join("|");
      context.set({ files: linked });
    }

    async function choose(name) {
      wrong.replaceChildren();
      await takeServed(name);
      if (!gone()) remember();
    }

    async function listServed() {
      asked = true;
      try {
        const { served: on, files: found, more } = await context.ask("/api/runs", {});
        if (!on || gone()) return;
        const names = new Set(found.map(({ name }) => name));
        served.hidden = false;
        const rows = found.map(({ name, bytes }) => h("li", {},
          h("button", { type: "button", class: "link", onclick: () => choose(name) }, name),
          ` ${context.number(bytes, "bytes")}`));
        served.replaceChildren(h("h3", {}, t("runs.served")), rows.length ? h("ul", { class: "box", role: "list", tabindex: "0", "aria-label": t("runs.served") }, rows) : h("p", {}, t("runs.none_served")),
          more ? h("p", { class: "hint" }, t("runs.more")) : "");
        const linkedTo = context.state().files.split("|").filter((one) => names.has(one) && !kept.get(one)?.served);
        for (const name of linkedTo) if (!gone()) await takeServed(name);
        if (linkedTo.length && !gone()) remember();
      } catch (error) {
        trouble("", sentence(error));
      }
    }

    /** The files anew; a button that had the focus has it again. */
    function listFiles() {
      const held = files.contains(document.activeElement) ? document.activeElement.dataset.of : null;
      const button = (of, attributes, text) => h("button", { type: "button", "data-of": of, ...attributes }, text);
      files.replaceChildren(...[...kept.values()].map((file) => h("li", {},
        h("code", {}, file.name), ` ${t(`runs.kind.${file.kind}`)} `,
        file.designs.map((text) => [
          button(`${file.name} ${text}`, { onclick: () => context.load(text) }, t("runs.load", { design: text })), " ",
        ]).flat(),
        button(file.name, {
          "data-remove": "", "aria-label": t("runs.remove_named", { name: file.name }), onclick: () => remove(file),
        }, t("runs.remove")))));
      if (held) [...files.querySelectorAll("button")].find(({ dataset }) => dataset.of === held)?.focus();
    }

    /** The focus goes to the next file's button, or where none is left, to the one that picks files. */
    function remove(file) {
      const at = [...kept.keys()].indexOf(file.name);
      kept.delete(file.name);
      if (file.served) remember();
      paint();
      const left = files.querySelectorAll("[data-remove]");
      (left[Math.min(at, left.length - 1)] ?? pick).focus();
    }

    function paint() {
      if (gone()) return;
      listFiles();
      const all = [...new Set([...kept.values()].flatMap((file) => [...file.figures.keys()]))];
      chooser.hidden = picture.hidden = numbers.element.hidden = !all.length;
      if (all.length) {
        const now = all.includes(context.state().figure) ? context.state().figure : all.includes("loss") ? "loss" : all[0];
        which.replaceChildren(...all.map((name) => h("option", { value: name }, figureName(name))));
        which.value = now;
        const found = [...kept.values()].filter((file) => file.figures.has(now)).map((file) => ({ file: file.name, alone: kept.size === 1, ...file.figures.get(now) }));
        drawn ??= curves(picture, context);
        numbers.update(figureName(now), drawn.draw(figureName(now), found, t));
      }
      facts.replaceChildren(...[...kept.values()].filter((file) => file.facts.length || file.said.length).map((file) => h("section", {},
        h("h3", {}, file.name), file.said.map((line) => h("p", {}, line)),
        file.facts.length ? h("div", { class: "box", role: "region", tabindex: "0", "aria-label": file.name }, h("table", {}, h("tbody", {},
          file.facts.map(([key, value]) => h("tr", {}, h("th", { scope: "row", class: "words" }, key), h("td", { class: "words" }, typeof value === "number" ? context.number(value, Number.isInteger(value) ? "" : ".4g") : String(value))))))) : null)));
    }

    const figureName = (name) => (context.has(`runs.figures.${name}`) ? t(`runs.figures.${name}`) : name);

    let before = "";
    return {
      update(answer) {
        const now = `${answer.spec} ${document.documentElement.dataset.theme}`;
        if (!asked) listServed();
        if (now === before) return;
        before = now;
        paint();
      },
    };
  },
};
