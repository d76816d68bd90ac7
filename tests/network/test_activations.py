import copy
import pickle

import numpy as np
import pytest
from scipy.special import erf, expit

from swarmnet.errors import SwarmnetError
from swarmnet.network.activations import LINEAR, TABLE, Activation, activation
from swarmnet.testing import check_activation

NAMES = list(TABLE)
FORMULAS = {
    "sigmoid": expit,
    "tanh": lambda z: np.expm1(2 * z) / (np.exp(2 * z) + 1),
    "softplus": lambda z: np.logaddexp(0.0, z),
    "sine": np.sin,
    "silu": lambda z: z * expit(z),
    "gelu": lambda z: 0.5 * z * (1.0 + erf(z / np.sqrt(2.0))),
    "relu": lambda z: np.where(z > 0, z, 0.0),
    "linear": lambda z: z,
}


def evaluate(record: Activation, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, s, c = (np.full_like(z, np.nan) for _ in range(3))
    record.value(z, a)
    record.slope(z, a, s)
    record.curvature(z, a, s, c)
    return a, s, c


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_agree_with_differences(name: str) -> None:
    assert check_activation(name) < 1e-8


@pytest.mark.parametrize("name", FORMULAS)
def test_value_is_the_formula(name: str) -> None:
    z = np.linspace(-9.0, 9.0, 37)
    np.testing.assert_allclose(evaluate(TABLE[name], z)[0], FORMULAS[name](z), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("loud")
def test_saturated_units_stay_finite(name: str) -> None:
    z = np.array([-1e4, -700.0, -100.0, -40.0, 0.0, 40.0, 100.0, 700.0, 1e4])
    assert np.isfinite(evaluate(TABLE[name], z)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "far"), [(np.float64, 1e160), (np.float32, 1e25)])
def test_units_whose_square_would_overflow_stay_finite(name: str, dtype: type, far: float) -> None:
    with np.errstate(over="ignore"):
        parts = evaluate(TABLE[name], np.array([-far, far], dtype))
    assert all(np.isfinite(part).all() for part in parts)
    assert name == "sine" or not parts[2].any()


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_nan(name: str) -> None:
    assert np.isnan(evaluate(TABLE[name], np.array([np.nan]))[0]).all()


@pytest.mark.parametrize("name", NAMES)
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


def test_names_are_those_of_the_table() -> None:
    assert all(record.name == name for name, record in TABLE.items())


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


@pytest.mark.parametrize("name", NAMES)
def test_a_record_of_the_table_stays_the_same_object(name: str) -> None:
    record = TABLE[name]
    assert pickle.loads(pickle.dumps(record)) is record
    assert copy.deepcopy(record) is record


def test_a_record_of_ones_own_pickles() -> None:
    own = Activation("own", np.negative, np.multiply, np.multiply, "he", smooth=False, in_place=True)
    assert pickle.loads(pickle.dumps(own)) == own
