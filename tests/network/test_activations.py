"""Every activation of the table: its record, and what is generated from it.

Its script in the report is compared with the model in `report.test_report_browser`, where there is a browser.
"""

import copy
import math
import pickle
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swarmnet import FittedModel, Network, SwarmnetError
from swarmnet.network.activations import LINEAR, TABLE, Activation, activation
from swarmnet.objective.kernels.layer_activations import (
    CURVATURE,
    SLOPE,
    TANGENT,
    THIRD,
    VALUE,
    Activations,
    activate,
)
from swarmnet.objective.kernels.scalars import IN_SINGLE, SCALARS
from swarmnet.scaling import Scaling
from swarmnet.testing import check_activation
from tests.activation_formulas import FORMULAS, IN_NUMPY, OWN, by_formula

Array = np.ndarray[Any, Any]
NAMES = list(TABLE)
ALL = {**TABLE, "own": OWN}
CURVED = {name: record for name, record in ALL.items() if name != "linear"}
NAN = np.nan
each_name = pytest.mark.parametrize("name", NAMES)
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


def evaluate(record: Activation, z: Array) -> tuple[Array, Array, Array]:
    a, s, c = (np.full_like(z, np.nan) for _ in range(3))
    record.value(z, a)
    record.slope(z, a, s)
    record.curvature(z, a, s, c)
    return a, s, c


@each_name
def test_derivatives_agree_with_differences(name: str) -> None:
    assert check_activation(name) < 1e-8


def test_every_activation_is_written_out_once_more() -> None:
    assert list(FORMULAS) == list(TABLE)


@each_name
def test_value_is_the_formula(name: str) -> None:
    z = np.linspace(-9.0, 9.0, 37)
    right = FORMULAS[name][0](IN_NUMPY, z)
    np.testing.assert_allclose(evaluate(TABLE[name], z)[0], right, rtol=1e-13, atol=1e-15)


@each_name
@pytest.mark.usefixtures("loud")
def test_values_and_derivatives_are_the_formulas(name: str) -> None:
    """Those of complex steps (see `objective.test_derivatives`), for units saturated up to |z| = 700."""
    f, slope = FORMULAS[name]
    far, step = np.geomspace(1e-3, 700.0, 400), 1e-30
    z = np.concatenate([-far, far])
    with np.errstate(all="ignore"):
        s, c = (part(IN_NUMPY, z + 1j * step).imag / step for part in (f, slope))
        expected = f(IN_NUMPY, z + 0j).real, s, c
    for found, right in zip(evaluate(TABLE[name], z), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-14)


@each_name
def test_derivatives_are_those_of_automatic_differentiation(reference: Any, name: str) -> None:
    z = np.linspace(-9.0, 9.0, 36)
    f, parts = reference.functions[name], []
    for _ in range(3):
        parts.append(np.asarray(reference.jax.vmap(f)(z)))
        f = reference.jax.grad(f)
    for found, right in zip(evaluate(TABLE[name], z), parts, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-14)


@each_name
@pytest.mark.usefixtures("loud")
def test_saturated_units_stay_finite(name: str) -> None:
    z = np.array([-1e4, -700.0, -100.0, -40.0, 0.0, 40.0, 100.0, 700.0, 1e4])
    assert np.isfinite(evaluate(TABLE[name], z)).all()


@each_name
@pytest.mark.parametrize(("dtype", "far"), [(np.float64, 1e160), (np.float32, 1e25)])
def test_units_whose_square_would_overflow_stay_finite(name: str, dtype: type, far: float) -> None:
    with np.errstate(over="ignore"):
        parts = evaluate(TABLE[name], np.array([-far, far], dtype))
    assert all(np.isfinite(part).all() for part in parts)
    assert name == "sine" or not parts[2].any()


@each_name
def test_nan_stays_nan(name: str) -> None:
    assert np.isnan(evaluate(TABLE[name], np.array([np.nan]))[0]).all()


