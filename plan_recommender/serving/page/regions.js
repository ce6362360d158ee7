// How common usage is among the subscribers of each plan: the training rows beside each bin of a feature, as
// plan_recommender/model/regions.py finds them.

/** Fewer training rows than this are too few to trust what the model says about them. */
export const FEW_ROWS = 30;
const SIMILAR_SHARE = 0.1;
const FAR_FROM_TYPICAL = 0.25;

export const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Find, for each bin, the training rows whose usage is like that in the bin, as model/regions.py says. */
export function regions(feature) {
  const known = feature.smart_rows.map((rows, b) => rows + feature.ultra_rows[b]);
  let soFar = 0;
  const below = known.map((rows) => (soFar += rows));
  const total = soFar;
  const fewOfAPlan = Math.min(sum(feature.smart_rows), sum(feature.ultra_rows)) < FEW_ROWS;
  const target = Math.max(total * SIMILAR_SHARE, FEW_ROWS);
  return known.map((rows, b) => {
    const above = total - below[b] + rows;
    let [first, last] = below[b] <= above ? [0, b] : [b, known.length - 1];
    if (Math.min(below[b], above) > target) [first, last] = around(known, b, target);
    return {
      first,
      last,
      smart: sum(feature.smart_rows.slice(first, last + 1)),
      ultra: sum(feature.ultra_rows.slice(first, last + 1)),
      few: fewOfAPlan || Math.min(below[b], above) < FEW_ROWS,
      low: below[b] <= total * FAR_FROM_TYPICAL,
      high: above <= total * FAR_FROM_TYPICAL,
    };
  });
}

function around(known, b, target) {
  let [first, last, low, high] = [b, b, 0, 0];
  while (low + known[b] + high < target) {
    if (first > 0 && (low <= high || last === known.length - 1)) low += known[--first];
    else high += known[++last];
  }
  return [first, last];
}
