// The input of one amount: a text, because an input of numbers reads them by the browser's language, not by the page's,
// and drops what it cannot read: "22,5" would become 225.
import { byId, el } from "./dom.js";
import { FEATURES } from "./model.js";
import { entered, fixed, parsed } from "./numbers.js";
import { isAmount, largestAmount } from "./state.js";

const refused = new WeakMap(); // by month, what was typed that is no amount, so that it outlives a change of language

/**
 * Make the input of `amounts[i]`. What is typed is taken into `amounts` if it is an amount; what is none leaves the last
 * one there and marks the input. `taken` is called with what is wrong in words, or with "".
 */
export function amountInput(amounts, i, { language, words, attributes, taken }) {
  const input = el("input", { type: "text", inputmode: "decimal", autocomplete: "off", ...attributes });
  const wrong = words.invalid(fixed(largestAmount(FEATURES[i]), 0, language));
  const typed = refused.get(amounts) ?? {};
  const mark = (good) => {
    if (good) input.removeAttribute("aria-invalid");
    else input.setAttribute("aria-invalid", "true");
  };
  input.value = typed[i] ?? entered(amounts[i], language);
  mark(!(i in typed));
  input.addEventListener("input", () => {
    const amount = parsed(input.value, language);
    const good = isAmount(FEATURES[i], amount);
    if (good) {
      amounts[i] = amount;
      delete typed[i];
    } else typed[i] = input.value;
    refused.set(amounts, typed);
    mark(good);
    taken(good ? "" : wrong);
  });
  return { input, wrong: i in typed ? wrong : "" };
}

/** Put an amount into an input, as if it had been typed. */
export function type(input, amount, language) {
  input.value = entered(amount, language);
  input.dispatchEvent(new Event("input"));
}

/** Move the focus to the first input that holds no amount; gives whether there is one. */
export function focusRefused() {
  const first = byId("inputs").querySelector("[aria-invalid]");
  first?.focus();
  return Boolean(first);
}
