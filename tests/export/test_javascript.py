"""A model as a JavaScript module gives the numbers of the model."""

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from swarmnet import Activation, SwarmnetError
from swarmnet.data.formulas import quoted
from swarmnet.network.activations import TABLE
from tests.export.test_c import HOSTILE, MODELS, points_of
from tests.export.test_export import KEPT, a_model, check

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs node")
ASK = """
const found = {};
for (const [name, X] of Object.entries(JSON.parse(process.argv[1]))) {
  const { inputs, outputs, predict, jacobian, quantities } = await import(`./${name}.mjs`);
  found[name] = [inputs, outputs, X.map(predict), X.map(jacobian), X.map(quantities)];
}
console.log(JSON.stringify(found));
"""


def node(folder, script, *arguments):
    command = [NODE, "--input-type=module", "-e", script, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@needs_node
def test_values_and_partials_and_quantities(tmp_path):
    points = {name: points_of(model, 10) for name, model in MODELS.items()}
    for name, model in MODELS.items():
        model.to_javascript(tmp_path / f"{name}.mjs")
    found = node(tmp_path, ASK, json.dumps({name: X.tolist() for name, X in points.items()}))
    for name, model in MODELS.items():
        inputs, outputs, Y, J, quantities = found[name]
        X = points[name]
        assert (tuple(inputs), tuple(outputs)) == (model.inputs, model.outputs)
        if model.scaling.logs is None:
            check(model, X, np.array(Y), np.array(J), 1e-13)
        else:
            np.testing.assert_allclose(Y, model.predict(X), rtol=1e-13)
            np.testing.assert_allclose(J, model.jacobian(X), rtol=1e-12)
        kept = (*KEPT, "bend") if name == "defined" else ("*/ x",) if name == "hostile" else ()
        assert [tuple(row) for row in quantities] == [kept] * len(X)
        for formula in kept:
            expected = model.quantity(quoted(formula), X)
            np.testing.assert_allclose([row[formula] for row in quantities], expected, rtol=1e-9)


@needs_node
def test_points_that_the_model_refuses(tmp_path):
    MODELS["logs"].to_javascript(tmp_path / "m.js")
    script = """
    const model = await import("./m.js");
    const points = [[1], [1, 2, 3], [1, NaN], [Infinity, 1], ["1", 1], [1, 0], [1, -2]];
    const complaint = (f, x) => { try { return f(x); } catch (error) { return `${error}`; } };
    const functions = [model.predict, model.jacobian, model.quantities];
    console.log(JSON.stringify(functions.map((f) => points.map((x) => complaint(f, x)))));
    """
    wrong = "RangeError: x must be 2 finite numbers, one for each of T, p"
    assert node(tmp_path, script) == [[wrong] * 5 + ["RangeError: p must be positive"] * 2] * 3


def test_names_stay_names(tmp_path):
    MODELS["hostile"].to_javascript(tmp_path / "m.js")
    text = (tmp_path / "m.js").read_text(encoding="utf-8")
    constants = text.split("const CONTENT = ")[1].split(";\n")[0]
    assert constants.isascii() and tuple(json.loads(constants)["inputs"]) == HOSTILE[:4]


def test_an_activation_of_ones_own_cannot_be_exported(tmp_path):
    tanh = TABLE["tanh"]
    own = a_model((1, 2, 1), Activation("tanh", tanh.value, tanh.slope, tanh.curvature))
    with pytest.raises(SwarmnetError, match="'tanh' cannot be exported"):
        own.to_javascript(tmp_path / "m.js")
    assert list(tmp_path.iterdir()) == []


@needs_node
def test_error_bars_are_left_out(tmp_path):
    bare = replace(MODELS["logs"], spread=None, others=())
    for name, model in (("bare", bare), ("bars", MODELS["logs"])):
        model.to_javascript(tmp_path / f"{name}.js")
    assert (tmp_path / "bare.js").read_bytes() == (tmp_path / "bars.js").read_bytes()
