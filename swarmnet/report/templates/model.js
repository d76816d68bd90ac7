// A fitted model: the network with its scaling and its error bars, in the data's units.
// A quantity is {o, j}: output o where j is null, else its partial along input j; or a formula {tree, arguments}, whose
// arguments may also be {o, j, i}, second derivatives along j and i.

const STEP = 1e-5; // of differences, in the network's unit of an input: 1e-10 of the size is lost

function decoded(base64, Numbers) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return new Numbers(bytes.buffer);
}

const networkOf = ({ sizes, activations, theta, trend }) =>
  new Network(sizes, activations, decoded(theta, Float64Array), trend);

class Model {
  constructor(record) {
    this.scaling = record.scaling;
    this.log = record.scaling.log?.inputs ?? []; // outputs are formulas of their logarithms
    this.network = networkOf(record);
    this.hasBars = record.spread !== null;
    if (!this.hasBars) return;
    this.spread = decoded(record.spread, Float64Array);
    this.others = record.others.map((other) => ({ network: networkOf(other), share: other.share }));
  }

  scaled(x) {
    const { x_offset, x_scale } = this.scaling;
    return Float64Array.from(x, (number, j) => ((this.log[j] ? Math.log(number) : number) - x_offset[j]) / x_scale[j]);
  }

  // From the network's unit of a quantity to the data's; formulas are in the data's.
  unit({ tree, o, j, i = null }) {
    if (tree !== undefined) return 1;
    const { x_scale, y_scale } = this.scaling;
    return y_scale[o] / (j === null ? 1 : x_scale[j]) / (i === null ? 1 : x_scale[i]);
  }

  at(x) {
    return this.network.at(this.scaled(x));
  }

  // The number of each quantity at a pass.
  answers(pass, quantities) {
    return quantities.map((q) => this.answer(pass, q));
  }

  answer(pass, q) {
    if (q.tree !== undefined) return this.formula(pass, q).value;
    return this.bare(pass, q) * this.unit(q) + (q.j === null ? this.scaling.y_offset[q.o] : 0);
  }

  // In the network's unit.
  bare(pass, { o, j, i = null }) {
    return j === null ? pass.values[o] : i === null ? pass.partials(o)[j] : pass.partials(o, j)[i];
  }

  // The inputs in the data's units, before exp.
  inputs(pass) {
    return Array.from(pass.A[0], (number, j) => number * this.scaling.x_scale[j] + this.scaling.x_offset[j]);
  }

  formula(pass, { tree, arguments: given }) {
    return evaluated(tree, this.inputs(pass), this.answers(pass, given));
  }

  // The slopes (d) of a quantity along each input at a pass; of a formula by differences.
  slopes(pass, q) {
    const bare = (i) => (this.answer(pass.moved(i, STEP), q) - this.answer(pass.moved(i, -STEP), q)) / (2 * STEP);
    const slopes = q.tree !== undefined ? pass.A[0].map((_, i) => bare(i)) : pass.gradient(q.o, q.j);
    const x = this.inputs(pass).map((number, j) => (this.log[j] ? Math.exp(number) : 1));
    return slopes.map((slope, j) => (slope * this.unit(q)) / this.scaling.x_scale[j] / x[j]);
  }

  // The gradient (p) of a quantity with respect to theta, in the quantity's unit; of a second derivative by differences.
  gradient(pass, q) {
    const g = new Float64Array(this.network.size);
    if (q.tree !== undefined) {
      const { slopes } = this.formula(pass, q);
      q.arguments.forEach((argument, n) => {
        const factor = slopes[n] * this.unit(argument);
        this.gradient(pass, argument).forEach((slope, w) => (g[w] += factor * slope));
      });
    } else if ((q.i ?? null) === null) {
      pass.gradient(q.o, q.j, g);
    } else {
      const [above, below] = [STEP, -STEP].map((step) => this.gradient(pass.moved(q.i, step), { o: q.o, j: q.j }));
      above.forEach((slope, w) => (g[w] = (slope - below[w]) / (2 * STEP)));
    }
    return g;
  }

  // The standard deviations of the quantities at each of the points, (points x quantities): |C g| for the gradient g
  // with respect to theta, widened by how far the other fits' answers lie apart, see swarmnet/model/error_bars.py.
  deviations(points, quantities) {
    const gradients = [], apart = [];
    for (const x of points) {
      const scaled = this.scaled(x);
      const pass = this.network.at(scaled);
      for (const q of quantities) gradients.push(this.gradient(pass, q));
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
    const bare = (p, q) => (q.tree !== undefined ? this.answer(p, q) : this.bare(p, q));
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
