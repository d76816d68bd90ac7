"""A model in other tools: the same values and derivatives as in swarmnet, in the data's units."""

import ast
import json
import math
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from swarmnet import Activation, FittedModel, MixedData, Network, SwarmnetError, SwarmnetWarning, fit
from swarmnet.network.activations import TABLE
from swarmnet.network.trend import Trend
from swarmnet.scaling import Scaling
from swarmnet.version import __version__

if HAS_ONNX := all(map(find_spec, ("onnx", "onnxruntime"))):
    import onnx
    import onnxruntime
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="needs onnx and onnxruntime")

TOLERANCE = {"float64": 1e-12, "float32": 1e-6}
# onnxruntime treats tensors of one number in its own ways
SHAPES = [(2, 7, 5, 3), (3, 6, 1), (1, 4, 2), (1, 1, 1), (2, 2), (1, 1)]


def a_model(sizes, activations, seed=0, biases=True, offset=1e5, trend=None):
    """Random weights, and a scaling far from none."""
    rng = np.random.default_rng(seed)
    net = Network(sizes, activations, trend)
    theta = net.init(rng)
    if not biases:
        theta = net.flatten([(W, np.zeros_like(b)) for W, b in net.unflatten(theta)])
    scaling = Scaling(
        rng.uniform(0.5, 1.0, net.d) * offset,
        rng.uniform(1.0, 100.0, net.d),
        rng.uniform(-1.0, 1.0, net.k) * offset,
        rng.uniform(0.1, 10.0, net.k),
    )
    inputs, outputs = (tuple(f"{letter}{i}" for i in range(n)) for letter, n in (("x", net.d), ("y", net.k)))
    return FittedModel(net, theta, scaling, inputs, outputs)


def points_for(model, n=100, dtype="float64"):
    spread = np.random.default_rng(1).uniform(-2.0, 2.0, (n, model.net.d))
    return (model.scaling.x_offset + model.scaling.x_scale * spread).astype(dtype)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])


def from_onnx(model, X, dtype, path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "float32 rounds", SwarmnetWarning)
        model.to_onnx(path, dtype)
    return session(path).run(["values", "jacobian"], {"X": X})


def from_python(source, X):
    module = {}
    exec(compile(source, "exported", "exec"), module)
    rows = X.tolist()
    return np.array([module["predict"](x) for x in rows]), np.array([module["jacobian"](x) for x in rows])


def check(model, X, values, jacobian, tolerance, least=0.0):
    """Relative to the largest value of an output, and to the largest partial in the network's units.

    A largest partial below `least` counts as `least`.
    """
    expected = model.predict(X)
    assert np.all(np.abs(values - expected).max(0) <= tolerance * np.abs(expected).max(0))
    unit = model.scaling.y_scale[:, None] / model.scaling.x_scale
    partials = model.jacobian(X) / unit
    assert np.abs(jacobian / unit - partials).max() <= tolerance * max(least, np.abs(partials).max())


@needs_onnx
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", TABLE)
def test_onnxruntime_gives_the_same(name, dtype, tmp_path):
    for seed, sizes in enumerate(SHAPES):
        for activations in (name, [name] * (len(sizes) - 1)):  # the output layer linear, or not
            model = a_model(sizes, activations, seed)
            X = points_for(model, dtype=dtype)
            values, jacobian = from_onnx(model, X, dtype, tmp_path / "m.onnx")
            assert values.dtype == jacobian.dtype == dtype
            check(model, X, values, jacobian, TOLERANCE[dtype])


# (sizes, degree, lowest degree)
TRENDS = [
    ((2, 1), 4, 2),
    ((2, 3, 2), 3, 1),
    ((3, 4, 3, 2), 3, 1),
    ((1, 1), 1, 1),
    ((1, 1), 2, 2),
    ((1, 2), 7, 2),
]


