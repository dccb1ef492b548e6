// The questions that a backbone raises, answered with the design's figures; only open ones are asked.
import { answerView } from "../answer.js";
import { h } from "../dom.js";

export default {
  id: "answers",
  view: "why",
  parts: ["answers"],
  mount(root, { t, change, state, set, choices: { questions } }) {
    const folds = new Map(questions.map((question) => {
      const view = answerView({ t, change });
      const fold = h("details", { class: "question", "data-question": question }, h("summary", {}, t(`why.${question}.title`)), view.element);
      fold.addEventListener("toggle", () => {
        const open = questions.filter((q) => folds.get(q).fold.open).join(",");
        if (open !== state().ask) set({ ask: open });
      });
      root.append(fold);
      return [question, { fold, view }];
    }));
    return {
      update({ answers }, baseline) {
        const asked = state().ask.split(",");
        for (const [question, { fold, view }] of folds) {
          if (fold.open !== asked.includes(question)) fold.open = asked.includes(question);
          if (answers[question]) view.update(answers[question], baseline?.answers?.[question]);
        }
      },
    };
  },
};