@each_name
def test_float32_is_the_same_less_exactly(name: str) -> None:
    z = np.linspace(-6.0, 6.0, 25)
    for single, double in zip(
        evaluate(TABLE[name], z.astype(np.float32)), evaluate(TABLE[name], z), strict=True
    ):
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-6)


def test_small_tails_keep_their_digits() -> None:
    z = np.array([-700.0, -50.0])
    np.testing.assert_allclose(evaluate(TABLE["sigmoid"], z)[0], np.exp(z), rtol=1e-14)
    for part in evaluate(TABLE["softplus"], z):
        np.testing.assert_allclose(part, np.exp(z), rtol=1e-14)
    a, s, c = evaluate(TABLE["silu"], z)
    np.testing.assert_allclose(a, z * np.exp(z), rtol=1e-14)
    np.testing.assert_allclose(s, (1 + z) * np.exp(z), rtol=1e-14)
    np.testing.assert_allclose(c, (2 + z) * np.exp(z), rtol=1e-14)


@each_name
def test_functions_by_hand_compute_the_formulas(name: str) -> None:
    z = np.linspace(-30.0, 30.0, 241)
    generated = Activation("generated", *map(by_formula, TABLE[name].formulas))
    for found, right in zip(evaluate(TABLE[name], z), evaluate(generated, z), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12)


@each_name
def test_what_is_written_is_what_is_computed(name: str) -> None:
    z = np.linspace(-3.0, 3.0, 13) + 0.1
    parts = *evaluate(TABLE[name], z), third(TABLE[name], z)
    known = dict(zip("zASC", (z, *parts), strict=False))
    known |= {"exp": np.exp, "log": np.log, "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "max": np.maximum}
    known |= {"sigmoid": lambda z: 1 / (1 + np.exp(-z))}
    known |= {"Phi": np.vectorize(lambda z: math.erfc(-z / math.sqrt(2)) / 2)}
    known |= {"phi": lambda z: np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)}
    for formula, numbers in zip(TABLE[name].written, parts, strict=True):
        values = eval(formula.replace("^", "**"), known)
        np.testing.assert_allclose(np.broadcast_to(values, z.shape), numbers, atol=1e-14, err_msg=formula)


# Third derivatives


def third(record: Activation, z: Array) -> Array:
    out = np.full_like(z, np.nan)
    assert record.third is not None
    record.third(z, *evaluate(record, z), out)
    return out


@each_name
def test_third_derivatives_are_those_of_automatic_differentiation(reference: Any, name: str) -> None:
    z, f = np.linspace(-9.0, 9.0, 36), reference.functions[name]
    for _ in range(3):
        f = reference.jax.grad(f)
    right = np.asarray(reference.jax.vmap(f)(z))
    np.testing.assert_allclose(third(TABLE[name], z), right, rtol=1e-12, atol=1e-14)


@each_name
@pytest.mark.usefixtures("loud")
def test_third_derivatives_of_saturated_units_are_small(name: str) -> None:
    z = np.array([-1e160, -1e4, -700.0, 700.0, 1e4, 1e160])
    with np.errstate(over="ignore"):
        found = third(TABLE[name], z)
    assert np.abs(found).max() <= (1.0 if name == "sine" else 1e-290)


@pytest.mark.parametrize("name", ["softplus", "silu"])
def test_third_derivatives_keep_their_digits_in_small_tails(name: str) -> None:
    z = np.array([-700.0, -50.0])
    right = np.exp(z) if name == "softplus" else (3 + z) * np.exp(z)
    np.testing.assert_allclose(third(TABLE[name], z), right, rtol=1e-14)


# Kernels against NumPy


def by_kernels(record: Activation, z: Array, wanted: int = CURVATURE) -> tuple[Array, Array, Array]:
    Z, S, C = z[None].copy(), np.ones((1, len(z)), z.dtype), np.ones((1, len(z)), z.dtype)
    of = Activations([record], z.dtype)
    activate(of.addresses[0], wanted, Z, np.zeros(1, z.dtype), S, C)
    of.check()
    return Z[0], S[0], C[0]


