"""The polynomial trend of a network, against NumPy's Legendre series, complex step and JAX."""

from typing import Any

import numpy as np
import pytest
from numpy.polynomial import legendre

from swarmnet import Network
from swarmnet.errors import SwarmnetError
from swarmnet.network.trend import Trend
from tests.conftest import JaxReference

Array = np.ndarray[Any, Any]
LOW, HIGH = [-1.0, 2.0, 0.0], [3.0, 5.0, 0.5]


def points(n: int = 9) -> Array:
    return np.random.default_rng(1).uniform(LOW, HIGH, (n, 3))


def terms_at(trend: Trend, X: Array) -> Array:
    """Return (terms, n) by NumPy's Legendre series, also for complex X (n, d)."""
    u = (X.T - trend.centre[:, None]) / trend.half[:, None]
    one = np.eye(trend.powers.max() + 1)
    return np.array(
        [
            np.prod([legendre.legval(u[j], one[q]) for j, q in enumerate(powers)], axis=0)
            for powers in trend.powers.tolist()
        ]
    )


def along(X: Array, j: int, step: float = 1e-30) -> Array:
    moved = X.astype(complex)
    moved[:, j] += 1j * step
    return moved


@pytest.mark.parametrize("degree", [1, 2, 7])
def test_terms_and_their_derivatives(degree: int) -> None:
    trend, X = Trend.of_degree(degree, LOW, HIGH), points()
    phi, gradient, hessian = trend.jets(X.T, 2)
    np.testing.assert_allclose(phi, terms_at(trend, X), rtol=0, atol=1e-13)
    for j in range(3):
        slope = terms_at(trend, along(X, j)).imag / 1e-30
        np.testing.assert_allclose(gradient[:, j], slope, rtol=1e-12, atol=1e-12 * abs(slope).max())
        for i in range(3):
            up, down = (trend.jets((X + sign * 1e-5 * np.eye(3)[i]).T, 1)[1][:, j] for sign in (1, -1))
            bend = (up - down) / 2e-5
            np.testing.assert_allclose(hessian[:, j, i], bend, rtol=1e-5, atol=1e-7 * abs(bend).max() + 1e-9)


@pytest.mark.parametrize(
    ("hidden", "act", "least"), [((), "tanh", 2), ((4,), "tanh", 1), ((5, 3), "gelu", 1)]
)
def test_a_network_with_a_trend_is_the_sum_of_both(hidden: tuple[int, ...], act: str, least: int) -> None:
    trend, X = Trend.of_degree(3, LOW, HIGH, least), points()
    net = Network((3, *hidden, 2), act, trend)
    swarm = net.init(np.random.default_rng(0), 4)
    plain = Network((3, *hidden, 2), act)
    C, rest = net.coefficients(swarm), swarm[:, : plain.size]
    phi, gradient, bend = trend.jets(X.T, 2)
    for of, own, terms in (
        ("forward", "tn->sno", phi),
        ("jacobian", "tjn->snoj", gradient),
        ("hessian", "tijn->snoij", bend),
    ):
        both = np.einsum(f"sto,{own}", C, terms)
        found = getattr(net, of)(swarm, X)
        np.testing.assert_allclose(found, getattr(plain, of)(rest, X) + both, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found[1], getattr(net, of)(swarm[1], X), rtol=1e-12, atol=1e-12)


def test_gradients_by_theta_against_jax(reference: JaxReference) -> None:
    jax = reference.jax

    trend, X = Trend.of_degree(4, LOW, HIGH), points(3)
    net = Network((3, 5, 2), "tanh", trend)
    theta = net.init(np.random.default_rng(0))
    powers = trend.powers.tolist()

    def polynomial(q: int, u: Any) -> Any:
        return sum(c * u**e for e, c in enumerate(legendre.leg2poly(np.eye(q + 1)[q]).tolist()))

    def network(weights: Any, x: Any) -> Any:
        hidden, out = net.layers
        W, V = (weights[layer.start : layer.stop] for layer in (hidden, out))
        a = jax.numpy.tanh(x @ W[:15].reshape(3, 5) + W[15:20])
        u = (x - trend.centre) / trend.half
        phi = jax.numpy.array(
            [jax.numpy.prod(jax.numpy.array([polynomial(q, u[j]) for j, q in enumerate(p)])) for p in powers]
        )
        return a @ V[:10].reshape(5, 2) + V[10:12] + phi @ V[12:].reshape(-1, 2)

    right = np.array(jax.vmap(jax.jacrev(jax.jacfwd(network, 1), 0), (None, 0))(theta, X))
    passes = net.passes(theta, X.T, 2)
    for o in range(2):
        for j in range(3):
            found = passes.weight_gradients(o, np.eye(3)[:, [j]]).T
            np.testing.assert_allclose(found, right[:, o, j], rtol=1e-10, atol=1e-10)


def test_inputs_in_another_order_have_the_same_terms() -> None:
    trend, X = Trend.of_degree(4, LOW, HIGH), points()
    order = [2, 0, 1]
    np.testing.assert_allclose(
        trend.reordered(order).jets(X[:, order].T, 0)[0], trend.jets(X.T, 0)[0], rtol=1e-13
    )


@pytest.mark.parametrize(
    ("powers", "low", "high", "reason"),
    [
        ([[0, 0]], [0, 0], [1, 1], "is constant"),
        ([[1, 0], [1, 0]], [0, 0], [1, 1], "occurs twice"),
        ([[1, 0]], [0, 0], [np.inf, 1], "positive and finite"),
        ([[-1, 2]], [0, 0], [1, 1], "whole numbers"),
        ([[99, 0]], [0, 0], [1, 1], "whole numbers"),
        ([[40, 21]], [0, 0], [1, 1], "a degree above 60"),
        ([[1] * 5000], [0] * 5000, [1] * 5000, "a degree above 60"),
    ],
)
def test_terms_that_cannot_be(powers: Any, low: Any, high: Any, reason: str) -> None:
    with pytest.raises(SwarmnetError, match=reason):
        Trend.of_powers(powers, low, high)


def test_a_trend_fits_its_network() -> None:
    trend = Trend.of_degree(2, LOW, HIGH)
    with pytest.raises(SwarmnetError, match="a linear output layer"):
        Network((3, 4, 1), ("tanh", "sigmoid"), trend)
    with pytest.raises(SwarmnetError, match="3 inputs for a network of 2"):
        Network((2, 4, 1), "tanh", trend)
