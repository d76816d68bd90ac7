"""J'J and J'r of the residuals, against residuals written out and differentiated numerically."""

import tracemalloc

import numpy as np
import pytest

from swarmnet import MixedData, Network, Objective, SwarmnetError

DENSITIES = {
    "values only": (1.0, 0.0),
    "mixed": (0.6, 0.4),
    "full": (1.0, 1.0),
    "derivatives only": (0.0, 0.5),
}
NETS = [
    ((3, 5, 4, 1), "tanh"),
    ((2, 6, 3), ("sigmoid", "softplus")),
    ((2, 2), "tanh"),
    ((4, 3, 3, 2), "gelu"),
]


def make_data(rng, pattern, d, k, n=60):
    X, Y, J = rng.normal(size=(n, d)), rng.normal(size=(n, k)), rng.normal(size=(n, k, d))
    for_values, for_partials = DENSITIES[pattern]
    Y[rng.random(Y.shape) >= for_values] = np.nan
    J[rng.random(J.shape) >= for_partials] = np.nan
    return MixedData(X, Y, J, rng.uniform(0.5, 2, Y.shape), rng.uniform(0.5, 2, J.shape))


def residuals(net, data, theta, derivative_weight, l2):
    """Every residual of the loss, so that the loss is the sum of their squares."""
    values = (net.forward(theta, data.X) - data.Y) / np.sqrt(max(1, data.n_values))
    partials = (net.jacobian(theta, data.X) - data.J) * np.sqrt(
        derivative_weight / max(1, data.n_derivatives)
    )
    weights = [np.sqrt(l2) * W.ravel() for W, _ in net.unflatten(theta)]
    if data.Y_sigma is not None:
        values = values / data.Y_sigma
    if data.J_sigma is not None:
        partials = partials / data.J_sigma
    return np.concatenate([values[~np.isnan(data.Y)], partials[~np.isnan(data.J)], *weights])


@pytest.mark.parametrize("pattern", DENSITIES)
@pytest.mark.parametrize(("sizes", "activations"), NETS)
def test_they_are_those_of_the_residuals(rng, pattern, sizes, activations):
    net = Network(sizes, activations)
    data = make_data(rng, pattern, net.d, net.k)
    theta, options = net.init(rng), {"derivative_weight": 0.3, "l2": 0.02}
    loss, Jr, JJ = Objective(net, data, **options).normal_equations(theta)

    r = residuals(net, data, theta, **options)
    h = 1e-4
    J = np.stack(
        [
            (
                8
                * (
                    residuals(net, data, theta + h * e, **options)
                    - residuals(net, data, theta - h * e, **options)
                )
            )
            - (
                residuals(net, data, theta + 2 * h * e, **options)
                - residuals(net, data, theta - 2 * h * e, **options)
            )
            for e in np.eye(net.size)
        ],
        axis=1,
    ) / (12 * h)
    assert loss == pytest.approx(r @ r, rel=1e-12)
    np.testing.assert_allclose(Jr, J.T @ r, rtol=1e-8, atol=1e-9 * np.abs(Jr).max())
    np.testing.assert_allclose(JJ, J.T @ J, rtol=1e-8, atol=1e-9 * np.abs(JJ).max())
    assert np.array_equal(JJ, JJ.T)


@pytest.mark.parametrize("pattern", DENSITIES)
def test_they_agree_with_the_gradient(rng, pattern):
    net = Network((3, 8, 8, 2))
    objective = Objective(net, make_data(rng, pattern, 3, 2, n=700), derivative_weight=2.0, l2=0.1)
    theta = net.init(rng)
    loss, gradient = objective.loss_and_gradient(theta)
    squares, Jr, _ = objective.normal_equations(theta)
    assert squares == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(2 * Jr, gradient, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("pattern", DENSITIES)
def test_threads_change_nothing_to_the_last_bit(rng, pattern):
    net = Network((3, 8, 2))
    data, theta = make_data(rng, pattern, 3, 2, n=1500), net.init(rng)
    results = [Objective(net, data, threads=t).normal_equations(theta) for t in (1, 2, 4)]
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_float32_is_the_same_less_exactly(rng):
    net = Network((3, 8, 2))
    data, theta = make_data(rng, "mixed", 3, 2), net.init(rng)
    exact, less = (Objective(net, data, dtype=t).normal_equations(theta) for t in ("float64", "float32"))
    np.testing.assert_allclose(less[2], exact[2], atol=1e-5 * np.abs(exact[2]).max())


def test_residual_gradients_are_never_kept_for_all_rows(rng):
    """30,000 entries x 297 weights would take 71 MB."""
    net = Network((2, 16, 14, 1))
    objective = Objective(net, make_data(rng, "full", 2, 1, n=10_000), threads=2)
    theta = net.init(rng)
    objective.normal_equations(theta)
    tracemalloc.start()
    objective.normal_equations(theta)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


def test_they_need_the_squared_loss():
    data = MixedData([[0.0], [1.0]], Y=[0.0, 1.0])
    objective = Objective(Network((1, 2, 1), ["tanh", "sigmoid"]), data, loss="cross-entropy")
    with pytest.raises(SwarmnetError, match="squared loss"):
        objective.normal_equations(np.zeros(7))
