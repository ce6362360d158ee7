// The sentence of an advice, the same as plan_recommender/billing/wording.py writes.
import { rounded, written } from "./numbers.js";

const DECIMALS_BELOW = 300; // expected bill from which amounts are told without decimals
const SCENARIOS = 64;
const SENTENCES = {
  en: {
    only: "Keep {plan}: next month it is expected to cost about {expected} {range}.",
    "choose, only": "Choose {plan}, the only plan: next month it is expected to cost about {expected} {range}.",
    choose: "Choose {plan}: next month it is expected to cost about {expected} {range}, {less} than {other}; {often}.",
    "choose, the same":
      "Choose {plan}: next month it is expected to cost about {expected} {range}, as much as {other}.",
    "saves enough":
      "Switch from {other} to {plan}: next month is expected to cost about {expected} instead of {other_expected}, which saves {saving} {saving_range}; {often}.",
    cheapest:
      "Keep {plan}: next month it is expected to cost about {expected} {range}, and {other} about {other_expected}.",
    "saves too little":
      "Keep {plan}: next month {other} is expected to cost {only_less}, too little to be worth a switch.",
    "not sure enough":
      "Keep {plan}: next month {other} is expected to cost {less}, but it would save in only about {of_100} of 100 months like this.",
    "too few months":
      "Keep {plan} for now: next month {other} is expected to cost {less}, but usage is known of {months} of the {needed} months that an advice to switch needs.",
  },
  es: {
    only: "Mantenga {plan}: se espera que el próximo mes cueste unos {expected} {range}.",
    "choose, only": "Elija {plan}, el único plan: se espera que el próximo mes cueste unos {expected} {range}.",
    choose: "Elija {plan}: se espera que el próximo mes cueste unos {expected} {range}, {less} que {other}; {often}.",
    "choose, the same":
      "Elija {plan}: se espera que el próximo mes cueste unos {expected} {range}, lo mismo que {other}.",
    "saves enough":
      "Cambie de {other} a {plan}: se espera que el próximo mes cueste unos {expected} en lugar de {other_expected}, {saving} {saving_range}; {often}.",
    cheapest:
      "Mantenga {plan}: se espera que el próximo mes cueste unos {expected} {range}, y con {other}, unos {other_expected}.",
    "saves too little":
      "Mantenga {plan}: se espera que {other} cueste el próximo mes {only_less}, demasiado poco para que valga la pena cambiar.",
    "not sure enough":
      "Mantenga {plan}: se espera que {other} cueste el próximo mes {less}, pero solo ahorraría en unos {of_100} de cada 100 meses como este.",
    "too few months":
      "Mantenga {plan} por ahora: se espera que {other} cueste el próximo mes {less}, pero solo se conoce el consumo de {months} de los {needed} meses necesarios para aconsejar un cambio.",
  },
};
const PHRASES = {
  en: {
    less: "about {saving} less",
    only_less: "only about {saving} less",
    saving: "about {saving}",
    saves: "it saves in about {of_100} of 100 months like this",
    "costs less": "it costs less in about {of_100} of 100 months like this",
  },
  es: {
    less: "unos {saving} menos",
    only_less: "solo unos {saving} menos",
    saving: "un ahorro de unos {saving}",
    saves: "ahorra en unos {of_100} de cada 100 meses como este",
    "costs less": "cuesta menos en unos {of_100} de cada 100 meses como este",
  },
};
// Instead of the first phrases where the saving is rounded to 0.
const HARDLY = {
  en: {
    less: "hardly less",
    only_less: "hardly less",
    saving: "hardly anything",
  },
  es: {
    less: "apenas menos",
    only_less: "apenas menos",
    saving: "un ahorro mínimo",
  },
};
// Instead of the last phrases where every scenario saves.
const SURELY = {
  en: {
    saves: "in all likelihood it saves",
    "costs less": "in all likelihood it costs less",
  },
  es: {
    saves: "con toda probabilidad, ahorra",
    "costs less": "con toda probabilidad, cuesta menos",
  },
};
const RANGES = {
  en: "(90 % interval {low} to {high})",
  es: "(intervalo del 90 %: de {low} a {high})",
};
// Where what is expected is the lower end.
const TO_HIGH = {
  en: "(in 9 of 10 months between that and {high})",
  es: "(en 9 de cada 10 meses, entre esa cifra y {high})",
};
const FROM_LOW = {
  en: "(in 9 of 10 months between {low} and that)",
  es: "(en 9 de cada 10 meses, entre {low} y esa cifra)",
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
  es: "(en 9 de cada 10 meses, exactamente esa cifra)",
};

const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

export function adviceSentence(advice, tariffs, decimals, policy, language) {
  const plan = advice.plans[advice.advised];
  const rival = advice.plans[advice.rival];
  const compared = advice.kind === "keep" ? advice.forgone : advice.saving;
  // All amounts of a sentence have the same decimals, so that they add up.
  const told = Math.max(plan.expected, rival.expected) < DECIMALS_BELOW * 10 ** decimals ? decimals : 0;
  const step = 10 ** (decimals - told);
  const shown = (units) => rounded(units / step);
  const number = (steps) => written(steps, told, language);
  const amount = (steps) => `${number(steps)} ${tariffs.currency}`;
  const interval = (middle, low, high) => {
    if (low === high) return ALWAYS[language];
    if (middle <= low) return fill(TO_HIGH[language], { high: amount(high) });
    if (middle >= high) return fill(FROM_LOW[language], { low: amount(low) });
    return fill(RANGES[language], { low: number(low), high: amount(high) });
  };
  const saved = (middle, low, high) => {
    if (low >= 0) return interval(middle, low, high);
    return fill(SAVINGS[language], { low: amount(-low), high: amount(high) });
  };
  const [expected, other] = [shown(plan.expected), shown(rival.expected)];
  const saving = Math.abs(expected - other);
  const phrases = {
    ...PHRASES[language],
    ...(saving === 0 ? HARDLY[language] : {}),
    ...(compared.saves === SCENARIOS ? SURELY[language] : {}),
  };
  const values = { saving: amount(saving), of_100: rounded((100 * compared.saves) / SCENARIOS) };
  const said = fill(SENTENCES[language][key(advice)], {
    plan: tariffs.plans[advice.advised].name,
    other: tariffs.plans[advice.rival].name,
    expected: amount(expected),
    range: interval(expected, shown(plan.low), shown(plan.high)),
    other_expected: amount(other),
    saving: fill(phrases.saving, values),
    less: fill(phrases.less, values),
    only_less: fill(phrases.only_less, values),
    saving_range: saved(saving, shown(compared.low), shown(compared.high)),
    often: fill(phrases[advice.kind === "switch" ? "saves" : "costs less"], values),
    of_100: values.of_100,
    months: advice.months,
    needed: policy.min_months,
  });
  return advice.months === 1 && advice.kind !== "keep" ? said.slice(0, -1) + UNCERTAIN[language] : said;
}

function key(advice) {
  if (advice.rival === advice.advised) return advice.kind === "choose" ? "choose, only" : "only";
  if (advice.kind === "choose") return advice.saving.expected ? "choose" : "choose, the same";
  return advice.reason;
}
