// The page: state → one question → panels. Everything else is a function of these.
import { ask, askFile, latest, Refused } from "./ask.js";
import { chart, colours, disposeCharts, repaint } from "./chart.js";
import { mountControls } from "./controls.js";
import { h, say } from "./dom.js";
import { loadWords, translator } from "./i18n.js";
import { VIEWS, panels } from "./panels.js";
import { decode, encode, split, withEdits } from "./state.js";
import { mountTop } from "./top.js";

// Of these parts a baseline is worth asking for: they hold figures.
const COMPARED = ["figures", "stages", "taps", "memory", "latency", "road", "highway", "answers", "op"];
const URL_EVERY = 300; // ms; browsers refuse a history that changes too often

const dark = matchMedia("(prefers-color-scheme: dark)");
let state;
let words; // a translator
let choices;
let context;
let top;
let controls;
let tabs = new Map();
let mounted = []; // {panel, section, view, handle}
let shown = null; // the last answer
let baseline = { key: "", answer: null };

/** The language of a state, or where it leaves that open, the browser's. */
const langOf = (s) => s.lang || (navigator.language.toLowerCase().startsWith("tr") ? "tr" : "en");

async function start() {
  const { state: first, wrong } = decode(location.hash);
  state = first;
  applyTheme();
  choices = await (await fetch("/api/choices")).json();
  if (state.equal && !choices.equal.includes(state.equal)) { // equal latency, where no table tells it
    state.equal = "";
    wrong.push("equal");
  }
  await build();
  if (wrong.length) announce(words.t("url.wrong", { fields: wrong }), true);
  addEventListener("hashchange", () => {
    if (location.hash === `#${encode(state)}`) return;
    const given = decode(location.hash);
    if (given.wrong.length) announce(words.t("url.wrong", { fields: given.wrong }), true);
    replace(given.state);
  });
  dark.addEventListener("change", () => applyTheme());
}

/** Mount everything in the state's language. */
async function build() {
  const lang = langOf(state);
  words = translator(await loadWords(lang), lang);
  document.documentElement.lang = lang;
  document.title = words.t("title");
  disposeCharts();
  context = {
    ...words, choices, colours, chart, ask, askFile, announce,
    state: () => state,
    set,
    load: (spec) => set({ spec, equal: "" }), // that design, and not one rescaled from it
    edit: (changes) => set({ spec: withEdits(state.spec, changes) }),
    shown: () => shown,
    again: () => refresh(),
  };
  const skip = document.getElementById("skip");
  say(skip, words.t("skip"));
  skip.onclick = (event) => {
    event.preventDefault();
    document.getElementById("results").focus();
  };
  top = mountTop(document.getElementById("top"), context);
  controls = mountControls(document.getElementById("controls"), context);
  mountResults(document.getElementById("results"));
  baseline = { key: "", answer: null };
  shown = null;
  showView();
  refresh();
}

function mountResults(root) {
  root.replaceChildren();
  mounted = [];
  tabs = new Map();
  const mount = (panel, place) => {
    const section = h("section", { class: `panel panel-${panel.id}`, id: `panel-${panel.id}`, "aria-labelledby": `title-${panel.id}` });
    const body = h("div", { class: "body" });
    section.append(h("h2", { id: `title-${panel.id}`, class: panel.view === "always" ? "said" : null }, words.t(`panel.${panel.id}`)), body);
    place.append(section);
    mounted.push({ panel, section, handle: panel.mount(body, context) });
  };
  panels.filter((panel) => panel.view === "always").forEach((panel) => mount(panel, root));
  const list = h("div", { role: "tablist", "aria-label": words.t("views"), class: "tabs" });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const to = step ? (VIEWS.indexOf(state.view) + step + VIEWS.length) % VIEWS.length
      : { Home: 0, End: VIEWS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    set({ view: VIEWS[to] });
    tabs.get(VIEWS[to]).tab.focus();
  });
  root.append(list);
  for (const view of VIEWS) {
    const tab = h("button", { type: "button", role: "tab", id: `tab-${view}`, "aria-controls": `view-${view}`, onclick: () => set({ view }) }, words.t(`view.${view}`));
    const place = h("div", { role: "tabpanel", id: `view-${view}`, "aria-labelledby": `tab-${view}`, class: `view view-${view}` });
    list.append(tab);
    root.append(place);
    tabs.set(view, { tab, place });
    panels.filter((panel) => panel.view === view).forEach((panel) => mount(panel, place));
  }
}

function showView() {
  for (const [view, { tab, place }] of tabs) {
    const on = view === state.view;
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
    place.hidden = !on;
  }
}

const visible = () => mounted.filter(({ panel }) => panel.view === "always" || panel.view === state.view);

