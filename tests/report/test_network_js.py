"""The page's network in JavaScript gives the numbers of the network in Python, with a trend too."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import swarmnet.report
from swarmnet import Network
from swarmnet.data.definitions import quantity_of
from swarmnet.model.model_file import network_record
from swarmnet.network.trend import Trend
from swarmnet.report.content import network_content
from swarmnet.report.formulas import tree_of
from swarmnet.report.page import activations

NODE = shutil.which("node")
TEMPLATES = Path(swarmnet.report.__file__).parent / "templates"
SCRIPT = TEMPLATES / "network.js"
ASK = """
const { net, theta, x } = JSON.parse(process.argv[1]);
const network = new Network(net.sizes, net.activations, new Float64Array(theta), net.trend);
const pass = network.at(new Float64Array(x)), each = (n) => [...Array(n).keys()];
const weights = [null, 2].map((j) => {
  const g = new Float64Array(theta.length);
  pass.gradient(1, j, g);
  return g;
});
console.log(JSON.stringify({
  Y: [...pass.values],
  J: each(2).map((o) => [...pass.gradient(o)]),
  H: each(2).map((o) => each(3).map((j) => [...pass.gradient(o, j)])),
  T: [...pass.tangent(1).T.at(-1)],
  g: weights.map((g) => [...g]),
}));
"""


@pytest.mark.skipif(NODE is None, reason="needs node")
@pytest.mark.parametrize(
    ("hidden", "degree", "least"), [((), 4, 2), ((3,), 3, 1), ((4, 2), 3, 1), ((3,), 0, 0)]
)
def test_a_network_with_a_trend(hidden: tuple[int, ...], degree: int, least: int) -> None:
    assert NODE is not None
    trend = Trend.of_degree(degree, [-1, -2, 0], [2, 1, 3], least) if degree else None
    net, rng = Network((3, *hidden, 2), "tanh", trend), np.random.default_rng(0)
    theta, x = net.init(rng), rng.uniform(-1, 1, 3)
    asked = json.dumps({"net": network_content(net), "theta": theta.tolist(), "x": x.tolist()})
    code = activations() + SCRIPT.read_text(encoding="utf-8") + ASK
    done = subprocess.run([NODE, "-e", code, asked], capture_output=True, text=True, check=True)
    found, passes = json.loads(done.stdout), net.passes(theta, x[:, None], 2)
    close = {"rtol": 1e-13, "atol": 1e-14}
    J = net.jacobian(theta, x[None])[0]
    np.testing.assert_allclose(found["Y"], net.forward(theta, x[None])[0], **close)
    np.testing.assert_allclose(found["J"], J, **close)
    np.testing.assert_allclose(found["T"], J[:, 1], **close)
    np.testing.assert_allclose(found["H"], net.hessian(theta, x[None])[0], **close)
    right = [passes.weight_gradients(1)[:, 0], passes.weight_gradients(1, np.eye(3)[:, [2]])[:, 0]]
    np.testing.assert_allclose(found["g"], right, **close)
    assert network_content(net).keys() == network_record(net).keys()


FORMULAS = [
    "-(dh/dp)/(dh/dT) + 2 - T",
    "exp(h) + log(dh/dT)*sqrt(p) + 2**h",
    "sin(h) - cos(d2h/dTdp)*tan(dh/dT) + tanh(d2h/dp2)",
    "(-h)**3 + h**0.5 + h**dh/dT + p**T",
]


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_formulas_and_their_derivatives() -> None:
    assert NODE is not None
    quantities = [quantity_of(formula, {}, ["p", "T"], ["h"]) for formula in FORMULAS]
    rng = np.random.default_rng(0)
    X, given = rng.uniform(0.5, 1.5, (1, 2)), [rng.uniform(0.5, 1.5, len(q.arguments)) for q in quantities]
    asked = [[tree_of(q.tree, q), X[0].tolist(), a.tolist()] for q, a in zip(quantities, given, strict=True)]
    code = "const found = JSON.parse(process.argv[1]).map((asked) => evaluated(...asked));"
    code += "console.log(JSON.stringify(found.map(({ value, slopes }) => [value, ...slopes])));"
    scripts = [SCRIPT.read_text(encoding="utf-8"), (TEMPLATES / "formula.js").read_text(encoding="utf-8")]
    command = [NODE, "-e", "\n".join([*scripts, code]), json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for quantity, a, found in zip(quantities, given, json.loads(done.stdout), strict=True):
        value, slopes = quantity.evaluate(X, a[:, None])
        np.testing.assert_allclose(found, np.concatenate([value, slopes[:, 0]]), rtol=1e-13)
