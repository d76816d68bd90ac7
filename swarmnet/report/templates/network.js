// The network, evaluated in double precision. Names and formulas are those of swarmnet/network/propagation.py: A holds a
// layer's activations, S their slopes f', C their curvatures f'', T and U a tangent pass, "bar" a gradient.

// What the formulas of ACTIVATIONS call, f(z), f'(z, a) and f''(z, a, s), which come from swarmnet/network/activations.py.
const { abs, cos, exp, expm1, log1p, max, sin, tanh } = Math;
const gate = (z) => 1 / (1 + exp(-z));
const density = (z) => exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
const moment = (z) => z * density(z);

// The normal distribution by its series about 0 (Marsaglia 2004), good to the last digits of 1 wherever it is not 0 or 1.
function distribution(z) {
  if (Number.isNaN(z)) return z;
  if (Math.abs(z) > 8.5) return z > 0 ? 1 : 0;
  let sum = z, term = z;
  for (let n = 3; sum + term !== sum; n += 2) sum += term *= (z * z) / n;
  return 0.5 + sum * density(z);
}

// W^T v, of W (fan in, fan out).
function forwards(layer, v) {
  const out = new Float64Array(layer.fanOut);
  for (let i = 0, w = 0; i < layer.fanIn; i++)
    for (let u = 0; u < layer.fanOut; u++) out[u] += layer.W[w++] * v[i];
  return out;
}

// W v.
function backwards(layer, v) {
  const out = new Float64Array(layer.fanIn);
  for (let i = 0, w = 0; i < layer.fanIn; i++)
    for (let u = 0; u < layer.fanOut; u++) out[i] += layer.W[w++] * v[u];
  return out;
}

// The polynomial terms, by the steps of swarmnet/network/trend.py: row r is factor row_a row_b - share row_c.
class Trend {
  constructor({ rows, factors, terms, centre, half }) {
    Object.assign(this, { rows, factors, terms, centre, half });
  }

  // All rows at x (d); or, given an input j, their derivatives along it; or, given j and i, along both.
  table(x, j = null, i = null) {
    const first = x.map((number, n) => (number - this.centre[n]) / this.half[n]);
    const unit = (k) => x.map((_, n) => (n === k ? 1 / this.half[n] : 0));
    const v = [...first], t = [...unit(j)], u = [...unit(i)], s = [...x.map(() => 0)];
    for (const [n, [a, b, c]] of this.rows.entries()) {
      const [factor, share] = this.factors[n];
      const less = (rows, one) => (share ? share * (c < 0 ? one : rows[c]) : 0);
      v.push(factor * v[a] * v[b] - less(v, 1));
      t.push(factor * (t[a] * v[b] + v[a] * t[b]) - less(t, 0));
      u.push(factor * (u[a] * v[b] + v[a] * u[b]) - less(u, 0));
      s.push(factor * (s[a] * v[b] + v[a] * s[b] + t[a] * u[b] + u[a] * t[b]) - less(s, 0));
    }
    return j === null ? v : i === null ? t : s;
  }

  at(x, j = null, i = null) {
    const table = this.table([...x], j, i);
    return this.terms.map((row) => table[row]);
  }
}

class Network {
  // sizes: units of each layer, the inputs first; activations: a name for each layer of weights;
  // theta: layer by layer W row-major (fan in, fan out), then b (fan out); last the trend's coefficients (terms, k).
  constructor(sizes, activations, theta, trend = null) {
    this.size = theta.length;
    this.trend = trend && new Trend(trend);
    this.layers = activations.map((name, l) => ({ fanIn: sizes[l], fanOut: sizes[l + 1], f: ACTIVATIONS[name] }));
    let start = 0;
    for (const layer of this.layers) {
      layer.start = start;
      layer.W = theta.subarray(start, (start += layer.fanIn * layer.fanOut));
      layer.b = theta.subarray(start, (start += layer.fanOut));
    }
    this.coefficients = theta.subarray(start);
    this.coefficientsStart = start;
  }

