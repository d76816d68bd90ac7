// An input's card: its slider, its number, and a panel with the curve of each quantity shown along that input.

const INTERVALS = 60; // of a curve; its band is computed at every second point
const TANGENT = 0.2; // of the input's range, to each side
const NEAR = 0.05; // of the inputs' ranges: how far from the curve an observation fades
const HEIGHT = 170;

class Card {
  constructor(profiler, name, j) {
    Object.assign(this, { profiler, name, j });
    this.element = clone("card");
    this.slider = this.element.querySelector("input[type=range]");
    this.box = this.element.querySelector("input[type=number]");
    this.element.querySelector("h3").textContent = labelled(name, profiler.units);
    this.slider.setAttribute("aria-label", `${name}, slider`);
    this.box.setAttribute("aria-label", name);
    this.box.step = String(10 * unit(this.range));
    const [low, high] = profiler.ranges[j].map((number) => short(number, digitsIn(this.range)));
    this.element.querySelector(".range").textContent = `${low} to ${high}`;
    this.slider.addEventListener("input", () => this.slide());
    this.box.addEventListener("input", () => this.type());
    this.box.addEventListener("change", () => this.showPosition());
    profiler.root.querySelector(".cards").append(this.element);
    this.panels = new Map();
    this.arrange();
  }

  get range() {
    return this.profiler.ranges[this.j];
  }

  slide() {
    const [low, high] = this.range, share = this.slider.value / this.slider.max;
    this.go(share === 1 ? high : round(low + share * (high - low), this.range));
  }

  type() {
    if (this.box.value !== "" && Number.isFinite(this.box.valueAsNumber)) this.profiler.set(this.j, this.box.valueAsNumber);
  }

  go(value) {
    this.box.value = String(value);
    this.profiler.set(this.j, value);
  }

  showPosition() {
    const x = this.profiler.x[this.j], [low, high] = this.range;
    if (this.box.valueAsNumber !== x && document.activeElement !== this.box) this.box.value = String(x);
    this.slider.value = String(Math.round((this.slider.max * (x - low)) / (high - low)));
    this.slider.setAttribute("aria-valuetext", short(x, digitsIn(this.range)));
    this.element.querySelector(".outside").hidden = low <= x && x <= high;
  }

  // A panel for each quantity shown.
  arrange() {
    const holder = this.element.querySelector(".panels");
    for (const [q, panel] of this.panels) if (!this.profiler.shown.includes(q)) panel.element.remove();
    for (const q of this.profiler.shown) {
      if (!this.panels.has(q)) this.panels.set(q, new Panel(this, q));
      holder.append(this.panels.get(q).element);
    }
    this.deviations = null;
  }

  // The curves along this input: of each quantity shown, and of the model beside.
  compute() {
    const { profiler, j } = this, { model, beside, shown, x } = profiler;
    const [low, high] = [Math.min(this.range[0], x[j]), Math.max(this.range[1], x[j])];
    this.grid = Array.from({ length: INTERVALS + 1 }, (_, n) => low + ((high - low) * n) / INTERVALS);
    this.xs = [...new Set([...this.grid, x[j]])].sort((a, b) => a - b);
    const points = this.xs.map((number) => x.with(j, number));
    this.curves = points.map((point) => model.answers(model.at(point), shown));
    this.besides = beside && points.map((point) => beside.answers(beside.at(point), shown));
    this.near = this.nearby();
  }

  // What was observed near these curves, fainter the farther it is from them in the other inputs. Each observation is
  // shifted along the model to the curve: its distance from there is its own residual.
  nearby() {
    const { profiler, j } = this, { model, observed, ranges, shown, x } = profiler;
    const near = [];
    observed?.X.forEach((point, row) => {
      const far = (number, i) => (i === j ? 0 : (number - x[i]) / (NEAR * (ranges[i][1] - ranges[i][0])));
      const square = point.reduce((sum, number, i) => sum + far(number, i) ** 2, 0);
      if (square > 6) return;
      const here = model.answers(model.at(x.with(j, point[j])), shown), there = profiler.whereObserved(row);
      const shifts = shown.map((q, n) => here[n] - there[profiler.quantities.indexOf(q)]);
      near.push({ row, x: point[j], opacity: Math.exp(-square / 2), shifts });
    });
    return near;
  }

  extremes(q) {
    const n = this.profiler.shown.indexOf(q);
    return n < 0 ? [] : [...this.curves, ...(this.besides ?? [])].map((row) => row[n]).filter(Number.isFinite);
  }

  // The standard deviations along this input.
  deviate() {
    const { profiler, j } = this;
    const at = this.grid.filter((_, n) => n % 2 === 0);
    const points = at.map((number) => profiler.x.with(j, number));
    this.deviations = { at, rows: profiler.model.deviations(points, profiler.shown) };
  }

  draw() {
    this.showPosition();
    this.profiler.shown.forEach((q, n) => this.panels.get(q).draw(n));
  }
}

class Panel {
  constructor(card, q) {
    Object.assign(this, { card, q, number: card.profiler.quantities.indexOf(q) });
    this.element = clone("panel");
    writeName(this.element.querySelector(".quantity"), labelled(q.name, card.profiler.units));
  }

