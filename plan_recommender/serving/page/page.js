// The page: loads the model and the tariffs, shows what they say of the month that is set, and watches for newer ones.
import { focusRefused } from "./amounts.js";
import { Adviser } from "./billing.js";
import { Controls } from "./controls.js";
import { byId, say } from "./dom.js";
import { Model } from "./model.js";
import { Results } from "./results.js";
import * as service from "./service.js";
import { adviceRequest, read, usageOf, write } from "./state.js";
import { WORDS } from "./words.js";

const WATCH_EVERY = 20_000; // ms between two looks at what is served
const FRAGMENT_PAUSE = 200; // ms: browsers refuse a page that writes its address for every step of a slider

const state = read(location.hash);
const controls = new Controls(state, (said) => {
  state.broken = false;
  changed(said);
});
let loaded = null; // { model, adviser, results }
let served = null; // newer documents, found by watching
let problem = null; // why the service does not answer
let fragment = null;
let changes = 0; // of what is shown, so that an answer about something else is not told

const words = () => WORDS[state.language];

function speak() {
  document.documentElement.lang = state.language;
  document.title = words().page_title;
  for (const element of document.querySelectorAll("[data-text]")) say(element, words()[element.dataset.text]);
  for (const button of document.querySelectorAll("[data-language]")) {
    button.setAttribute("aria-pressed", String(button.dataset.language === state.language));
  }
  for (const button of document.querySelectorAll("[data-curl]")) {
    button.setAttribute("aria-label", words().curl(button.dataset.curl));
  }
  byId("curl").setAttribute("aria-label", words().curl_label);
  tell();
}

/** Show what was found out about the service. */
function tell() {
  const { gone, gone_early: early, new_model: model, new_tariffs: tariffs } = words();
  byId("gone").hidden = problem === null;
  say(
    byId("gone").firstElementChild,
    problem === null ? "" : (loaded ? gone : early)(problem || words().no_connection),
  );
  byId("swapped").hidden = served === null;
  if (served === null) return;
  const here = loaded.model.tag;
  const said = served.habits.model === here ? tariffs(served.tariffs.valid_from) : model(served.habits.model, here);
  say(byId("swapped").firstElementChild, said);
}

function changed(said) {
  changes++;
  byId("broken").hidden = !state.broken;
  if (said !== undefined) say(byId("checked"), said);
  else if (byId("checked").textContent) say(byId("checked"), "");
  if (!loaded) return;
  loaded.results.show(usageOf(state.amounts), adviceRequest(state));
  byId("curl").hidden = true;
  if (byId("copied").textContent) say(byId("copied"), "");
  clearTimeout(fragment);
  fragment = setTimeout(() => history.replaceState(null, "", write(state)), FRAGMENT_PAUSE);
}

/** Build the page for what is loaded, in the language that is set. */
function build() {
  loaded.results = new Results(loaded.model, loaded.adviser, state.language);
  controls.build(loaded.model, loaded.adviser.names);
  byId("app").hidden = byId("bar").hidden = false;
  changed();
}

async function load() {
  byId("loading").hidden = false;
  try {
    const [document, habits, tariffs] = await Promise.all([
      service.getDocument(),
      service.getHabits(),
      service.getTariffs(),
    ]);
    if (habits.model !== (await service.getHabits()).model) return await load(); // swapped in between
    loaded = { model: new Model(document, habits.model), adviser: new Adviser(tariffs, habits) };
    [served, problem] = [null, null];
    byId("key").hidden = true;
    tell();
    build();
  } catch (error) {
    failed(error);
  } finally {
    byId("loading").hidden = true;
  }
}

/** Look whether the service has another model or other tariffs by now. */
async function watch() {
  if (!loaded) return;
  try {
    const [habits, tariffs] = await Promise.all([service.getHabits(), service.getTariffs()]);
    const same = habits.model === loaded.model.tag && tariffs.sha256 === loaded.adviser.tariffs.sha256;
    served = same ? null : { habits, tariffs };
    problem = null;
    byId("key").hidden = true;
    tell();
  } catch (error) {
    failed(error);
  }
}

