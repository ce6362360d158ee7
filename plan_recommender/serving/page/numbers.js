// Numbers as text, rounded as Python rounds them: to the nearest, and of two that are equally near to the even one.

/** Round to a whole number. */
export function rounded(value) {
  const down = Math.floor(value);
  const rest = value - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

const NARROW_SPACE = "\u202f";

/** Write a number of at least 0 with so many decimals; in Spanish with a decimal comma, and with spaces between groups from five digits on. */
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

/** Write an amount for an input: all of its decimals, and no groups. */
export const entered = (value, language) => (language === "es" ? String(value).replace(".", ",") : String(value));

/**
 * Read an amount of an input, with a decimal point or a decimal comma; NaN if it is none. One that the language may also
 * read as a sign between thousands, such as "1.950" in Spanish, is none.
 */
export function parsed(text, language) {
  const [, whole, sign, part] = /^\s*(\d+)(?:([.,])(\d+))?\s*$/.exec(text) ?? [];
  const groups = sign === (language === "es" ? "." : ",") && part.length === 3;
  return whole === undefined || groups ? NaN : Number(`${whole}.${part ?? 0}`);
}

function ofWhole(whole, decimals) {
  if (decimals === 0) return String(whole);
  const digits = String(whole).padStart(decimals + 1, "0");
  return `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
}

/** Write a whole number of at least 0 of the smallest amounts that so many decimals show. */
export function written(steps, decimals, language) {
  const [whole, part] = ofWhole(steps, decimals).split(".");
  return join(whole, part, language);
}

/** Write whole smallest units of a currency with `decimals` decimals, of which `shown` are shown. */
export function money(units, decimals, shown, language) {
  const steps = rounded(Math.abs(units) / 10 ** (decimals - shown));
  return (units < 0 && steps > 0 ? "−" : "") + written(steps, shown, language);
}

function join(whole, part, language) {
  const spanish = language === "es";
  const group = !spanish ? "," : whole.length > 4 ? NARROW_SPACE : "";
  return whole.replace(/\B(?=(\d{3})+$)/g, group) + (part ? (spanish ? "," : ".") + part : "");
}
