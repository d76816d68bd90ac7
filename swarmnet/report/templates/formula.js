// Formulas of inputs and of arguments, which are values and derivatives of the network: see swarmnet/report/formulas.py.

// f(u) and f'(u) of each function; "-" is the sign.
const FUNCTIONS = {
  "-": (u) => [-u, -1],
  exp: (u) => [exp(u), exp(u)],
  log: (u) => [Math.log(u), 1 / u],
  sqrt: (u) => [Math.sqrt(u), 0.5 / Math.sqrt(u)],
  sin: (u) => [sin(u), cos(u)],
  cos: (u) => [cos(u), -sin(u)],
  tan: (u) => [Math.tan(u), 1 + Math.tan(u) ** 2],
  tanh: (u) => [tanh(u), 1 - tanh(u) ** 2],
};

// u op v, and its derivatives by u and by v.
const OPERATORS = {
  "+": (u, v) => [u + v, 1, 1],
  "-": (u, v) => [u - v, 1, -1],
  "*": (u, v) => [u * v, v, u],
  "/": (u, v) => [u / v, 1 / v, -u / (v * v)],
  "**": (u, v) => [u ** v, v * u ** (v - 1), u ** v * Math.log(u)],
};

// The value of a formula at x and arguments a, and its derivatives (slopes) by these.
function evaluated(tree, x, a) {
  const constant = (value) => ({ value, slopes: a.map(() => 0) });
  if (typeof tree === "number") return constant(tree);
  const [what, ...rest] = tree;
  if (what === "x") return constant(x[rest[0]]);
  if (what === "a") return { value: a[rest[0]], slopes: a.map((_, n) => (n === rest[0] ? 1 : 0)) };
  const parts = rest.map((part) => evaluated(part, x, a));
  const rule = (parts.length === 1 ? FUNCTIONS : OPERATORS)[what];
  const [value, ...by] = rule(...parts.map((part) => part.value));
  // A factor may be undefined where it does not count: the logarithm of a negative base with a constant exponent.
  const share = (n) => (sum, part, i) => (part.slopes[n] === 0 ? sum : sum + by[i] * part.slopes[n]);
  return { value, slopes: a.map((_, n) => parts.reduce(share(n), 0)) };
}
