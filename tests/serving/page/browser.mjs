// Uses the page in a real browser as people do, and writes what was seen: node browser.mjs SETTINGS OUTPUT
// test_page_in_a_browser.py starts the services, and says what has to be seen. The file is long because all uses are of
// one browser, whose start takes longer than most of them.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Proxy } from "./proxy.mjs";

const settings = JSON.parse(readFileSync(process.argv[2], "utf8"));
const require = createRequire(join(settings.modules, "x"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(join(settings.modules, "axe-core", "axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const USE = "#use=85,8.6,56,22.2&plan=Smart&past=80,8,40,18;91,10,61,24";
const ROUNDS = [3, 25]; // in which steps of sliders are measured: so many, and more while the machine is too busy
const FRAME = 16; // ms
const STEPS = 60;

const proxy = await new Proxy("/shop/desk", settings.plain).listen();
const browser = await chromium.launch({
  executablePath: settings.browser,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--hide-scrollbars"],
});
const complaints = []; // of the browser, for instance of the Content-Security-Policy

/** Open a page, and wait until it shows something. */
async function open(url, { width = 1280, locale = "en-GB", scheme = "light", wait = "#app" } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 800 }, locale, colorScheme: scheme });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000); // for a machine that is busy with other tests
  page.asked = [];
  page.on("request", (request) => page.asked.push(request.url()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // That an answer is a refusal or does not come is what some of the uses are about.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      complaints.push(message.text());
  });
  await page.goto(url);
  try {
    await page.locator(wait).waitFor();
  } catch (error) {
    throw new Error(`${wait} is not shown; the page says: ${await page.locator("body").innerText()}`, { cause: error });
  }
  return page;
}

const picture = (page, name) => page.screenshot({ path: join(settings.pictures, `${name}.png`) });
const text = (page, selector) => page.locator(selector).textContent();
const numbers = (page) =>
  page.locator("#sliders input[inputmode]").evaluateAll((all) => all.map((each) => each.value));

/** Everything on the page that follows from the inputs. */
const shown = (page) =>
  page.evaluate(() =>
    ["advised", "advice_sentence", "probability_text", "reasons", "bill", "outlook"]
      .map((id) => document.getElementById(id).textContent)
      .join("\n"),
  );

/** Press the button that compares with the server, and give what it says. */
async function check(page) {
  await page.locator("#check").click();
  await page.waitForFunction(() => /\d|:/.test(document.getElementById("checked").textContent));
  return text(page, "#checked");
}

