"""Every derivative against complex steps, at random points, with units saturated up to |z| = 700.

A step i h changes an analytic function's imaginary part by h f' and nothing is subtracted (Squire and Trapp
1998), so that the reference is exact to rounding, and it knows nothing of the package's own formulas: it has
those of `activation_formulas`.
"""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnet import MixedData, Network, Objective
from swarmnet.network.activations import TABLE
from tests.activation_formulas import FORMULAS, IN_NUMPY
from tests.random_problems import NAN, examples, seeds

H = 1e-30
ROWS = 7
L2 = 0.01


each_activation = pytest.mark.parametrize("name", TABLE)
steepness = st.sampled_from([1.0, 30.0, 700.0])
loud = partial(np.errstate, over="raise", divide="raise", invalid="raise")


def by_complex_step(function, x):
    """The derivatives of `function` by each number of x (m,), last."""
    with np.errstate(all="ignore"):
        return np.stack([function(x + 1j * H * unit).imag / H for unit in np.eye(len(x))], axis=-1)


def both(net, theta, X):
    """Y (n, k) and J (n, k, d), complex where theta or X are."""
    A, T = X, np.eye(net.d)
    with np.errstate(all="ignore"):
        for layer, act in zip(net.layers, net.activations, strict=True):
            W = theta[layer.start : layer.stop].reshape(layer.fan_in + 1, layer.fan_out)
            f, slope = FORMULAS[act.name]
            z = A @ W[:-1] + W[-1] + 0j
            A, T = f(IN_NUMPY, z), slope(IN_NUMPY, z)[..., None] * np.einsum("...ud,uv->...vd", T, W[:-1])
    return A, T


def hessian(net, theta, X):
    """(n, k, d, d)"""
    return np.array([by_complex_step(lambda x: both(net, theta, x[None])[1][0], x) for x in X])


def jacobian(net, theta, X):
    """(n, k, d), of values alone"""
    return np.array([by_complex_step(lambda x: both(net, theta, x[None])[0][0], x) for x in X])


def close(found, expected, tolerance, least=0.0):
    """Equal but for a share of the largest number, or of `least` if that is more."""
    atol = tolerance * max(np.abs(expected).max(initial=0.0), least)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=atol)


def network(rng, name, output=None):
    """Of one or two hidden layers."""
    hidden = rng.integers(2, 6, rng.integers(1, 3))
    sizes = (int(rng.integers(1, 4)), *hidden, int(rng.integers(1, 3)))
    return Network(sizes, [name] * len(hidden) + [output or name])


def saturated(rng, net, steep):
    """Weights and points: each first unit's z is 0 somewhere among the points, and goes up to `steep`."""
    theta, X = net.init(rng), rng.uniform(-1.0, 1.0, (ROWS, net.d))
    W, b = net.unflatten(theta)[0]
    W *= 0.5 * steep ** rng.uniform(0.0, 1.0, W.shape[1]) / np.abs(W).sum(0)
    b[:] = -np.einsum("iu,ui->u", W, rng.uniform(-1.0, 1.0, W.shape[::-1]))
    return theta, X


def random_targets(rng, net, X):
    Y, J = rng.normal(size=(ROWS, net.k)), rng.normal(size=(ROWS, net.k, net.d))
    Y[rng.random(Y.shape) < 0.3], J[rng.random(J.shape) < 0.5] = NAN, NAN
    Y[0] = 1.0
    sigma = [np.where(rng.random(a.shape) < 0.5, rng.uniform(0.5, 2.0, a.shape), NAN) for a in (Y, J)]
    return MixedData(X, Y, J, *sigma, weights=rng.integers(1, 3, ROWS))


def kinds(data, derivative_weight=1.0):
    """Of values and of partials: targets (m,), where they are, 1 / sigma, and their shares in the loss."""
    for target, sigma, factor in ((data.Y, data.Y_sigma, 1.0), (data.J, data.J_sigma, derivative_weight)):
        seen = ~np.isnan(target)
        unit = np.ones(target.shape) if sigma is None else np.where(np.isnan(sigma), 1.0, sigma)
        often = np.broadcast_to(data.row_weights.reshape(-1, *[1] * (target.ndim - 1)), target.shape)[seen]
        yield target[seen], seen, 1.0 / unit[seen], factor * often / max(often.sum(), 1.0)


