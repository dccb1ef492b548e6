// Files of probes and trainings, read into curves and facts. Pure: text in, plain data out; what is wrong is told by
// its place. Nothing that is read here goes anywhere.
//
// A file becomes {kind, name, designs, facts: [[key, value]], said: [sentences], figures: Map}, a figure being
// {over, curves: [{label, early, points: [[x, y]]}]}; `over` is what x counts: step, epoch or block.

export const MAX_BYTES = 8 * 2 ** 20;
const MAX_CURVES = 64;
const MAX_FACTS = 80;
const MAX_DESIGNS = 8;
const BLOCK_FIGURES = ["grad_in", "grad_out", "weight_grad", "skip_share", "var_out", "var_branch", "cosine"];
const OVER = ["step", "epoch", "batch", "iteration"];

/** What is wrong with a file: the key of a sentence and its facts. */
export class Malformed extends Error {
  constructor(key, facts = {}) {
    super(key);
    Object.assign(this, { key, facts });
  }
}

/** The content of a file by its name: CSV by the ending, JSON otherwise. Throws Malformed. */
export function readFile(name, text) {
  if (text.length > MAX_BYTES) throw new Malformed("large", { most: MAX_BYTES });
  if (text.trim() === "") throw new Malformed("empty");
  if (/\.csv$/i.test(name)) return readMetrics(name, text);
  const data = json(text);
  if (data === null || typeof data !== "object" || Array.isArray(data)) throw new Malformed("not_object");
  return "runs" in data ? readProbe(name, data) : readResult(name, data);
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Malformed("not_json", { why: String(error.message).slice(0, 160) });
  }
}

// ---- metrics.csv: a head, then rows of numbers; an empty cell is no figure ----

function readMetrics(name, text) {
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
  while (lines.length && lines[lines.length - 1] === "") lines.pop();
  const head = lines[0].split(",").map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
  if (head.length < 2 || head.some((cell) => cell === "" || Number.isFinite(Number(cell)))) throw new Malformed("no_head", { head: lines[0].slice(0, 80) });
  if (new Set(head).size < head.length) throw new Malformed("twice", { column: head.find((cell, i) => head.indexOf(cell) !== i) });
  if (lines.length < 2) throw new Malformed("no_rows");
  const x = Math.max(0, head.findIndex((cell) => OVER.includes(cell.toLowerCase())));
  const columns = head.map(() => []);
  lines.slice(1).forEach((line, r) => {
    const cells = line.split(",");
    if (cells.length !== head.length) throw new Malformed("cells", { row: r + 2, found: cells.length, wanted: head.length });
    const numbers = cells.map((cell, c) => number(cell.trim(), r + 2, head[c]));
    if (numbers[x] === null) throw new Malformed("no_number", { row: r + 2, column: head[x], given: "" });
    numbers.forEach((value, c) => { if (c !== x && value !== null) columns[c].push([numbers[x], value]); });
  });
  const figures = new Map(head.flatMap((column, c) => (c === x || !columns[c].length ? [] : [[column, { over: head[x], curves: [{ label: "", points: columns[c] }] }]])));
  if (!figures.size) throw new Malformed("no_rows");
  return { kind: "metrics", name, designs: [], facts: [], said: [], figures };
}

function number(cell, row, column) {
  if (cell === "") return null;
  if (/^[-+]?(nan|inf(inity)?)$/i.test(cell)) return null; // drawn as a gap
  const value = Number(cell);
  if (!Number.isFinite(value)) throw new Malformed("no_number", { row, column, given: cell.slice(0, 40) });
  return value;
}

// ---- probe.json: {runs, verdict} as otoyol probe writes it ----

function readProbe(name, { runs, verdict = [] }) {
  list(runs, "runs");
  if (!runs.length) throw new Malformed("no_runs");
  const figures = new Map();
  const several = new Set(runs.map((run) => run?.seed)).size > 1;
  const put = (figure, over, label, early, points) => {
    if (!points.length) return;
    if (!figures.has(figure)) figures.set(figure, { over, curves: [] });
    const { curves } = figures.get(figure);
    if (curves.length < MAX_CURVES) curves.push({ label, early, points });
  };
  runs.forEach((run, r) => {
    const at = `runs[${r}]`;
    if (run === null || typeof run !== "object") throw new Malformed("wrong", { place: at, wanted: "{…}" });
    if (typeof run.spec !== "string") throw new Malformed("wrong", { place: `${at}.spec`, wanted: "\"…\"" });
    const label = several ? `${run.spec} · ${run.seed}` : run.spec;
    put("loss", "step", label, false, list(run.losses ?? [], `${at}.losses`).map((value, i) => [i + 1, finite(value, `${at}.losses[${i}]`)]));
    list(run.snapshots, `${at}.snapshots`).forEach((snapshot, s) => {
      const blocks = list(snapshot?.blocks, `${at}.snapshots[${s}].blocks`);
      const early = s === 0 && run.snapshots.length > 1;
      for (const figure of BLOCK_FIGURES) {
        put(figure, "block", label, early, blocks.flatMap((block, b) => point(block?.[figure], b, `${at}.snapshots[${s}].blocks[${b}].${figure}`)));
      }
      put("jacobian", "block", label, early, blocks.flatMap((block, b) => point(block?.jacobian?.largest ?? null, b, `${at}.snapshots[${s}].blocks[${b}].jacobian.largest`)));
    });
    const lesions = run.lesion ? list(run.lesion.lesions, `${at}.lesion.lesions`) : [];
    put("lesion", "block", label, false, lesions.flatMap((lesion, b) => point(lesion?.accuracy ?? null, b, `${at}.lesion.lesions[${b}].accuracy`)));
  });
  if (!figures.size) throw new Malformed("no_figures");
  const [first] = runs;
  const facts = ["data", "batch", "steps", "lr"].filter((key) => scalar(first[key])).map((key) => [key, first[key]]);
  return { kind: "probe", name, designs: [...new Set(runs.map((run) => run.spec))].slice(0, MAX_DESIGNS), facts, said: list(verdict, "verdict").filter((line) => typeof line === "string"), figures };
}

function point(value, b, place) {
  if (value === undefined) throw new Malformed("missing", { place });
  return value === null ? [] : [[b + 1, finite(value, place)]];
}

function finite(value, place) {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new Malformed("wrong", { place, wanted: "1.23" });
  return value;
}

function list(value, place) {
  if (!Array.isArray(value)) throw new Malformed("wrong", { place, wanted: "[…]" });
  return value;
}

// ---- result.json: facts, whatever they are ----

const scalar = (value) => ["string", "number", "boolean"].includes(typeof value);

function readResult(name, data) {
  const facts = [];
  const walk = (value, path, level) => {
    if (facts.length >= MAX_FACTS) return;
    if (scalar(value)) facts.push([path, typeof value === "string" ? value.slice(0, 400) : value]);
    else if (Array.isArray(value) && value.length && value.length <= 12 && value.every(scalar)) facts.push([path, value.join(", ").slice(0, 400)]);
    else if (value && typeof value === "object" && !Array.isArray(value) && level < 3) {
      Object.entries(value).forEach(([key, inner]) => walk(inner, path ? `${path}.${key}` : key, level + 1));
    }
  };
  walk(data, "", 0);
  if (!facts.length) throw new Malformed("no_facts");
  const designs = [data.spec, data.design, data.model?.spec].filter((value) => typeof value === "string" && /^[A-Za-z0-9.,=@_/:-]+$/.test(value)).slice(0, 1);
  return { kind: "result", name, designs, facts, said: [], figures: new Map() };
}
