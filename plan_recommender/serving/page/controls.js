// The inputs: a slider and a number for each feature, the plan held, and the table of past months.
import { byId, el, say } from "./dom.js";
import { FEATURES } from "./model.js";
import { MAX_PAST_MONTHS, UNITS, isAmount } from "./state.js";
import { WORDS } from "./words.js";

export class Controls {
  /** `changed` is called after every change of `state`, with what was changed in words, if that is to be told. */
  constructor(state, changed) {
    this.state = state;
    this.changed = changed;
    byId("plan").addEventListener("change", (event) => {
      state.plan = event.target.value || null;
      changed();
    });
    byId("add_month").addEventListener("click", () => this.addMonth());
  }

  get words() {
    return WORDS[this.state.language];
  }

  /** Build the controls for a model, which says how far the sliders reach, and for the plans of the tariffs. */
  build(model, plans) {
    if (!plans.includes(this.state.plan)) this.state.plan = null; // a plan of other tariffs
    byId("sliders").replaceChildren(
      ...FEATURES.map((feature, i) => this.slider(feature, i, model.features[i].largest)),
    );
    const options = plans.map((plan) => el("option", { value: plan }, plan));
    byId("plan").replaceChildren(el("option", { value: "" }, this.words.no_plan), ...options);
    byId("plan").value = this.state.plan ?? "";
    this.buildMonths();
  }

  slider(feature, i, largest) {
    const { step, size } = UNITS[feature];
    const max = Math.ceil(largest / size / 10 + 0.01) * 10;
    const label = this.words[feature];
    const number = el("input", {
      type: "number",
      id: feature,
      min: 0,
      step: "any",
      inputmode: "decimal",
      "aria-describedby": `${feature}_wrong`,
    });
    const range = el("input", { type: "range", min: 0, max, step, "aria-label": this.words.slider(label) });
    const wrong = el("p", { class: "wrong", id: `${feature}_wrong`, role: "alert" });
    number.value = range.value = this.state.amounts[i];
    range.addEventListener("input", () => {
      number.value = range.value;
      this.take(i, number, wrong);
    });
    number.addEventListener("input", () => {
      if (this.take(i, number, wrong)) range.value = number.value;
    });
    const row = el("div", { class: "field" }, el("label", { for: feature }, label), number, range, wrong);
    return row;
  }

  /** Take the amount of an input into the state; what is no amount is told, and the last one stays. */
  take(i, input, wrong) {
    const amount = input.valueAsNumber;
    const good = isAmount(FEATURES[i], amount);
    say(wrong, good ? "" : this.words.invalid);
    input.toggleAttribute("aria-invalid", false);
    if (!good) input.setAttribute("aria-invalid", "true");
    else {
      this.state.amounts[i] = amount;
      this.changed();
    }
    return good;
  }

  addMonth() {
    const { past } = this.state;
    if (past.length >= MAX_PAST_MONTHS) {
      this.changed(this.words.months_full);
      return;
    }
    past.push([...this.state.amounts]);
    this.buildMonths();
    this.changed(this.words.month_added(past.length));
  }

  removeMonth(n) {
    this.state.past.splice(n, 1);
    this.buildMonths();
    const buttons = byId("months").querySelectorAll("button");
    (buttons[Math.min(n, buttons.length - 1)] ?? byId("add_month")).focus(); // or the keyboard would lose its place
    this.changed(this.words.month_removed(n + 1));
  }

  buildMonths() {
    const { words } = this;
    const { past } = this.state;
    const table = byId("months");
    byId("months_box").hidden = past.length === 0;
    const names = [words.month, ...FEATURES.map((feature) => words[`${feature}_short`]), words.remove_head];
    const heads = names.map((name) => el("th", { scope: "col" }, name));
    heads[heads.length - 1].replaceChildren(el("span", { class: "hidden" }, words.remove_head));
    table.tHead.replaceChildren(el("tr", {}, ...heads));
    table.tBodies[0].replaceChildren(
      ...past.map((amounts, n) => {
        const remove = el("button", { type: "button", "aria-label": words.remove(n + 1) }, "×");
        remove.addEventListener("click", () => this.removeMonth(n));
        const cells = FEATURES.map((feature, i) => el("td", {}, this.monthInput(amounts, n, feature, i)));
        return el("tr", {}, el("th", { scope: "row" }, words.month_number(n + 1)), ...cells, el("td", {}, remove));
      }),
    );
  }

  monthInput(amounts, n, feature, i) {
    const label = this.words.month_cell(n + 1, this.words[feature]);
    const input = el("input", { type: "number", min: 0, step: "any", inputmode: "decimal", "aria-label": label });
    input.value = amounts[i];
    input.addEventListener("input", () => {
      const good = isAmount(feature, input.valueAsNumber);
      if (good) {
        input.removeAttribute("aria-invalid");
        amounts[i] = input.valueAsNumber;
        this.changed();
      } else {
        input.setAttribute("aria-invalid", "true");
        this.changed(this.words.invalid);
      }
    });
    return input;
  }
}