  draw(n) {
    const { card, number } = this, { profiler, xs, j } = card;
    const here = profiler.x[j], value = profiler.values[number], slope = profiler.slopes[number][j];
    const curve = card.curves.map((row) => row[n]);
    const sigma = this.sigmas(n);
    const reach = TANGENT * (xs.at(-1) - xs[0]);
    const data = [
      xs,
      curve.map((y, i) => sigma && y - 2 * sigma[i]),
      curve.map((y, i) => sigma && y + 2 * sigma[i]),
      curve,
      xs.map((_, i) => card.besides && card.besides[i][n]),
      xs.map((x) => (Math.abs(x - here) <= reach ? value + slope * (x - here) : null)),
      xs.map((x) => (x === here ? value : null)),
    ].map((numbers) => numbers.map((y) => (Number.isFinite(y) ? y : null))); // a formula may be undefined somewhere
    this.element.querySelector(".here").textContent = short(value, digitsIn(profiler.extents[number]));
    this.element.querySelector(".slope").textContent = `slope ${short(slope, 4)}`;
    this.element.querySelector(".chart").setAttribute("aria-label", this.description(value, slope));
    if (this.plot) this.plot.setData(data);
    else this.plot = this.make(data);
    Object.assign(this.element.querySelector(".chart"), { observed: this.observed(), outside: this.outside() });
  }

  description(value, slope) {
    const { name, profiler, j, range } = this.card;
    const y = short(value, digitsIn(profiler.extents[this.number])), x = short(profiler.x[j], digitsIn(range));
    return `${this.q.name} against ${name}: ${y} at ${name} = ${x}, slope ${short(slope, 4)}`;
  }

  // The deviations at card.xs, between those computed; null before there are any.
  sigmas(n) {
    const { card, number } = this, { profiler } = card;
    if (!profiler.sigmas || !card.deviations) return null;
    const { at, rows } = card.deviations, here = profiler.x[card.j];
    const known = rows.map((row) => row[n]);
    return card.xs.map((x) => (x === here ? profiler.sigmas[number] : between(at, known, x)));
  }

  make(data) {
    const { profiler } = this.card;
    const line = (name, width, dash) => ({ stroke: () => colour(name), width, dash, points: { show: false } });
    const edge = { stroke: "transparent", width: 0, points: { show: false } };
    const dot = { show: true, size: 9, space: 0, width: 2, fill: () => colour("page"), stroke: () => colour("tangent") };
    const plot = draw(
      this.element.querySelector(".chart"),
      HEIGHT,
      {
        scales: {
          x: { time: false, range: () => [this.card.xs[0], this.card.xs.at(-1)] },
          y: { range: () => profiler.scales[this.number] },
        },
        padding: [null, beyond, null, null],
        axes: [xAxis(), yAxis()],
        series: [
          {},
          edge,
          edge,
          line("curve", 2),
          line("beside", 2, [3, 4]),
          line("tangent", 2, [8, 4]),
          { paths: () => null, points: dot },
        ],
        bands: [{ series: [2, 1], fill: () => colour("band") }],
        hooks: { drawClear: [(u) => this.shadeOutside(u)], drawAxes: [(u) => this.drawObserved(u)] },
      },
      data,
    );
    const move = (event) => this.card.go(this.pointed(plot, event));
    plot.over.addEventListener("click", move);
    plot.over.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" && event.buttons === 1) move(event);
    });
    return plot;
  }

  pointed(plot, event) {
    const [low, high] = this.card.range;
    const x = plot.posToVal(event.clientX - plot.over.getBoundingClientRect().left, "x");
    return Math.min(high, Math.max(low, round(x, this.card.range)));
  }

  // The parts [from, to] of the curve beyond the training range.
  outside() {
    const { xs, range } = this.card;
    return [[xs[0], range[0]], [range[1], xs.at(-1)]].filter(([from, to]) => from < to);
  }

  shadeOutside(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.fillStyle = colour("grid");
    for (const [from, to] of this.outside()) {
      const left = u.valToPos(from, "x", true);
      ctx.fillRect(left, bbox.top, u.valToPos(to, "x", true) - left, bbox.height);
    }
    ctx.restore();
  }

  // What was observed of this quantity near the curve.
  observed() {
    const { card, q } = this, { profiler } = card;
    const column = profiler.observed?.columns[q.name], n = profiler.shown.indexOf(q);
    if (!column || n < 0) return [];
    return card.near
      .filter(({ row }) => column[row] !== null)
      .map(({ row, x, opacity, shifts }) => ({ x, y: column[row] + shifts[n], opacity }));
  }

  drawObserved(u) {
    const { ctx, bbox } = u, size = 2.5 * devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.fillStyle = colour("observed");
    for (const { x, y, opacity } of this.observed()) {
      ctx.globalAlpha = opacity;
      ctx.beginPath();
      ctx.arc(u.valToPos(x, "x", true), u.valToPos(y, "y", true), size, 0, 2 * Math.PI);
      ctx.fill();
    }
    ctx.restore();
  }
}

// The number at x on straight lines between (at, numbers).
function between(at, numbers, x) {
  let n = at.findIndex((known) => known >= x);
  if (n < 0) n = at.length - 1;
  if (n === 0 || at[n] === x) return numbers[n];
  const share = (x - at[n - 1]) / (at[n] - at[n - 1]);
  return numbers[n - 1] + share * (numbers[n] - numbers[n - 1]);
}

// A power of ten of which a range has about a thousand.
function unit([low, high]) {
  return 10 ** (Math.floor(Math.log10(high - low)) - 3);
}

// To so many digits as a slider over the range needs.
function round(x, range) {
  return Number((Math.round(x / unit(range)) * unit(range)).toPrecision(12));
}
