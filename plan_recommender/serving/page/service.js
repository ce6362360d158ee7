// What the page asks of the service, by URLs relative to its own, so that it works under any prefix of a proxy.

const BASE = new URL("../", import.meta.url);

/** The service cannot be reached, or answers with something else than the contract says. */
export class Unreachable extends Error {}

/** The service wants its API key, or refuses the one that was sent. */
export class KeyNeeded extends Error {}

let key = null; // kept in memory only

/** Send this API key with every request from now on. */
export function useKey(value) {
  key = value;
}

export const hasKey = () => key !== null;

export const urlOf = (path) => new URL(path, BASE).href;

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (key !== null && !/^[\x21-\x7e]+$/.test(key)) throw new KeyNeeded(); // no key has other characters
  if (key !== null) headers.Authorization = `Bearer ${key}`;
  let response;
  try {
    // "no-cache": the browser keeps the bytes and asks whether their digest is still the same.
    response = await fetch(urlOf(path), { cache: "no-cache", ...options, headers });
  } catch {
    throw new Unreachable(""); // no connection
  }
  if (response.status === 401) throw new KeyNeeded();
  if (!response.ok) throw new Unreachable(`${response.status} ${await problem(response)}`);
  try {
    return await response.json();
  } catch {
    throw new Unreachable("no JSON"); // a proxy's page, for instance
  }
}

async function problem(response) {
  try {
    return (await response.json()).error ?? "";
  } catch {
    return response.statusText;
  }
}

export const getDocument = () => ask("model/document");
export const getHabits = () => ask("model/habits");
export const getTariffs = () => ask("tariffs");

export function post(path, body, language) {
  const headers = { "Content-Type": "application/json", "Accept-Language": language };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) });
}

/** The command that asks the same; the key is named and not shown. */
export function curl(path, body, language) {
  const lines = [`curl -s '${urlOf(path)}'`, "-H 'Content-Type: application/json'"];
  if (path !== "predict") lines.push(`-H 'Accept-Language: ${language}'`);
  if (key !== null) lines.push('-H "Authorization: Bearer $PLAN_RECOMMENDER_API_KEY"');
  lines.push(`-d '${JSON.stringify(body).replace(/'/g, "'\\''")}'`);
  return lines.join(" \\\n  ");
}
