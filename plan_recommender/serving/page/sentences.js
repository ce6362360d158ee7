// What a contribution and a change of plan say, in one sentence: the sentences of POST /explain, as
// plan_recommender/model/sentences.py, evidence.py and regions.py write them.
import { fill } from "./fill.js";
import { fixed, trimmed } from "./numbers.js";
import { REASON_WORDS } from "./reason_words.js";
import { FEW_ROWS, regions, sum } from "./regions.js";

const LOG_HARDLY = Math.log(1.05);
const BILLION = 1e9;
const LARGEST_EDGE = 1e15;
const SMALLEST_EDGE = 1e-6;
const MAX_FACTOR = 1e6;
const MUCH_LESS = 0.5;

/** The sentences of one model; what depends on a bin only is written once. */
export class Sentences {
  constructor(document) {
    this.features = document.features;
    this.regions = document.features.map(regions);
    this.written = {};
  }

  words(i, value, bin, contribution, points, language) {
    const words = REASON_WORDS[language];
    const { name, median, largest, smallest } = this.features[i];
    this.written[language] ??= this.features.map((each, f) => new Evidence(each, this.regions[f], language));
    const written = this.written[language][i];
    let found = written.bins[bin];
    if (value > largest) found = written.above;
    else if (value < smallest) found = written.below;
    const shown = value > BILLION ? words.many_of : amount(value, language);
    const one = words.singular_nouns.includes(name) || shown === "1" ? 1 : 0;
    const usage = fill(words.usage, { noun: words.nouns[name][one], median: amount(median, language) });
    const subject = `${shown[0].toUpperCase()}${shown.slice(1)}${usage}`;
    if (Math.abs(contribution) > LOG_HARDLY) {
      const plan = contribution > 0 ? "Ultra" : "Smart";
      const [size, raised] = contribution > 0 ? [contribution, points] : [-contribution, -points];
      const effect = fill(words.effect, { plan, points: said(raised, words), factor: factor(size, language) });
      const speaks = words.speak[one] + fill(words.for_plan, { plan });
      return { sentence: `${subject}${speaks}${found[plan]}${effect}`, few: found.few };
    }
    const effect =
      contribution === 0 ? words.no_effect : fill(words.small_effect, { points: said(Math.abs(points), words) });
    return { sentence: `${subject}${words.matter[one]}${found.neither}${effect}`, few: found.few };
  }
}

/** Say where, everything else equal, the other plan would be recommended. */
export function changeSentence(feature, change, otherPlan, language) {
  const words = REASON_WORDS[language];
  const quantity = words.quantity[feature];
  if (change === null) return fill(words.no_change, { quantity });
  let where = "0";
  if (change > 0 && change < 0.01) where = words.just_above;
  else if (change) {
    where = fill(words.nearly, { amount: amount(change, language) + (feature === "mb_used" ? " MB" : "") });
  }
  return fill(words.change, { quantity, plan: otherPlan, where });
}

/** Say percentage points. */
function said(points, words) {
  const [less, one, several, more] = words.points;
  const whole = points < 1 ? 0 : Math.floor(points + 0.5);
  if (whole < 2) return whole ? one : less;
  return whole < 100 ? fill(several, { whole }) : more;
}

/** How common usage is on each plan, for each bin of a feature. */
class Evidence {
  constructor(feature, found, language) {
    this.feature = feature;
    this.language = language;
    this.words = REASON_WORDS[language];
    this.plans = { Ultra: sum(feature.ultra_rows), Smart: sum(feature.smart_rows) };
    this.bins = found.map((region) => this.of(region));
    this.below = this.beyond(this.words.less_than, feature.smallest);
    this.above = this.beyond(this.words.more_than, feature.largest);
  }

  same(text, few) {
    return { Ultra: text, Smart: text, neither: text, few };
  }

  beyond(range, end) {
    return this.same(fill(this.words.guess, { usage: fill(range, { end: this.counted(end) }) }), true);
  }

  of(region) {
    const { words, plans } = this;
    const { name } = this.feature;
    const span = this.span(region);
    if (region.few) return this.same(fill(words.warned, { reason: this.scarce(region, span) }), true);
    if (span === null) return this.same(words.alike, false);
    const shares = { Ultra: region.ultra / plans.Ultra, Smart: region.smart / plans.Smart };
    const did = span === words.nothing[name] ? words.did_not[name] : fill(words.did[name], { span });
    return {
      Ultra: this.speaksFor("Ultra", "Smart", shares, did, region.low),
      Smart: this.speaksFor("Smart", "Ultra", shares, did, region.high),
      neither: this.speaksForNeither(shares, did),
      few: false,
    };
  }

  scarce(region, span) {
    const { words, plans } = this;
    const total = plans.Ultra + plans.Smart;
    const scarce = Object.entries(plans).filter(([, rows]) => rows < FEW_ROWS);
    if (scarce.length || span === null) {
      const named = scarce.map(([plan, rows]) => fill(words.of_plan, { months: this.months(rows), plan }));
      return fill(words.scarce, { months: total >= FEW_ROWS ? named.join(words.conjunction) : this.months(total) });
    }
    const rows = region.smart + region.ultra;
    const values = { rows, total: this.count(total), span, who: this.split(region) };
    return fill(rows === 1 ? words.one_of : words.some_of, values);
  }

