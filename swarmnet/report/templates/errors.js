// Actual against predicted, and residuals, also against each input, of each column that the data have entries of; and the
// loss in training.

const DOT = 6;

class Errors {
  constructor(errors, inputs, units) {
    this.root = document.getElementById("errors");
    const holder = this.root.querySelector(".agreement");
    this.columns = errors.map((column) => new ErrorCard(holder, column, inputs, units));
  }

  use(number) {
    for (const column of this.columns) column.use(number);
  }
}

class ErrorCard {
  constructor(holder, column, inputs, units) {
    this.column = column;
    this.element = clone("agreement");
    this.element.querySelector("h3").textContent = labelled(column.name, units);
    this.element.querySelector(".count").textContent = column.note;
    holder.append(this.element);
    const [first, second] = this.element.querySelectorAll(".chart");
    first.setAttribute("aria-label", `${column.name}: actual against predicted`);
    second.setAttribute("aria-label", `${column.name}: predicted minus actual against predicted`);
    const both = (u) => extent([...u.data[0], ...u.data[2]]);
    const around = (u) => [extent(u.data[0]), extent([0, ...u.data[2]])];
    this.parity = scatter(first, "predicted", "actual", 230, (u) => [both(u), both(u)]);
    this.residuals = scatter(second, "predicted", "predicted − actual", 230, around);
    this.against = column.X.map((_, j) => {
      const chart = document.createElement("div");
      chart.className = "chart";
      chart.setAttribute("role", "img");
      chart.setAttribute("aria-label", `${column.name}: predicted minus actual against ${inputs[j]}`);
      this.element.querySelector(".against").append(chart);
      return scatter(chart, labelled(inputs[j], units), "predicted − actual", 170, around);
    });
    for (const plot of [this.parity, this.residuals, ...this.against]) this.pointOut(plot);
  }

  // Show what the model of that number predicts.
  use(number) {
    const { actual, predicted } = this.column, answers = predicted[number];
    const residual = answers.map((answer, n) => answer - actual[n]);
    setPoints(this.parity, answers, (x) => x, actual);
    setPoints(this.residuals, answers, () => 0, residual);
    this.against.forEach((plot, j) => setPoints(plot, this.column.X[j], () => 0, residual));
    this.number = number;
  }

  // Tell the row and the numbers of the point that the mouse is near.
  pointOut(plot) {
    const output = this.element.querySelector("output");
    plot.over.addEventListener("pointermove", (event) => {
      const box = plot.over.getBoundingClientRect();
      const far = (at) =>
        Math.hypot(
          plot.valToPos(plot.data[0][at], "x") - (event.clientX - box.left),
          plot.valToPos(plot.data[2][at], "y") - (event.clientY - box.top),
        );
      const nearest = plot.order.reduce((best, _, at) => (far(at) < far(best) ? at : best), 0);
      const n = plot.order[nearest], { rows, actual, predicted } = this.column;
      const digits = digitsIn([Math.min(...actual), Math.max(...actual)]);
      const pair = `actual ${short(actual[n], digits)}, predicted ${short(predicted[this.number][n], digits)}`;
      output.textContent = far(nearest) < 20 ? `row ${rows[n]}: ${pair}` : "";
    });
    plot.over.addEventListener("pointerleave", () => (output.textContent = ""));
  }
}

const extent = (numbers) => padded(Math.min(...numbers), Math.max(...numbers));

// Set the points of a plot, in the order of x, which uPlot needs, with the line on which they would be.
function setPoints(plot, x, line, y) {
  plot.order = x.map((_, n) => n).sort((a, b) => x[a] - x[b]);
  const sorted = plot.order.map((n) => x[n]);
  plot.setData([sorted, sorted.map(line), plot.order.map((n) => y[n])]);
}

// Points, with the line on which they would be if all predictions were right.
function scatter(holder, across, label, height, ranges) {
  const dot = { show: true, size: DOT, space: 0, width: 1, fill: () => colour("page"), stroke: () => colour("ink") };
  return draw(
    holder,
    height,
    {
      scales: {
        x: { time: false, range: (u) => ranges(u)[0] },
        y: { range: (u) => ranges(u)[1] },
      },
      padding: [null, beyond, null, null],
      axes: [xAxis(across), yAxis(label)],
      series: [
        {},
        { stroke: () => colour("curve"), width: 1.5, points: { show: false } },
        { paths: () => null, points: dot },
      ],
    },
    [[0], [0], [0]],
  );
}

const LINES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 2]];
const SERIES = 7; // colours in style.css

// The loss of each curve {name, x, median, low, high} on logarithmic axes; low and high may be missing.
function drawLosses(holder, label, curves) {
  const xs = [...new Set(curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
  const on = (curve, numbers) => {
    const known = new Map(curve.x.map((x, n) => [x, numbers[n]]));
    return xs.map((x) => known.get(x));
  };
  const paths = uPlot.paths.stepped({ align: 1 });
  const data = [xs], series = [{}], bands = [];
  curves.forEach((curve, n) => {
    const tint = `series${n % SERIES}`;
    if (curve.low) {
      const at = series.length;
      data.push(on(curve, curve.low), on(curve, curve.high));
      const edge = { stroke: "transparent", width: 0, paths, points: { show: false } };
      series.push(edge, edge);
      bands.push({ series: [at + 1, at], fill: () => colour(`${tint}-band`) });
    }
    data.push(on(curve, curve.median));
    series.push({
      stroke: () => colour(tint),
      width: 2,
      dash: LINES[n % LINES.length],
      paths,
      points: { show: false },
    });
  });
  const filter = (_, splits) => splits.map((value) => (Number.isInteger(Math.log10(value)) ? value : null));
  const grid = { stroke: () => colour("grid"), width: 1, filter };
  const powers = { filter, grid, values: (_, splits) => splits.map((value) => short(value)) };
  draw(
    holder,
    300,
    {
      scales: { x: { time: false, distr: 3 }, y: { distr: 3 } },
      axes: [xAxis(label, { ...powers, space: 56, splits: null }), yAxis("training loss", powers)],
      series,
      bands,
    },
    data,
  );
  holder.setAttribute("aria-label", `Training loss against ${label}: ${curves.map((curve) => curve.name).join(", ")}`);
}
