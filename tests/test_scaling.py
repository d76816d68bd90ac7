from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.network.network import Network
from swarmnet.scaling import KINDS, Scaling

NAN = np.nan
Array = np.ndarray


def make_data(rng: np.random.Generator, n: int = 30, d: int = 3, k: int = 2) -> MixedData:
    """Inputs and outputs of different sizes, half of the entries missing, half of the rest with a sigma."""
    X = rng.normal(5.0, [2.0, 0.1, 30.0][:d], (n, d))
    Y, J = rng.normal(-3.0, 4.0, (n, k)), rng.normal(1.0, [5.0, 0.2, 1.0][:d], (n, k, d))
    for target in (Y, J):
        target[rng.random(target.shape) < 0.5] = NAN
    Y_sigma = np.where(rng.random(Y.shape) < 0.5, rng.uniform(0.1, 2.0, Y.shape), NAN)
    J_sigma = np.where(rng.random(J.shape) < 0.5, rng.uniform(0.1, 2.0, J.shape), NAN)
    return MixedData(X, Y, J, Y_sigma, J_sigma)


def in_other_units(data: MixedData, a: Any, b: Any, c: Any, e: Any) -> MixedData:
    """The same data with inputs a x + b and outputs c y + e."""
    a, c = np.broadcast_to(a, data.d), np.broadcast_to(c, data.k)
    slope = c[:, None] / a
    return MixedData(
        data.X * a + b,
        data.Y * c + e,
        data.J * slope,
        None if data.Y_sigma is None else data.Y_sigma * np.abs(c),
        None if data.J_sigma is None else data.J_sigma * np.abs(slope),
    )


def arrays(thing: Any) -> list[Array]:
    found = [getattr(thing, field.name) for field in fields(thing)]
    return [array for array in found if isinstance(array, np.ndarray)]


def assert_close(thing: Any, expected: Any, rtol: float = 0.0, atol: float = 0.0) -> None:
    """All arrays of two Scalings or of two MixedData agree."""
    for array, other in zip(arrays(thing), arrays(expected), strict=True):
        np.testing.assert_allclose(array, other, rtol=rtol, atol=atol)


def assert_usable(scaling: Scaling) -> None:
    assert all(np.isfinite(array).all() for array in arrays(scaling))
    assert (scaling.x_scale > 0).all()
    assert (scaling.y_scale > 0).all()


# What the scaling is


def test_standard_is_mean_0_and_deviation_1(rng: np.random.Generator) -> None:
    data = make_data(rng)
    scaled = Scaling.of(data).scale_data(data)
    np.testing.assert_allclose(np.nanmean(scaled.Y, axis=0), 0.0, atol=1e-14)
    np.testing.assert_allclose(np.nanstd(scaled.Y, axis=0), 1.0, rtol=1e-13)
    weight = data.entries_per_row
    mean = np.average(scaled.X, axis=0, weights=weight)
    np.testing.assert_allclose(mean, 0.0, atol=1e-14)
    np.testing.assert_allclose(np.average(scaled.X**2, axis=0, weights=weight), 1.0, rtol=1e-13)


def test_minmax_is_minus_1_to_1(rng: np.random.Generator) -> None:
    data = make_data(rng)
    scaled = Scaling.of(data, "minmax").scale_data(data)
    seen = data.entries_per_row > 0
    for array in (scaled.X[seen], scaled.Y):
        np.testing.assert_allclose(np.nanmin(array, axis=0), -1.0, rtol=1e-13)
        np.testing.assert_allclose(np.nanmax(array, axis=0), 1.0, rtol=1e-13)


