// The pictures of the model: a curve of each feature, a map of each pair, each with a marker. They are drawn once for a
// model, a language and a colour scheme; a change of usage only moves markers. A chart library would be larger than all
// of this page, and steps and cells of unequal widths are what such libraries do not draw.
import { el, say, svg } from "./dom.js";
import { FEATURES, PAIRS } from "./model.js";
import { fixed } from "./numbers.js";
import { UNITS } from "./state.js";
import { signed } from "./words.js";

const [WIDTH, HEIGHT, MIDDLE] = [300, 120, 60];
const CELLS = 240; // pixels of a map's side

/** The ends of a feature's bins as they are drawn: from 0 to the largest value of the training part. */
function edges(feature) {
  const largest = Math.max(feature.largest, ...feature.cuts.slice(-1));
  return [0, ...feature.cuts, largest];
}

/** Where a value is drawn, from 0 to 1; beyond the largest it is drawn at the edge. */
function place(feature, value) {
  const ends = edges(feature);
  return Math.min(value / ends[ends.length - 1] || 0, 1);
}

function ends(feature, i, language) {
  const { size, decimals } = UNITS[FEATURES[i]];
  const all = edges(feature);
  return fixed(all[all.length - 1] / size, decimals, language);
}

export class Curves {
  constructor(root, model, words, language) {
    this.model = model;
    this.words = words;
    this.language = language;
    const sizes = model.features.flatMap((feature) => feature.curve.map(Math.abs));
    const largest = Math.max(...sizes) * 1.1 || 1;
    this.charts = model.features.map((feature, i) => this.draw(feature, i, largest));
    root.replaceChildren(...this.charts.map((chart) => chart.figure));
  }

  draw(feature, i, largest) {
    const all = edges(feature);
    const x = (value) => (WIDTH * value) / all[all.length - 1];
    const y = (value) => MIDDLE - (MIDDLE * value) / largest;
    const steps = feature.curve.map(
      (value, b) => `${x(all[b]).toFixed(2)} ${y(value).toFixed(2)}H${x(all[b + 1]).toFixed(2)}`,
    );
    const area = (sign) =>
      feature.curve
        .map((value, b) => (value * sign > 0 ? `M${x(all[b])} ${MIDDLE}V${y(value)}H${x(all[b + 1])}V${MIDDLE}Z` : ""))
        .join("");
    const turn = svg("path", { class: "turn" });
    const here = svg("path", { class: "stem" });
    const dot = el("span", { class: "dot" });
    const picture = svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
      svg("path", { class: "smart", d: area(-1) }),
      svg("path", { class: "ultra", d: area(1) }),
      svg("path", { class: "zero", d: `M0 ${MIDDLE}H${WIDTH}` }),
      svg("path", { class: "step", d: `M${steps.join("L")}` }),
      turn,
      here,
    );
    const [value, turns] = [el("span"), el("span")];
    const axis = [el("span", {}, "0"), turns, el("span", {}, ends(feature, i, this.language))];
    const figure = el(
      "figure",
      {},
      el("figcaption", {}, el("strong", {}, this.words[FEATURES[i]]), " ", value),
      el("div", { class: "plot" }, picture, dot),
      el("p", { class: "axis" }, ...axis),
    );
    return { figure, picture, turn, turns, here, dot, value, largest };
  }

  show(values, bins, changes) {
    this.charts.forEach((chart, i) => {
      const feature = this.model.features[i];
      const added = feature.curve[bins[i]];
      const x = place(feature, values[i]);
      const y = 0.5 - added / chart.largest / 2;
      chart.here.setAttribute("d", `M${WIDTH * x} 0V${HEIGHT}`);
      chart.dot.style.left = `${100 * x}%`;
      chart.dot.style.top = `${100 * y}%`;
      const change = changes[FEATURES[i]];
      chart.turn.setAttribute("d", change === null ? "" : `M${WIDTH * place(feature, change)} 0V${HEIGHT}`);
      const { size, decimals } = UNITS[FEATURES[i]];
      say(chart.turns, change === null ? "" : this.words.turns(fixed(change / size, decimals, this.language)));
      const number = signed(added, this.language);
      say(chart.value, this.words.adds(number));
      chart.picture.setAttribute("aria-label", this.words.curve_label(this.words[FEATURES[i]], number));
    });
  }
}

export class Maps {
  constructor(root, model, words, language) {
    this.model = model;
    this.words = words;
    this.language = language;
    this.charts = PAIRS.map((pair) => this.make(pair));
    root.replaceChildren(...this.charts.map((chart) => chart.figure));
    this.paint();
  }

  make([across, up]) {
    const { words, language, model } = this;
    const canvas = el("canvas", { width: CELLS, height: CELLS, role: "img" });
    const ring = el("span", { class: "ring" });
    const value = el("span");
    const [first, second] = [across, up].map((i) => words[`${FEATURES[i]}_short`]);
    const largest = [across, up].map((i) => ends(model.features[i], i, language));
    const figure = el(
      "figure",
      {},
      el("figcaption", {}, el("strong", {}, words.pair(first, second)), " ", value),
      el("div", { class: "plot square" }, canvas, ring),
      el("p", { class: "axis" }, el("span", {}, "0"), el("span", {}, `${largest[0]} → · ${largest[1]} ↑`)),
    );
    return { figure, canvas, ring, value };
  }

  /** Draw the cells in the colours of the style sheet, from the one of both plans' background to each plan's own. */
  paint() {
    const style = getComputedStyle(document.documentElement);
    const [none, smart, ultra] = ["--cell", "--smart", "--ultra"].map((name) => channels(style.getPropertyValue(name)));
    const largest = Math.max(...this.model.maps.flat(2).map(Math.abs)) || 1;
    this.charts.forEach(({ canvas }, p) => {
      const [across, up] = PAIRS[p].map((i) => {
        const all = edges(this.model.features[i]);
        return all.map((end) => Math.round((CELLS * end) / all[all.length - 1]));
      });
      const context = canvas.getContext("2d");
      this.model.maps[p].forEach((column, b) => {
        column.forEach((value, c) => {
          const share = Math.sqrt(Math.abs(value) / largest); // most numbers are far smaller than the largest
          const side = value < 0 ? smart : ultra;
          const mixed = none.map((channel, k) => Math.round(channel + (side[k] - channel) * share));
          context.fillStyle = `rgb(${mixed})`;
          context.fillRect(across[b], CELLS - up[c + 1], across[b + 1] - across[b], up[c + 1] - up[c]);
        });
      });
    });
  }

  show(values, bins) {
    this.charts.forEach((chart, p) => {
      const [across, up] = PAIRS[p];
      const { features, maps } = this.model;
      chart.ring.style.left = `${100 * place(features[across], values[across])}%`;
      chart.ring.style.top = `${100 - 100 * place(features[up], values[up])}%`;
      const number = signed(maps[p][bins[across]][bins[up]], this.language);
      say(chart.value, this.words.adds(number));
      const [first, second] = [across, up].map((i) => this.words[FEATURES[i]]);
      chart.canvas.setAttribute("aria-label", this.words.map_label(first, second, number));
    });
  }
}

/** Read a colour as the style sheet has it: #rrggbb. */
function channels(text) {
  return [1, 3, 5].map((start) => parseInt(text.trim().slice(start, start + 2), 16));
}
