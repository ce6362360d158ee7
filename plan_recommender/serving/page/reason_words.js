// The words of the sentences in sentences.js, in English as plan_recommender/model/sentences.py has them, and in Spanish.
import { fixed } from "./numbers.js";

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
    whole === 0
      ? "less than one percentage point"
      : whole === 1
        ? "one percentage point"
        : whole < 100
          ? `${whole} percentage points`
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
  months: (rows) => (rows === 0 ? "ningún mes" : rows === 1 ? "un solo mes" : `solo ${fixed(rows, 0, "es")} meses`),
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
  small: (points) =>
    `; esto cambia la probabilidad de Ultra ${points} y su razón de probabilidades (odds) un 5 % como máximo.`,
  points: (whole) =>
    whole === 0
      ? "menos de un punto porcentual"
      : whole === 1
        ? "un punto porcentual"
        : whole < 100
          ? `${whole} puntos porcentuales`
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

export const LANGUAGES = { en: ENGLISH, es: SPANISH };
