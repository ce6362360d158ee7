// The sentence of an advice, the same as plan_recommender/billing/wording.py writes.
import { ADVICE_WORDS } from "./advice_words.js";
import { fill } from "./fill.js";
import { rounded, written } from "./numbers.js";

const DECIMALS_BELOW = 300; // expected bill from which amounts are told without decimals
const SCENARIOS = 64;

export function adviceSentence(advice, tariffs, decimals, policy, language) {
  const words = ADVICE_WORDS[language];
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
    if (low === high) return words.always;
    if (middle <= low) return fill(words.to_high, { high: amount(high) });
    if (middle >= high) return fill(words.from_low, { low: amount(low) });
    return fill(words.interval, { low: number(low), high: amount(high) });
  };
  const saved = (middle, low, high) => {
    if (low >= 0) return interval(middle, low, high);
    return fill(words.savings, { low: amount(-low), high: amount(high) });
  };
  const [expected, other] = [shown(plan.expected), shown(rival.expected)];
  const saving = Math.abs(expected - other);
  const phrases = {
    ...words.phrases,
    ...(saving === 0 ? words.hardly : {}),
    ...(compared.saves === SCENARIOS ? words.surely : {}),
  };
  const values = { saving: amount(saving), of_100: rounded((100 * compared.saves) / SCENARIOS) };
  const said = fill(words.sentences[key(advice)], {
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
  return advice.months === 1 && advice.kind !== "keep" ? said.slice(0, -1) + words.uncertain : said;
}

function key(advice) {
  if (advice.rival === advice.advised) return advice.kind === "choose" ? "choose, only" : "only";
  if (advice.kind === "choose") return advice.saving.expected ? "choose" : "choose, the same";
  return advice.reason;
}