/** Change fields of the state; everything follows. */
function set(changes) {
  replace({ ...state, ...changes });
}

function replace(next) {
  const before = state;
  state = next;
  keepUrl();
  if (before.theme !== state.theme) applyTheme();
  if (langOf(before) !== langOf(state)) {
    build().catch(() => {
      announce(words.t("refused.silent"), true);
      set({ lang: langOf(before) });
    });
    return;
  }
  if (before.view !== state.view) showView();
  refresh();
}

let urlTimer = 0;
let urlTime = 0;
function keepUrl() {
  clearTimeout(urlTimer);
  urlTimer = setTimeout(() => {
    urlTime = performance.now();
    history.replaceState(null, "", `#${encode(state)}`);
  }, Math.max(0, urlTime + URL_EVERY - performance.now()));
}

function applyTheme() {
  document.documentElement.dataset.theme = state.theme || (dark.matches ? "dark" : "light");
  repaint();
  if (shown) paint();
}

/** What the page asks for a state: only parts that can be seen. */
function question(parts) {
  const { spec, pin, equal, vary, table, block } = state;
  const body = about(spec, parts);
  if (parts.includes("block") && block) body.block = block.split(".").map(Number);
  if (equal && pin) body.match = { baseline: pin, equal, vary, where: table };
  return body;
}

/** What is asked of any design, the baseline too. */
function about(spec, parts) {
  const { batch, dtype, optimizer, op } = state;
  const body = { spec, batch, dtype, optimizer, lang: langOf(state), parts };
  if (parts.includes("op")) body.op = op;
  if (parts.includes("answers")) body.questions = state.ask ? state.ask.split(",") : [];
  return body;
}

const partsNow = () => [...new Set(visible().flatMap(({ panel }) => panel.parts))].filter((part) => part !== "op" || state.op);
const familyOf = (spec) => (choices.families.includes(split(spec).family) ? split(spec).family : choices.families[0]);

const refresh = () => send(state);
const send = latest(async (asked, overtaken) => {
  const parts = partsNow();
  const here = context;
  try {
    const wanted = ask("/api/design", question(parts));
    const [answer] = await Promise.all([wanted, askBaseline(parts)]);
    if (here !== context) return; // the language has changed meanwhile
    shown = answer;
    const own = answer.asked ?? answer;
    if (state.spec === asked.spec && own.spec !== state.spec) {
      state = { ...state, spec: own.spec };
      keepUrl();
    }
    controls.accept(own, answer);
    paint();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (here !== context) return;
    await refuse(asked, error, overtaken);
  }
});

/** The pinned design's figures; asked again only where something that they depend on has changed. */
async function askBaseline(parts) {
  const { pin } = state;
  const asked = about(pin, parts.filter((part) => COMPARED.includes(part)));
  const key = JSON.stringify(asked);
  if (!pin) baseline = { key: "", answer: null };
  else if (baseline.key !== key) {
    try {
      baseline = { key, answer: await ask("/api/design", asked) };
    } catch (error) {
      if (!(error instanceof Refused) || error.status === 0) throw error;
      baseline = { key: "", answer: null };
      announce(words.t("pin.wrong", { spec: pin, message: error.message }), true);
      set({ pin: "", equal: "" });
    }
  }
}

function paint() {
  const design = shown;
  for (const { panel, section, handle } of visible()) {
    if (panel.parts.every((part) => part in design || part === "op")) {
      handle.update(design, baseline.answer);
      section.classList.remove("stale");
    }
  }
  top.update(design, baseline.answer);
  document.dispatchEvent(new CustomEvent("otoyol:shown", { detail: { spec: design.spec } }));
}

/** Say what is wrong beside its control, keep the last design in view, and offer the nearest valid ones. */
async function refuse(asked, error, overtaken) {
  if (!shown) { // an address that was shared: the family is shown until something valid is chosen
    shown = await ask("/api/design", { ...question(partsNow()), spec: familyOf(asked.spec), match: null }).catch(() => null);
    if (shown) {
      controls.accept(shown, shown);
      paint();
    }
  }
  visible().forEach(({ section }) => section.classList.add("stale"));
  if (error.status === 0) {
    controls.refuse({ field: "", message: words.t("refused.silent") }, null);
    return;
  }
  controls.refuse(error, null);
  if (overtaken()) return;
  const { offers } = await ask("/api/nearest", { spec: asked.spec }).catch(() => ({ offers: [] }));
  if (state.spec === asked.spec) controls.refuse(error, offers);
}

/** Tell it to who listens; `seen` also to who looks. */
function announce(text, seen = false) {
  const said = document.getElementById("said");
  say(said, text);
  said.classList.toggle("seen", seen);
  if (seen) setTimeout(() => said.classList.remove("seen"), 6000);
}

start();
