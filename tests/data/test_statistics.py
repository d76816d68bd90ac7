import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnet.data.statistics import Moments, Statistics


def columns(rng, n=400, offset=0.0):
    found = offset + rng.normal(size=(3, n)) * np.array([1.0, 1e-3, 1e3])[:, None]
    found[rng.random(found.shape) < 0.3] = np.nan
    return found


def in_parts(found, edges, weights=None):
    total = None
    for a, b in zip([0, *edges], [*edges, found.shape[1]], strict=True):
        part = Moments.of(found[:, a:b], None if weights is None else weights[a:b])
        total = part if total is None else total + part
    return total


def assert_same(one, other, rtol=1e-12):
    for name in ("count", "weight", "deviation", "low", "high"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rtol, err_msg=name)
    # A mean near 0 is rounded as the numbers are that cancel in it.
    assert (np.abs(one.mean - other.mean) <= rtol * np.abs(other.mean) + 1e-14 * other.deviation).all()


def test_they_are_means_deviations_and_ranges():
    found = columns(np.random.default_rng(0))
    moments = Moments.of(found)
    np.testing.assert_allclose(moments.mean, np.nanmean(found, 1))
    np.testing.assert_allclose(moments.deviation, np.nanstd(found, 1))
    np.testing.assert_array_equal(moments.low, np.nanmin(found, 1))
    np.testing.assert_array_equal(moments.high, np.nanmax(found, 1))
    np.testing.assert_allclose(moments.root_mean_square, np.sqrt(np.nanmean(found**2, 1)))


@given(st.integers(0, 1000), st.lists(st.integers(0, 400), max_size=6), st.booleans())
def test_parts_add_up(seed, edges, weighted):
    rng = np.random.default_rng(seed)
    found = columns(rng)
    weights = rng.integers(0, 4, 400) * 0.7 if weighted else None
    assert_same(in_parts(found, sorted(edges), weights), Moments.of(found, weights), rtol=1e-10)


def test_a_huge_offset_costs_no_more_digits_in_parts_than_at_once():
    found = columns(np.random.default_rng(1), n=4000, offset=1e9)
    parts = in_parts(found, list(range(100, 4000, 100)))
    exact = np.nanstd((found - 1e9).astype(np.longdouble), 1).astype(float)
    np.testing.assert_allclose(parts.deviation[[0, 2]], exact[[0, 2]], rtol=1e-8)
    np.testing.assert_allclose(parts.deviation, Moments.of(found).deviation, rtol=1e-4)


@pytest.mark.parametrize("unit", [1e300, 1e-300])
def test_squares_neither_overflow_nor_vanish(unit):
    found = columns(np.random.default_rng(2))[:1]
    assert_same(in_parts(found * unit, [10, 70]), Moments.of(found * unit))
    np.testing.assert_allclose(Moments.of(found * unit).deviation, Moments.of(found).deviation * unit)


def test_weights_repeat_rows():
    rng = np.random.default_rng(3)
    found, weights = columns(rng), rng.integers(0, 4, 400)
    repeated = Moments.of(np.repeat(found, weights, axis=1))
    weighted = Moments.of(found, weights.astype(float))
    np.testing.assert_array_equal(weighted.weight, repeated.weight)
    np.testing.assert_allclose(weighted.deviation, repeated.deviation)


def test_statistics_count_an_inputs_row_once_an_entry():
    X, Y = np.array([[0.0], [1.0]]), np.array([[1.0], [np.nan]])
    J = np.array([[[2.0]], [[np.nan]]])
    both = Statistics.of(X, Y, J, None) + Statistics.of(X[1:], Y[:1], J[1:], None)
    assert (both.n, both.n_values, both.n_derivatives, both.n_entries) == (3, 2, 1, 3)
    np.testing.assert_allclose(both.X.mean, [1 / 3])  # twice at 0, once at 1
    np.testing.assert_allclose(both.rows.mean, [1 / 2])
    assert (both.d, both.k) == (1, 1)
