// The sentence of an advice, the same as plan_recommender/billing/wording.py writes.
import { fixed, rounded } from "./numbers.js";

const DECIMALS_BELOW = 300; // expected bill from which amounts are told without decimals
const SENTENCES = {
  en: {
    only: "Keep {plan}: next month it is expected to cost about {expected} {range}.",
    choose:
      "Choose {plan}: next month it is expected to cost about {expected} {range}, about {saving} less than {other}; it costs less in about {of_100} of 100 months like this.",
    "choose, the same":
      "Choose {plan}: next month it is expected to cost about {expected} {range}, as much as {other}.",
    "saves enough":
      "Switch from {other} to {plan}: next month is expected to cost about {expected} instead of {other_expected}, which saves about {saving} {saving_range}; it saves in about {of_100} of 100 months like this.",
    cheapest:
      "Keep {plan}: next month it is expected to cost about {expected} {range}, and {other} about {other_expected}.",
    "saves too little":
      "Keep {plan}: next month {other} is expected to cost only about {saving} less, too little to be worth a switch.",
    "not sure enough":
      "Keep {plan}: next month {other} is expected to cost about {saving} less, but it would save in only about {of_100} of 100 months like this.",
    "too few months":
      "Keep {plan} for now: next month {other} is expected to cost about {saving} less, but usage is known of {months} of the {needed} months that an advice to switch needs.",
  },
  es: {
    only: "Mantenga {plan}: se espera que el próximo mes cueste unos {expected} {range}.",
    choose:
      "Elija {plan}: se espera que el próximo mes cueste unos {expected} {range}, unos {saving} menos que {other}; cuesta menos en unos {of_100} de cada 100 meses como este.",
    "choose, the same":
      "Elija {plan}: se espera que el próximo mes cueste unos {expected} {range}, lo mismo que {other}.",
    "saves enough":
      "Cambie de {other} a {plan}: se espera que el próximo mes cueste unos {expected} en lugar de {other_expected}, un ahorro de unos {saving} {saving_range}; ahorra en unos {of_100} de cada 100 meses como este.",
    cheapest:
      "Mantenga {plan}: se espera que el próximo mes cueste unos {expected} {range}, y con {other}, unos {other_expected}.",
    "saves too little":
      "Mantenga {plan}: se espera que el próximo mes {other} cueste solo unos {saving} menos, demasiado poco para que compense cambiar.",
    "not sure enough":
      "Mantenga {plan}: se espera que el próximo mes {other} cueste unos {saving} menos, pero solo ahorraría en unos {of_100} de cada 100 meses como este.",
    "too few months":
      "Mantenga {plan} por ahora: se espera que el próximo mes {other} cueste unos {saving} menos, pero solo se conoce el consumo de {months} de los {needed} meses necesarios para aconsejar un cambio.",
  },
};
const RANGES = {
  en: "(90 % interval {low} to {high})",
  es: "(intervalo del 90 %: de {low} a {high})",
};
const SAVINGS = {
  en: "(90 % interval: from {low} more to {high} less)",
  es: "(intervalo del 90 %: de {low} más a {high} menos)",
};
const UNCERTAIN = {
  en: "; only one month is known, so this is uncertain.",
  es: "; solo se conoce un mes, así que es incierto.",
};
const ALWAYS = {
  en: "(in 9 of 10 months exactly that)",
  es: "(en 9 de cada 10 meses, exactamente eso)",
};

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

export function adviceSentence(advice, tariffs, decimals, policy, language) {
  const plan = advice.plans[advice.advised];
  const rival = advice.plans[advice.rival];
  const compared = advice.kind === "keep" ? advice.forgone : advice.saving;
  // All amounts of a sentence have the same decimals, so that they add up.
  const shown = Math.max(plan.expected, rival.expected) < DECIMALS_BELOW * 10 ** decimals ? decimals : 0;
  const hidden = 10 ** (decimals - shown);
  const number = (units) => {
    const whole = rounded(Math.abs(units) / hidden);
    return (units < 0 ? "-" : "") + fixed(whole / 10 ** shown, shown, language);
  };
  const amount = (units) => `${number(units)} ${tariffs.currency}`;
  const interval = (low, high) => {
    if (number(low) === number(high)) return ALWAYS[language];
    return fill(RANGES[language], { low: number(low), high: amount(high) });
  };
  const saved = (low, high) => {
    if (low >= 0) return interval(low, high);
    return fill(SAVINGS[language], { low: amount(-low), high: amount(high) });
  };
  const [here, there] = [plan.expected, rival.expected].map((units) => rounded(units / hidden));
  const said = fill(SENTENCES[language][key(advice)], {
    plan: tariffs.plans[advice.advised].name,
    other: tariffs.plans[advice.rival].name,
    expected: amount(plan.expected),
    range: interval(plan.low, plan.high),
    other_expected: amount(rival.expected),
    saving: amount(Math.abs(here - there) * hidden),
    saving_range: saved(compared.low, compared.high),
    of_100: Math.min(Math.max(rounded((100 * compared.saves) / 64), 1), 99),
    months: advice.months,
    needed: policy.min_months,
  });
  return advice.months === 1 && advice.kind !== "keep" ? said.slice(0, -1) + UNCERTAIN[language] : said;
}

function key(advice) {
  if (advice.rival === advice.advised) return "only";
  if (advice.kind === "choose") return advice.saving.expected ? "choose" : "choose, the same";
  return advice.reason;
}
