// Numbers as text, rounded as Python rounds them: to the nearest, and of two that are equally near to the even one.

/** Round to a whole number. */
export function rounded(value) {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

/** Write digits in groups of three. */
function grouped(digits, group) {
  return digits.replace(/\B(?=(\d{3})+$)/g, group);
}

const NARROW_SPACE = "\u202f";

/** Write a number of at least 0 with so many decimals; in Spanish with spaces between groups, and a decimal comma. */
export function fixed(value, decimals, language = "en") {
  // A tie is a value whose binary digits end within the decimals; its products are exact.
  const exact = Number.isInteger(value * 2 ** (decimals + 1)) && value < 2 ** 40;
  const text = exact ? ofWhole(rounded(value * 10 ** decimals), decimals) : value.toFixed(decimals);
  const [whole, part] = text.split(".");
  return join(whole, part, language);
}

/** The same without zeros at the end of the decimals. */
export function trimmed(value, decimals, language = "en") {
  const text = fixed(value, decimals, language);
  return decimals > 0 ? text.replace(/[.,]?0+$/, "") : text;
}

function ofWhole(whole, decimals) {
  if (decimals === 0) return String(whole);
  const digits = String(whole).padStart(decimals + 1, "0");
  return `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
}

/** Write whole smallest units of a currency with `decimals` decimals, of which `shown` are shown. */
export function money(units, decimals, shown, language) {
  const scaled = rounded(Math.abs(units) / 10 ** (decimals - shown));
  const [whole, part] = ofWhole(scaled, shown).split(".");
  return (units < 0 && scaled > 0 ? "−" : "") + join(whole, part, language);
}

function join(whole, part, language) {
  const [group, sign] = language === "es" ? [NARROW_SPACE, ","] : [",", "."];
  return grouped(whole, group) + (part ? sign + part : "");
}
