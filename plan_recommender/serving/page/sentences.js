// What a contribution and a change of plan say, in one sentence. In English they are the sentences of POST /explain, as
// plan_recommender/model/sentences.py and regions.py write them; the service has none in Spanish, so these are the page's.
import { fixed, trimmed } from "./numbers.js";

const FEW_ROWS = 30;
const SIMILAR_SHARE = 0.1;
const FAR_FROM_TYPICAL = 0.25;
const LOG_HARDLY = Math.log(1.05);
const BILLION = 1e9;
const LARGEST_EDGE = 1e15;
const SMALLEST_EDGE = 1e-6;
const MAX_FACTOR = 1e6;
const MUCH_LESS = 0.5;

const ENGLISH = {
  nouns: {
    calls: ["calls", "call"],
    minutes: ["minutes of calls", "minute of calls"],
    messages: ["text messages", "text message"],
    mb_used: ["MB of data", "MB of data"],
  },
  counted: (noun) => noun.replace(/ of (calls|data)$/, ""),
  used: { calls: "made", minutes: "had", messages: "sent", mb_used: "used" },
  any: {
    calls: "number of calls",
    minutes: "number of minutes",
    messages: "number of text messages",
    mb_used: "amount of data",
  },
  typical: (median) => ` this month (typical: ${median}) `,
  speak: (one, plan) => `${one ? "speaks" : "speak"} for ${plan}`,
  matter: (one) => (one ? "hardly matters" : "hardly matter"),
  none: (noun) => `no ${noun}`,
  atMost: (end) => `at most ${end}`,
  atLeast: (end) => `at least ${end}`,
  lessThan: (end) => `less than ${end}`,
  moreThan: (end) => `more than ${end}`,
  exactly: (end) => `exactly ${end}`,
  about: (end) => `about ${end}`,
  between: (low, high) => `between ${low} and ${high}`,
  did: (verb, span) => `${verb} ${span.text}`,
  alike: ": all of the training table falls into one range",
  together: (did, share) =>
    ` together with the other values: in the training table, subscribers of both plans ${did} in ${share}`,
  although: (plan, other, did, there, rarer) =>
    ` together with the other values, although in the training table ${other} subscribers ${did} more often, ` +
    `in ${there}, and ${plan} subscribers in ${rarer}`,
  because: (unexpected, plan, other, did, here, rarer) =>
    `${unexpected ? ", as the model learned from the training table: there," : ": in the training table,"} ` +
    `${plan} subscribers ${did} in ${here} and ${other} subscribers in ${rarer}`,
  both: (did, share) => `: in the training table, subscribers of both plans ${did} in ${share}`,
  neither: (beside, high, low, did, often, rarer) =>
    `${beside ? " next to the other values" : ""}: in the training table, ${high} subscribers ${did} in ${often} ` +
    `and ${low} subscribers in ${rarer}`,
  warned: (reason) => `, but there is little to go on: ${reason}`,
  scarce: (months) => `the training table has ${months}`,
  and: " and ",
  on: (months, plan) => `${months} on ${plan}`,
  months: (rows) => (rows === 0 ? "no month" : rows === 1 ? "only one month" : `only ${fixed(rows, 0)} months`),
  few: (rows, total, span, who) =>
    `${rows === 1 ? "only one" : `only ${rows}`} of the ${fixed(total, 0)} months in the training table had ` +
    `${span.text}, ${who}`,
  one: (plan) => `which was on ${plan}`,
  all: (plan) => `all of them on ${plan}`,
  some: (smart, ultra) => `${smart} on Smart and ${ultra} on Ultra`,
  guess: (usage) => `, but this is a guess: no month in the training table had ${usage}`,
  share: (share, whose = "their months") => {
    if (share === 0 || share === 1) return `${share ? "all" : "none"} of ${whose}`;
    const percent = fixed(share * 100, 0);
    return `${{ 0: "less than 1", 100: "more than 99" }[percent] ?? percent}% of ${whose}`;
  },
  rarer: (only, share) => (only ? "only " : "") + ENGLISH.share(share, "theirs"),
  effect: (plan, points, factor) =>
    `; this raises the probability of ${plan} by ${points} and multiplies its odds by ${factor}.`,
  nothing: "; this changes neither the probability nor the odds.",
  small: (points) => `; this changes the probability of Ultra by ${points} and its odds by 5% at most.`,
  points: (whole) =>
    whole === 0 ? "less than one percentage point"
    : whole === 1 ? "one percentage point"
    : whole < 100 ? `${whole} percentage points`
    : "more than 99 percentage points",
  manyAmounts: "more than a billion",
  tiny: "less than 0.01",
  power: (exponent) => `10 to the power of ${exponent}`,
  billions: (number) => `${number} billion`,
  million: "more than a million",
  noChange: (feature) => `Everything else equal, no ${ENGLISH.any[feature]} would change the plan.`,
  changes: (feature, plan, where) =>
    `Everything else equal, the nearest ${ENGLISH.any[feature]} at which ${plan} would be recommended is ${where}.`,
  justAbove: "just above 0",
};

