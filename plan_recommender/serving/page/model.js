// The model, evaluated as plan_recommender/model does: only + - * / on doubles, so that every bit is the service's.
import { Sentences, changeSentence } from "./sentences.js";

export const FEATURES = ["calls", "minutes", "messages", "mb_used"];
export const PLANS = ["Smart", "Ultra"];
export const PAIRS = [
  [0, 1],
  [0, 2],
  [0, 3],
  [1, 2],
  [1, 3],
  [2, 3],
];

const ROUNDING = 6755399441055744; // 1.5 * 2 ** 52: added and subtracted, it rounds to a whole number
const INVERSE_LN2 = 1.4426950408889634;
const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
const HALVINGS = [1];
while (HALVINGS.length < 192) HALVINGS.push(HALVINGS[HALVINGS.length - 1] / 2);

/** The probability that belongs to log-odds within ±128, as in examples/reader.mjs, which is one file to be copied. */
export function logistic(logOdds) {
  const size = Math.abs(logOdds);
  const k = size * INVERSE_LN2 + ROUNDING - ROUNDING;
  const r = k * LN2_HIGH - size + k * LN2_LOW;
  const s = r * r;
  const even = ((s + 840) * s + 75600) * s + 665280;
  const odd = ((42 * s + 10080) * s + 332640) * r;
  const large = even - odd;
  const small = (even + odd) * HALVINGS[k];
  return (logOdds < 0 ? small : large) / (large + small);
}

/** What a contribution adds to the probability of Ultra, in percentage points. */
function effectPoints(probability, logOdds, contribution) {
  return 100 * (probability - logistic(logOdds - contribution));
}

/** The number of ascending values that are less than `value`. */
function below(values, value) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

const double = new Float64Array(1);
const bits = new BigUint64Array(double.buffer);

/** The double after one that is at least 0. */
function next(value) {
  double[0] = value;
  bits[0] += 1n;
  return double[0];
}

/** One registered model; its answers have the fields of the service's, and the same bits. */
export class Model {
  constructor(document, tag) {
    if (document.format !== "plan_recommender.tables" || document.schema_version !== 2) {
      throw new Error(`expected a model document of schema 2, found ${document.format} ${document.schema_version}`);
    }
    this.tag = tag;
    this.features = document.features;
    this.constant = document.constant;
    this.maps = document.maps.map((map) => map.values);
    this.threshold = document.threshold;
    this.starts = this.features.map((feature) => feature.cuts.map(next)); // the least value of each bin but the first
    this.sentences = new Sentences(document);
    const { segments } = document.threshold;
    this.segmented = segments ? FEATURES.indexOf(segments.feature) : 0;
    // The bins alone determine the threshold: the double before each bound is a cut.
    this.thresholds = segments
      ? [...this.features[this.segmented].cuts, Infinity].map(
          (largest) => segments.thresholds[segments.bounds.filter((bound) => bound <= largest).length],
        )
      : this.features[0].curve.map(() => document.threshold.value);
  }

  bins(values) {
    return values.map((value, i) => below(this.features[i].cuts, value));
  }

  logOdds(bins) {
    let sum = this.constant; // every sum is exact, in whatever order
    for (let i = 0; i < 4; i++) sum += this.features[i].curve[bins[i]];
    for (let p = 0; p < 6; p++) sum += this.maps[p][bins[PAIRS[p][0]]][bins[PAIRS[p][1]]];
    return sum;
  }

  isUltra(bins, logOdds) {
    return logistic(logOdds) >= this.thresholds[bins[this.segmented]];
  }

  /** What feature `i` adds in bin `b`: its curve and the maps that it is in. */
  along(i, bins, b) {
    let sum = this.features[i].curve[b];
    for (let p = 0; p < 6; p++) {
      const [first, second] = PAIRS[p];
      if (first === i) sum += this.maps[p][b][bins[second]];
      else if (second === i) sum += this.maps[p][bins[first]][b];
    }
    return sum;
  }

  /** The nearest value of feature `i` at which the other plan is recommended; null: there is none. */
  change(i, value, bins, logOdds) {
    const here = bins[i];
    const rest = logOdds - this.along(i, bins, here);
    const ultra = this.isUltra(bins, logOdds);
    const moved = [...bins];
    const turns = (b) => {
      moved[i] = b;
      return this.isUltra(moved, rest + this.along(i, bins, b)) !== ultra;
    };
    let before = here - 1;
    while (before >= 0 && !turns(before)) before--;
    let after = here + 1;
    while (after < this.features[i].curve.length && !turns(after)) after++;
    const low = before < 0 ? null : this.features[i].cuts[before];
    if (after === this.features[i].curve.length) return low;
    const high = this.starts[i][after - 1];
    return low === null || high - value < value - low ? high : low;
  }

  /** The answer of POST /predict. */
  predict(usage) {
    const bins = this.bins(FEATURES.map((name) => usage[name]));
    const logOdds = this.logOdds(bins);
    const probability = logistic(logOdds);
    const prediction = this.isUltra(bins, logOdds) ? 1 : 0;
    return {
      prediction,
      probability_is_ultra: probability,
      recommended_plan: PLANS[prediction],
      model: this.tag,
    };
  }

  /** The answer of POST /explain. */
  explain(usage, language = "en") {
    const { prediction, probability_is_ultra: probability } = this.predict(usage);
    const values = FEATURES.map((name) => usage[name]);
    const bins = this.bins(values);
    const logOdds = this.logOdds(bins);
    const contributions = FEATURES.map((feature, i) => {
      const contribution = (this.features[i].curve[bins[i]] + this.along(i, bins, bins[i])) / 2;
      const points = effectPoints(probability, logOdds, contribution);
      const words = this.sentences.words(i, values[i], bins[i], contribution, points, language);
      const change = this.change(i, values[i], bins, logOdds);
      return {
        feature,
        value: values[i],
        contribution,
        effect_points: points,
        sentence: words.sentence,
        few_training_rows: words.few,
        plan_changes_at: change,
        change: changeSentence(feature, change, PLANS[1 - prediction], language),
      };
    });
    contributions.sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
    return {
      prediction,
      probability_is_ultra: probability,
      recommended_plan: PLANS[prediction],
      log_odds: logOdds,
      base_value: this.constant,
      contributions,
      model: this.tag,
    };
  }
}