@each_activation
@examples(8)
@given(seed=seeds, steep=steepness)
def test_values_jacobian_and_hessian(name, seed, steep):
    rng = np.random.default_rng(seed)
    net = network(rng, name)
    theta, X = saturated(rng, net, steep)
    with loud():
        found = net.forward(theta, X), net.jacobian(theta, X), net.hessian(theta, X)
    expected = both(net, theta, X)[0].real, jacobian(net, theta, X), hessian(net, theta, X)
    # What is left of a saturated unit's slope is the rounding of 1 - 1, times its weight for each order.
    for ours, theirs, order in zip(found, expected, (0, 1, 2), strict=True):
        close(ours, theirs, 1e-11, least=1e-3 * steep**order)


@each_activation
@examples(8)
@given(seed=seeds, steep=steepness, derivative_weight=st.sampled_from([0.0, 0.3, 2.0]))
def test_residuals_and_the_sums_over_them(name, seed, steep, derivative_weight):
    rng = np.random.default_rng(seed)
    net = network(rng, name)
    theta, X = saturated(rng, net, steep)
    data = random_targets(rng, net, X)

    def residuals(theta):
        pairs = zip(both(net, theta, X), kinds(data), strict=True)
        return np.concatenate([(answer[seen] - target) * root for answer, (target, seen, root, _) in pairs])

    share = np.concatenate([share for *_, share in kinds(data, derivative_weight)])
    r, R = residuals(theta).real, by_complex_step(residuals, theta)
    gradient = 2.0 * (share * r) @ R
    objective = Objective(net, data, derivative_weight=derivative_weight)
    loss, slope = objective.loss_and_gradient(theta)
    assert loss == pytest.approx(share @ r**2, rel=1e-9)
    assert float(objective.loss(theta)) == pytest.approx(loss, rel=1e-9)
    close(slope, gradient, 1e-9, least=steep)
    loss, Jr, JJ = objective.normal_equations(theta)
    assert loss == pytest.approx(share @ r**2, rel=1e-9)
    close(2.0 * Jr, gradient, 1e-9, least=steep)
    close(JJ, (share * R.T) @ R, 1e-9, least=1.0)
    found, rows, group = objective.residual_jacobian(theta)
    precision = objective.unit_precision[group]
    assert (precision * found) @ found == pytest.approx(share @ r**2, rel=1e-9)
    close((precision * rows.T) @ rows, (share * R.T) @ R, 1e-9, least=1.0)


@each_activation
@examples(8)
@given(seed=seeds, steep=steepness)
def test_gradients_of_the_projected_loss(name, seed, steep):
    """At the solved output layer its own gradient is 0, so that the hidden weights' is the whole one."""
    rng = np.random.default_rng(seed)
    net = network(rng, name, "linear")
    theta, X = saturated(rng, net, steep)
    data = random_targets(rng, net, X)
    below = Network(net.sizes[:-1], net.activations[:-1])
    objective = Objective(net, data, l2=L2)

    def loss(hidden):
        A, T = both(below, hidden, X)
        A = np.concatenate([A, np.ones((ROWS, 1))], axis=1)
        T = np.concatenate([T, np.zeros((ROWS, 1, net.d))], axis=1)
        penalty = L2 * np.diag([*[1.0] * (A.shape[1] - 1), 0.0])
        total = L2 * ((hidden * hidden) @ objective.penalised[: len(hidden)])
        for o in range(net.k):
            designs, targets, roots = [], [], []
            for features, (target, seen, root, share) in zip((A, T.swapaxes(1, 2)), kinds(data), strict=True):
                mine = np.nonzero(seen)[1] == o
                where = seen[:, o]
                designs.append(features[where])
                targets.append(target[mine])
                roots.append(root[mine] ** 2 * share[mine])
            Phi, t, weight = (np.concatenate(parts) for parts in (designs, targets, roots))
            w = np.linalg.solve((Phi.T * weight) @ Phi + penalty, Phi.T @ (weight * t))
            total += weight @ (Phi @ w - t) ** 2 + w @ penalty @ w
        return total

    hidden = theta[: objective.hidden_size]
    losses, output = objective.projected(hidden[None], ridge=0.0)
    _, gradient = objective.loss_and_gradient(np.concatenate([hidden, output[0]]))
    assert losses[0] == pytest.approx(loss(hidden + 0j).real, rel=1e-8)
    slope = by_complex_step(loss, hidden)
    # Where units of very different size meet, the least ridge that solves for all costs some digits.
    close(gradient[: objective.hidden_size], slope, 1e-7, least=steep)
    close(gradient[objective.hidden_size :], 0.0, 1e-7, least=steep)