def a_trend(d, degree, least):
    return Trend.of_degree(degree, np.linspace(-2.0, -1.0, d), np.linspace(2.0, 2.5, d), least)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = rng.uniform([280.0, -1.0, 1e5], [350.0, 1.0, 4e5], (60, 3))
    T, x, p = (X / [300.0, 1.0, 3e5]).T
    data = MixedData(
        X, np.column_stack([T * x**2 + p, np.sin(T * p) - x]), inputs=("T", "x", "p"), outputs=("v", "h")
    )
    return fit(data, hidden=(3,), degree=3, trainer="lbfgs", iterations=50)


@needs_onnx
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_onnxruntime_gives_the_same_with_a_trend(dtype, tmp_path):
    for seed, (sizes, *degrees) in enumerate(TRENDS):
        model = a_model(sizes, "tanh", seed, trend=a_trend(sizes[0], *degrees))
        X = points_for(model, dtype=dtype)
        check(model, X, *from_onnx(model, X, dtype, tmp_path / "m.onnx"), TOLERANCE[dtype])
        assert from_onnx(model, X[:0], dtype, tmp_path / "m.onnx")[1].shape == (0, sizes[-1], sizes[0])


@needs_onnx
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_onnxruntime_gives_the_same_of_a_fit_with_a_trend(dtype, fitted, tmp_path):
    assert fitted.net.terms > 0
    X = points_for(fitted, dtype=dtype)
    check(fitted, X, *from_onnx(fitted, X, dtype, tmp_path / "m.onnx"), TOLERANCE[dtype])


@needs_onnx
@pytest.mark.parametrize(
    ("centre", "half", "dtype", "what"),
    [
        (0.0, 5e-324, "float64", "slope_0"),
        (1e308, 1.0, "float64", "centre"),
        (0.0, 1e308, "float64", "half"),
        (0.0, 1e-42, "float32", "slope_0"),
    ],
)
def test_ranges_of_a_trend_that_a_graph_cannot_hold_are_refused(centre, half, dtype, what, tmp_path):
    trend = Trend(np.array([[1, 1]]), np.array([centre, 0.0]), np.array([half, 1.0]))
    net = Network((2, 1), trend=trend)
    scaling = Scaling(np.zeros(2), np.full(2, 2.0), np.zeros(1), np.ones(1))
    model = FittedModel(net, np.ones(net.size), scaling, ("T", "p"), ("h",))
    with pytest.raises(SwarmnetError, match=f"the model's {what} is too large or too small for {dtype}"):
        model.to_onnx(tmp_path / "m.onnx", dtype)


@needs_onnx
@pytest.mark.parametrize("name", TABLE)
def test_onnxruntime_joins_nothing_in_float32(name, tmp_path):
    """Without biases its optimiser sees factors beside matrix products, and would round them."""
    for sizes in SHAPES:
        model = a_model(sizes, name, biases=False)
        X = points_for(model)
        check(model, X, *from_onnx(model, X, "float64", tmp_path / "m.onnx"), 1e-12)


@needs_onnx
@pytest.mark.parametrize("ratio", [1e2, 1e4, 1e6])
def test_large_offsets_cost_float32_no_digits_but_those_of_the_result(ratio, tmp_path):
    model = a_model((2, 16, 16, 1), "tanh", offset=1.0)
    scaling = Scaling(
        ratio * np.array([1.23456789, -3.3333333]), np.ones(2), ratio * np.array([1.7777777]), np.ones(1)
    )
    model = FittedModel(model.net, model.theta, scaling, model.inputs, model.outputs)
    X = points_for(model, dtype="float32")
    values, jacobian = from_onnx(model, X, "float32", tmp_path / "m.onnx")
    partials = model.jacobian(X)
    assert np.abs(jacobian - partials).max() < 1e-6 * np.abs(partials).max()
    assert np.abs(values - model.predict(X)).max() < 1e-6 + 0.51 * np.spacing(np.float32(2 * ratio))


