// The bar above: the design's text, the baseline, the equal budget, what can be taken away, language and theme.
import { Refused } from "./ask.js";
import { h, say } from "./dom.js";
import { encode } from "./state.js";

/** {update(design, baseline), language}: `language` is the list that chooses it. */
export function mountTop(root, context) {
  const { t, choices, state, set } = context;
  const name = h("code", { class: "spec", tabindex: "0", "aria-label": t("spec") });
  const pin = h("button", { type: "button", "aria-pressed": "false", onclick: () => {
    const { pin: pinned } = state();
    set(pinned ? { pin: "", equal: "" } : { pin: context.shown()?.spec ?? state().spec });
  } });
  const pinned = h("button", { type: "button", class: "quiet pinned", hidden: true, onclick: () => context.load(state().pin) });
  const equal = select(t("equal.title"), [["", t("equal.off")], ...choices.equal.map((q) => [q, t(`equal.${q}`)])], (value) =>
    set({ equal: value, pin: state().pin || context.shown()?.spec || state().spec }));
  const vary = select(t("vary.title"), ["widths", "depths", "both"].map((v) => [v, t(`vary.${v}`)]), (value) => set({ vary: value }));
  const table = choices.tables.length > 1
    ? select(t("table"), choices.tables.map((where) => [where, where]), (value) => set({ table: value })) : null;
  vary.element.hidden = true;
  if (table) table.element.hidden = true;
  const mini = h("p", { class: "mini", "aria-hidden": "true" });
  const matched = h("p", { class: "matched", role: "status", hidden: true });
  const lang = select(t("language"), Object.entries(choices.languages).map(([code, { name }]) => [code, name]), (value) => set({ lang: value }));
  const theme = select(t("theme.title"), [["", t("theme.auto")], ["light", t("theme.light")], ["dark", t("theme.dark")]], (value) => set({ theme: value }));
  root.replaceChildren(
    h("div", { class: "brand" }, h("h1", {}, "otoyol ", h("span", {}, "studio")), lang.element, theme.element),
    h("div", { class: "bar" }, h("div", { class: "what" }, name, pinned),
      h("div", { class: "tools" }, pin, equal.element, vary.element, table?.element ?? "", take(context))),
    matched, mini,
  );
  return {
    language: lang.element,
    update(design, baseline) {
      const now = state();
      const { params, macs, train_bytes: held } = design.figures;
      const base = baseline?.figures;
      const share = (value, old) => (old ? ` ${context.signed(value / old - 1, ".0%")}` : "");
      say(mini, [
        `${context.number(params, "si")}${share(params, base?.params)}`,
        `${context.number(macs, "si")} MAC${share(macs, base?.macs)}`,
        `${context.number(held, "bytes")}${share(held, base?.train_bytes)}`,
      ].join(" · "));
      say(name, design.spec);
      say(pin, now.pin ? t("pin.unset") : t("pin.set"));
      pin.setAttribute("aria-pressed", String(Boolean(now.pin)));
      pinned.hidden = !now.pin;
      say(pinned, t("pin.now", { spec: now.pin }));
      equal.accept(now.equal);
      vary.accept(now.vary);
      vary.element.hidden = !now.equal;
      if (table) {
        table.accept(now.table || choices.tables[0]);
        table.element.hidden = now.equal !== "latency";
      }
      lang.accept(context.lang);
      theme.accept(now.theme);
      matched.hidden = !design.match;
      if (design.match) {
        const { wanted, reached, difference, within, reason } = design.match;
        const form = now.equal.includes("bytes") ? "bytes" : now.equal === "latency" ? ".3g" : "si";
        const unit = now.equal === "latency" ? " ms" : "";
        const facts = { quantity: now.equal === "latency" ? t("panel.latency") : t(`report.quantity.${now.equal}`), wanted: context.number(wanted, form) + unit, reached: context.number(reached, form) + unit, difference: context.signed(difference, ".2%") };
        say(matched, within ? t("matched", facts) : `${t("unmatched", facts)} ${reason}`);
        matched.classList.toggle("bad", !within);
      }
    },
  };
}

function select(label, options, change) {
  const list = h("select", { "aria-label": label, title: label, onchange: () => change(list.value) },
    options.map(([value, text]) => h("option", { value }, text)));
  return { element: list, accept: (value) => { if (list.value !== value) list.value = value; } };
}

// One listener for the page: the bar is mounted anew with every language and every link.
document.addEventListener("click", (event) => {
  const open = [...document.querySelectorAll("details.menu[open]")];
  open.filter((fold) => !fold.contains(event.target)).forEach((fold) => { fold.open = false; });
});

/** What can be taken away: a link, the text, a file, Python, commands, the report. */
function take(context) {
  const { t, state, ask, askFile, announce } = context;
  const preview = h("pre", { class: "preview", tabindex: "0", "aria-label": t("take.preview"), hidden: true });
  const code = async () => {
    const { batch, dtype, optimizer } = state();
    const spec = context.shown()?.spec ?? state().spec;
    return (await ask("/api/design", { spec, batch, dtype, optimizer, parts: ["code"] })).code;
  };
  const copy = async (key, text) => {
    preview.textContent = text;
    preview.hidden = false;
    try {
      await navigator.clipboard.writeText(text);
      announce(t("copied", { what: t(`take.${key}`) }), true);
    } catch {
      getSelection().selectAllChildren(preview); // no right to the clipboard: it is selected instead
      announce(t("selected", { what: t(`take.${key}`) }), true);
    }
  };
  const failed = (error) => {
    if (!(error instanceof Refused)) throw error;
    announce(error.status ? error.message : t("refused.silent"), true);
  };
  const item = (key, run) => h("li", {}, h("button", { type: "button", "data-take": key, onclick: () => run().catch(failed) }, t(`take.${key}`)));
  const fold = h("details", { class: "menu" }, h("summary", {}, t("take.title")),
    h("div", { class: "sheet" }, h("ul", {},
      item("link", () => copy("link", `${location.origin}${location.pathname}#${encode(state())}`)),
      item("text", async () => copy("text", (await code()).text)),
      item("yaml", async () => copy("yaml", (await code()).yaml)),
      item("python", async () => copy("python", (await code()).python)),
      item("cli", async () => copy("cli", (await code()).cli)),
      item("report", async () => {
        const { pin, batch, dtype } = state();
        const spec = context.shown()?.spec ?? state().spec;
        const specs = pin && pin !== spec ? [pin, spec] : [spec];
        save(await askFile("/api/report", { specs, batch, dtype, lang: context.lang }), "report.html");
      })), preview));
  fold.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    fold.open = false;
    fold.firstChild.focus();
  });
  return fold;
}

function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
