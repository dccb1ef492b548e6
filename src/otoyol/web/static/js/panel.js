// What a panel is. Each lives in a module of its own under panels/ and is listed in main.js.
//
//   export default {
//     id: "stages",             // its title is the word panel.<id>
//     view: "overview",         // the tab under which it stands
//     parts: ["stages"],        // parts of POST /api/design that it reads (otoyol/web/parts.py); may be empty
//     compared: [],             // may be left out: parts that it reads of the baseline alone
//     mount(root, context) {    // root: an empty element under the title; build once
//       …
//       return { update(design, baseline) { … } };
//     },
//   };
//
// A panel is mounted anew with another language and with another link: what is still on its way then (an answer to a
// question of its own) finds its root gone from the page, `!root.isConnected`, and must change nothing.
//
// `update` is called whenever the design, the pinned baseline or a setting changes and the panel can be seen, with
// answers of /api/design: at least {spec, leaves} and the parts named. `baseline` is null where nothing is pinned.
// It must be quick (a few milliseconds), change only what differs, and never ask the server itself; what a panel asks
// for (an exploration, say) starts with a click and goes through `context.ask`.
//
// `context` is the same object for all panels:
//
//   t(key, facts), number(value, form), signed(value, form), change(value, base, form),
//   changes(values, bases)   words: see i18n.js
//   lang               a key of choices.languages
//   choices            the answer of /api/choices
//   state()            the state as it is (state.js); do not change it
//   set(changes)       change fields of the state; what is shown and the URL follow
//   load(spec)         show another design
//   edit(changes)      change fields of the design, in words of the text form: edit({attention: "se"})
//   again()            ask the same once more, where an answer was not complete
//   shown()            the last answer, or null
//   ask(path, body)    POST JSON, gives the answer; throws Refused {field, given, allowed, message}
//   chart(root, label) a chart that follows theme and size: see chart.js
//   colours()          the theme's colours by the names of the CSS variables, without --
//   announce(text)     tell it to who listens rather than looks
export {};