@needs_onnx
@pytest.mark.parametrize("scaling", ["standard", "minmax", None])
def test_what_float32_rounds_away_is_said(scaling, tmp_path):
    """y = sin x about -291230 has some 65 different values in float32, and t needs seconds."""
    x = np.linspace(-2.0, 2.0, 40)
    net = Network((2, 1))
    about = {"standard": (1.7e9, 1e4, -291230.0), "minmax": (1.7e9, 2e4, -291230.0), None: (0.0, 1.0, 0.0)}
    offset, scale, y_offset = about[scaling]
    theta = np.array([1e-4 if scaling is None else 1.0, 0.0, -291230.0 if scaling is None else 0.0])
    units = Scaling(np.array([offset, 0.0]), np.array([scale, 1.0]), np.array([y_offset]), np.ones(1))
    ranges = {"t": [1.7e9 - 2e4, 1.7e9 + 2e4], "x": [-2.0, 2.0]}
    if scaling is None:
        theta[2] -= 1.7e5
    model = FittedModel(net, theta, units, ("t", "x"), ("y",), {"input_ranges": ranges})
    with pytest.warns(SwarmnetWarning, match=r"float32 rounds t to 1.3e\+02.*, y to 0.03") as found:
        model.to_onnx(tmp_path / "m.onnx", "float32")
    assert len(found) == 1 and "x to" not in str(found[0].message) and found[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.to_onnx(tmp_path / "m.onnx")
    X = np.column_stack([np.full(len(x), 1.7e9), x])
    assert session(tmp_path / "m.onnx").run(["values"], {"X": X})[0].dtype == np.float64


@needs_onnx
def test_the_graph_takes_any_number_of_rows(tmp_path):
    for name in TABLE:
        model = a_model((2, 3, 2), name)
        model.to_onnx(tmp_path / "m.onnx")
        opened = session(tmp_path / "m.onnx")
        for n in (0, 1, 5):
            values, jacobian = opened.run(None, {"X": points_for(model, n)})
            assert (values.shape, jacobian.shape) == ((n, 2), (n, 2, 2))


@needs_onnx
def test_the_graph_says_what_it_holds(tmp_path):
    data = MixedData([[300.0, 1.0], [310.0, 2.0]], Y=[1.0, 2.0], inputs=("T", 'p "abs"'), outputs=("h",))
    fit(data, hidden=(2,), trainer="lbfgs", iterations=3).to_onnx(tmp_path / "m.onnx")
    document = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(document, full_check=True)
    facts = {entry.key: entry.value for entry in document.metadata_props}
    assert json.loads(facts["inputs"]) == ["T", 'p "abs"']
    assert json.loads(facts["outputs"]) == ["h"]
    assert json.loads(facts["jacobian"]) == [["dh/dT", 'dh/dp "abs"']]
    assert json.loads(facts["input_ranges"]) == {"T": [300.0, 310.0], 'p "abs"': [1.0, 2.0]}
    assert facts["swarmnet"] == __version__ == document.producer_version
    ends = {end.name: [d.dim_param or d.dim_value for d in end.type.tensor_type.shape.dim]
            for end in [*document.graph.input, *document.graph.output]}  # fmt: skip
    assert ends == {"X": ["n", 2], "values": ["n", 1], "jacobian": ["n", 1, 2]}


@needs_onnx
def test_saturated_units_overflow_nowhere(tmp_path, loud):
    for name in TABLE:
        model = a_model((2, 3, 1), name)
        far = model.scaling.x_offset + model.scaling.x_scale * np.array([[1e4, -1e4], [-1e4, 1e4]])
        # The slopes of saturated units are 0 but for rounding
        check(model, far, *from_onnx(model, far, "float64", tmp_path / "m.onnx"), 1e-11, least=1.0)
        check(model, far, *from_python(model.to_python(), far), 1e-11, least=1.0)


@pytest.mark.parametrize("name", TABLE)
def test_the_python_module_gives_the_same(name):
    for seed, sizes in enumerate(SHAPES):
        for activations in (name, [name] * (len(sizes) - 1)):
            model = a_model(sizes, activations, seed)
            X = points_for(model, 20)
            check(model, X, *from_python(model.to_python(), X), 1e-12)


def test_the_python_module_gives_the_same_with_a_trend(fitted):
    models = [
        a_model(sizes, "tanh", seed, trend=a_trend(sizes[0], *degrees))
        for seed, (sizes, *degrees) in enumerate(TRENDS)
    ]
    for model in (*models, fitted):
        X = points_for(model, 20)
        check(model, X, *from_python(model.to_python(), X), 1e-12)


def test_the_python_module_runs_under_bare_python(tmp_path):
    models = {name: a_model((2, 3, 1), name) for name in TABLE}
    models["trend"] = a_model((2, 1), "tanh", trend=a_trend(2, 4, 2))
    for name, model in models.items():
        assert model.to_python(tmp_path / f"{name}.py") == (tmp_path / f"{name}.py").read_text()
    (tmp_path / "ask.py").write_text(
        "import json, runpy, sys\n"
        "before = set(sys.modules)\n"
        "found = {}\n"
        "for name, x in json.load(sys.stdin).items():\n"
        "    module = runpy.run_path(name + '.py')\n"
        "    found[name] = module['predict'](x), module['jacobian'](x)\n"
        "assert not {'numpy', 'swarmnet', 'site'} & set(sys.modules)\n"
        "json.dump(found, sys.stdout)\n"
    )
    points = {name: points_for(model, 1)[0].tolist() for name, model in models.items()}
    command = [sys.executable, "-I", "-S", "ask.py"]
    run = subprocess.run(command, cwd=tmp_path, input=json.dumps(points), capture_output=True, text=True)
    assert run.stderr == ""
    for name, (values, jacobian) in json.loads(run.stdout).items():
        check(models[name], np.array([points[name]]), np.array([values]), np.array([jacobian]), 1e-12)


NASTY = (
    "it's",
    '"""\nraise SystemExit\n"""',
    "back\\slash\\",
    "{version}%s",
    "lone \ud800",
    "T\n, °C\u2028",
)


@needs_onnx
def test_names_stay_names(tmp_path):
    model = a_model((3, 2, 3), "tanh")
    model = FittedModel(model.net, model.theta, model.scaling, NASTY[:3], NASTY[3:])
    module = {}
    exec(model.to_python(), module)
    assert (module["INPUTS"], module["OUTPUTS"]) == (list(NASTY[:3]), list(NASTY[3:]))
    assert model.to_python().isascii()
    model.to_onnx(tmp_path / "m.onnx")
    facts = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert tuple(json.loads(facts["inputs"]) + json.loads(facts["outputs"])) == NASTY


def test_the_python_module_is_short_and_imports_math_alone():
    source = a_model((2, 8, 1), "tanh").to_python()
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["import math"]
    assert source.count("\n") < 100
    assert max(map(len, source.splitlines())) < 200


@pytest.mark.parametrize("x", [[1.0], [1.0, 2.0, 3.0], [1.0, math.nan], [math.inf, 1.0]], ids=str)
def test_the_python_module_refuses_bad_points(x):
    module = {}
    exec(a_model((2, 3, 1), "tanh").to_python(), module)
    for function in (module["predict"], module["jacobian"]):
        with pytest.raises(ValueError, match="one for each of x0, x1"):
            function(x)


@needs_onnx
def test_an_activation_of_ones_own_cannot_be_exported(tmp_path):
    tanh = TABLE["tanh"]
    mine = a_model((1, 2, 1), Activation("tanh", tanh.value, tanh.slope, tanh.curvature))
    with pytest.raises(SwarmnetError, match="'tanh' cannot be exported"):
        mine.to_onnx(tmp_path / "m.onnx")
    with pytest.raises(SwarmnetError, match="'tanh' cannot be exported"):
        mine.to_python(tmp_path / "m.py")
    assert os.listdir(tmp_path) == []


def test_without_onnx_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SwarmnetError, match=r'pip install "\.\[onnx\]"'):
        a_model((1, 2, 1), "tanh").to_onnx(tmp_path / "m.onnx")
    assert os.listdir(tmp_path) == []


