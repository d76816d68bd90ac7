"""A model as C: compiled without warnings, it gives the numbers of the model, with error bars."""

import ctypes
import re
import shutil
import subprocess
import warnings
from dataclasses import replace

import numpy as np
import pytest

from swarmnet import Activation, Network, SwarmnetError, SwarmnetWarning
from swarmnet.model.error_bars import OtherFit
from swarmnet.network.activations import TABLE
from swarmnet.network.trend import Trend
from swarmnet.version import __version__
from tests.export.test_export import DEFINE, KEPT, LEFT_OUT, a_model, a_trend, check, points_for
from tests.fitting.test_logarithms import model_of

CC, CXX = shutil.which("cc"), shutil.which("c++")
FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"]
HOSTILE = (
    "*/ int x; /*",
    'quote " and \\',
    "line\nend",
    "??/",
    "T °C \ud800",
    "$name ${d}",
    "*/",
    "/*/",
    "//end",
)


def with_bars(model, others=()):
    rng = np.random.default_rng(5)
    p = model.net.size
    return replace(model, spread=1e-3 * rng.normal(size=p * (p + 1) // 2), others=tuple(others))


def another(sizes, activations, share, trend=None):
    net = Network(sizes, activations, trend)
    return OtherFit(net, net.init(np.random.default_rng(7)), share)


def with_units_of_one(model):
    scaling = replace(model.scaling, x_offset=np.array([1e3, -2.0]), y_offset=np.array([5.0, -30.0]))
    return replace(model, scaling=scaling, inputs=("p", "T"), outputs=("z", "a"))


def logarithms_with_a_trend():
    model = model_of(bars=False)
    net = Network((2, 4, 2), "tanh", Trend.of_degree(2, [-2, -2], [2, 2], 1))
    return replace(model, net=net, theta=net.init(np.random.default_rng(1)))


def models():
    """By file names, which are no names in C."""
    mixed = a_model((3, 5, 4, 6, 4, 2), ("sigmoid", "softplus", "silu", "gelu", "linear"), 1)
    smooth = with_units_of_one(a_model((2, 4, 3, 2), "tanh", 2))
    trend = a_trend(2, 3, 1)
    others = (another((2, 3, 2), "gelu", 0.7), another((2, 2), "tanh", 0.2, trend))
    bars = [with_bars(a_model((2, 3, 2), ("sine", "sigmoid"), 4)), with_bars(smooth, others)]
    plain = with_units_of_one(a_model((2, 3, 2), "silu", 8, trend=a_trend(2, 1, 1)))
    return {
        "several": mixed,
        "planes": with_bars(plain, others[:1]),
        "others": a_model((2, 4, 4, 4, 3), ("sine", "relu", "tanh", "sigmoid"), 3),
        "linear degree 1": a_model((1, 1), "tanh", trend=a_trend(1, 1, 1)),
        "degree-4": a_model((2, 3, 2), "silu", 5, trend=a_trend(2, 4, 1)),
        "1.of sines": bars[0],
        "with_others": bars[1],
        "with trend": with_bars(with_units_of_one(a_model((2, 4, 2), "silu", 6, trend=trend)), others[:1]),
        "logs": model_of(),
        "logs and trend": with_bars(logarithms_with_a_trend(), others),
        "hostile": replace(
            a_model((4, 2, 5), "gelu"),
            inputs=HOSTILE[:4],
            outputs=HOSTILE[4:],
            training={"define": {"*/ x": "2*`*/`"}, "input_ranges": {HOSTILE[0]: [99990.0, 1e5]}},
        ),
        "defined": replace(
            a_model((2, 5, 2), "tanh", offset=10.0), training={"define": {"abs0": "(y0**2)"} | DEFINE}
        ),
    }


NAMES = {
    "linear degree 1": "linear_degree_1",
    "degree-4": "degree_4",
    "1.of sines": "model_1_of_sines",
    "with trend": "with_trend",
    "logs and trend": "logs_and_trend",
}
MODELS = models()
BARS = [name for name, model in MODELS.items() if model.spread is not None]


def points_of(model, n=20):
    if model.scaling.logs is None:
        return points_for(model, n)
    rng = np.random.default_rng(2)
    return np.column_stack([rng.uniform(-1, 1, n), np.exp(rng.uniform(-6, 8, n))])


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """All models, compiled together: each file keeps its names for itself."""
    if CC is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("c")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", LEFT_OUT, SwarmnetWarning)
        for name, model in MODELS.items():
            model.to_c(folder / f"{name}.c", std=model.spread is not None)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "float32 rounds", SwarmnetWarning)
        for name in ("several", "others", "degree-4", "logs"):
            MODELS[name].to_c(folder / f"single {name}.c", "float32")
    sources = list(map(str, folder.glob("*.c")))
    command = [CC, "-std=c99", *FLAGS, "-Wdouble-promotion", "-shared", "-fPIC"]
    done = subprocess.run(
        [*command, *sources, "-o", str(folder / "all.so"), "-lm"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(folder / "all.so"))


def called(library, function, *arrays):
    return getattr(library, function)(*(array.ctypes.data_as(ctypes.c_void_p) for array in arrays))


def asked(library, function, X, *shapes, dtype=np.float64):
    """The answers of a function at each row of X, as arrays of these shapes."""
    answers = [np.full((len(X), *shape), -1.0, dtype) for shape in shapes]
    for i, x in enumerate(np.ascontiguousarray(X, dtype)):
        assert called(library, function, x, *(answer[i] for answer in answers)) == 0
    return answers


def shapes_of(model):
    return (model.net.k,), (model.net.k, model.net.d)


@pytest.mark.parametrize("name", MODELS)
def test_values_and_partials(name, library):
    model, c_name = MODELS[name], NAMES.get(name, name)
    X = points_of(model)
    value, partial = shapes_of(model)
    (Y,) = asked(library, f"{c_name}_predict", X, value)
    (J,) = asked(library, f"{c_name}_jacobian", X, partial)
    if model.scaling.logs is None:
        check(model, X, Y, J, 1e-13)
    else:
        np.testing.assert_allclose(Y, model.predict(X), rtol=1e-13)
        np.testing.assert_allclose(J, model.jacobian(X), rtol=1e-12)


@pytest.mark.parametrize("name", BARS)
def test_error_bars(name, library):
    model, c_name = MODELS[name], NAMES.get(name, name)
    X = points_of(model)
    value, partial = shapes_of(model)
    for answers, expected in (
        (asked(library, f"{c_name}_predict_std", X, value, value), model.predict(X, return_std=True)),
        (asked(library, f"{c_name}_jacobian_std", X, partial, partial), model.jacobian(X, return_std=True)),
    ):
        for numbers, right in zip(answers, expected, strict=True):
            np.testing.assert_allclose(numbers, right, rtol=1e-9)


@pytest.mark.parametrize("name", ["several", "others", "degree-4", "logs"])
def test_float32(name, library):
    """Large offsets cost no digits but those of the answers: x is exact in float32."""
    model, c_name = MODELS[name], f"single_{NAMES.get(name, name)}"
    X = points_of(model).astype(np.float32)
    value, partial = shapes_of(model)
    (Y,) = asked(library, f"{c_name}_predict", X, value, dtype=np.float32)
    (J,) = asked(library, f"{c_name}_jacobian", X, partial, dtype=np.float32)
    if model.scaling.logs is None:
        check(model, X.astype(np.float64), Y, J, 3e-6)
    else:
        np.testing.assert_allclose(Y, model.predict(X), rtol=1e-4)
        np.testing.assert_allclose(J, model.jacobian(X), rtol=1e-4)


def test_quantities(library):
    model = MODELS["defined"]
    X = points_of(model)
    (found,) = asked(library, "defined_quantities", X, (len(KEPT),))
    expected = np.column_stack([model.quantity(name, X) for name in KEPT])
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "x", "code"),
    [
        ("with_others", [np.nan, 1.0], 1),
        ("with_others", [1.0, -np.inf], 2),
        ("others", [1.0, np.nan], 2),
        ("logs", [0.3, 0.0], 2),
        ("logs", [0.3, -1.0], 2),
        ("defined", [np.inf, np.nan], 1),
    ],
)
def test_points_that_the_model_refuses(name, x, code, library):
    model = MODELS[name]
    with pytest.raises(SwarmnetError):
        model.predict([x])
    x = np.array(x)
    functions = ["predict", "jacobian"]
    functions += ["predict_std", "jacobian_std"] if model.spread is not None else []
    functions += ["quantities"] if "define" in model.training else []
    for function in functions:
        answers = np.zeros((2, 6))
        count = model.net.k if function.startswith("predict") else len(KEPT)
        count = model.net.k * model.net.d if function.startswith("jacobian") else count
        assert called(library, f"{name}_{function}", x, *answers) == code
        for numbers in answers[: 1 + function.endswith("_std")]:
            assert np.isnan(numbers[:count]).all() and not numbers[count:].any()


