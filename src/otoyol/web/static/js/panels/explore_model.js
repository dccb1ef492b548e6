// A sample of a space and what can be asked of it: who meets the budgets, who lies in the ranges, who is on the front.
// Pure: no DOM, no server.

export const WITHIN = 0; // meets every budget and lies in every range
export const ASIDE = 1; // meets every budget, outside of some range
export const OVER = 2; // misses a budget

/** What makes a quantity better where nobody says otherwise: costs are to be small, the rest is what costs buy. */
export const MORE = new Set(["params", "depth", "receptive_field"]);

/** The answer of /api/explore with its designs by number from 0. `values(name)` is a column, null where unknown. */
export function cloud(drawn) {
  const { stages, structures, designs, values } = drawn;
  const dashed = (numbers) => numbers.join("-");
  return {
    size: designs.length,
    names: Object.keys(values),
    values: (name) => values[name],
    /** A design's text form. */
    text: (i) => {
      const [structure, ...numbers] = designs[i];
      return `${structures[structure]}depths=${dashed(numbers.slice(0, stages))},widths=${dashed(numbers.slice(stages))}`;
    },
  };
}

/** Budgets as they are typed, one by one: blanks, semicolons and commas between them, blanks inside of them. */
export function typed(text) {
  return text.replace(/\s*(<=|>=)\s*/g, "$1").split(/[\s;]+|,(?=\s*[a-z_]+[<>]=)/).map((word) => word.replace(/^,|,$/g, "")).filter(Boolean);
}

/** Whether budgets as they are typed ask for a latency, which is predicted only where it is wanted. */
export const ofLatency = (text) => text.includes("latency_ms");

/** The budgets that design `i` misses: {text, quantity, limit, value, share}; a share of 0.1 is 10% beyond. */
export function misses(sample, limits, i) {
  return limits.flatMap((limit) => {
    const value = sample.values(limit.quantity)?.[i];
    if (value === undefined || value === null) return [];
    const beyond = limit.at_least ? limit.limit - value : value - limit.limit;
    return beyond > 0 ? [{ ...limit, value, share: beyond / (limit.limit || 1) }] : [];
  });
}

/** One of WITHIN, ASIDE and OVER for every design. `ranges`: quantity → [low, high]. */
export function standing(sample, limits, ranges) {
  const found = new Uint8Array(sample.size);
  for (const [name, [low, high]] of Object.entries(ranges)) {
    const column = sample.values(name);
    if (column) column.forEach((value, i) => { if (value === null || value < low || value > high) found[i] = ASIDE; });
  }
  for (const limit of limits) {
    const column = sample.values(limit.quantity);
    if (column) column.forEach((value, i) => {
      if (value !== null && (limit.at_least ? value < limit.limit : value > limit.limit)) found[i] = OVER;
    });
  }
  return found;
}

/**
 * The designs of `rows` that no other of them beats in the plane of two quantities, by x; of equals the first.
 * `x` and `y`: {name, more}.
 */
export function front(sample, rows, x, y) {
  const [xs, ys] = [x, y].map(({ name, more }) => {
    const column = sample.values(name);
    return more ? column.map((value) => (value === null ? null : -value)) : column;
  });
  const order = rows.filter((i) => xs[i] !== null && ys[i] !== null)
    .sort((a, b) => xs[a] - xs[b] || ys[a] - ys[b] || a - b);
  let best = Infinity;
  const kept = order.filter((i) => ys[i] < best && ((best = ys[i]), true));
  return kept.sort((a, b) => (x.more ? xs[b] - xs[a] : xs[a] - xs[b]));
}

/** For every budget: how many designs miss it, and by what share the nearest of those. */
export function budgetReport(sample, limits) {
  return limits.map((limit) => {
    const shares = Array.from({ length: sample.size }, (_, i) => misses(sample, [limit], i)[0]?.share)
      .filter((share) => share !== undefined);
    return { ...limit, missed: shares.length, nearest: shares.length ? Math.min(...shares) : null };
  });
}

/** Least and greatest of a column; null where it is empty. */
export function span(column) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of column) {
    if (value === null) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}

/** Ranges as a pointer draws them, to four digits: what is filtered by is what stands in the URL. */
export function rounded(ranges) {
  const round = (value) => (Number.isFinite(value) ? Number(value.toPrecision(4)) : value);
  return Object.fromEntries(Object.entries(ranges).map(([name, range]) => [name, range && range.map(round)]));
}

/** Ranges as text for the URL, `macs:1.2e9:3e9;depth::50`, and back; what means nothing is left out. */
export function rangesText(ranges) {
  const word = (value) => (Number.isFinite(value) ? String(value) : "");
  return Object.entries(ranges).map(([name, [low, high]]) => `${name}:${word(low)}:${word(high)}`).join(";");
}

export function rangesFrom(text) {
  const bound = (word, usual) => (word === "" || !Number.isFinite(Number(word)) ? usual : Number(word));
  return Object.fromEntries(text.split(";").filter(Boolean).map((part) => {
    const [, name, low, high] = /^(.*):([^:]*):([^:]*)$/.exec(part) ?? [];
    return [name, [bound(low ?? "", -Infinity), bound(high ?? "", Infinity)]];
  }).filter(([name, [low, high]]) => name && (low > -Infinity || high < Infinity)));
}