@needs_onnx
def test_an_unknown_dtype_is_refused(tmp_path):
    with pytest.raises(SwarmnetError, match=r"unknown dtype 'float16'.* float64, float32"):
        a_model((1, 2, 1), "tanh").to_onnx(tmp_path / "m.onnx", "float16")


@needs_onnx
@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"x_offset": [1e39]}, "x_offset"),
        ({"x_scale": [1e-39]}, "x_scale"),
        ({"y_scale": [1e39]}, "diag_y_scale"),
        ({"y_offset": [-1e39]}, "y_offset"),
    ],
)
def test_numbers_that_float32_cannot_hold_are_refused(changes, name, tmp_path):
    model = a_model((1, 2, 1), "tanh")
    scaling = Scaling(
        **{
            field: np.array(changes.get(field, [1.0]))
            for field in ("x_offset", "x_scale", "y_offset", "y_scale")
        }
    )
    model = FittedModel(model.net, model.theta, scaling, model.inputs, model.outputs)
    with pytest.raises(SwarmnetError, match=f"{name} is too large or too small for float32: export float64"):
        model.to_onnx(tmp_path / "m.onnx", "float32")
    assert os.listdir(tmp_path) == []
    X = points_for(model, 5)
    check(model, X, *from_onnx(model, X, "float64", tmp_path / "m.onnx"), 1e-12)


