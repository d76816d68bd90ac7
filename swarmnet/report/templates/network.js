// The network, evaluated in double precision. Names and formulas are those of swarmnet/network/propagation.py: A holds a
// layer's activations, S their slopes f', C their curvatures f'', T and U a tangent pass, "bar" a gradient.

// What the formulas of ACTIVATIONS call, f(z), f'(z, a) and f''(z, a, s), which come from swarmnet/network/activations.py.
const { abs, cos, exp, expm1, log1p, max, sin, tanh } = Math;
const gate = (z) => 1 / (1 + exp(-z));
const density = (z) => exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);
const moment = (z) => z * density(z);

// The normal distribution by its series about 0 (Marsaglia 2004), good to the last digits of 1 wherever it is not 0 or 1.
function distribution(z) {
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

// The polynomial terms of swarmnet/network/trend.py. Their rows are 1, u_j = (x_j - centre_j) / half_j and, for each of
// steps [a, b, c, factor, share], factor row_a row_b - share row_c; terms are the rows that are used.
class Trend {
  constructor({ centre, half, steps, terms }) {
    Object.assign(this, { centre, half, steps, terms });
  }

  // All rows at x.
  values(x) {
    const v = [1, ...this.centre.map((centre, j) => (x[j] - centre) / this.half[j])];
    for (const [a, b, c, factor, share] of this.steps) v.push(factor * v[a] * v[b] - share * v[c]);
    return v;
  }

  // Their derivatives along input j, from the rows v.
  slopes(v, j) {
    const s = [0, ...this.half.map((half, i) => (i === j ? 1 / half : 0))];
    for (const [a, b, c, factor, share] of this.steps) s.push(factor * (s[a] * v[b] + v[a] * s[b]) - share * s[c]);
    return s;
  }

  // Their second derivatives along two inputs, from the rows v and the derivatives s and t along each.
  bends(v, s, t) {
    const h = [0, ...this.half.map(() => 0)];
    for (const [a, b, c, factor, share] of this.steps)
      h.push(factor * (h[a] * v[b] + s[a] * t[b] + t[a] * s[b] + v[a] * h[b]) - share * h[c]);
    return h;
  }
}

class Network {
  // sizes: units of each layer, the inputs first; activations: a name for each layer of weights;
  // theta: layer by layer W row-major (fan in, fan out), then b (fan out), and last the coefficients (terms, outputs) of
  // the trend, if there is one.
  constructor(sizes, activations, theta, trend) {
    this.size = theta.length;
    this.layers = activations.map((name, l) => ({ fanIn: sizes[l], fanOut: sizes[l + 1], f: ACTIVATIONS[name] }));
    let start = 0;
    for (const layer of this.layers) {
      layer.start = start;
      layer.W = theta.subarray(start, (start += layer.fanIn * layer.fanOut));
      layer.b = theta.subarray(start, (start += layer.fanOut));
    }
    if (!trend) return;
    this.trend = new Trend(trend);
    this.coefficients = { fanIn: trend.terms.length, fanOut: sizes.at(-1), W: theta.subarray(start), start };
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
    for (const [l, layer] of this.layers.entries()) {
      const [value, slope, curvature] = layer.f;
      const z = forwards(layer, this.A[l]).map((sum, u) => sum + layer.b[u]);
      const a = z.map(value);
      const s = z.map((number, u) => slope(number, a[u]));
      this.A.push(a);
      this.S.push(s);
      this.C.push(z.map((number, u) => curvature(number, a[u], s[u])));
    }
    if (!network.trend) return;
    this.rows = network.trend.values(x);
    this.rowSlopes = [];
    const added = this.combined(this.rows);
    this.A.push(this.A.pop().map((a, o) => a + added[o]));
  }

  // The sums over the trend's terms of coefficients times rows, one for each output.
  combined(rows) {
    const { trend, coefficients } = this.network;
    return forwards(coefficients, trend.terms.map((row) => rows[row]));
  }

  // The derivatives of the trend's rows along input j.
  slopesOfRows(j) {
    return (this.rowSlopes[j] ??= this.network.trend.slopes(this.rows, j));
  }

  get values() {
    return this.A.at(-1);
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
    if (this.network.trend) this.addTrend(aBar, o, j, g);
    return aBar;
  }

  // The trend's part of a gradient (d) and of g.
  addTrend(gradient, o, j, g) {
    const { trend, coefficients } = this.network;
    const along = j === null ? null : this.slopesOfRows(j);
    for (let i = 0; i < gradient.length; i++) {
      const slopes = this.slopesOfRows(i);
      gradient[i] += this.combined(along ? trend.bends(this.rows, along, slopes) : slopes)[o];
    }
    const { start, fanOut } = coefficients;
    if (g) trend.terms.forEach((row, t) => (g[start + t * fanOut + o] = (along ?? this.rows)[row]));
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
