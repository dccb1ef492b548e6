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
// No other field of the design would mend what is refused of these: an equal budget, or for how many images it counts.
const BESIDE = ["equal", "table", "batch"];
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
let shown = null; // the last answer,
let shownFor = ""; // and the question that it answers
let refused = null; // {spec, error, offered} while what is asked for cannot be shown
let langShown = ""; // the state's `lang` when everything was mounted
let baseline = { key: "", answer: null };
let rounds = 0; // an answer that is on its way when the same is asked again is of an earlier round

/** The language of a state, or where it leaves that open, the browser's. */
const langOf = (s) => {
  const [first] = /^[a-z]*/.exec(navigator.language.toLowerCase());
  return s.lang || (Object.hasOwn(choices.languages, first) ? first : "en");
};

async function start() {
  state = decode(location.hash).state;
  applyTheme();
  choices = await (await fetch("/api/choices")).json();
  // Links that are pasted over this one; what the page itself writes there is no such event.
  addEventListener("hashchange", (event) => {
    const { hash } = new URL(event.newURL);
    if (hash === `#${encode(state)}`) return;
    follow(hash);
    keepUrl();
  });
  dark.addEventListener("change", () => applyTheme());
  await follow(location.hash);
}

/** Show what a link says. Everything is mounted anew, so that no panel goes on with what it had of another state. */
async function follow(hash) {
  const { state: told, wrong } = decode(hash, {
    equal: ["", ...choices.equal], // latency, where a table tells it
    table: ["", ...choices.tables],
    ask: choices.answered,
    lang: ["", ...Object.keys(choices.languages)],
  });
  state = told;
  context = shown = null; // answers that are still on their way are of no use
  applyTheme();
  await rebuild();
  if (wrong.length && state === told) announce(words.t("url.wrong", { fields: wrong }), true);
}

const dictionaries = new Map(); // by language: going back to one needs no server

async function wordsOf(lang) {
  if (!dictionaries.has(lang)) dictionaries.set(lang, await loadWords(lang));
  return dictionaries.get(lang);
}

/** Mount everything in the state's language; where its words do not come, go on in the one that is shown. */
async function rebuild() {
  const lang = langOf(state);
  const found = await wordsOf(lang).catch((error) => {
    if (!words) throw error;
    return null;
  });
  if (lang !== langOf(state)) return; // another one is wanted by now, and on its way
  if (found) {
    build(lang, found);
    return;
  }
  state = { ...state, lang: langShown };
  keepUrl();
  top.language.value = words.lang;
  announce(words.t("refused.silent"), true);
  showView();
  refresh();
}

function build(lang, found) {
  words = translator(found, lang, choices.languages[lang]);
  langShown = state.lang;
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
    again: () => {
      shownFor = "";
      rounds += 1;
      refresh();
    },
  };
  const skip = document.getElementById("skip");
  say(skip, words.t("skip"));
  skip.onclick = (event) => {
    event.preventDefault();
    document.getElementById("results").focus();
  };
  const choosing = top?.language === document.activeElement; // its list goes, and the focus with it
  top = mountTop(document.getElementById("top"), context);
  if (choosing) top.language.focus();
  controls = mountControls(document.getElementById("controls"), context);
  mountResults(document.getElementById("results"));
  baseline = { key: "", answer: null };
  shown = refused = null;
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
    rebuild();
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
  const body = question(parts);
  const base = askBaseline(parts);
  try {
    const [answer] = await Promise.all([ask("/api/design", body), base]);
    if (here !== context) return; // another language or link has come meanwhile
    const own = answer.asked ?? answer;
    if (state.spec === asked.spec && own.spec !== state.spec) {
      state = { ...state, spec: own.spec };
      keepUrl();
    }
    refused = null;
    controls.accept(own, answer);
    show(answer, body);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (here !== context) return;
    if (error.status && !overtaken()) await showInstead(asked, body, base);
    if (here === context) refuse(asked, error, overtaken);
  }
});

function show(answer, body) {
  shown = answer;
  shownFor = keyOf(body, answer.spec);
  paint();
}

const keyOf = (body, spec) => JSON.stringify({ ...body, spec, match: undefined });

/**
 * What cannot be shown is told; in view stays the last design, with the parts that can be seen now. On an address that
 * was shared there is none: then the design without its equal budget, or its family.
 */
async function showInstead(asked, body, base) {
  const here = context;
  const own = body.match ? [asked.spec] : [];
  for (const spec of shown ? [shown.spec] : [...own, familyOf(asked.spec)]) {
    if (shown && shownFor === keyOf(body, spec)) {
      await base.catch(unlessRefused);
      if (here === context) paint(); // another baseline, or none
      return;
    }
    const answer = await ask("/api/design", { ...body, spec, match: null }).catch(unlessRefused);
    await base.catch(unlessRefused);
    if (here !== context) return;
    if (!answer) continue;
    if (!shown) {
      refused = null;
      controls.accept(answer, answer);
    }
    show(answer, body);
    return;
  }
}

function unlessRefused(error) {
  if (!(error instanceof Refused)) throw error;
  return null;
}

/** The pinned design's figures; asked again only where something that they depend on has changed. */
async function askBaseline(parts) {
  const { pin } = state;
  const alone = visible().flatMap(({ panel }) => panel.compared ?? []);
  const asked = about(pin, [...parts.filter((part) => COMPARED.includes(part)), ...alone]);
  const key = JSON.stringify([rounds, asked]);
  if (!pin) baseline = { key: "", answer: null };
  else if (baseline.key !== key) {
    try {
      baseline = { key, answer: await ask("/api/design", asked) };
    } catch (error) {
      if (!(error instanceof Refused) || error.status === 0) throw error;
      baseline = { key: "", answer: null };
      if (state.pin !== pin) return;
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

/** Say what is wrong beside its control, and offer the nearest valid designs. What is told already is left alone: the
 * focus may be on an offer. */
function refuse(asked, error, overtaken) {
  visible().forEach(({ section }) => section.classList.add("stale"));
  if (error.status === 0) {
    refused = null;
    controls.refuse({ field: "", message: words.t("refused.silent") }, null);
    return;
  }
  if (refused?.spec !== asked.spec || refused.error.message !== error.message) {
    refused = { spec: asked.spec, error, offered: BESIDE.includes(error.field) };
    controls.refuse(error, null);
  }
  if (refused.offered || overtaken()) return;
  refused.offered = true;
  offer(refused);
}

/** Beside the queue of moves, which need not wait for offers. */
const offer = latest(async (about) => {
  const found = await ask("/api/nearest", { spec: about.spec }).catch(unlessRefused);
  if (found && refused === about) controls.refuse(about.error, found.offers);
});

let saidTimer = 0;

/** Tell it to who listens; `seen` also to who looks. */
function announce(text, seen = false) {
  const said = document.getElementById("said");
  say(said, text);
  said.classList.toggle("seen", seen);
  clearTimeout(saidTimer);
  if (seen) saidTimer = setTimeout(() => said.classList.remove("seen"), 6000);
}

start();