@needs_onnx
def test_a_failed_export_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "m.onnx").write_text("old")
    (tmp_path / "m.py").write_text("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    model = a_model((1, 2, 1), "tanh")
    for export in (model.to_onnx, model.to_python):
        with pytest.raises(SwarmnetError, match="cannot write: No space left on device"):
            export(tmp_path / ("m.py" if export == model.to_python else "m.onnx"))
    assert sorted(os.listdir(tmp_path)) == ["m.onnx", "m.py"]
    assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}


DEFINE = {
    "slope": "-dy1/dx0/1000",
    "ratio": "-(dy0/dx1)/(3 + dy0/dx0**2) + 2*slope",
    "others": "exp(tanh(y0)) + log(2 + sin(x0)) - sqrt(cos(y1)**2 + x1**2) + tan(y0/1e6)*abs0**0.5",
    "bend": "d2y0/dx02*y1",
    "lost": "dy0/dq",
}


@pytest.fixture
def defined():
    """A model with formulas, one of which has second derivatives, and one an unknown name."""
    define = {"abs0": "(y0**2)"} | DEFINE
    model = a_model((2, 5, 2), "tanh", offset=10.0)
    return replace(model, training=model.training | {"define": define})


KEPT = ("abs0", "slope", "ratio", "others")
LEFT_OUT = "not exported, as they have second derivatives: bend"


@needs_onnx
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_onnxruntime_gives_the_same_quantities(dtype, defined, tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "float32 rounds", SwarmnetWarning)
        with pytest.warns(SwarmnetWarning, match=LEFT_OUT):
            defined.to_onnx(tmp_path / "m.onnx", dtype)
    opened = session(tmp_path / "m.onnx")
    assert json.loads(opened.get_modelmeta().custom_metadata_map["quantities"]) == list(KEPT)
    X = points_for(defined, dtype=dtype)
    values, quantities = opened.run(["values", "quantities"], {"X": X})
    assert (quantities.shape, quantities.dtype) == ((100, 4), dtype) and values.shape == (100, 2)
    for name, found in zip(KEPT, quantities.T, strict=True):
        expected = defined.quantity(name, X)
        assert np.abs(found - expected).max() <= 100 * TOLERANCE[dtype] * np.abs(expected).max()
    assert opened.run(["quantities"], {"X": X[:0]})[0].shape == (0, 4)


def test_the_module_gives_the_same_quantities(defined):
    with pytest.warns(SwarmnetWarning, match=LEFT_OUT):
        source = defined.to_python()
    module = {}
    exec(compile(source, "exported", "exec"), module)
    X = points_for(defined)
    assert module["QUANTITIES"] == list(KEPT)
    expected = np.column_stack([defined.quantity(name, X) for name in KEPT])
    np.testing.assert_allclose([module["quantities"](x) for x in X.tolist()], expected, rtol=1e-9)
    assert "quantities" not in a_model((2, 5, 2), "tanh").to_python()
