// The inputs: a slider and a number for each feature, the plan held, and the table of past months.
import { amountInput, focusRefused, type } from "./amounts.js";
import { byId, el, say } from "./dom.js";
import { FEATURES } from "./model.js";
import { MAX_PAST_MONTHS, UNITS } from "./state.js";
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
    if (this.state.plan !== null && !plans.includes(this.state.plan)) {
      this.state.plan = null; // a plan of other tariffs, or of a link that was mistyped
      this.state.broken = true;
    }
    byId("sliders").replaceChildren(
      ...FEATURES.map((feature, i) => this.slider(feature, i, model.features[i].largest)),
    );
    const options = plans.map((plan) => el("option", { value: plan }, plan));
    byId("plan").replaceChildren(el("option", { value: "" }, this.words.no_plan), ...options);
    byId("plan").value = this.state.plan ?? "";
    this.buildMonths();
  }

  slider(feature, i, largest) {
    const { state, words } = this;
    const { step, size } = UNITS[feature];
    const max = Math.ceil(largest / size / 10 + 0.01) * 10;
    const label = words[feature];
    const range = el("input", { type: "range", min: 0, max, step, "aria-label": words.slider(label) });
    const told = el("p", { class: "wrong", id: `${feature}_wrong`, role: "alert" });
    const { input, wrong } = amountInput(state.amounts, i, {
      language: state.language,
      words,
      attributes: { id: feature, "aria-describedby": `${feature}_wrong` },
      taken: (wrong) => {
        say(told, wrong);
        if (wrong) return;
        range.value = state.amounts[i];
        this.changed();
      },
    });
    say(told, wrong);
    range.value = state.amounts[i];
    range.addEventListener("input", () => type(input, range.valueAsNumber, state.language));
    return el("div", { class: "field" }, el("label", { for: feature }, label), input, range, told);
  }

  addMonth() {
    const { past } = this.state;
    if (past.length >= MAX_PAST_MONTHS || focusRefused()) {
      this.changed(past.length >= MAX_PAST_MONTHS ? this.words.months_full : this.words.first_correct);
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
    say(byId("months_wrong"), "");
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
    const { state, words } = this;
    const label = words.month_cell(n + 1, words[feature]);
    const { input, wrong } = amountInput(amounts, i, {
      language: state.language,
      words,
      attributes: { "aria-label": label, "aria-describedby": "months_wrong" },
      taken: (wrong) => {
        if (wrong || !byId("months").querySelector("[aria-invalid]")) say(byId("months_wrong"), wrong);
        if (!wrong) this.changed();
      },
    });
    if (wrong) say(byId("months_wrong"), wrong);
    return input;
  }
}