const SPANISH = {
  ...ENGLISH,
  nouns: {
    calls: ["llamadas", "llamada"],
    minutes: ["minutos de llamadas", "minuto de llamadas"],
    messages: ["mensajes de texto", "mensaje de texto"],
    mb_used: ["MB de datos", "MB de datos"],
  },
  counted: (noun) => noun.replace(/ de (llamadas|datos)$/, ""),
  used: { calls: "hicieron", minutes: "hablaron", messages: "enviaron", mb_used: "usaron" },
  any: {
    calls: "número de llamadas",
    minutes: "número de minutos",
    messages: "número de mensajes de texto",
    mb_used: "volumen de datos",
  },
  typical: (median) => ` este mes (lo habitual: ${median}) `,
  speak: (one, plan) => `${one ? "apunta" : "apuntan"} a ${plan}`,
  matter: (one) => (one ? "apenas influye" : "apenas influyen"),
  none: (noun) => `cero ${noun}`,
  atMost: (end) => `como máximo ${end}`,
  atLeast: (end) => `al menos ${end}`,
  lessThan: (end) => `menos de ${end}`,
  moreThan: (end) => `más de ${end}`,
  exactly: (end) => `exactamente ${end}`,
  about: (end) => `cerca de ${end}`,
  between: (low, high) => `entre ${low} y ${high}`,
  did: (verb, span) => (span.none ? `no ${verb} ${span.text.slice("cero ".length)}` : `${verb} ${span.text}`),
  alike: ": toda la tabla de entrenamiento cae en un solo intervalo",
  together: (did, share) =>
    ` junto con los demás valores: en la tabla de entrenamiento, los abonados de ambos planes ${did} en ${share}`,
  although: (plan, other, did, there, rarer) =>
    ` junto con los demás valores, aunque en la tabla de entrenamiento los abonados de ${other} ${did} más a menudo, ` +
    `en ${there}, y los de ${plan} ${rarer}`,
  because: (unexpected, plan, other, did, here, rarer) =>
    `${unexpected ? ", según lo que el modelo aprendió: en la tabla de entrenamiento," : ": en la tabla de entrenamiento,"} ` +
    `los abonados de ${plan} ${did} en ${here} y los de ${other} ${rarer}`,
  both: (did, share) => `: en la tabla de entrenamiento, los abonados de ambos planes ${did} en ${share}`,
  neither: (beside, high, low, did, often, rarer) =>
    `${beside ? " junto a los demás valores" : ""}: en la tabla de entrenamiento, los abonados de ${high} ${did} en ${often} ` +
    `y los de ${low} ${rarer}`,
  warned: (reason) => `, pero hay pocos datos: ${reason}`,
  scarce: (months) => `la tabla de entrenamiento tiene ${months}`,
  and: " y ",
  on: (months, plan) => `${months} de ${plan}`,
  months: (rows) =>
    rows === 0 ? "ningún mes" : rows === 1 ? "un solo mes" : `solo ${fixed(rows, 0, "es")} meses`,
  few: (rows, total, span, who) =>
    `${rows === 1 ? "solo uno" : `solo ${rows}`} de los ${fixed(total, 0, "es")} meses de la tabla de entrenamiento ` +
    `${rows === 1 ? "tiene" : "tienen"} ${span.text}, ${who}`,
  one: (plan) => `y era de ${plan}`,
  all: (plan) => `todos de ${plan}`,
  some: (smart, ultra) => `${smart} de Smart y ${ultra} de Ultra`,
  guess: (usage) => `, pero es una conjetura: ningún mes de la tabla de entrenamiento tiene ${usage}`,
  share: (share, whose = "sus meses") => {
    if (share === 0) return `ninguno de ${whose}`;
    if (share === 1) return whose === "sus meses" ? "todos sus meses" : `todos ${whose.slice(3)}`;
    const percent = fixed(share * 100, 0);
    return `${{ 0: "menos del 1", 100: "más del 99" }[percent] ?? `el ${percent}`} % de ${whose}`;
  },
  rarer: (only, share) => `${only ? "solo en" : "en"} ${SPANISH.share(share, "los suyos")}`,
  effect: (plan, points, factor) =>
    `; esto sube la probabilidad de ${plan} ${points} y multiplica su razón de probabilidades (odds) por ${factor}.`,
  nothing: "; esto no cambia ni la probabilidad ni la razón de probabilidades (odds).",
  small: (points) => `; esto cambia la probabilidad de Ultra ${points} y su razón de probabilidades (odds) un 5 % como máximo.`,
  points: (whole) =>
    whole === 0 ? "menos de un punto porcentual"
    : whole === 1 ? "un punto porcentual"
    : whole < 100 ? `${whole} puntos porcentuales`
    : "más de 99 puntos porcentuales",
  manyAmounts: "más de mil millones",
  tiny: "menos de 0,01",
  power: (exponent) => `10 elevado a ${exponent}`,
  billions: (number) => `${number} mil millones`,
  million: "más de un millón",
  noChange: (feature) => `A igualdad de lo demás, ningún ${SPANISH.any[feature]} cambiaría el plan.`,
  changes: (feature, plan, where) =>
    `A igualdad de lo demás, el ${SPANISH.any[feature]} más cercano con el que se recomendaría ${plan} es ${where}.`,
  justAbove: "justo por encima de 0",
};

const LANGUAGES = { en: ENGLISH, es: SPANISH };

const sum = (values) => values.reduce((total, value) => total + value, 0);

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
  const where = change > 0 && change < 0.01 ? words.justAbove
    : change ? `${words.about(amount(change, language))}${unit}` : "0";
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
    const [low, high] = shares.Smart <= shares.Ultra && shares.Smart !== shares.Ultra ? ["Smart", "Ultra"] : ["Ultra", "Smart"];
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

/** Find, for each bin, the training rows whose usage is like that in the bin, as model/regions.py says. */
function regions(feature) {
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
