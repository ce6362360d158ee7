// What the page shows of a month: advice, recommendation, bills, reasons and pictures. It is built once for a model, its
// tariffs and a language; a change of usage only changes texts and attributes.
import { Curves, Maps } from "./charts.js";
import { byId, el, say, svg } from "./dom.js";
import { FEATURES } from "./model.js";
import { fixed, money } from "./numbers.js";
import { WORDS, percent } from "./words.js";

const ITEMS = ["fee", "minutes", "messages", "data", "total"];
const SUMMARY_PAUSE = 700; // ms until a screen reader is told, so that it is not told of each step of a slider

export class Results {
  constructor(model, adviser, language) {
    this.model = model;
    this.adviser = adviser;
    this.language = language;
    this.words = WORDS[language];
    this.curves = new Curves(byId("curves"), model, this.words, language);
    this.maps = new Maps(byId("maps"), model, this.words, language);
    this.reasons = FEATURES.map(() => reason());
    byId("reasons").replaceChildren(...this.reasons.map((each) => each.item));
    this.buildProbability();
    this.buildOutlook();
    this.buildBill();
    this.buildSaving();
    const { valid_from: since, currency } = adviser.tariffs;
    say(byId("footer"), this.words.footer(model.tag, since, currency));
  }

  /** An amount of money, in the currency's decimals if any. */
  amount(value, decimals = this.adviser.biller.decimals) {
    const units = Math.round(value * 10 ** this.adviser.biller.decimals);
    const shown = units % 10 ** this.adviser.biller.decimals === 0 ? 0 : decimals;
    return `${money(units, this.adviser.biller.decimals, shown, this.language)} ${this.adviser.tariffs.currency}`;
  }

  buildProbability() {
    const share = svg("rect", { class: "ultra", y: 0, height: 12, width: 0 });
    const mark = svg("path", { class: "mark", d: "" });
    const picture = svg(
      "svg",
      { viewBox: "0 0 100 12", preserveAspectRatio: "none", role: "img" },
      svg("rect", { class: "track", width: 100, height: 12 }),
      share,
      mark,
    );
    byId("probability").replaceChildren(picture);
    this.probability = { share, mark, picture };
  }

