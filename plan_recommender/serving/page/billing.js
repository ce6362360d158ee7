// Bills, forecast and advice as plan_recommender/billing computes them: money in whole smallest units, and usage in
// doubles that are only added, subtracted, multiplied, divided, compared and rounded up, in the order that is written.
import { adviceSentence } from "./advice_sentence.js";

const MAX_USAGE = 1e9;
const SCENARIOS = 64;
const ERROR_UNITS = 100;
const COVERED = 57;
const COVERED_AFTER_ONE = 58;
const COVERED_AFTER_WHOLE = 60;
const WHOLE = 0.99;
const TELLING = 0.5;
const FIRST_PRIOR = 0.25;
const FIRST_LEAST = 0.05;
const SPREAD_PRIOR = 4;
const ROOT_STEPS = 8;
const QUANTITIES = ["minutes", "messages", "mb_used"];
const NOTHING = { expected: 0, low: 0, high: 0, saves: 0 };

/** Bills of months on all plans of some tariffs. */
class Biller {
  constructor(tariffs) {
    this.decimals = [1, 0.1, 0.01, 0.001, 0.0001].indexOf(tariffs.smallest_unit);
    const units = (amount) => Math.round(amount * 10 ** this.decimals);
    this.step = tariffs.data.step_mb;
    this.byCall = tariffs.minutes.rounding === "call";
    this.callHundredths = Math.round(tariffs.minutes.call_share * 100);
    this.plans = tariffs.plans.map(({ fee, included, beyond }) => ({
      fee: units(fee),
      minutes: included.minutes,
      messages: included.messages,
      steps: included.mb_used / this.step,
      minute: units(beyond.minute),
      message: units(beyond.message),
      data: units(beyond.data_step),
    }));
  }

  minutes(month) {
    if (!this.byCall) return Math.ceil(month.minutes);
    if (known(month.billed_minutes)) return Math.ceil(month.billed_minutes);
    return Math.ceil(month.minutes) + Math.floor((Math.floor(month.calls) * this.callHundredths) / 100);
  }

  steps(mb) {
    return Math.ceil(Math.ceil(mb) / this.step);
  }

  bills(minutes, messages, steps) {
    return this.plans.map((plan) => {
      const forMinutes = Math.max(minutes - plan.minutes, 0) * plan.minute;
      const forMessages = Math.max(messages - plan.messages, 0) * plan.message;
      const forData = Math.max(steps - plan.steps, 0) * plan.data;
      const total = plan.fee + forMinutes + forMessages + forData;
      return { fee: plan.fee, minutes: forMinutes, messages: forMessages, data: forData, total };
    });
  }
}

const known = (value) => value !== null && value !== undefined;
const shareOf = (month) => month.active_share ?? 1;

/** Advises one subscriber at a time; its answers have the fields of the service's, and the same bits. */
export class Adviser {
  constructor(tariffs, { model, habits, advice }) {
    this.tariffs = tariffs;
    this.tag = model;
    this.policy = advice;
    this.biller = new Biller(tariffs);
    this.names = tariffs.plans.map((plan) => plan.name);
    this.habits = QUANTITIES.map((name) => habits[name]);
    this.errors = [habits.errors_after_one, habits.errors_after_more].map((errors) => QUANTITIES.map((n) => errors[n]));
  }

  /** The answer of POST /advise. */
  advise({ plan: name = null, months }, language = "en") {
    const held = name === null ? null : this.names.indexOf(name);
    const advice = this.decide(held, months);
    const units = 10 ** this.biller.decimals;
    const plans = this.names.map((plan, i) => {
      const bill = advice.bills[i];
      return {
        plan,
        last_bill: {
          fee: bill.fee / units,
          minutes: bill.minutes / units,
          messages: bill.messages / units,
          data: bill.data / units,
          total: bill.total / units,
          estimated: advice.estimated,
        },
        expected: advice.plans[i].expected / units,
        low: advice.plans[i].low / units,
        high: advice.plans[i].high / units,
      };
    });
    return {
      advice: advice.kind,
      plan: name,
      advised_plan: this.names[advice.advised],
      expected_saving: advice.saving.expected / units,
      saving_low: advice.saving.low / units,
      saving_high: advice.saving.high / units,
      p_saves: advice.saving.saves / SCENARIOS,
      plans,
      sentence: adviceSentence(advice, this.tariffs, this.biller.decimals, this.policy, language),
      currency: this.tariffs.currency,
      model: this.tag,
      tariffs: this.tariffs.sha256,
    };
  }

  /** What is advised, with plans as places in the tariffs and money in smallest units. */
  decide(held, months) {
    const forecast = new Forecast(this.scenarios(months), covered(months));
    const { plans } = forecast;
    const cheapest = least(plans, -1);
    const advice = { kind: "choose", reason: "cheapest", held, saving: NOTHING, forgone: NOTHING, plans };
    advice.advised = cheapest;
    advice.rival = least(plans, cheapest);
    if (held === null) {
      advice.saving = forecast.saving(advice.rival, cheapest);
    } else if (plans[held].expected === plans[cheapest].expected) {
      Object.assign(advice, { kind: "keep", advised: held, rival: least(plans, held) });
      advice.forgone = forecast.saving(held, advice.rival);
    } else {
      const possible = forecast.saving(held, cheapest);
      advice.reason = this.judge(possible, plans[held].expected, months.length);
      if (advice.reason === "saves enough") Object.assign(advice, { kind: "switch", rival: held, saving: possible });
      else Object.assign(advice, { kind: "keep", advised: held, rival: cheapest, forgone: possible });
    }
    const last = months[months.length - 1];
    const { biller } = this;
    advice.bills = biller.bills(biller.minutes(last), Math.ceil(last.messages), biller.steps(last.mb_used));
    advice.estimated = biller.byCall && !known(last.billed_minutes);
    advice.months = months.length;
    return advice;
  }

