// What the page shows: usage in people's units, kept in the URL's fragment so that a link carries it.
import { FEATURES } from "./model.js";

export const MAX_PAST_MONTHS = 35; // the service takes 36, and the last is the month of the sliders

/** For each feature: how many of its own units make one of people's, and the slider's step in people's units. */
export const UNITS = {
  calls: { name: "calls", size: 1, step: 1, decimals: 0 },
  minutes: { name: "hours", size: 60, step: 0.1, decimals: 1 },
  messages: { name: "messages", size: 1, step: 1, decimals: 0 },
  mb_used: { name: "gigabytes", size: 1024, step: 0.1, decimals: 1 },
};
const MAX_USAGE = 1e9;
const LANGUAGES = ["en", "es"];
const TYPICAL = [60, 7, 28, 16.7];

/** Turn an amount in people's units into the feature's own unit, to a hundredth. */
export function inUnits(feature, amount) {
  return Math.round(amount * UNITS[feature].size * 100) / 100;
}

/** The largest amount in people's units that the service takes, without its decimals. */
export const largestAmount = (feature) => Math.floor(MAX_USAGE / UNITS[feature].size);

/** Whether an amount in people's units is one that the service takes. */
export function isAmount(feature, amount) {
  return Number.isFinite(amount) && amount >= 0 && inUnits(feature, amount) <= MAX_USAGE;
}

/** One month in the fields of a request. */
export function usageOf(amounts) {
  return Object.fromEntries(FEATURES.map((feature, i) => [feature, inUnits(feature, amounts[i])]));
}

/** The request for advice: past months, then this one, named so that the last is the present month. */
export function adviceRequest(state, today = new Date()) {
  const all = [...state.past, state.amounts];
  const months = all.map((amounts, i) => {
    const first = new Date(Date.UTC(today.getFullYear(), today.getMonth() - all.length + 1 + i, 1));
    return { month: first.toISOString().slice(0, 7), ...usageOf(amounts) };
  });
  return { plan: state.plan, months };
}

/** Read a fragment; what it does not say, or says wrongly, has its default. `broken` is whether it says something wrongly. */
export function read(fragment) {
  const found = new URLSearchParams(fragment.replace(/^#/, ""));
  const [use, past, language] = [found.get("use"), found.get("past"), found.get("lang")];
  const amounts = use === null ? [...TYPICAL] : amountsOf(use);
  const months = past === null ? [] : past.split(";").map(amountsOf);
  return {
    amounts: amounts ?? [...TYPICAL],
    plan: found.get("plan") || null,
    past: months.filter(Boolean).slice(-MAX_PAST_MONTHS),
    language: LANGUAGES.includes(language) ? language : preferred(),
    broken: amounts === null || months.includes(null) || months.length > MAX_PAST_MONTHS,
  };
}

/** Write the fragment of a state. */
export function write(state) {
  const parts = [`use=${state.amounts.join(",")}`];
  if (state.plan !== null) parts.push(`plan=${encodeURIComponent(state.plan)}`);
  if (state.past.length) parts.push(`past=${state.past.map((amounts) => amounts.join(",")).join(";")}`);
  return `#${[...parts, `lang=${state.language}`].join("&")}`;
}

function amountsOf(text) {
  const amounts = text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));
  const good = amounts.length === FEATURES.length && amounts.every((amount, i) => isAmount(FEATURES[i], amount));
  return good ? amounts : null;
}

/** The first of the browser's languages that the page speaks; English if it speaks none of them. */
function preferred() {
  const names = (navigator.languages ?? []).map((language) => language.slice(0, 2).toLowerCase());
  return names.find((name) => LANGUAGES.includes(name)) ?? "en";
}