  buildOutlook() {
    this.outlooks = this.adviser.names.map((name) => {
      const range = svg("rect", { class: "range", y: 3, height: 6 });
      const expected = el("span", { class: "dot" });
      const [about, interval] = [el("strong"), el("span")];
      const picture = svg(
        "svg",
        { viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" },
        svg("rect", { class: "track", y: 5.5, width: 100, height: 1 }),
        range,
      );
      const row = el(
        "div",
        { class: "outlook" },
        el("span", { class: "name" }, name),
        el("div", { class: "plot" }, picture, expected),
        el("p", {}, about, " ", interval),
      );
      return { row, range, expected, about, interval };
    });
    byId("outlook").replaceChildren(...this.outlooks.map((each) => each.row));
  }

  buildBill() {
    const { words, adviser } = this;
    this.heads = adviser.names.map((name) => ({ name, mark: el("small") }));
    const head = el(
      "tr",
      {},
      el("th", { scope: "col" }, words.item),
      ...this.heads.map(({ name, mark }) => el("th", { scope: "col" }, name, el("br"), mark)),
    );
    this.cells = ITEMS.map((item) => adviser.names.map(() => el("td", item === "total" ? { class: "total" } : {})));
    const rows = ITEMS.map((item, r) => {
      const name = words[item === "fee" || item === "total" ? item : `bill_${item}`];
      return el("tr", {}, el("th", { scope: "row" }, name), ...this.cells[r]);
    });
    const table = byId("bill");
    table.tHead.replaceChildren(head);
    table.tBodies[0].replaceChildren(...rows);
  }

  buildSaving() {
    const { words } = this;
    this.saving = ["expected_saving", "saving_range", "saves_in"].map((name) => ({
      name: words[name],
      value: el("dd"),
    }));
    byId("saving").replaceChildren(...this.saving.flatMap(({ name, value }) => [el("dt", {}, name), value]));
  }

  /** Compute and show everything for one month and those before it. */
  show(usage, request) {
    const explained = this.model.explain(usage, this.language);
    const advice = this.adviser.advise(request, this.language);
    this.showAdvice(advice);
    this.showDecision(explained, usage);
    this.showReasons(explained);
    const values = FEATURES.map((name) => usage[name]);
    const bins = this.model.bins(values);
    const changes = Object.fromEntries(explained.contributions.map((each) => [each.feature, each.plan_changes_at]));
    this.curves.show(values, bins, changes);
    this.maps.show(values, bins);
    const said = this.words.summary(explained.recommended_plan, this.percent(explained), advice.sentence);
    clearTimeout(this.summary);
    this.summary = setTimeout(() => say(byId("summary"), said), SUMMARY_PAUSE);
  }

  percent(explained) {
    return percent(explained.probability_is_ultra, this.language);
  }

  showAdvice(advice) {
    const { words } = this;
    say(byId("advised"), words[advice.advice](advice.advised_plan));
    say(byId("bar_advice"), words[advice.advice](advice.advised_plan));
    say(byId("advice_sentence"), advice.sentence);
    byId("saving").hidden = advice.advice === "keep" || advice.plans.length === 1;
    const savings = [
      this.amount(advice.expected_saving),
      words.from_to(this.amount(advice.saving_low, 0), this.amount(advice.saving_high, 0)),
      words.of_100(advice.p_saves),
    ];
    this.saving.forEach(({ value }, i) => say(value, savings[i]));
    const largest = Math.max(...advice.plans.map((plan) => plan.high)) || 1;
    const least = Math.min(...advice.plans.map((plan) => plan.last_bill.total));
    advice.plans.forEach((plan, i) => {
      const { range, expected, about, interval } = this.outlooks[i];
      range.setAttribute("x", (98 * plan.low) / largest);
      range.setAttribute("width", Math.max((98 * (plan.high - plan.low)) / largest, 1));
      expected.style.left = `${(98 * plan.expected) / largest}%`;
      say(about, words.expected(this.amount(plan.expected, 0)));
      say(interval, words.interval(this.amount(plan.low, 0), this.amount(plan.high, 0)));
      ITEMS.forEach((item, r) => say(this.cells[r][i], this.amount(plan.last_bill[item])));
      say(this.heads[i].mark, plan.last_bill.total === least ? words.cheapest : "\u00a0");
    });
    say(byId("estimated"), advice.plans[0].last_bill.estimated ? words.estimated : "");
  }

  showDecision(explained, usage) {
    const { words, model } = this;
    const threshold = model.thresholds[model.bins(FEATURES.map((name) => usage[name]))[model.segmented]];
    const shown = this.percent(explained);
    say(byId("bar_probability"), `Ultra ${shown} %`);
    say(byId("recommended"), words.resembles(explained.recommended_plan));
    byId("recommended").className = `answer ${explained.recommended_plan.toLowerCase()}`;
    this.probability.share.setAttribute("width", 100 * explained.probability_is_ultra);
    this.probability.mark.setAttribute("d", `M${100 * threshold} 0V12`);
    this.probability.picture.setAttribute("aria-label", words.probability_label(shown));
    say(byId("probability_text"), words.probability(shown, percent(threshold, this.language)));
  }

  showReasons({ contributions }) {
    const largest = Math.max(1, ...contributions.map((each) => Math.abs(each.contribution)));
    contributions.forEach((each, i) => {
      const { bar, name, effect, sentence, change } = this.reasons[i];
      const size = (50 * Math.abs(each.contribution)) / largest;
      const plan = each.contribution < 0 ? "Smart" : "Ultra";
      bar.setAttribute("x", each.contribution < 0 ? 50 - size : 50);
      bar.setAttribute("width", size);
      bar.setAttribute("class", plan.toLowerCase());
      const points = fixed(Math.abs(each.effect_points), 1, this.language);
      say(name, this.words[each.feature]);
      say(effect, each.contribution === 0 ? this.words.no_effect : this.words.towards(points, plan));
      say(sentence, each.sentence);
      say(change, each.change);
    });
  }
}

function reason() {
  const bar = svg("rect", { y: 0, height: 12, x: 50, width: 0 });
  const picture = svg(
    "svg",
    { viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "track", width: 100, height: 12 }),
    bar,
    svg("path", { class: "mark", d: "M50 0V12" }),
  );
  const [name, effect] = [el("strong"), el("span", { class: "effect" })];
  const [sentence, change] = [el("p"), el("p", { class: "change" })];
  const item = el("li", {}, el("p", { class: "head" }, name, " ", effect), picture, sentence, change);
  return { item, bar, name, effect, sentence, change };
}
