// Charts: ECharts with the page's colours, no animation, and a label for who does not see them.
import * as echarts from "../vendor/echarts.js";

const charts = new Set();
const NAMES = ["paper", "panel", "line", "ink", "muted", "link", "open", "stop", "series0", "series1", "series2", "series3", "series4", "series5"];
const FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', 'DejaVu Sans', sans-serif";
let palette = null;

/** The theme's colours by name. */
export function colours() {
  if (!palette) {
    const style = getComputedStyle(document.documentElement);
    palette = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return palette;
}

/**
 * A chart in `root`, which gets the class "chart" and so a height. `draw(option, told, whole)` merges an ECharts option
 * into what is shown (`told`: the chart in words; `whole`: kinds of components of which only the option's stay);
 * `instance` is ECharts' own.
 */
export function chart(root, label) {
  root.classList.add("chart");
  root.setAttribute("role", "img");
  root.setAttribute("aria-label", label);
  const instance = echarts.init(root, null, { renderer: "canvas" });
  const resize = new ResizeObserver(() => {
    if (root.clientWidth && (instance.getWidth() !== root.clientWidth || instance.getHeight() !== root.clientHeight)) {
      instance.resize();
    }
  });
  resize.observe(root);
  const own = {
    instance,
    draw(option, told = label, whole = []) {
      instance.setOption(themed(option), { replaceMerge: whole });
      if (root.getAttribute("aria-label") !== told) root.setAttribute("aria-label", told);
    },
    dispose() {
      resize.disconnect();
      charts.delete(own);
      instance.dispose();
    },
  };
  charts.add(own);
  return own;
}

/** The theme has changed: colours are read again; panels draw anew. */
export function repaint() {
  palette = null;
}

/** All charts go, before the page is mounted anew. */
export function disposeCharts() {
  for (const own of [...charts]) own.dispose();
}

function themed(option) {
  const { ink, line, panel } = colours();
  return {
    animation: false,
    textStyle: { color: ink, fontFamily: FONT },
    ...option,
    // Rich text is painted; ECharts' HTML would bring styles along that the page's policy refuses.
    tooltip: {
      renderMode: "richText", confine: true, backgroundColor: panel, borderColor: line, borderWidth: 1,
      textStyle: { color: ink, fontSize: 12 }, transitionDuration: 0, ...option.tooltip,
    },
  };
}
