// SVG from the server into the page: parsed, never as markup, its operators made into buttons.

/** Show `svg` in `place`. Where `choose` is given, an operator can be chosen by click, Enter or Space. */
export function svgInto(place, svg, choose = null) {
  const focused = document.activeElement?.closest?.("g[data-op]");
  const again = focused && place.contains(focused) ? focused.dataset.op : null;
  const parsed = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  const root = document.importNode(parsed, true);
  if (choose) {
    root.setAttribute("role", "group"); // an image has no buttons inside
    for (const group of root.querySelectorAll("g[data-op]")) {
      group.setAttribute("role", "button");
      group.setAttribute("tabindex", "0");
      group.setAttribute("aria-label", group.querySelector("title")?.textContent ?? group.dataset.op);
      group.addEventListener("click", () => choose(group.dataset.op));
      group.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        choose(group.dataset.op);
      });
    }
  }
  place.replaceChildren(root);
  if (again) place.querySelector(`g[data-op="${CSS.escape(again)}"]`)?.focus();
}