def test_none_is_no_scaling(rng: np.random.Generator) -> None:
    data = make_data(rng)
    scaling = Scaling.of(data, None)
    assert_close(scaling, Scaling.identity(3, 2))
    assert_close(scaling.scale_data(data, balance=False), data)


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_can_be_left_alone(rng: np.random.Generator, kind: str) -> None:
    data = make_data(rng)
    scaling = Scaling.of(data, kind, outputs=False)
    assert (scaling.y_offset == 0).all()
    assert (scaling.y_scale == 1).all()
    np.testing.assert_array_equal(scaling.x_scale, Scaling.of(data, kind).x_scale)
    np.testing.assert_array_equal(scaling.scale_data(data).Y, data.Y)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_an_entry_do_not_count(rng: np.random.Generator, kind: str) -> None:
    data = make_data(rng)
    nothing = (np.full((1, 2), NAN), np.full((1, 2, 3), NAN))
    more = MixedData(
        np.concatenate([data.X, [[1e6, 1e6, 1e6]]]),
        np.concatenate([data.Y, nothing[0]]),
        np.concatenate([data.J, nothing[1]]),
    )
    assert_close(Scaling.of(more, kind), Scaling.of(data, kind))


@pytest.mark.parametrize("kind", KINDS)
def test_two_entries_in_a_row_count_like_two_rows(rng: np.random.Generator, kind: str) -> None:
    X, y = rng.normal(size=(12, 2)), rng.normal(size=12)
    slope = rng.normal(size=12)
    J = np.full((12, 1, 2), NAN)
    J[:, 0, 1] = slope
    together = MixedData(X, y, J)
    apart = MixedData(
        np.concatenate([X, X]),
        np.concatenate([y, np.full(12, NAN)]),
        np.concatenate([np.full_like(J, NAN), J]),
    )
    scaling, other = Scaling.of(together, kind), Scaling.of(apart, kind)
    assert_close(other, scaling, rtol=1e-14, atol=1e-15)
    one, two = scaling.scale_data(together), other.scale_data(apart)
    np.testing.assert_allclose(two.J[12:], one.J, rtol=1e-13)
    np.testing.assert_allclose(two.Y[:12], one.Y, rtol=1e-13, atol=1e-15)
    assert two.J_sigma is not None
    assert one.J_sigma is not None
    np.testing.assert_allclose(two.J_sigma[12:], one.J_sigma, rtol=1e-13)
    # One row split, the others not: that row's inputs still count twice.
    partly = MixedData(
        np.concatenate([X, X[:1]]),
        np.concatenate([y, [NAN]]),
        np.concatenate([np.full((1, 1, 2), NAN), J[1:], J[:1]]),
    )
    assert partly.n_entries == together.n_entries
    assert_close(Scaling.of(partly, kind), scaling, rtol=1e-14, atol=1e-15)


# There and back