  // A forward pass at x (d), for what Pass can tell of the point.
  at(x) {
    return new Pass(this, x);
  }
}

class Pass {
  constructor(network, x) {
    this.network = network;
    this.layers = network.layers;
    this.A = [x];
    this.S = [];
    this.C = [];
    this.tangents = [];
    this.known = {};
    for (const [l, layer] of this.layers.entries()) {
      const [value, slope, curvature] = layer.f;
      const z = forwards(layer, this.A[l]).map((sum, u) => sum + layer.b[u]);
      const a = z.map(value);
      const s = z.map((number, u) => slope(number, a[u]));
      this.A.push(a);
      this.S.push(s);
      this.C.push(z.map((number, u) => curvature(number, a[u], s[u])));
    }
    this.addTrend(this.values, this.terms());
  }

  // The trend's terms, or their derivatives along inputs j and i.
  terms(j = null, i = null) {
    return this.network.trend ? this.network.trend.at(this.A[0], j, i) : [];
  }

  // Add what terms (t) give to each output.
  addTrend(outputs, terms) {
    for (const [t, phi] of terms.entries())
      for (let o = 0; o < outputs.length; o++) outputs[o] += this.network.coefficients[t * outputs.length + o] * phi;
  }

  get values() {
    return this.A.at(-1);
  }

  // The same pass with input i moved by a step.
  moved(i, step) {
    return this.network.at(this.A[0].with(i, this.A[0][i] + step));
  }

  // gradient(o, j), computed once.
  partials(o, j = null) {
    return (this.known[[o, j]] ??= this.gradient(o, j));
  }

  tangent(j) {
    if (!this.tangents[j]) {
      const unit = new Float64Array(this.A[0].length);
      unit[j] = 1;
      const T = [unit], U = [];
      for (const [l, layer] of this.layers.entries()) {
        U.push(forwards(layer, T[l]));
        T.push(U[l].map((number, u) => number * this.S[l][u]));
      }
      this.addTrend(T.at(-1), this.terms(j));
      this.tangents[j] = { T, U };
    }
    return this.tangents[j];
  }

  // The gradient (d) of output o with respect to x, its partials; or, given j, that of its partial along input j, a row
  // of the Hessian. The gradient with respect to theta is written into g (p), if there is one.
  gradient(o, j = null, g = null) {
    const tangent = j === null ? null : this.tangent(j);
    let tBar = null;
    let aBar = new Float64Array(this.values.length);
    if (tangent) (tBar = new Float64Array(this.values.length))[o] = 1;
    else aBar[o] = 1;
    for (let l = this.layers.length - 1; l >= 0; l--) {
      const layer = this.layers[l], S = this.S[l], C = this.C[l];
      const zBar = aBar.map((bar, u) => S[u] * bar + (tangent ? C[u] * tangent.U[l][u] * tBar[u] : 0));
      const uBar = tangent && tBar.map((bar, u) => S[u] * bar);
      if (g) this.weigh(g, l, zBar, tangent && tangent.T[l], uBar);
      aBar = backwards(layer, zBar);
      tBar = uBar && backwards(layer, uBar);
    }
    for (let i = 0; this.network.trend && i < aBar.length; i++) {
      const bends = new Float64Array(this.values.length);
      this.addTrend(bends, j === null ? this.terms(i) : this.terms(j, i));
      aBar[i] += bends[o];
    }
    if (g) for (const [t, phi] of this.terms(j).entries()) g[this.network.coefficientsStart + t * this.values.length + o] = phi;
    return aBar;
  }

  // A layer's part of g: A zBar^T + T uBar^T, then zBar for b.
  weigh(g, l, zBar, T, uBar) {
    const A = this.A[l];
    let w = this.layers[l].start;
    for (let i = 0; i < A.length; i++)
      for (let u = 0; u < zBar.length; u++) g[w++] = A[i] * zBar[u] + (T ? T[i] * uBar[u] : 0);
    g.set(zBar, w);
  }
}
