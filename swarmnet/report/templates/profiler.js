// The profiler: a card for each input, with a slider and the curves of the quantities shown along that input, through
// the current point, where they have their tangents. Bands follow a moment later: they cost more than the rest together.

const SURVEY = 200; // points that tell how far the axes must reach

class Profiler {
  constructor(content, models) {
    Object.assign(this, { inputs: content.inputs, units: content.units, ranges: content.ranges, quantities: content.quantities });
    this.observed = content.observed;
    this.models = models;
    this.root = document.getElementById("profiler");
    this.x = this.middle();
    this.shown = content.shown.map((number) => this.quantities[number]);
    this.stale = new Set();
    this.rows = this.quantities.map((q) => this.numberRow(q));
    this.cards = this.inputs.map((name, j) => new Card(this, name, j));
    this.chooseQuantities();
    this.root.querySelector(".reset").addEventListener("click", () => this.reset());
    this.use(0, null);
  }

  // Show the model of that number, and another dashed beside it unless that is null.
  use(number, beside) {
    this.model = this.models[number];
    this.beside = beside === null ? null : this.models[beside];
    this.there = new Map();
    this.extents = this.survey();
    for (const card of this.cards) card.deviations = null;
    this.update();
  }

  // The model's answers where a row was observed.
  whereObserved(row) {
    if (!this.there.has(row))
      this.there.set(row, this.model.answers(this.model.at(this.observed.X[row]), this.quantities));
    return this.there.get(row);
  }

  middle() {
    return this.ranges.map(([low, high]) => round(low / 2 + high / 2, [low, high]));
  }

  reset() {
    this.x = this.middle();
    this.update();
  }

  set(j, value) {
    this.x[j] = value;
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.update();
    });
  }

  // [low, high] of each quantity over the ranges of all inputs, so that its axes stay while sliders move. What varies
  // less than it is uncertain is drawn on the scale of its error bar.
  survey() {
    let seed = 1;
    const random = () => (seed = (1664525 * seed + 1013904223) % 2 ** 32) / 2 ** 32;
    const answers = Array.from({ length: SURVEY }, () => {
      const x = this.ranges.map(([low, high]) => low + (high - low) * random());
      return this.model.answers(this.model.at(x), this.quantities);
    });
    const pass = this.model.at(this.middle());
    const middle = this.model.answers(pass, this.quantities);
    const sigmas = this.model.hasBars ? this.model.deviations([this.middle()], this.quantities)[0] : middle.map(() => 0);
    return this.quantities.map((q, n) => {
      const bar = [middle[n] - 2 * sigmas[n], middle[n] + 2 * sigmas[n]];
      const seen = (this.observed?.columns[q.name] ?? []).filter((value) => value !== null);
      const all = [...answers.map((row) => row[n]), ...bar, ...seen].filter(Number.isFinite);
      return [Math.min(...all), Math.max(...all)];
    });
  }

  update() {
    const pass = this.model.at(this.x);
    this.values = this.model.answers(pass, this.quantities);
    this.slopes = this.quantities.map((q) => this.model.slopes(pass, q));
    this.sigmas = this.model.hasBars ? this.model.deviations([this.x], this.quantities)[0] : null;
    this.rows.forEach(({ value, sigma }, n) => {
      write(value, this.values[n], digitsIn(this.extents[n]));
      write(sigma, this.sigmas && 2 * this.sigmas[n], 3);
    });
    for (const card of this.cards) card.compute();
    this.rescale();
    for (const card of this.cards) card.draw();
    if (this.model.hasBars) this.follow();
    else if (this.stale.size === 0) this.root.setAttribute("aria-busy", "false");
  }

  // The same scale for a quantity in all cards, wide enough for what is drawn now.
  rescale() {
    this.scales = this.quantities.map((q, n) => {
      let [low, high] = this.extents[n];
      for (const card of this.cards)
        for (const value of card.extremes(q)) {
          low = Math.min(low, value);
          high = Math.max(high, value);
        }
      return padded(low, high);
    });
  }

  // Bring the bands up to date, a card at a time so that sliders stay quick.
  follow() {
    const running = this.stale.size > 0;
    this.cards.forEach((card) => this.stale.add(card));
    this.root.setAttribute("aria-busy", "true");
    if (!running) setTimeout(() => this.step());
  }

  step() {
    const [card] = this.stale;
    if (this.model.hasBars) card.deviate();
    card.draw();
    this.stale.delete(card);
    if (this.stale.size > 0) setTimeout(() => this.step());
    else this.root.setAttribute("aria-busy", "false");
  }

  numberRow(q) {
    const row = clone("number");
    writeName(row.querySelector("th"), labelled(q.name, this.units));
    this.root.querySelector(".numbers tbody").append(row);
    return { value: row.querySelector(".value"), sigma: row.querySelector(".sigma") };
  }

  chooseQuantities() {
    const list = this.root.querySelector(".quantities");
    for (const q of this.quantities) {
      const choice = clone("quantity");
      const box = choice.querySelector("input");
      choice.querySelector("span").textContent = q.name;
      box.checked = this.shown.includes(q);
      box.addEventListener("change", () => {
        const chosen = new Set(box.checked ? [...this.shown, q] : this.shown.filter((other) => other !== q));
        this.shown = this.quantities.filter((other) => chosen.has(other));
        for (const card of this.cards) card.arrange();
        this.update();
      });
      list.append(choice);
    }
  }
}

// A number in a few digits, with all of them in its attribute; nothing for null.
function write(element, number, digits = 6) {
  element.textContent = short(number, digits);
  element.value = number === null ? "" : String(number);
  element.title = element.value;
}
