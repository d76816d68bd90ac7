// A fitted model: the network with its scaling and its error bars, in the data's units.
// A quantity is {o, j}: output o where j is null, else its partial along input j.

function decoded(base64, Numbers) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return new Numbers(bytes.buffer);
}

const networkOf = ({ sizes, activations, theta, trend }) =>
  new Network(sizes, activations, decoded(theta, Float64Array), trend);

class Model {
  constructor(record) {
    this.scaling = record.scaling;
    this.log = record.scaling.log ?? { inputs: [], outputs: [] };
    this.network = networkOf(record);
    this.hasBars = record.spread !== null;
    if (!this.hasBars) return;
    this.spread = decoded(record.spread, Float64Array);
    this.others = record.others.map((other) => ({ network: networkOf(other), share: other.share }));
  }

  scaled(x) {
    const inner = Float64Array.from(x, (number, j) => (this.log.inputs[j] ? Math.log(number) : number));
    return inner.map((number, j) => (number - this.scaling.x_offset[j]) / this.scaling.x_scale[j]);
  }

  // The network's output in the data's units, before exp.
  outer(pass, o) {
    return pass.values[o] * this.scaling.y_scale[o] + this.scaling.y_offset[o];
  }

  // The chain rule of logarithms, see swarmnet/data/logarithms.py: dy/dv of an output, and du/dx of an input.
  factor(pass, o) {
    return this.log.outputs[o] ? Math.exp(this.outer(pass, o)) : 1;
  }

  along(x, j) {
    return j !== null && this.log.inputs[j] ? 1 / x[j] : 1;
  }

  // From the network's unit of a quantity to the data's, before the chain rule of logarithms.
  unit({ o, j }) {
    return this.scaling.y_scale[o] / (j === null ? 1 : this.scaling.x_scale[j]);
  }

  at(x) {
    return Object.assign(this.network.at(this.scaled(x)), { point: x });
  }

  // The number of each quantity at a pass.
  answers(pass, quantities) {
    const partials = new Map();
    return quantities.map((q) => {
      const factor = this.factor(pass, q.o);
      if (q.j === null) return this.log.outputs[q.o] ? factor : this.outer(pass, q.o);
      if (!partials.has(q.o)) partials.set(q.o, pass.gradient(q.o));
      return partials.get(q.o)[q.j] * this.unit(q) * factor * this.along(pass.point, q.j);
    });
  }

  // The slopes (d) of a quantity along each input at a pass.
  slopes(pass, q) {
    const inUnits = (slopes, unit) => slopes.map((slope, i) => (slope * unit) / this.scaling.x_scale[i]);
    const first = inUnits(pass.gradient(q.o), this.scaling.y_scale[q.o]);
    const bend = (second, i) =>
      second + (this.log.outputs[q.o] ? first[i] * first[q.j] : 0) - (i === q.j && this.log.inputs[i] ? first[i] : 0);
    const found = q.j === null ? first : inUnits(pass.gradient(q.o, q.j), this.unit(q)).map(bend);
    const factor = this.factor(pass, q.o) * this.along(pass.point, q.j);
    return found.map((slope, i) => slope * factor * this.along(pass.point, i));
  }

  // The standard deviations of the quantities at each of the points, (points x quantities): |C g| for the gradient g
  // with respect to theta, widened by how far the other fits' answers lie apart, see swarmnet/model/error_bars.py.
  deviations(points, quantities) {
    const p = this.network.size;
    const gradients = [], apart = [], units = [];
    for (const x of points) {
      const scaled = this.scaled(x);
      const pass = this.network.at(scaled);
      for (const { o, j } of quantities) {
        const g = new Float64Array(p);
        pass.gradient(o, j, g);
        if (j !== null && this.log.outputs[o]) this.addGradientOfFactor(pass, o, pass.gradient(o)[j], g);
        gradients.push(g);
        units.push(this.unit({ o, j }) * this.factor(pass, o) * this.along(x, j));
      }
      apart.push(...this.distances(scaled, pass, quantities));
    }
    const squares = this.squaredNorms(gradients);
    return points.map((_, n) =>
      quantities.map((_, i) => {
        const at = n * quantities.length + i;
        return Math.sqrt(squares[at] + apart[at]) * units[at];
      }),
    );
  }

  // Adds to the gradient of a partial that of the output y = exp(v) by which it is multiplied, divided by y.
  addGradientOfFactor(pass, o, partial, g) {
    const ofValue = new Float64Array(g.length);
    pass.gradient(o, null, ofValue);
    ofValue.forEach((slope, n) => (g[n] += partial * this.scaling.y_scale[o] * slope));
  }

  // |C g|^2 of each g; C is lower triangular and packed row by row.
  squaredNorms(gradients) {
    const squares = new Float64Array(gradients.length);
    for (let row = 0, start = 0; row < this.network.size; start += ++row) {
      const C = this.spread.subarray(start, start + row + 1);
      for (let n = 0; n < gradients.length; n++) {
        const g = gradients[n];
        let sum = 0;
        for (let c = 0; c <= row; c++) sum += C[c] * g[c];
        squares[n] += sum * sum;
      }
    }
    return squares;
  }

  // The mean square distance of all fits' answers from the best one, whose share is 1.
  distances(scaled, pass, quantities) {
    // How many times as large the output y = exp(v) is in another fit
    const ratio = (p, o) => (this.log.outputs[o] ? Math.exp(this.outer(p, o) - this.outer(pass, o)) : 1);
    const bare = (p, { o, j }) => (j === null ? p.values[o] : p.gradient(o)[j] * ratio(p, o));
    const best = quantities.map((q) => bare(pass, q));
    const sums = quantities.map(() => 0);
    let total = 1;
    for (const { network, share } of this.others) {
      const other = network.at(scaled);
      quantities.forEach((q, i) => (sums[i] += share * (bare(other, q) - best[i]) ** 2));
      total += share;
    }
    return sums.map((sum) => sum / total);
  }
}
