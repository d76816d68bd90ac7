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
    this.network = networkOf(record);
    this.hasBars = record.spread !== null;
    if (!this.hasBars) return;
    this.spread = decoded(record.spread, Float64Array);
    this.others = record.others.map((other) => ({ network: networkOf(other), share: other.share }));
  }

  scaled(x) {
    return Float64Array.from(x, (number, j) => (number - this.scaling.x_offset[j]) / this.scaling.x_scale[j]);
  }

  // From the network's unit of a quantity to the data's.
  unit({ o, j }) {
    return this.scaling.y_scale[o] / (j === null ? 1 : this.scaling.x_scale[j]);
  }

  at(x) {
    return this.network.at(this.scaled(x));
  }

  // The number of each quantity at a pass.
  answers(pass, quantities) {
    const partials = new Map();
    return quantities.map((q) => {
      if (q.j === null) return pass.values[q.o] * this.unit(q) + this.scaling.y_offset[q.o];
      if (!partials.has(q.o)) partials.set(q.o, pass.gradient(q.o));
      return partials.get(q.o)[q.j] * this.unit(q);
    });
  }

  // The slopes (d) of a quantity along each input at a pass.
  slopes(pass, q) {
    return pass.gradient(q.o, q.j).map((slope, j) => (slope * this.unit(q)) / this.scaling.x_scale[j]);
  }

  // The standard deviations of the quantities at each of the points, (points x quantities): |C g| for the gradient g
  // with respect to theta, widened by how far the other fits' answers lie apart, see swarmnet/model/error_bars.py.
  deviations(points, quantities) {
    const p = this.network.size;
    const gradients = [], apart = [];
    for (const x of points) {
      const scaled = this.scaled(x);
      const pass = this.network.at(scaled);
      for (const { o, j } of quantities) {
        const g = new Float64Array(p);
        pass.gradient(o, j, g);
        gradients.push(g);
      }
      apart.push(...this.distances(scaled, pass, quantities));
    }
    const squares = this.squaredNorms(gradients);
    return points.map((_, n) =>
      quantities.map((q, i) => {
        const at = n * quantities.length + i;
        return Math.sqrt(squares[at] + apart[at]) * this.unit(q);
      }),
    );
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
    const bare = (p, { o, j }) => (j === null ? p.values[o] : p.gradient(o)[j]);
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