const uses = {
  /** Every control changes what is shown, and after each the server says the same. */
  async controls() {
    const page = await open(`${settings.plain}/app${USE}`);
    const seen = [await shown(page)];
    const checks = [await check(page)];
    const after = async (act) => {
      await act();
      seen.push(await shown(page));
      checks.push(await check(page));
    };
    for (const name of ["calls", "minutes", "messages", "mb_used"]) {
      const field = page.locator(`.field:has(#${name})`);
      await after(() =>
        field.locator("input[type=range]").fill(name === "calls" ? "140" : name === "messages" ? "12" : "3.3"),
      );
      await after(() =>
        field
          .locator("input[inputmode]")
          .fill({ calls: "31", minutes: "21.7", messages: "88.5", mb_used: "45.25" }[name]),
      );
    }
    await after(() => page.locator("#plan").selectOption(""));
    await after(() => page.locator("#plan").selectOption("Ultra"));
    await after(() => page.locator("#add_month").click());
    await after(() => page.locator("#months tbody tr:first-child input").nth(3).fill("1.5"));
    await after(() => page.locator("#months tbody tr:nth-child(2) button").click());
    await page.waitForTimeout(300); // until the address is written
    const address = page.url();
    const again = await open(address);
    const same = (await shown(again)) === (await shown(page));
    await again.locator("button[data-language=es]").click();
    const spanish = {
      lang: await again.getAttribute("html", "lang"),
      title: await again.title(),
      shown: await shown(again),
      checked: await check(again),
    };
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    const curls = {};
    for (const path of ["predict", "explain", "advise"]) {
      await page.locator(`[data-curl=${path}]`).click();
      await page.waitForFunction(() => document.getElementById("copied").textContent);
      curls[path] = [
        await page.locator("#curl").inputValue(),
        await page.evaluate(() => navigator.clipboard.readText()),
      ];
    }
    return { seen, checks, address, same, spanish, curls };
  },

  /** What is typed: either decimal sign is understood, and what is no amount is told, kept out, and not acted on. */
  async typing() {
    const found = {};
    for (const [language, typed] of [
      ["es", "22,5"],
      ["es", "22.5"],
      ["es", "1.950"],
      ["en", "22,5"],
      ["en", "1,950"],
      ["en", "-1"],
      ["en", "1e10"],
      ["en", "1234567890"],
      ["en", ""],
    ]) {
      const page = await open(`${settings.plain}/app${USE}&lang=${language}`);
      const before = await shown(page);
      await page.locator("#mb_used").fill(typed);
      await page.waitForTimeout(300); // until the address is written
      found[`${language} ${typed}`] = {
        said: await text(page, "#mb_used_wrong"),
        invalid: await page.getAttribute("#mb_used", "aria-invalid"),
        same: (await shown(page)) === before,
        used: /use=[^&]*,([^&,]*)&/.exec(page.url())?.[1],
        slider: await page.locator(".field:has(#mb_used) input[type=range]").inputValue(),
      };
      await page.context().close();
    }
    const page = await open(`${settings.plain}/app${USE}`);
    await page.locator("#months tbody tr:first-child input").nth(3).fill("-1");
    const past = [await text(page, "#months_wrong")];
    await page.locator("#months tbody tr:first-child input").nth(3).fill("2");
    past.push(await text(page, "#months_wrong"));
    await page.locator("#calls").fill("-4");
    const refused = {};
    for (const [button, where] of [
      ["#check", "#checked"],
      ["#add_month", "#checked"],
      ["[data-curl=predict]", "#copied"],
    ]) {
      await page.locator(button).click();
      refused[button] = [
        await text(page, where),
        await page.evaluate(() => document.activeElement.id),
        await page.locator("#months tbody tr").count(),
      ];
    }
    await page.locator("button[data-language=es]").click();
    const kept = [await page.locator("#calls").inputValue(), await text(page, "#calls_wrong")];
    return { found, past, refused, kept };
  },

  /** An answer about inputs that have changed meanwhile is not told. */
  async late() {
    const page = await open(`${settings.plain}/app${USE}`);
    await page.route("**/advise", async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 600));
      await route.continue();
    });
    const answered = page.waitForResponse((response) => response.url().endsWith("/advise"));
    await page.locator("#check").click();
    await page.locator("#mb_used").fill("45");
    await answered;
    await page.waitForTimeout(200);
    const told = await text(page, "#checked");
    await page.unroute("**/advise");
    return { told, asked_again: await check(page) };
  },

  /** A link that cannot be read in full says so, until an input is changed. */
  async links() {
    const found = {};
    for (const fragment of ["#use=85;8,6;56;22,2", "#use=1e10,1,1,1", "#plan=smart", "#past=1,2,3", USE, ""]) {
      const page = await open(`${settings.plain}/app${fragment}`);
      found[fragment] = [await page.locator("#broken").isVisible()];
      await page.locator("#mb_used").fill("3");
      found[fragment].push(await page.locator("#broken").isVisible());
      await page.context().close();
    }
    return found;
  },

  /** The language is the browser's own, unless the address says another. */
  async languages() {
    const found = {};
    for (const [locale, fragment] of [
      ["es-MX", ""],
      ["de-DE", ""],
      ["es-ES", "#lang=en"],
    ]) {
      const page = await open(`${settings.plain}/app${fragment}`, { locale });
      found[locale + fragment] = [await page.getAttribute("html", "lang"), await text(page, "h1")];
      await page.context().close();
    }
    return found;
  },

  /** By the keyboard alone: what is focused, in what order, whether it is seen, and what keys do. */
  async keyboard() {
    const page = await open(`${settings.plain}/app${USE}`, { width: 360 });
    const stops = [];
    const focused = () =>
      page.evaluate(() => {
        const element = document.activeElement;
        const box = element.getBoundingClientRect();
        const bar = document.getElementById("bar").getBoundingClientRect();
        return {
          name:
            element.id ||
            element.dataset.language ||
            element.dataset.curl ||
            element.getAttribute("aria-label") ||
            element.className,
          outline: parseFloat(getComputedStyle(element).outlineWidth),
          seen: box.top >= 0 && box.top < bar.top,
        };
      });
    for (let stop = 0; stop < 60; stop++) {
      await page.keyboard.press("Tab");
      const found = await focused();
      if (found.name === "") break;
      stops.push(found);
      if (found.name === "advise") break;
    }
    const to = async (name, key) => {
      await page.evaluate(() => document.activeElement.blur());
      for (let stop = 0; stop < 60 && (await focused()).name !== name; stop++) await page.keyboard.press("Tab");
      await page.keyboard.press(key);
    };
    await page.evaluate(() => scrollTo(0, 0));
    await page.locator("h1").click();
    const start = await numbers(page);
    await to("Data (GB), slider", "ArrowRight");
    const slid = await numbers(page);
    await to("add_month", "Enter");
    const months = await page.locator("#months tbody tr").count();
    await to("Remove past month 1", "Space");
    const fewer = await page.locator("#months tbody tr").count();
    const kept = (await focused()).name;
    await to("check", "Enter");
    await page.waitForFunction(() => /\d/.test(document.getElementById("checked").textContent));
    return { stops, start, slid, months, fewer, kept, checked: await text(page, "#checked") };
  },

  /** At 360 pixels nothing scrolls sideways but tables within themselves. */
  async narrow() {
    const found = {};
    for (const language of ["en", "es"]) {
      const page = await open(`${settings.plain}/app${USE}&lang=${language}`, { width: 360 });
      found[language] = await page.evaluate(() => ({
        width: document.documentElement.scrollWidth,
        smallest: Math.min(
          ...[...document.querySelectorAll("p, td, th, span, button, label, small, dt, dd, li")]
            .filter((e) => e.textContent.trim() && !e.closest(".hidden"))
            .map((e) => parseFloat(getComputedStyle(e).fontSize)),
        ),
        bar: getComputedStyle(document.getElementById("bar")).display,
      }));
      await page.context().close();
    }
    return found;
  },

  /** Behind a proxy that adds a prefix. */
  async prefix() {
    proxy.to(settings.plain);
    const page = await open(`${proxy.url}/app${USE}`);
    const checked = await check(page);
    return { checked, asked: page.asked, prefix: proxy.url };
  },

  /** With an API key: it is asked for, a wrong one is told, and it is written nowhere. */
  async key() {
    const page = await open(`${settings.guarded}/app${USE}`, { wait: "#key" });
    const hidden = await page.locator("#app").isHidden();
    const focused = await page.evaluate(() => document.activeElement.id);
    await page.locator("#key_value").fill("not-the-right-key");
    await page.locator("#key button").click();
    await page.locator("#key_wrong").waitFor();
    await picture(page, "key");
    await page.locator("#key_value").fill(settings.key);
    await page.keyboard.press("Enter");
    await page.locator("#app").waitFor();
    const checked = await check(page);
    await page.locator("[data-curl=predict]").click();
    const curl = await page.locator("#curl").inputValue();
    const stored = await page.evaluate((key) => {
      const written = [location.href, document.cookie, ...Object.values({ ...localStorage, ...sessionStorage })];
      return (
        [document.documentElement.outerHTML, ...written].some((each) => each.includes(key)) ||
        document.getElementById("key_value").value !== ""
      );
    }, settings.key);
    return { hidden, focused, gone: await page.locator("#key").isHidden(), checked, curl, stored };
  },

  /** The service goes away and comes back while the page is open, and is away when it is opened. */
  async gone() {
    proxy.to(settings.plain);
    const page = await open(`${proxy.url}/app${USE}`);
    await page.locator("#calls").fill("99");
    proxy.to(null);
    await page.locator("#check").click();
    await page.locator("#gone").waitFor();
    const notice = await text(page, "#gone span");
    await picture(page, "gone");
    const kept = await numbers(page);
    const before = await shown(page);
    await page.locator("#mb_used").fill("44");
    const computes = (await shown(page)) !== before;
    proxy.to(settings.plain);
    await page.locator("#gone button").click();
    await page.locator("#gone").waitFor({ state: "hidden" });
    const back = await check(page);
    proxy.to(settings.plain, { only: "/app" });
    const early = await open(`${proxy.url}/app${USE}&lang=es`, { wait: "#gone" });
    const earlyNotice = await text(early, "#gone span");
    proxy.to(settings.plain);
    await early.locator("#gone button").click();
    await early.locator("#app").waitFor();
    return { notice, kept, computes, back, early: earlyNotice, loaded: await numbers(early) };
  },

  /** Another model and other tariffs are served while the page is open. */
  async swapped() {
    proxy.to(settings.plain);
    const page = await open(`${proxy.url}/app${USE}`);
    const before = { shown: await shown(page), footer: await text(page, "#footer") };
    proxy.to(settings.guarded, { key: settings.key });
    const different = await check(page);
    await page.locator("#swapped").waitFor();
    const notice = await text(page, "#swapped span");
    await picture(page, "swapped");
    const inputs = await numbers(page);
    const still = (await shown(page)) === before.shown;
    await page.locator("#swapped button").click();
    await page.locator("#swapped").waitFor({ state: "hidden" });
    const after = { shown: await shown(page), footer: await text(page, "#footer") };
    const checked = await check(page);
    // The page also looks by itself, when it is looked at again and now and then.
    proxy.to(settings.plain);
    await page.evaluate(() => dispatchEvent(new Event("focus")));
    await page.locator("#swapped").waitFor();
    return {
      before,
      different,
      notice,
      still,
      after,
      checked,
      kept: JSON.stringify(inputs) === JSON.stringify(await numbers(page)),
    };
  },

  /** What one step of a slider takes, from the event to a page that is laid out. */
  async frames() {
    const page = await open(`${settings.plain}/app${USE}`);
    const measure = async (steps) => {
      const sliders = [...document.querySelectorAll("#sliders input[type=range]")];
      const [work, frames] = [[], []];
      let last = await new Promise(requestAnimationFrame);
      for (let step = 0; step < steps; step++) {
        const slider = sliders[step % 4];
        const start = performance.now();
        slider.value = String((Number(slider.max) * ((step * 7) % 101)) / 100);
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        document.body.getBoundingClientRect(); // has the browser lay the page out now
        work.push(performance.now() - start);
        const now = await new Promise(requestAnimationFrame);
        frames.push(now - last);
        last = now;
      }
      const at = (values, share) => values.sort((a, b) => a - b)[Math.ceil(share * values.length) - 1];
      return Object.fromEntries(
        Object.entries({ work, frames }).map(([name, values]) => [
          name,
          [at(values, 0.5), at(values, 0.95), at(values, 1)],
        ]),
      );
    };
    const rounds = [];
    const best = () => Math.min(...rounds.map((round) => round.work[1]));
    while (rounds.length < ROUNDS[0] || (rounds.length < ROUNDS[1] && best() > FRAME)) {
      rounds.push(await page.evaluate(measure, STEPS));
    }
    return rounds;
  },

  /** What axe finds wrong, in every look, and that it finds what is wrong. */
  async accessibility() {
    const found = {};
    const run = async (page) => {
      await page.evaluate(AXE);
      const { violations } = await page.evaluate((tags) => window.axe.run(document, { runOnly: tags }), RULES);
      return violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.html.slice(0, 120)).join(" | ")}`);
    };
    for (const [width, language, scheme] of [
      [1280, "en", "light"],
      [360, "es", "light"],
      [1280, "es", "dark"],
      [360, "en", "dark"],
    ]) {
      const page = await open(`${settings.plain}/app${USE}&lang=${language}`, { width, scheme });
      await check(page);
      await page.locator("[data-curl=advise]").click();
      found[`${width} ${language} ${scheme}`] = await run(page);
      await page.locator("#curl").evaluate((element) => (element.hidden = true));
      await page.screenshot({ path: join(settings.pictures, `${width}-${language}-${scheme}.png`), fullPage: true });
      await page.context().close();
    }
    const locked = await open(`${settings.guarded}/app`, { wait: "#key", width: 360 });
    found.key = await run(locked);
    const page = await open(`${settings.plain}/app`);
    await page.evaluate(() => document.querySelector("label[for=calls]").remove());
    return { found, control: await run(page) };
  },
};

const seen = {};
for (const [name, use] of Object.entries(uses)) {
  if (settings.only && !settings.only.includes(name)) continue;
  const start = performance.now();
  seen[name] = await use();
  for (const context of browser.contexts()) await context.close();
  console.error(`${name}: ${Math.round(performance.now() - start)} ms`);
}
await browser.close();
proxy.close();
writeFileSync(process.argv[3], JSON.stringify({ ...seen, complaints }));