@pytest.mark.skipif(CXX is None, reason="needs a C++ compiler")
def test_it_is_c_plus_plus_too(tmp_path):
    for name in ("logs and trend", "defined", "hostile"):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", LEFT_OUT, SwarmnetWarning)
            MODELS[name].to_c(tmp_path / f"{name}.cpp", std=name in BARS)
    command = [CXX, *FLAGS, "-fsyntax-only", *map(str, tmp_path.glob("*.cpp"))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_file_says_what_it_holds(tmp_path):
    model = a_model((2, 3, 2), "tanh")
    ranges = {"p": [1.0, 2.5], "T": [300.0, 310.0]}
    model = replace(model, inputs=("T", "p"), outputs=("h", "cp"), training={"input_ranges": ranges})
    model.to_c(tmp_path / "water.c")
    text = (tmp_path / "water.c").read_text()
    comment = text[: text.index("*/")]
    for part in (
        f"Made by swarmnet {__version__}:",
        'x[0] "T", trained from 300.0 to 310.0',
        'x[1] "p", trained from 1.0 to 2.5',
        'y[0] "h"',
        'y[1] "cp"',
        "int water_predict(const double x[2], double y[2]);",
        "int water_jacobian(const double x[2], double J[2][2]);",
        "cc -std=c99 -O2",
    ):
        assert part in comment
    assert re.findall(r"#include .*", text) == ["#include <math.h>"]
    assert not re.search(r"\b(malloc|free)\b|\bstatic (?!const|double|int|void)", text)


def test_names_stay_in_their_comment(tmp_path):
    MODELS["hostile"].to_c(tmp_path / "m.c")
    text = (tmp_path / "m.c").read_text()
    assert text.isascii()
    comment = text[2 : text.index("*/")]
    assert "/*" not in comment and 'x[0] "\\u002a/ int x; /\\u002a", trained from' in comment
    assert [comment.count(f"\n     {letter}[") for letter in "xyq"] == [4, 5, 1]
    assert 'q[0] "\\u002a/ x"' in comment


def test_what_cannot_be_written_is_refused(tmp_path):
    many = with_bars(a_model((2, 30, 20, 1), "tanh"))
    tanh = TABLE["tanh"]
    own = a_model((1, 2, 1), Activation("tanh", tanh.value, tanh.slope, tanh.curvature))
    tiny = replace(MODELS["others"].scaling, x_scale=np.array([1e-39, 1.0]))
    for model, options, what in (
        (MODELS["others"], {"std": True}, "this model has no error bars: train it by hybrid or lm"),
        (many, {"std": True}, "731 weights are too much for a C file, which takes at most 600"),
        (MODELS["logs"], {"std": True, "dtype": "float32"}, "error bars need float64"),
        (MODELS["logs"], {"dtype": "float16"}, "unknown dtype 'float16'.* float64, float32"),
        (replace(MODELS["others"], scaling=tiny), {"dtype": "float32"}, "x_scale is too large or too small"),
        (own, {}, "'tanh' cannot be exported"),
    ):
        with pytest.raises(SwarmnetError, match=what):
            model.to_c(tmp_path / "m.c", **options)
    assert list(tmp_path.iterdir()) == []


def test_what_float32_rounds_away_is_said(tmp_path):
    model = a_model((2, 3, 1), "tanh", offset=1e9)
    with pytest.warns(SwarmnetWarning, match="float32 rounds x0 to .* % of its spread") as found:
        model.to_c(tmp_path / "m.c", "float32")
    assert len(found) == 1 and found[0].filename == __file__
    assert "float32 rounds numbers to 6e-8 of their size" in (tmp_path / "m.c").read_text()
