// Words and numbers in the page's language. Pure but for `loadWords`. Placeholders are those of otoyol/explain/text.py.

const SI = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
const BYTES = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]];
const FIXED = /^\.(\d+)([f%])$/;
const PLACEHOLDER = /\{(\w+)(?::([^{}]*))?\}/g;

/** The sentences of a language by key. */
export async function loadWords(lang) {
  const answer = await fetch(`/api/words/${lang}`);
  if (!answer.ok) throw new Error(`no words in ${lang}`);
  return answer.json();
}

/** {lang, t, has, number, signed, change, changes} for one language's words; `locale` ({group, point, percent}) says how it
 * writes numbers. */
export function translator(words, lang, locale) {
  const number = (value, form = "") => written(value, form, locale);
  const t = (key, facts = {}) => {
    if (!(key in words)) throw new Error(`no word ${key} in ${lang}`);
    return words[key].replace(PLACEHOLDER, (_, name, form) => {
      if (!(name in facts)) throw new Error(`${key} asks for ${name}`);
      return number(facts[name], form);
    });
  };
  const signed = (value, form = "") => (value < 0 ? "−" : "+") + number(Math.abs(value), form);
  /** `+1.2 M (+4.7%)` against `base`, of shares `+1.2 points`; "" where there is no base, "=" where they agree. What is
   * written with fixed decimals agrees where it is written alike. */
  const change = (value, base, form = "si") => {
    if (base === undefined || base === null) return "";
    const [, digits, kind] = FIXED.exec(form) ?? [];
    const [now, before] = [value, base].map((one) => (digits ? Number(fixed(kind === "%" ? one * 100 : one, Number(digits))) : one));
    if (now === before) return "=";
    if (kind === "%") return t("points", { n: signed(now - before, `.${digits}f`) });
    const amount = signed(now - before, form);
    if (!before) return amount;
    const share = (now - before) / Math.abs(before);
    return `${amount} (${signed(share, Math.abs(share) >= 0.01 ? ".1%" : ".2%")})`;
  };
  /** `+64 × = × =`: the same for a shape, number by number; "" where the bases are not as many. */
  const changes = (values, bases) => {
    if (bases?.length !== values.length) return "";
    if (values.length === 1) return change(values[0], bases[0], "");
    const each = values.map((value, i) => (value === bases[i] ? "=" : signed(value - bases[i])));
    return each.every((one) => one === "=") ? "=" : each.join(" × ");
  };
  return { lang, t, has: (key) => key in words, number, signed, change, changes };
}

function written(value, form, locale) {
  if (typeof value === "string" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return value.map((item) => written(item, form, locale)).join(", ");
  if (form.includes("|")) {
    const [one, many] = form.split("|");
    return (value === 1 ? one : many).replace("#", grouped(value, 0, locale));
  }
  if (form === "si") return scaled(value, SI, locale);
  if (form === "bytes") return Math.abs(value) >= 2 ** 10 ? scaled(value, BYTES, locale) : `${value} B`;
  if (form === "d") return String(value);
  const [, digits, kind] = FIXED.exec(form) ?? [];
  if (kind === "%") return locale.percent.replace("{}", grouped(value * 100, Number(digits), locale));
  if (kind) return grouped(value, Number(digits), locale);
  if (Number.isInteger(value) && form === "") return grouped(value, 0, locale);
  return significant(value, Number(/^\.(\d+)g$/.exec(form)?.[1] ?? 3), locale);
}

/** Three significant digits and a unit. */
function scaled(value, units, locale) {
  for (const [size, unit] of units) {
    if (Math.abs(value) >= size * 0.9995) {
      const amount = value / size;
      const digits = Math.max(0, 3 - String(Math.round(Math.abs(amount))).length);
      return `${grouped(amount, digits, locale)} ${unit}`;
    }
  }
  return Number.isInteger(value) ? grouped(value, 0, locale) : significant(value, 3, locale);
}

function significant(value, digits, locale) {
  const places = digits - 1 - Math.floor(Math.log10(Math.abs(value) || 1));
  const near = places >= 0 && places <= 12 ? Math.sign(value) * Number(fixed(Math.abs(value), places)) : Number(value.toPrecision(digits));
  const text = String(near);
  return text.includes("e") ? text.replace(".", locale.point) : grouped(near, decimals(text), locale);
}

const decimals = (text) => (text.split(".")[1] ?? "").length;

function grouped(value, digits, locale) {
  const [whole, rest] = fixed(Math.abs(value), digits).split(".");
  const sign = value < 0 ? "-" : "";
  return sign + whole.replace(/\B(?=(\d{3})+$)/g, locale.group) + (rest ? locale.point + rest : "");
}

/** Like toFixed, but a tie goes to the even digit, as in Python. */
function fixed(value, digits) {
  const up = value.toFixed(digits);
  if (digits > 15 || value >= 1e15) return up;
  const [whole, rest] = value.toFixed(20).split(".");
  const kept = digits ? `${whole}.${rest.slice(0, digits)}` : whole;
  return /^50*$/.test(rest.slice(digits)) && "02468".includes(kept.at(-1)) ? kept : up;
}