def by_record(record: Activation, z: Array) -> tuple[Array, Array, Array]:
    """In float64, whatever z is."""
    z = z.astype(float)
    a, s, c = np.empty((3, len(z)))
    with np.errstate(all="ignore"):
        record.value(z.copy(), a)
        record.slope(z, a, s)
        record.curvature(z, a, s, c)
    return a, s, c


def test_kernels_are_of_the_whole_table_in_either_dtype() -> None:
    assert set(SCALARS) == set(IN_SINGLE) == set(TABLE) - {"linear"}


def points(dtype: str) -> Array:
    far, rng = np.geomspace(1e-300, 800.0, 3000), np.random.default_rng(0)
    return np.concatenate([[0.0], far, -far, rng.uniform(-40.0, 40.0, 20_000)]).astype(dtype)


@each_dtype
@pytest.mark.parametrize("name", CURVED)
def test_activations_are_exact_to_some_units_in_the_last_place(name: str, dtype: str) -> None:
    z = points(dtype)
    size = 8.0 * float(np.finfo(dtype).eps)
    for found, right in zip(by_kernels(CURVED[name], z), by_record(CURVED[name], z), strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, right, rtol=size, atol=size)


@each_dtype
@pytest.mark.parametrize(
    ("name", "low", "high", "parts"),
    [
        ("tanh", -1e-300, -1.0, 1),
        ("tanh", 1e-300, 1.0, 1),
        ("sine", 1e-300, 1.0, 1),
        ("sigmoid", -1.0, -708.0, 3),
        ("softplus", -1.0, -708.0, 3),
        ("silu", -3.0, -708.0, 3),
    ],
)
def test_small_values_keep_their_digits(name: str, low: float, high: float, parts: int, dtype: str) -> None:
    last = high if dtype == "float64" else max(high, -80.0)
    first = low if dtype == "float64" else np.sign(low) * max(abs(low), 1e-30)
    z = np.geomspace(first, last, 5000).astype(dtype)
    size = 16.0 * float(np.finfo(dtype).eps)
    for found, right in list(zip(by_kernels(TABLE[name], z), by_record(TABLE[name], z), strict=True))[:parts]:
        np.testing.assert_allclose(found, right, rtol=size, atol=0.0)


@each_dtype
@pytest.mark.parametrize("name", CURVED)
def test_activations_far_out(name: str, dtype: str) -> None:
    """Where exp has come to 0 or to infinity; NaN stays NaN."""
    far = [1e5, 1e30] if dtype == "float32" else [1e5, 1e30, 1e300]
    z = np.array([NAN, *far, *(-x for x in far)], dtype)
    (a, *_), right = by_kernels(CURVED[name], z), by_record(CURVED[name], z)
    assert np.isnan(a[0])
    found = [part[1:] for part in by_kernels(CURVED[name], z)]
    for ours, theirs in zip(found, right, strict=True):
        np.testing.assert_allclose(ours, theirs[1:], rtol=1e-6, atol=1e-30)


@each_dtype
@pytest.mark.parametrize("name", CURVED)
def test_less_of_an_activation_is_the_same(name: str, dtype: str) -> None:
    z = points(dtype)[::37]
    a, s, _ = by_kernels(CURVED[name], z)
    np.testing.assert_array_equal(by_kernels(CURVED[name], z, VALUE)[0], a)
    for part, expected in zip(by_kernels(CURVED[name], z, SLOPE), (a, s, np.ones_like(z)), strict=True):
        np.testing.assert_array_equal(part, expected)
    for part, expected in zip(by_kernels(CURVED[name], z, TANGENT), (a, s, np.ones_like(z)), strict=True):
        np.testing.assert_array_equal(part, expected)  # a tangent of 1, times the slope


