// What a contribution and a change of plan say, in one sentence. In English they are the sentences of POST /explain, as
// plan_recommender/model/sentences.py and regions.py write them; the service has none in Spanish, so these are the page's.
import { trimmed } from "./numbers.js";
import { LANGUAGES } from "./reason_words.js";
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
    const words = LANGUAGES[language];
    const feature = this.features[i];
    this.written[language] ??= this.features.map((each, f) => new Evidence(each, this.regions[f], language));
    const written = this.written[language][i];
    let found = written.bins[bin];
    if (value > feature.largest) found = written.above;
    else if (value < feature.smallest) found = written.below;
    const shown = amount(value, language);
    const one = feature.name === "mb_used" || shown === "1";
    const start = `${shown[0].toUpperCase()}${shown.slice(1)} ${words.nouns[feature.name][one ? 1 : 0]}`;
    const subject = start + words.typical(amount(feature.median, language));
    if (Math.abs(contribution) > LOG_HARDLY) {
      const plan = contribution > 0 ? "Ultra" : "Smart";
      const [size, raised] = contribution > 0 ? [contribution, points] : [-contribution, -points];
      const effect = words.effect(plan, words.points(whole(raised)), factor(size, language));
      return { sentence: `${subject}${words.speak(one, plan)}${found[plan]}${effect}`, few: found.few };
    }
    const effect = contribution === 0 ? words.nothing : words.small(words.points(whole(Math.abs(points))));
    return { sentence: `${subject}${words.matter(one)}${found.neither}${effect}`, few: found.few };
  }
}

/** Say where, everything else equal, the other plan would be recommended. */
export function changeSentence(feature, change, otherPlan, language) {
  const words = LANGUAGES[language];
  if (change === null) return words.noChange(feature);
  const unit = feature === "mb_used" ? " MB" : "";
  const where =
    change > 0 && change < 0.01 ? words.justAbove : change ? `${words.about(amount(change, language))}${unit}` : "0";
  return words.changes(feature, otherPlan, where);
}

const whole = (points) => (points < 1 ? 0 : Math.floor(points + 0.5));

/** How common usage is on each plan, for each bin of a feature. */
class Evidence {
  constructor(feature, found, language) {
    this.feature = feature;
    this.language = language;
    this.words = LANGUAGES[language];
    this.plans = { Ultra: sum(feature.ultra_rows), Smart: sum(feature.smart_rows) };
    this.bins = found.map((region) => this.of(region));
    this.below = this.same(this.words.guess(this.words.lessThan(this.counted(feature.smallest))), true);
    this.above = this.same(this.words.guess(this.words.moreThan(this.counted(feature.largest))), true);
  }

  same(text, few) {
    return { Ultra: text, Smart: text, neither: text, few };
  }

  of(region) {
    const { words, plans } = this;
    const total = plans.Ultra + plans.Smart;
    const span = this.span(region);
    if (region.few) return this.same(words.warned(this.scarce(region, span, total)), true);
    if (span === null) return this.same(words.alike, false);
    const shares = { Ultra: region.ultra / plans.Ultra, Smart: region.smart / plans.Smart };
    const did = words.did(words.used[this.feature.name], span);
    return {
      Ultra: this.speaksFor("Ultra", "Smart", shares, did, region.low),
      Smart: this.speaksFor("Smart", "Ultra", shares, did, region.high),
      neither: this.speaksForNeither(shares, did),
      few: false,
    };
  }

  scarce(region, span, total) {
    const { words, plans } = this;
    const scarce = Object.entries(plans).filter(([, rows]) => rows < FEW_ROWS);
    if (scarce.length || span === null) {
      const named = scarce.map(([plan, rows]) => words.on(words.months(rows), plan)).join(words.and);
      return words.scarce(total >= FEW_ROWS ? named : words.months(total));
    }
    const who = this.split(region);
    return words.few(region.smart + region.ultra, total, span, who);
  }

  split({ smart, ultra }) {
    const plan = ultra ? "Ultra" : "Smart";
    if (smart + ultra === 1) return this.words.one(plan);
    return smart && ultra ? this.words.some(smart, ultra) : this.words.all(plan);
  }

  speaksFor(plan, other, shares, did, unexpected) {
    const { words } = this;
    const [here, there] = [words.share(shares[plan]), words.share(shares[other])];
    if (here === there) return words.together(did, here);
    if (shares[plan] < shares[other]) {
      return words.although(plan, other, did, there, this.rarer(shares[plan], shares[other]));
    }
    return words.because(unexpected, plan, other, did, here, this.rarer(shares[other], shares[plan]));
  }

  speaksForNeither(shares, did) {
    const { words } = this;
    if (words.share(shares.Smart) === words.share(shares.Ultra)) return words.both(did, words.share(shares.Smart));
    const [low, high] =
      shares.Smart <= shares.Ultra && shares.Smart !== shares.Ultra ? ["Smart", "Ultra"] : ["Ultra", "Smart"];
    const beside = shares[low] <= shares[high] * MUCH_LESS;
    const rarer = this.rarer(shares[low], shares[high]);
    return words.neither(beside, high, low, did, words.share(shares[high]), rarer);
  }

  rarer(share, other) {
    return this.words.rarer(share > 0 && share <= other * MUCH_LESS && share >= 0.005, share);
  }

  /** Name the range of values that a region covers; null if it covers all. */
  span(region) {
    const { feature, words, language } = this;
    let low = region.first > 0 ? feature.cuts[region.first - 1] : null;
    let high = region.last < feature.cuts.length ? feature.cuts[region.last] : null;
    if (feature.whole) [low, high] = [low, high].map((end) => (end === null ? null : Math.floor(end)));
    if (low === null) {
      if (high === null) return null;
      if (high < SMALLEST_EDGE) return { text: words.none(words.nouns[feature.name][0]), none: true };
      return { text: words.atMost(this.counted(high)) };
    }
    if (high === null) {
      if (feature.whole && low === 0) return { text: words.atLeast(this.counted(1)) };
      return { text: words.moreThan(this.counted(low)) };
    }
    if (feature.whole) low += 1;
    if (edge(low, language) === edge(high, language)) {
      return { text: (feature.whole ? words.exactly : words.about)(this.counted(high)) };
    }
    return { text: words.between(edge(low, language), this.counted(high)) };
  }

  counted(value) {
    const shown = edge(value, this.language);
    const noun = this.words.nouns[this.feature.name][shown === "1" ? 1 : 0];
    return `${shown} ${this.words.counted(noun)}`;
  }
}

function amount(value, language) {
  if (value > BILLION) return LANGUAGES[language].manyAmounts;
  if (value > 0 && value < 0.01) return LANGUAGES[language].tiny;
  return trimmed(value, value >= 100 ? 0 : value >= 1 ? 1 : 2, language);
}

function edge(value, language) {
  const words = LANGUAGES[language];
  if (value >= LARGEST_EDGE) return words.power(Math.floor(Math.log10(value)));
  if (value >= BILLION) return words.billions(trimmed(value / BILLION, 3, language));
  if (value < SMALLEST_EDGE) return "0";
  if (value < 1) return trimmed(value, 1 - Math.floor(Math.log10(value)), language);
  return trimmed(value, value >= 100 ? 0 : 1, language);
}

function factor(logFactor, language) {
  if (logFactor > Math.log(MAX_FACTOR)) return LANGUAGES[language].million;
  const value = Math.exp(logFactor);
  return trimmed(value, value < 2 ? 2 : value < 10 ? 1 : 0, language);
}