  judge(saving, expected, months) {
    if (months < this.policy.min_months) return "too few months";
    if (saving.expected <= 0 || saving.expected < this.policy.min_saving_share * expected) return "saves too little";
    return saving.saves / SCENARIOS >= this.policy.min_p_saves ? "saves enough" : "not sure enough";
  }

  /** The bills of the scenarios of the next month, on each plan. */
  scenarios(months) {
    const used = months.map((month) => [this.biller.minutes(month), month.messages, month.mb_used, shareOf(month)]);
    const summary = summarise(
      used,
      this.habits.map((habit) => habit.usual),
    );
    const errors = this.errors[months.length === 1 ? 0 : 1];
    const usage = this.habits.map((habit, i) => {
      const level = (summary.totals[i] + habit.prior_months * habit.usual) / (summary.months + habit.prior_months);
      const scale = spread(summary, i, habit, level) / ERROR_UNITS;
      return errors[i].map((error) => Math.min(Math.max(error * scale + level, 0), MAX_USAGE));
    });
    const totals = this.names.map(() => []);
    for (let s = 0; s < SCENARIOS; s++) {
      const [minutes, messages, mb] = usage.map((values) => values[s]);
      const bills = this.biller.bills(Math.ceil(minutes), Math.ceil(messages), this.biller.steps(mb));
      bills.forEach((bill, plan) => totals[plan].push(bill.total));
    }
    return totals;
  }
}

/** The bills of the scenarios, and what follows from them. */
class Forecast {
  constructor(totals, spanned) {
    this.totals = totals;
    this.spanned = spanned;
    this.plans = totals.map((bills) => {
      const expected = roundedMean(bills);
      return {
        expected,
        ...this.around(
          expected,
          [...bills].sort((a, b) => a - b),
        ),
      };
    });
  }

  saving(held, advised) {
    const savings = this.totals[held].map((bill, s) => bill - this.totals[advised][s]).sort((a, b) => a - b);
    const expected = this.plans[held].expected - this.plans[advised].expected;
    const saves = savings.filter((saving) => saving > 0).length;
    return { expected, ...this.around(expected, savings), saves };
  }

  /** The shortest interval that spans so many of ascending values, extended to what is expected. */
  around(expected, values) {
    let [low, high] = [values[0], values[this.spanned - 1]];
    for (let first = 1; first + this.spanned <= values.length; first++) {
      const last = values[first + this.spanned - 1];
      if (last - values[first] < high - low) [low, high] = [values[first], last];
    }
    return { low: Math.min(low, expected), high: Math.max(high, expected) };
  }
}

/** The mean of the scenarios' bills, rounded half up; their sum may be more than a double holds exactly. */
function roundedMean(bills) {
  let total = 0n;
  for (const bill of bills) total += BigInt(bill);
  const scenarios = BigInt(SCENARIOS);
  return Number((2n * total + scenarios) / (2n * scenarios));
}

/** The first plan with the least expected bill but one; that one if there is no other. */
function least(plans, but) {
  let found = -1;
  plans.forEach((plan, i) => {
    if (i !== but && (found < 0 || plan.expected < plans[found].expected)) found = i;
  });
  return found < 0 ? but : found;
}

function covered(months) {
  if (months.length > 1) return COVERED;
  return shareOf(months[0]) >= WHOLE ? COVERED_AFTER_WHOLE : COVERED_AFTER_ONE;
}

/** What the months known say, summed up; forecast.py says why a small first month counts less. */
function summarise(used, usual) {
  let [minutes, messages, mb, months] = [0, 0, 0, 0];
  for (const month of used.slice(1)) {
    minutes += month[0];
    messages += month[1];
    mb += month[2];
    months += month[3];
  }
  const first = used[0];
  let counts = 1;
  if (first[3] >= WHOLE) {
    const others = months + FIRST_PRIOR;
    const ofMinutes = (first[0] * others) / (minutes + FIRST_PRIOR * usual[0]);
    const ofData = (first[2] * others) / (mb + FIRST_PRIOR * usual[2]);
    const share = (ofMinutes + ofData) / 2;
    if (share < 1) counts = Math.max(share * share * share, FIRST_LEAST);
  }
  const totals = [minutes + counts * first[0], messages + counts * first[1], mb + counts * first[2]];
  months += counts * first[3];
  const telling = (counts >= TELLING ? used : used.slice(1)).filter((month) => month[3] >= TELLING);
  const distances = [0, 1, 2].map((i) => (telling.length < 2 ? 0 : distance(telling.map((m) => m[i] / m[3]))));
  return { totals, months, distances, telling: telling.length };
}

function spread(summary, i, habit, level) {
  const usual = habit.spread + habit.spread_share * level;
  let own = 1;
  if (summary.telling >= 2 && usual > 0) {
    own = (summary.distances[i] / usual + SPREAD_PRIOR) / (summary.telling - 0.5 + SPREAD_PRIOR);
  }
  return usual * own * root(1 + 1 / (summary.months + habit.prior_months));
}

function distance(values) {
  let total = 0;
  for (const value of values) total += value;
  const mean = total / values.length;
  let sum = 0;
  for (const value of values) sum += value > mean ? value - mean : mean - value;
  return sum;
}

/** The square root of a number from 1 to about 100, by Newton's method, the same in every language. */
function root(value) {
  let found = (1 + value) / 2;
  for (let step = 0; step < ROOT_STEPS; step++) found = (found + value / found) / 2;
  return found;
}