@each_dtype
@pytest.mark.parametrize("name", [name for name, record in CURVED.items() if record.third])
def test_third_derivatives_of_kernels_are_those_of_the_record(name: str, dtype: str) -> None:
    z, record = points(dtype), CURVED[name]
    own = replace(record, name="own")  # which is called back
    for each in (record, own):
        Z, S, C = z[None].copy(), np.empty((1, len(z)), dtype), np.empty((2, 1, len(z)), dtype)
        activate(Activations([each], dtype).addresses[0], THIRD, Z, np.zeros(1, dtype), S, C)
        with np.errstate(all="ignore"):
            expected = *by_record(record, z), third(record, z.astype(float))
        size = 40.0 * float(np.finfo(dtype).eps)
        for found, right in zip((Z, S, *C), expected, strict=True):
            np.testing.assert_allclose(found[0], right, rtol=size, atol=size)


# Exports: of one unit with weight 1 and bias 0, values are f and partials f'


def one_unit(name: str) -> FittedModel:
    return FittedModel(Network((1, 1), [name]), np.array([1.0, 0.0]), Scaling.identity(1, 1), ("x",), ("y",))


@each_name
def test_the_python_module_has_the_activation(name: str) -> None:
    z, module = np.concatenate([np.linspace(-9.0, 9.0, 36), [-700.0, 700.0]]), dict[str, Any]()
    exec(one_unit(name).to_python(), module)
    found = [[module["predict"]([x])[0], module["jacobian"]([x])[0][0]] for x in z.tolist()]
    np.testing.assert_allclose(np.transpose(found), evaluate(TABLE[name], z)[:2], rtol=1e-13, atol=1e-15)


@pytest.mark.skipif(not all(map(find_spec, ("onnx", "onnxruntime"))), reason="needs onnx and onnxruntime")
@each_dtype
@each_name
def test_onnx_has_the_activation(name: str, dtype: str, tmp_path: Any) -> None:
    import onnxruntime

    z = np.concatenate([np.linspace(-9.0, 9.0, 36), [-700.0, 700.0]]).astype(dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "float32 rounds")
        one_unit(name).to_onnx(tmp_path / "m.onnx", dtype)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    Y, J = session.run(["values", "jacobian"], {"X": z[:, None]})
    size = 16.0 * float(np.finfo(dtype).eps)
    right = evaluate(TABLE[name], z.astype(float))[:2]
    np.testing.assert_allclose([Y[:, 0], J[:, 0, 0]], right, rtol=size, atol=size)


# The table


def test_names_are_those_of_the_table() -> None:
    assert all(record.name == name for name, record in TABLE.items())


def test_the_reference_names_them() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "building-blocks.md"
    assert f"By name: {', '.join(f'`{name}`' for name in TABLE)}.\n" in page.read_text()


def test_look_up() -> None:
    assert activation("Sigmoid") is TABLE["sigmoid"]
    own = Activation("own", LINEAR.value, LINEAR.slope, LINEAR.curvature)
    assert activation(own) is own


@pytest.mark.parametrize(("near", "name"), [("tahn", "tanh"), ("sigmod", "sigmoid"), ("relo", "relu")])
def test_unknown_name_suggests_the_nearest(near: str, name: str) -> None:
    with pytest.raises(SwarmnetError, match=f"unknown activation '{near}'.*'{name}'"):
        activation(near)


def test_unknown_name_lists_the_table() -> None:
    with pytest.raises(SwarmnetError, match="choose one of " + ", ".join(NAMES)):
        activation("5")


@each_name
def test_a_record_of_the_table_stays_the_same_object(name: str) -> None:
    record = TABLE[name]
    assert pickle.loads(pickle.dumps(record)) is record
    assert copy.deepcopy(record) is record


def test_a_record_of_ones_own_pickles() -> None:
    own = Activation("own", np.negative, np.multiply, np.multiply, "he", smooth=False, in_place=True)
    assert pickle.loads(pickle.dumps(own)) == own
