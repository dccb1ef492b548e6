// Explore: a sample of a space as scatter and parallel coordinates, held against budgets; its front as a list.
import { Refused } from "../ask.js";
import { h, say } from "../dom.js";
import { parallel, scatter, usuallyMore } from "./explore_charts.js";
import { mountForm } from "./explore_form.js";
import { WITHIN, cloud, front, ofLatency, rangesFrom, rangesText, rounded, standing, typed } from "./explore_model.js";
import { frontTable, leftOut, picked, rangeFields } from "./explore_tables.js";

// {key, lang, drawn, budgets, limits}: the last sample and its budgets, in words and as they are meant, so that another
// language does not draw it again, unless it tells reasons.
let kept = null;
const tells = ({ refused, impossible, unfit }) => refused.length + impossible.length + unfit.length > 0;

/** `macs:more` → {name, more}. */
const plane = (word) => {
  const [, name, sense] = /^(.*?)(:more|:less)?$/.exec(word);
  return { name, more: sense ? sense === ":more" : usuallyMore(name) };
};

export default {
  id: "explore",
  view: "explore",
  parts: ["figures"],
  compared: ["explored"],
  mount(root, context) {
    const { t } = context;
    const said = h("p", { class: "told", role: "status" });
    const wrong = h("p", { class: "wrong", role: "alert", hidden: true });
    const pictures = h("div", { class: "charts", hidden: true });
    const below = h("div", { hidden: true });
    const filter = rangeFields(context, (ranges) => keep(ranges));
    const list = frontTable(context, (i) => load(i));
    const out = leftOut(context);
    const card = picked(context, (i) => load(i));
    const form = mountForm(context, {
      draw: () => draw(),
      here: () => draw(true),
      budgets: () => (sample || busy ? limitsAnew() : draw()),
      plane: () => repaint(),
    });
    const [one, other] = [h("div", { class: "tall" }), h("div", { class: "tall" })];
    // On a small screen eight axes need more than its width; the box scrolls.
    const wide = h("div", { class: "wide", role: "region", tabindex: "0", "aria-label": t("explore.parallel") }, other);
    pictures.append(one, card.element, wide);
    below.append(filter.element, h("h3", {}, t("explore.front_title")), list.element, out.element);
    root.append(h("p", { class: "hint" }, t("explore.lead")), form.element, wrong, said, pictures, below);

    let charts = null;
    let sample = null;
    let drawn = null;
    let limits = [];
    let ranges = rangesFrom(context.state().ranges);
    let here = null; // the page's design: {spec, leaves, figures}
    let pinned = null; // the baseline's figures, by the names of the sample's
    let busy = false;
    let changed = false; // something else was asked for while a sample was drawn
    let anew = false; // the next sample is wanted for the page's design
    let limited = ""; // the words of the budgets that `limits` are of
    let counted = ""; // batch and number type of the sample that was asked for last,
    let sampled = ""; // and of the one that is shown
    const countedAs = () => `${context.state().batch} ${context.state().dtype}`;
    const budgets = () => context.state().budgets;
    const gone = () => !root.isConnected; // the page was mounted anew while an answer was on its way

    function fail(error) {
      if (!(error instanceof Refused)) throw error;
      say(wrong, error.status === 0 ? t("refused.silent") : error.message);
      wrong.hidden = false;
      form.mark(error.field);
    }

    function clear() {
      wrong.hidden = true;
      form.mark("");
    }

    /** Ask for a sample, with `fresh` for the page's design, otherwise for the one that the last was drawn for. */
    async function draw(fresh = false) {
      anew ||= fresh;
      changed = busy;
      if (busy) return;
      busy = true;
      counted = countedAs();
      clear();
      form.busy(true);
      const { spec, around, space, text, count, seed, batch, dtype, predict } = context.state();
      const base = anew || !around ? spec : around;
      const own = space === "text" ? { spec: "", text } : { spec: base, text: "" }; // a text says it all
      const body = { ...own, space, count, seed, batch, dtype, latency: predict === "yes" || ofLatency(budgets()) };
      const words = budgets();
      const late = () => gone() || changed || counted !== countedAs();
      try {
        const key = JSON.stringify(body);
        if (kept?.key !== key || (kept.lang !== context.lang && tells(kept.drawn))) {
          const answer = await context.ask("/api/explore", { ...body, budgets: typed(words) });
          kept = { key, lang: context.lang, drawn: answer, budgets: words, limits: answer.budgets };
        }
        if (late()) return;
        anew = false;
        if (space !== "text" && around !== base) context.set({ around: base }); // so that its address draws it again
        ({ drawn } = kept);
        sample = cloud(drawn);
        sampled = counted;
        if (pinned && sample.names.some((name) => !(name in pinned))) context.again(); // a table has been fitted meanwhile
        const asked = Object.entries(rangesFrom(context.state().ranges));
        ranges = Object.fromEntries(asked.filter(([name]) => sample.names.includes(name)));
        if (kept.budgets === budgets()) [limits, limited] = [kept.limits, kept.budgets];
        else if (limited !== budgets()) limitsAnew(); // other budgets came meanwhile
        form.sampled(drawn, sample.names);
        repaint();
        context.announce(said.textContent);
      } catch (error) {
        if (words !== budgets()) changed = true; // what was refused is no longer asked for
        if (!late()) fail(error);
      } finally {
        busy = false;
        form.busy(false);
        if (!gone() && (changed || counted !== countedAs())) draw();
      }
    }

    /** Other budgets: what they mean is asked, the sample stays. */
    async function limitsAnew() {
      clear();
      const words = budgets();
      try {
        const answer = await context.ask("/api/budgets", { budgets: typed(words) });
        if (gone() || words !== budgets()) return; // others are asked for by now
        [limits, limited] = [answer.budgets, words];
        if (kept?.drawn === drawn) Object.assign(kept, { budgets: words, limits });
        if (sample && limits.some((limit) => !sample.names.includes(limit.quantity))) {
          draw(); // a latency that was not predicted
          return;
        }
        repaint();
        if (sample) context.announce(said.textContent);
      } catch (error) {
        if (!gone() && words === budgets()) fail(error);
      }
    }

    /** Set ranges, null for none, and keep them in the URL. */
    function keep(changes) {
      const next = { ...ranges, ...changes };
      Object.entries(next).forEach(([name, range]) => { if (!range) delete next[name]; });
      if (rangesText(next) === rangesText(ranges)) return;
      ranges = next;
      context.set({ ranges: rangesText(ranges) });
      repaint();
    }

    /** The plane that the state asks for, or the usual one where this sample has no such figures. */
    const axes = () => ["x", "y"].map((axis) => {
      const asked = plane(context.state()[axis]);
      return sample.names.includes(asked.name) ? asked : plane(axis === "x" ? "macs" : "params");
    });

    function repaint() {
      if (!sample) return;
      const [x, y] = axes();
      const states = standing(sample, limits, ranges);
      const within = Array.from(states.keys()).filter((i) => states[i] === WITHIN);
      const best = front(sample, within, x, y);
      const base = sampled === countedAs() ? pinned : null; // figures for another batch or number type do not compare
      const view = { sample, states, front: best, x, y, limits, ranges, base, here: standsAt(x, y) };
      pictures.hidden = below.hidden = false;
      const on = { pick, ranges: (changes) => keep(rounded(changes)) };
      charts ??= [scatter(one, context, on), parallel(other, context, on)];
      charts.forEach((chart) => chart.draw(view));
      filter.update(sample, ranges);
      list.update(sample, best, x, y, here, base);
      out.update(sample, limits, drawn);
      card.update(sample, limits, x.name, base);
      say(said, t("explore.told", {
        seen: drawn.seen, within: states.filter((s) => s !== 2).length, kept: within.length, front: best.length,
      }));
    }

    /** Where the page's design stands in the plane; its `depth` are blocks, and here layers are meant. */
    function standsAt(x, y) {
      const at = [x, y].map(({ name }) => (name === "depth" ? undefined : here?.figures[name]));
      return at.every(Number.isFinite) ? at : null;
    }

    /** A design was clicked: one within the budgets is loaded, of another is told what it misses. */
    function pick(i) {
      const within = standing(sample, limits, {})[i] === WITHIN;
      card.show(i);
      if (within) load(i);
    }

    function load(i) {
      card.show(i);
      context.announce(t("explore.loaded", { design: sample.text(i) }));
      context.load(sample.text(i));
    }

    return {
      update(design, baseline) {
        form.update();
        const { theme } = document.documentElement.dataset;
        const before = here;
        here = { spec: design.spec, leaves: design.leaves, figures: design.figures, theme };
        const last = pinned;
        pinned = baseline?.explored ?? null;
        if (!before || counted !== countedAs()) draw();
        else if (before.theme !== theme || pinned !== last) repaint();
        else if (sample && before.spec !== design.spec) {
          charts[0].mark(standsAt(...axes()));
          list.now(design);
        }
      },
    };
  },
};
