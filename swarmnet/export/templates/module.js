const MODEL = new Model(CONTENT.model);

// The names of inputs and outputs, in the order of x and of what predict gives.
export const inputs = CONTENT.inputs;
export const outputs = CONTENT.outputs;

// Their units, and those of other columns, by name, where they are known.
export const units = CONTENT.units;

// The outputs at x.
export function predict(x) {
  return MODEL.answers(passAt(x), CONTENT.columns.filter(({ j }) => j === null));
}

// jacobian(x)[o][j] is the derivative of output o with respect to input j.
export function jacobian(x) {
  const pass = passAt(x);
  return outputs.map((_, output) => MODEL.answers(pass, CONTENT.columns.filter(({ o, j }) => o === output && j !== null)));
}

// The quantities that were defined for training, by name; NaN where one is not defined.
export function quantities(x) {
  const answers = MODEL.answers(passAt(x), CONTENT.formulas);
  return Object.fromEntries(CONTENT.formulas.map(({ name }, n) => [name, answers[n]]));
}

function passAt(x) {
  const numbers = Array.from(x);
  if (numbers.length !== inputs.length || !numbers.every(Number.isFinite))
    throw new RangeError(`x must be ${inputs.length} finite numbers, one for each of ${inputs.join(", ")}`);
  for (const [j, number] of numbers.entries())
    if (MODEL.log[j] && number <= 0) throw new RangeError(`${inputs[j]} must be positive`);
  return MODEL.at(numbers);
}
