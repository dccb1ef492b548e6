// The highway audit in words.
import { answerView } from "../answer.js";

export default {
  id: "highway",
  view: "why",
  parts: ["highway"],
  mount(root, context) {
    const view = answerView(context);
    root.append(view.element);
    return { update: ({ highway }, baseline) => view.update(highway, baseline?.highway) };
  },
};
