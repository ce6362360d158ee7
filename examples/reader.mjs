// A reference reader of the model document, for browsers and Node.js: docs/model_format.md says what it does.
// usage: node examples/reader.mjs artifacts/model.json '{"calls":85,"minutes":516.7,"messages":56,"mb_used":22696.96}'
// Several rows are given as a JSON list, a file of rows as @FILE; null is a missing value.

const ROUNDING = 6755399441055744; // 1.5 * 2 ** 52: added and subtracted, it rounds to a whole number
const INVERSE_LN2 = 1.4426950408889634;
const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
const HALVINGS = [1];
while (HALVINGS.length < 192) HALVINGS.push(HALVINGS[HALVINGS.length - 1] / 2);

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

export function binOf(feature, value) {
  if (value === null) return feature.missing_bin;
  const above = feature.cuts.findIndex((cut) => value <= cut);
  return above < 0 ? feature.cuts.length : above;
}

export function logOddsOf(model, usage) {
  const bins = Object.fromEntries(model.features.map((f) => [f.name, binOf(f, usage[f.name])]));
  let sum = model.constant;
  for (const feature of model.features) sum += feature.curve[bins[feature.name]];
  for (const { features: [first, second], values } of model.maps) sum += values[bins[first]][bins[second]];
  return sum;
}

export function thresholdOf({ value, segments }, usage) {
  if (!segments || usage[segments.feature] === null) return value;
  return segments.thresholds[segments.bounds.filter((bound) => bound <= usage[segments.feature]).length];
}

export function recommend(model, usage) {
  const probability = logistic(logOddsOf(model, usage));
  return { prediction: probability >= thresholdOf(model.threshold, usage) ? 1 : 0, probability_is_ultra: probability };
}

async function main([path, text]) {
  const { readFileSync } = await import("node:fs");
  const model = JSON.parse(readFileSync(path, "utf8"));
  const rows = JSON.parse(text.startsWith("@") ? readFileSync(text.slice(1), "utf8") : text);
  console.log(JSON.stringify(Array.isArray(rows) ? rows.map((row) => recommend(model, row)) : recommend(model, rows)));
}

if (globalThis.process?.argv[1]?.endsWith("reader.mjs")) await main(process.argv.slice(2));
