"""What a model cannot represent: its derivatives, its size, and that training points determine it."""

import numpy as np
import pytest

from swarmnet.model.misfit import Misfit

VARIANCE = np.array([4.0, 0.25])


@pytest.fixture
def misfit(rng):
    """Of two outputs, measured for x < 1 of 0 to 2 only; the second input is constant."""
    points = np.column_stack([np.append(rng.uniform(0, 1, 30), 2.0), np.full(31, 3.0), rng.normal(size=31)])
    return points, Misfit.of(points, points, VARIANCE)


def root(misfit, X, *argument):
    return misfit.roots(X, [argument], np.ones((1, len(X))))


def test_derivatives_are_those_of_the_waves(misfit, rng):
    X, step = rng.uniform(0, 2, (5, 3)), 1e-6
    for along in ((), (0,), (2,)):
        for j in (2, 0):
            up, down = (root(misfit[1], X + s * np.eye(3)[j], 1, along) for s in (step, -step))
            slope = root(misfit[1], X, 1, tuple(sorted((*along, j))))
            np.testing.assert_allclose((up - down) / (2 * step), slope, atol=1e-6 * np.abs(slope).max())
    assert not root(misfit[1], X, 0, (1,)).any()


def test_formulas_add_their_arguments_and_outputs_are_apart(misfit, rng):
    X, slopes = rng.uniform(0, 2, (4, 3)), rng.normal(size=(2, 4))
    value, slope = root(misfit[1], X, 0, ()), root(misfit[1], X, 1, (2,))
    both = misfit[1].roots(X, [(0, ()), (1, (2,))], slopes)
    np.testing.assert_allclose(both, slopes[0] * value + slopes[1] * slope)
    assert not (value * slope).any()


def test_it_has_the_given_mean_variance_and_is_small_at_points(misfit):
    points, found = misfit
    for output in (1, 0):
        variance = (root(found, points, output, ()) ** 2).sum(0)
        assert variance.mean() == pytest.approx(VARIANCE[output])
        far = (root(found, np.array([[1.5, 3.0, 0.0]]), output, ()) ** 2).sum()
        assert far > 10 * variance.max()
