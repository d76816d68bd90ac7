"""Exports of models of logarithms give the same numbers as the models."""

import importlib.util
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import swarmnet.report
from swarmnet import Network
from swarmnet.network.trend import Trend
from swarmnet.report.content import page_content
from swarmnet.report.page import activations
from tests.fitting.test_logarithms import X, model_of

SCRIPTS = ("network", "formula", "model")
NODE = shutil.which("node")
TEMPLATES = Path(swarmnet.report.__file__).parent / "templates"
ASK = """
const { record, X, quantities } = JSON.parse(process.argv[1]);
const model = new Model(record);
const passes = X.map((x) => model.at(x));
console.log(JSON.stringify({
  answers: passes.map((pass) => model.answers(pass, quantities)),
  slopes: passes.map((pass) => quantities.map((q) => [...model.slopes(pass, q)])),
  deviations: model.deviations(X, quantities),
}));
"""


def with_trend():
    model = model_of(bars=False)
    net = Network((2, 4, 2), "tanh", Trend.of_degree(2, [-2, -2], [2, 2], 1))
    return replace(model, net=net, theta=net.init(np.random.default_rng(1)))


@pytest.mark.parametrize("model", [model_of(), with_trend()], ids=["network", "with a trend"])
def test_python(model, tmp_path):
    model.to_python(tmp_path / "exported.py")
    specification = importlib.util.spec_from_file_location("exported", tmp_path / "exported.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    np.testing.assert_allclose([module.predict(x) for x in X.tolist()], model.predict(X), rtol=1e-12)
    np.testing.assert_allclose([module.jacobian(x) for x in X.tolist()], model.jacobian(X), rtol=1e-12)
    with pytest.raises(ValueError, match="positive"):
        module.predict([1.0, 0.0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("model", [model_of(), with_trend()], ids=["network", "with a trend"])
def test_onnx(model, dtype, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    model.to_onnx(tmp_path / "model.onnx", dtype)
    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    values, jacobian = session.run(["values", "jacobian"], {"X": X.astype(dtype)})
    close = {"rtol": 1e-12 if dtype == "float64" else 1e-4}
    np.testing.assert_allclose(values, model.predict(X), **close)
    np.testing.assert_allclose(jacobian, model.jacobian(X), **close)


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_the_page():
    model = model_of()
    content = page_content({"model": model}, None, None)
    asked = {"record": content["models"][0], "X": X.tolist(), "quantities": content["quantities"]}
    code = activations() + "".join((TEMPLATES / f"{name}.js").read_text() for name in SCRIPTS)
    done = subprocess.run([NODE, "-e", code + ASK, json.dumps(asked)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {name: np.array(numbers) for name, numbers in json.loads(done.stdout).items()}
    (Y, Y_std), (J, J_std), H = model.predict(X, True), model.jacobian(X, True), model.hessian(X)
    for name, values, partials in (("answers", Y, J), ("deviations", Y_std, J_std), ("slopes", J, H)):
        right = [values[:, :, None], partials] if name != "slopes" else [values[:, :, None, :], partials]
        right = np.concatenate(right, axis=2)
        right = right.reshape(len(X), 6, *right.shape[3:])
        # The page takes slopes of formulas by differences, and how far other fits are by exp(v), not by v.
        close = {"slopes": 1e-6, "deviations": 1e-4}.get(name, 1e-9)
        np.testing.assert_allclose(found[name], right, rtol=close, err_msg=name)
    low, high = content["ranges"][1]
    assert 0 < low < np.exp(1.5) < high