  months(rows) {
    const { words } = this;
    if (rows === 0) return words.no_month;
    return rows === 1 ? words.one_month : fill(words.months, { rows: this.count(rows) });
  }

  count(rows) {
    return fixed(rows, 0, this.language);
  }

  split({ smart, ultra }) {
    const { words } = this;
    const plan = ultra ? "Ultra" : "Smart";
    if (smart + ultra === 1) return fill(words.one_on, { plan });
    return smart && ultra ? fill(words.on_both, { smart, ultra }) : fill(words.all_on, { plan });
  }

  speaksFor(plan, other, shares, did, unexpected) {
    const { words } = this;
    const [here, there] = [share(shares[plan], words.shares), share(shares[other], words.shares)];
    if (here === there) return fill(words.together, { did, share: here });
    if (shares[plan] < shares[other]) {
      const rarer = this.rarer(shares[plan], shares[other]);
      return fill(words.although, { plan, other, did, share: there, rarer });
    }
    const rarer = this.rarer(shares[other], shares[plan]);
    return fill(unexpected ? words.unexpectedly : words.because, { plan, other, did, share: here, rarer });
  }

  speaksForNeither(shares, did) {
    const { words } = this;
    const smart = share(shares.Smart, words.shares);
    if (smart === share(shares.Ultra, words.shares)) return fill(words.both, { did, share: smart });
    const [low, high] =
      shares.Smart <= shares.Ultra && shares.Smart !== shares.Ultra ? ["Smart", "Ultra"] : ["Ultra", "Smart"];
    const beside = shares[low] <= shares[high] * MUCH_LESS ? words.beside : "";
    const rarer = this.rarer(shares[low], shares[high]);
    return beside + fill(words.neither, { high, low, did, share: share(shares[high], words.shares), rarer });
  }

  rarer(part, other) {
    const { words } = this;
    const much = part > 0 && part <= other * MUCH_LESS && part >= 0.005;
    return fill(much ? words.much_rarer : words.rarer, { share: share(part, words.rarer_shares) });
  }

  /** Name the range of values that a region covers, with its noun; null if it covers all. */
  span(region) {
    const { feature, words, language } = this;
    let low = region.first > 0 ? feature.cuts[region.first - 1] : null;
    let high = region.last < feature.cuts.length ? feature.cuts[region.last] : null;
    if (feature.whole) [low, high] = [low, high].map((end) => (end === null ? null : Math.floor(end)));
    if (low === null) {
      if (high === null) return null;
      return high < SMALLEST_EDGE ? words.nothing[feature.name] : fill(words.at_most, { end: this.counted(high) });
    }
    if (high === null) {
      if (feature.whole && low === 0) return fill(words.at_least, { end: this.counted(1) });
      return fill(words.more_than, { end: this.counted(low) });
    }
    if (feature.whole) low += 1;
    const lowEdge = edge(low, language);
    if (lowEdge === edge(high, language)) {
      return fill(feature.whole ? words.exactly : words.about, { end: this.counted(high) });
    }
    return fill(words.between, { low: lowEdge, high: this.counted(high) });
  }

  /** Name an end of a range, with its noun. */
  counted(value) {
    const shown = edge(value, this.language);
    const noun = this.words.short_nouns[this.feature.name][shown === "1" ? 1 : 0];
    return `${shown}${value >= BILLION && value < LARGEST_EDGE ? this.words.of : " "}${noun}`;
  }
}

/** Say in how many of their months the subscribers of a plan do something. */
function share(part, words) {
  if (part === 0 || part === 1) return part ? words.all : words.none;
  const percent = fixed(part * 100, 0);
  if (percent === "0") return words.least;
  return percent === "100" ? words.most : fill(words.some, { percent });
}

function amount(value, language) {
  if (value > BILLION) return REASON_WORDS[language].many;
  if (value > 0 && value < 0.01) return REASON_WORDS[language].tiny;
  return trimmed(value, value >= 100 ? 0 : value >= 1 ? 1 : 2, language);
}

function edge(value, language) {
  const words = REASON_WORDS[language];
  if (value >= LARGEST_EDGE) return fill(words.power, { exponent: Math.floor(Math.log10(value)) });
  if (value >= BILLION) {
    const number = trimmed(value / BILLION, 3, language);
    return number === "1" ? words.billions[1] : fill(words.billions[0], { number });
  }
  if (value < SMALLEST_EDGE) return "0";
  if (value < 1) return trimmed(value, 1 - Math.floor(Math.log10(value)), language);
  return trimmed(value, value >= 100 ? 0 : 1, language);
}

function factor(logFactor, language) {
  if (logFactor > Math.log(MAX_FACTOR)) return REASON_WORDS[language].million;
  const value = Math.exp(logFactor);
  return trimmed(value, value < 2 ? 2 : value < 10 ? 1 : 0, language);
}
