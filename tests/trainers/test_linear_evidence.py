"""Exact fits of polynomials: their weights, evidence and predictions of left-out entries."""

from typing import Any

import numpy as np
import pytest

from swarmnet import MixedData, Network, Objective
from swarmnet.network.trend import Trend, hyperbolic_cross, total_degree
from swarmnet.trainers import LM, run
from swarmnet.trainers.linear_evidence import fitted, left_out, prediction_score

Array = np.ndarray[Any, Any]
NAN = np.nan


def smooth(X: Array) -> tuple[Array, Array]:
    """Return two outputs of two inputs, and their Jacobian."""
    z, a = X.T
    Y = np.stack([np.exp(0.6 * z) * a, np.sin(z + 2.0 * a)], axis=1)
    slopes = [[0.6 * np.exp(0.6 * z) * a, np.exp(0.6 * z)], [np.cos(z + 2.0 * a), 2.0 * np.cos(z + 2.0 * a)]]
    return Y, np.moveaxis(np.array(slopes), -1, 0)


def one_entry_rows(n: int, noise: float = 0.0, seed: int = 0) -> MixedData:
    """Return rows with one value or one partial each, of two outputs and two inputs."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, 2))
    Y, J = smooth(X)
    entries = np.concatenate([Y[:, :, None], J], axis=2) + noise * rng.normal(size=(n, 2, 3))
    kept = np.arange(6) == rng.integers(6, size=n)[:, None]
    entries[~kept.reshape(n, 2, 3)] = NAN
    return MixedData(X, entries[:, :, 0], entries[:, :, 1:], inputs=("z", "a"), outputs=("v", "h"))


def objective(data: MixedData, degree: int) -> Objective:
    net = Network((2, 2), trend=Trend.of_degree(degree, [-1, -1], [1, 1], 2))
    return Objective(net, data, derivative_weight=None, l2=None)


def test_weights_are_those_of_the_penalised_least_squares_problem() -> None:
    own = objective(one_entry_rows(90, 0.05), 4)
    fit = fitted(own)
    r, J, group = own.residual_jacobian(np.zeros(own.size))
    beta, alpha = fit.hyper.precision[group], fit.hyper.decay
    right = np.linalg.solve((J.T * beta) @ J + np.diag(alpha), -(J.T * beta) @ r)
    np.testing.assert_allclose(fit.theta, right, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(fit.squares, own.group_squares(fit.theta), rtol=1e-8)


def test_noise_and_evidence_are_those_of_levenberg_marquardt() -> None:
    """Its steps and slow changes of the precisions come to the same fixed point."""
    own = objective(one_entry_rows(200, 0.1), 3)
    fit, slow = fitted(own), run(LM(), own, np.random.default_rng(0))
    assert slow.posterior is not None
    assert fit.log_evidence == pytest.approx(slow.posterior.log_evidence, abs=0.5)
    seen = own.groups.count > 0
    np.testing.assert_allclose(fit.hyper.precision[seen], slow.posterior.precision[seen], rtol=0.02)
    np.testing.assert_allclose(fit.theta, slow.theta, atol=0.01)


def test_predictions_of_left_out_entries_are_those_of_fits_without_them() -> None:
    own = objective(one_entry_rows(40, 0.05), 3)
    r, J, _group = own.residual_jacobian(np.zeros(own.size))
    rng = np.random.default_rng(0)
    beta, alpha = rng.uniform(0.5, 2.0, len(r)), rng.uniform(0.1, 1.0, own.size)
    right = []
    for i in range(len(r)):
        others = np.arange(len(r)) != i
        A = (J[others].T * beta[others]) @ J[others] + np.diag(alpha)
        right.append(r[i] - J[i] @ np.linalg.solve(A, (J[others].T * beta[others]) @ r[others]))
    np.testing.assert_allclose(left_out(r, J, beta, alpha), right, rtol=1e-10)


def test_an_entry_with_all_of_the_leverage_is_predicted_by_the_prior() -> None:
    """The only entry of a weight: without it the weight is 0, and 1 - h is 1e-12."""
    r, J = np.array([-1.0, -2.0, -3.0]), np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    found = left_out(r, J, np.array([1.0, 1.0, 1e12]), np.array([1e-9, 1.0]))
    np.testing.assert_allclose(found, [1.0, -1.0, -3.0], rtol=1e-6)


def test_exact_data_are_fitted_to_rounding() -> None:
    X = np.random.default_rng(1).uniform(-1, 1, (40, 2))
    z, a = X.T
    Y = np.stack([1.0 + z * a**2 - 2.0 * z, 3.0 * a**3 + z], axis=1)
    J = np.moveaxis(np.array([[a**2 - 2.0, 2.0 * z * a], [np.ones(40), 9.0 * a**2]]), -1, 0).copy()
    J[::2], Y[1::2] = NAN, NAN
    own = objective(MixedData(X, Y, J), 4)
    fit = fitted(own)
    np.testing.assert_allclose(own.net.forward(fit.theta, X[::2]), Y[::2], atol=1e-14)
    assert fit.score < np.log(1e-26)


def test_the_score_tells_which_degree_predicts_better() -> None:
    data = one_entry_rows(150)
    X = np.random.default_rng(5).uniform(-1, 1, (300, 2))
    errors, scores = [], []
    for degree in (2, 4, 6, 8):
        own = objective(data, degree)
        fit = fitted(own)
        errors.append(np.mean((own.net.forward(fit.theta, X) - smooth(X)[0]) ** 2))
        scores.append(fit.score)
    assert np.argsort(errors).tolist() == np.argsort(scores).tolist()


def test_the_score_does_not_depend_on_units() -> None:
    data, factor = one_entry_rows(60, 0.05), np.array([1e3, 1e-2])
    other = MixedData(data.X, data.Y * factor, data.J * factor[:, None])
    scores = []
    for rows in (data, other):
        own = objective(rows, 2)
        _, _, group = own.residual_jacobian(np.zeros(own.size))
        root = np.sqrt(np.where(own.groups.relative > 0, own.groups.relative, 1.0))
        scores.append(prediction_score(own, 0.1 * root[group], group))
    assert scores == pytest.approx([np.log(0.01)] * 2)


def test_sets_of_terms() -> None:
    assert len(total_degree(3, 4)) == 34 and len(set(total_degree(3, 4))) == 34
    cross = hyperbolic_cross(2, 3)
    assert sorted(cross) == [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (2, 0), (3, 0)]
    assert [sum(powers) for powers in cross] == sorted(sum(powers) for powers in cross)