function failed(error) {
  if (error instanceof service.KeyNeeded) {
    const first = byId("key").hidden;
    byId("key").hidden = false;
    byId("key_wrong").hidden = !service.hasKey();
    if (first && !loaded) byId("key_value").focus();
    problem = null;
  } else if (error instanceof service.Unreachable) {
    problem = error.message;
  } else {
    problem = String(error);
    console.error(error);
  }
  tell();
}

/** Name where two answers differ; count the numbers and texts that are the same. */
function compare(here, there, where, found) {
  if (typeof here === "object" && here !== null && typeof there === "object" && there !== null) {
    const names = new Set([...Object.keys(here), ...Object.keys(there)]);
    for (const name of names) compare(here[name], there[name], where ? `${where}.${name}` : name, found);
  } else if (!Object.is(here, there)) found.different.push(where);
  else if (typeof here === "number") found.numbers++;
  else if (typeof here === "string") found.texts++;
}

async function check() {
  if (focusRefused()) {
    say(byId("checked"), words().first_correct);
    return;
  }
  const asked = changes;
  say(byId("checked"), words().checking);
  const [usage, request] = [usageOf(state.amounts), adviceRequest(state)];
  const { model, adviser } = loaded;
  try {
    const answers = await Promise.all([
      service.post("predict", usage, state.language),
      service.post("explain", usage, state.language),
      service.post("advise", request, state.language),
    ]);
    const own = [
      model.predict(usage),
      model.explain(usage, state.language),
      adviser.advise(request, state.language),
    ];
    if (asked !== changes) return; // the inputs have changed meanwhile
    const found = { different: [], numbers: 0, texts: 0 };
    ["predict", "explain", "advise"].forEach((path, i) => compare(own[i], answers[i], path, found));
    const { different, same } = words();
    say(
      byId("checked"),
      found.different.length ? different(found.different.join(", ")) : same(found.numbers, found.texts),
    );
    await watch();
  } catch (error) {
    if (asked === changes) say(byId("checked"), "");
    failed(error);
  }
}

async function copyCurl(path) {
  if (focusRefused()) {
    say(byId("copied"), words().first_correct);
    return;
  }
  const body = path === "advise" ? adviceRequest(state) : usageOf(state.amounts);
  const command = service.curl(path, body, state.language);
  byId("curl").value = command;
  byId("curl").hidden = false;
  try {
    await navigator.clipboard.writeText(command);
    say(byId("copied"), words().copied);
  } catch {
    byId("curl").select(); // pages that came over plain HTTP may not write into the clipboard
    say(byId("copied"), words().copy_by_hand);
  }
}

for (const button of document.querySelectorAll("[data-language]")) {
  button.addEventListener("click", () => {
    state.language = button.dataset.language;
    speak();
    if (loaded) build();
  });
}
for (const button of document.querySelectorAll("[data-curl]")) {
  button.addEventListener("click", () => copyCurl(button.dataset.curl));
}
byId("check").addEventListener("click", check);
byId("gone")
  .querySelector("button")
  .addEventListener("click", () => (loaded ? watch() : load()));
byId("swapped")
  .querySelector("button")
  .addEventListener("click", async () => {
    await load();
    if (served === null) say(byId("checked"), words().loaded);
  });
byId("key").addEventListener("submit", (event) => {
  event.preventDefault();
  service.useKey(byId("key_value").value);
  byId("key_value").value = "";
  if (loaded) watch();
  else load();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => loaded?.results.maps.paint());
addEventListener("hashchange", () => {
  Object.assign(state, read(location.hash));
  speak();
  if (loaded) build();
});
addEventListener("focus", watch);
setInterval(watch, WATCH_EVERY);

speak();
load();