@pytest.mark.parametrize("kind", [*KINDS, None])
def test_there_and_back(rng: np.random.Generator, kind: str | None) -> None:
    data = make_data(rng)
    scaling = Scaling.of(data, kind)
    scaled = scaling.scale_data(data, balance=False)
    np.testing.assert_array_equal(scaled.X, scaling.scale_X(data.X))
    np.testing.assert_allclose(scaled.X * scaling.x_scale + scaling.x_offset, data.X, rtol=1e-13)
    np.testing.assert_allclose(scaling.unscale_Y(scaled.Y), data.Y, rtol=1e-12)
    np.testing.assert_allclose(scaling.unscale_J(scaled.J), data.J, rtol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_partials_follow_by_the_chain_rule(rng: np.random.Generator, kind: str) -> None:
    # A network is scaled exactly by scaling the weights of its first and its last layer.
    data = make_data(rng)
    scaling, X = Scaling.of(data, kind), data.X[:7]
    net = Network((3, 5, 2))
    theta = net.init(rng)
    (W, b), (V, c) = net.unflatten(theta)
    raw = net.flatten(
        [
            (W / scaling.x_scale[:, None], b - (scaling.x_offset / scaling.x_scale) @ W),
            (V * scaling.y_scale, c * scaling.y_scale + scaling.y_offset),
        ]
    )
    near = scaling.scale_X(X)
    for unscaled, expected in (
        (scaling.unscale_Y(net.forward(theta, near)), net.forward(raw, X)),
        (scaling.unscale_J(net.jacobian(theta, near)), net.jacobian(raw, X)),
        (scaling.unscale_H(net.hessian(theta, near)), net.hessian(raw, X)),
    ):
        np.testing.assert_allclose(unscaled, expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())


def test_chain_rule_by_hand() -> None:
    scaling = Scaling(np.array([1.0, 2.0]), np.array([4.0, 8.0]), np.array([3.0]), np.array([2.0]))
    assert scaling.scale_X(np.array([[5.0, 10.0]])).tolist() == [[1.0, 1.0]]
    assert scaling.unscale_Y(np.array([[1.5]])).tolist() == [[6.0]]
    assert scaling.unscale_J(np.array([[[1.0, 1.0]]])).tolist() == [[[0.5, 0.25]]]
    H = scaling.unscale_H(np.ones((1, 1, 2, 2)))
    assert H.tolist() == [[[[2 / 16, 2 / 32], [2 / 32, 2 / 64]]]]
    data = MixedData([[5.0, 10.0]], [[6.0]], [[[0.5, 0.25]]], [[0.5]], [[[0.25, NAN]]])
    scaled = scaling.scale_data(data, balance=False)
    assert scaled.Y.tolist() == [[1.5]]
    assert scaled.J.tolist() == [[[1.0, 1.0]]]
    assert scaled.Y_sigma is not None
    assert scaled.J_sigma is not None
    assert scaled.Y_sigma.tolist() == [[0.25]]
    assert scaled.J_sigma[0, 0, 0] == 0.5
    assert np.isnan(scaled.J_sigma[0, 0, 1])


# The scale of each residual


@pytest.mark.parametrize("kind", [*KINDS, None])
def test_balance_makes_every_column_count_alike(rng: np.random.Generator, kind: str | None) -> None:
    data = replace(make_data(rng), Y_sigma=None, J_sigma=None)
    scaled = Scaling.of(data, kind).scale_data(data)
    assert scaled.Y_sigma is not None
    assert scaled.J_sigma is not None
    np.testing.assert_allclose(np.nanstd(scaled.Y / scaled.Y_sigma, axis=0), 1.0, rtol=1e-13)
    np.testing.assert_allclose(np.nanmean((scaled.J / scaled.J_sigma) ** 2, axis=0), 1.0, rtol=1e-13)
    plain = Scaling.of(data, kind).scale_data(data, balance=False)
    assert plain.Y_sigma is None
    assert plain.J_sigma is None


@pytest.mark.parametrize("kind", [*KINDS, None])
def test_a_given_sigma_is_the_scale_of_its_residual(rng: np.random.Generator, kind: str | None) -> None:
    data = make_data(rng)
    scaling = Scaling.of(data, kind)
    scaled = scaling.scale_data(data)
    assert scaled.Y_sigma is not None
    assert scaled.J_sigma is not None
    assert data.Y_sigma is not None
    assert data.J_sigma is not None
    # Off by one sigma in the data's units is off by one sigma in the network's.
    given = ~np.isnan(data.Y_sigma)
    shifted = scaling.scale_data(replace(data, Y=data.Y + np.where(given, data.Y_sigma, 0.0)))
    off = (shifted.Y - scaled.Y) / scaled.Y_sigma
    np.testing.assert_allclose(off[given], 1.0, rtol=1e-12)
    given = ~np.isnan(data.J_sigma)
    shifted = scaling.scale_data(replace(data, J=data.J + np.where(given, data.J_sigma, 0.0)))
    off = (shifted.J - scaled.J) / scaled.J_sigma
    np.testing.assert_allclose(off[given], 1.0, rtol=1e-12)
    np.testing.assert_array_equal(np.isnan(scaled.Y_sigma), np.isnan(data.Y))
    np.testing.assert_array_equal(np.isnan(scaled.J_sigma), np.isnan(data.J))


# Units cancel


def assert_same_scaled(data: MixedData, other: MixedData, kind: str, atol: float = 1e-9) -> None:
    one, two = (Scaling.of(each, kind).scale_data(each) for each in (data, other))
    assert_close(two, one, rtol=1e-9, atol=atol)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("x_unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("y_unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("shift", [0.0, 1e3, -1e6])
def test_units_cancel(
    rng: np.random.Generator, kind: str, x_unit: float, y_unit: float, shift: float
) -> None:
    data = make_data(rng)
    a, c = np.array([x_unit, 1.0, 1 / x_unit]), np.array([y_unit, 3.0])
    # An offset of 1e6 against inputs that vary by 0.1 leaves 9 digits of them.
    assert_same_scaled(data, in_other_units(data, a, shift * a, c, shift * c), kind, atol=3e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_cancel_in_the_fall_backs(rng: np.random.Generator, kind: str, unit: float) -> None:
    X = np.column_stack([rng.normal(size=6), np.full(6, 2.0)])
    J = rng.normal(size=(6, 3, 2))
    Y = np.full((6, 3), NAN)  # no value of the first output,
    Y[2, 1] = 4.0  # one of the second,
    Y[:, 2] = 5.0  # and the third one does not vary.
    data = MixedData(X, Y, J)
    assert_same_scaled(data, in_other_units(data, [unit, 1 / unit], 0.0, unit, 0.0), kind)
    assert_same_scaled(data, in_other_units(data, 1.0, [unit, 0.0], unit, 7 * unit), kind, 1e-5)
    values = MixedData(X, Y[:, 1:])
    assert_same_scaled(values, in_other_units(values, [unit, 1 / unit], 0.0, unit, 0.0), kind)


# Fall-backs: never 0, inf or NaN


def ramp(n: int = 4) -> Array:
    return np.linspace(1.0, 2.0, n)[:, None]


FALL_BACKS = {
    "one value": MixedData([[3.0]], [[7.0]]),
    "one value of 0 at 0": MixedData([[0.0]], [[0.0]]),
    "one slope": MixedData([[3.0]], J=[[[2.0]]]),
    "one slope of 0 at 0": MixedData([[0.0]], J=[[[0.0]]]),
    "one value and slopes": MixedData(ramp(), [7.0, NAN, NAN, NAN], ramp()),
    "slopes only": MixedData(ramp(), J=ramp()),
    "slopes of 0 only": MixedData(ramp(), J=0 * ramp()),
    "constant target": MixedData(ramp(), np.full(4, 0.1)),
    "constant target and slopes": MixedData(ramp(), np.full(4, 0.1), ramp()),
    "constant target and slopes of 0": MixedData(ramp(), np.full(4, 0.1), 0 * ramp()),
    "constant target of 0": MixedData(ramp(), np.zeros(4)),
    "constant input": MixedData(np.column_stack([ramp(), np.full(4, 0.1)]), ramp()),
    "constant input of 0": MixedData(np.column_stack([ramp(), np.zeros(4)]), ramp()),
    "same row again": MixedData(np.full((4, 2), 0.3), ramp()),
    "an output without entries": MixedData(ramp(), np.column_stack([ramp(), np.full(4, NAN)])),
    "tiny": MixedData(1e-200 * ramp(), 1e-200 * ramp(), ramp()),
    "huge": MixedData(1e200 * ramp(), 1e200 * ramp(), ramp()),
    "huge slopes": MixedData(ramp(), [1.0, NAN, NAN, NAN], 1e200 * ramp()),
    "tiny slopes": MixedData(ramp(), [1.0, NAN, NAN, NAN], 1e-200 * ramp()),
    "opposite ends": MixedData([[-1.5e308], [1.5e308]], [-1.5e308, 1.5e308]),
}


@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", FALL_BACKS)
@pytest.mark.usefixtures("loud")
def test_fall_backs_are_usable(case: str, kind: str, balance: bool) -> None:
    data = FALL_BACKS[case]
    scaling = Scaling.of(data, kind)
    assert_usable(scaling)
    scaled = scaling.scale_data(data, balance=balance)
    assert np.isfinite(scaled.X).all()
    assert np.abs(scaled.X).max() < 10
    np.testing.assert_array_equal(np.isfinite(scaled.Y), np.isfinite(data.Y))
    np.testing.assert_array_equal(np.isfinite(scaled.J), np.isfinite(data.J))
    if balance:
        for sigma, target in ((scaled.Y_sigma, scaled.Y), (scaled.J_sigma, scaled.J)):
            if np.isfinite(target).any():
                assert sigma is not None
                assert (sigma[np.isfinite(target)] > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_slopes_give_the_scale_of_values_that_have_none(kind: str) -> None:
    X = np.array([[0.0], [10.0], [20.0], [30.0]])
    slopes = np.array([[3.0], [-3.0], [3.0], [3.0]])
    for y in ([7.0, NAN, NAN, NAN], [7.0, 7.0, 7.0, NAN], np.full(4, NAN)):
        data = MixedData(X, y, slopes)
        scaling = Scaling.of(data, kind)
        assert scaling.y_scale[0] == pytest.approx(3.0 * scaling.x_scale[0], rel=1e-14)
        assert scaling.y_offset[0] == (0.0 if np.isnan(y).all() else 7.0)
        scaled = scaling.scale_data(data)
        np.testing.assert_allclose(np.abs(scaled.J), 1.0, rtol=1e-14)


def test_an_unknown_kind_suggests_the_nearest(rng: np.random.Generator) -> None:
    with pytest.raises(SwarmnetError, match="unknown scaling 'standart': did you mean 'standard'"):
        Scaling.of(make_data(rng), "standart")


@pytest.mark.parametrize("kind", KINDS)
def test_a_partial_that_hardly_moves_its_output_counts_less(rng: np.random.Generator, kind: str) -> None:
    """Its residual's scale is a thousandth of the output's spread, however small it is itself."""
    X, Y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    J = rng.normal(size=(40, 2, 3)) * [[1.0, 1e-16, 0.1], [1.0, 2e-4, 5e-2]]
    data = MixedData(X, Y, J)
    scaled = Scaling.of(data, kind).scale_data(data)
    floor = 1e-3 * np.std(scaled.Y, axis=0)
    assert scaled.J_sigma is not None
    np.testing.assert_allclose(scaled.J_sigma[0, :, 1], floor, rtol=1e-12)
    others = np.sqrt((scaled.J**2).mean(0))[:, [0, 2]]
    np.testing.assert_allclose(scaled.J_sigma[0][:, [0, 2]], others, rtol=1e-12)


def test_without_values_the_largest_partial_takes_their_place(rng: np.random.Generator) -> None:
    J = rng.normal(size=(40, 1, 3)) * [1.0, 1e-16, 0.1]
    data = MixedData(rng.normal(size=(40, 3)), J=J)
    scaled = Scaling.of(data).scale_data(data)
    assert scaled.J_sigma is not None
    largest = scaled.J_sigma[0, 0].max()
    np.testing.assert_allclose(scaled.J_sigma[0, 0, 1], 1e-3 * largest, rtol=1e-12)


def test_a_measured_sigma_has_no_floor(rng: np.random.Generator) -> None:
    J = 1e-9 * rng.normal(size=(20, 1, 1))
    data = MixedData(rng.normal(size=(20, 1)), rng.normal(size=20), J, J_sigma=np.full(J.shape, 1e-10))
    scaling = Scaling.of(data)
    scaled = scaling.scale_data(data)
    assert scaled.J_sigma is not None
    np.testing.assert_allclose(scaling.unscale_J(scaled.J_sigma), 1e-10, rtol=1e-12)


def test_a_ratio_of_derivatives_says_nothing_of_an_outputs_scale(rng: np.random.Generator) -> None:
    X = rng.uniform(-1, 1, (50, 2))
    p, T = X.T
    frame = pd.DataFrame({"p": p, "T": T, "h": 40.0 * (p + 2.0 * T) ** 3, "mu": np.full(50, -0.5)})
    frame.loc[20:, "h"], frame.loc[:19, "mu"] = np.nan, np.nan
    data = MixedData.from_frame(frame, ["p", "T"], ["h"], define={"mu": "-(dh/dp)/(dh/dT)"})
    own = Scaling.of(data)
    (found,) = own.for_quantities(data.statistics, data.quantities).y_scale / own.y_scale
    assert 0.5 < found < 2.0
