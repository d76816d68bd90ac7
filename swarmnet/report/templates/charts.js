// Charts by uPlot, in the page's colours, as wide as what holds them, and how numbers are written.

const FONT = "12px system-ui, sans-serif";

const colours = new Map();

// A colour of style.css, as it is in the theme of the moment.
function colour(name) {
  if (!colours.has(name)) {
    const probe = document.getElementById("probe");
    probe.className = `is-${name}`;
    colours.set(name, getComputedStyle(probe).color);
  }
  return colours.get(name);
}

// Six digits by default, like Python's %g.
function short(number, digits = 6) {
  if (number === null || Number.isNaN(number)) return "";
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-3 || size >= 10 ** Math.max(digits, 5))) {
    const [mantissa, exponent] = number.toExponential(digits - 1).split("e");
    return `${Number(mantissa)}e${Number(exponent)}`;
  }
  return String(Number(number.toPrecision(digits)));
}

function axis(label, extra = {}) {
  return {
    label,
    labelSize: 18,
    labelFont: FONT,
    labelGap: 0,
    font: FONT,
    gap: 4,
    stroke: () => colour("muted"),
    grid: { stroke: () => colour("grid"), width: 1 },
    ticks: { stroke: () => colour("grid"), width: 1, size: 4 },
    values: (_, splits, axis, space, step) => splits.map((number) => short(number, digitsFor(splits, step / 5))),
    ...extra,
  };
}

// As many digits as tell the numbers of an axis apart.
function digitsFor(splits, step) {
  const largest = Math.max(...splits.map((number) => Math.abs(number)));
  return Math.max(3, Math.ceil(Math.log10(largest / step)) + 1);
}

// As many digits as show where in a range a number lies, six at least.
function digitsIn([low, high]) {
  return high > low ? Math.min(17, Math.max(6, digitsFor([low, high], (high - low) / 100))) : 6;
}

const xAxis = (label, extra) => axis(label, { size: 26, space: room, splits: atLeastTwo, ...extra });
const yAxis = (label, extra) => axis(label, { size: widest, space: 28, ...extra });

// Pixels for a number of the horizontal axis, so that none runs into the next.
function room(_, axis, low, high) {
  const digits = digitsFor([low, high], (high - low) / 4);
  return Math.max(56, 12 + 7 * Math.max(...[low, high].map((number) => short(number, digits).length)));
}

// Round numbers along the horizontal axis; between the first and the last of a narrow chart only what has room.
function atLeastTwo(_, axis, low, high, step, space) {
  const usual = multiples(step, low, high);
  if (usual.length > 1) return usual;
  const finer = multiples(step / 5, low, high), ends = [finer[0], finer.at(-1)];
  const apart = (number) => ends.every((end) => (Math.abs(number - end) / step) * space >= room(_, axis, low, high));
  return [ends[0], ...usual.filter(apart), ends[1]];
}

// Pixels right of a chart, for the half of the last number that reaches beyond it.
function beyond(plot) {
  const { min, max } = plot.scales.x;
  return max > min ? Math.max(18, room(plot, 0, min, max) / 2) : 18;
}

function multiples(step, low, high) {
  const first = Math.ceil(low / step), count = Math.max(0, Math.floor(high / step) - first + 1);
  return Array.from({ length: count }, (_, n) => Number(((first + n) * step).toPrecision(15)));
}

// As wide as the longest of an axis's numbers; most are as wide as six digits, so that charts stand in line.
function widest(_, values) {
  const most = Math.max(6, ...(values ?? []).map((text) => text.length));
  return 14 + 7 * most;
}

const charts = new Set();

// A chart in `holder`, which knows it as holder.chart.
function draw(holder, height, options, data) {
  const plot = new uPlot(
    {
      width: Math.max(120, holder.clientWidth),
      height,
      legend: { show: false },
      cursor: { show: false },
      pxAlign: false,
      ...options,
    },
    data,
    holder,
  );
  holder.chart = plot;
  charts.add(plot);
  new ResizeObserver(() => {
    if (holder.clientWidth > 0) plot.setSize({ width: holder.clientWidth, height });
  }).observe(holder);
  return plot;
}

// In the colours of a new theme.
function redrawAll() {
  colours.clear();
  for (const plot of charts) plot.redraw(false, true);
}

// [low, high] with a little room, also where they are equal.
function padded(low, high) {
  if (!(high >= low)) return [-1, 1];
  const room = 0.06 * (high - low) || 0.1 * Math.abs(high) || 1;
  return [low - room, high + room];
}

// A name in an element, which may go on in a new line after a slash.
// A column's name with its unit, if that is known.
function labelled(name, units) {
  return Object.hasOwn(units, name) && !name.endsWith(`[${units[name]}]`) ? `${name} [${units[name]}]` : name;
}

function writeName(element, name) {
  const parts = name.split(/(?<=\/)/);
  element.replaceChildren(...parts.flatMap((part) => [part, document.createElement("wbr")]));
}

function clone(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}
