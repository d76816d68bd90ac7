"""Entries that are second derivatives, against complex steps and against JAX.

The network is written out once more, with Legendre polynomials in powers of the inputs: as functions of
complex numbers, and of JAX's.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.polynomial import legendre, polynomial

from swarmnet import Activation, Network, SwarmnetError
from swarmnet.network.activations import TABLE
from swarmnet.network.trend import Trend
from swarmnet.objective.kernels.bound import BoundKernels, Workspace
from swarmnet.objective.row_chunks import VALUE, Entries
from swarmnet.objective.value_losses import SQUARED
from tests.activation_formulas import FORMULAS, IN_NUMPY, OWN

Array = np.ndarray[Any, Any]
D, K, ROWS, GROUPS = 3, 2, 70, 4  # so many rows that entries of each kind are in more than one block
H, STEP = 1e-30, 0.01
STENCIL = ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))  # of a derivative, to the sixth order
SMOOTH = [name for name, record in TABLE.items() if record.smooth]
each_smooth = pytest.mark.parametrize("name", SMOOTH)


def trend_of(least: int = 1) -> Trend:
    return Trend.of_degree(3, [-1.2] * D, [1.5, 1.4, 1.3], least)


def networks(name: str | Activation) -> Iterator[Network]:
    """With two, one and no hidden layers, with a trend and without, and with curved outputs."""
    yield Network((D, 4, 3, K), name)
    yield Network((D, 4, 3, K), name, trend_of(2))
    yield Network((D, 5, K), name, trend_of())
    yield Network((D, 5, K), [name, name])
    yield Network((D, K), [name])
    yield Network((D, K), "linear", trend_of(2))


def table_of(rng: np.random.Generator) -> Entries:
    """Every value, partial and second partial of each row, with the inputs of the last in either order."""
    kinds = [
        *product(range(K), [VALUE], [VALUE]),
        *product(range(K), range(D), [VALUE]),
        *product(range(K), range(D), range(D)),
    ]
    row = np.tile(np.arange(ROWS), len(kinds))
    output, along, second = np.repeat(np.array(kinds), ROWS, axis=0).T.copy()
    n, X = len(row), rng.uniform(-1.0, 1.0, (ROWS, D))
    target, weight = rng.normal(size=n), rng.uniform(0.2, 3.0, n) ** -2
    return Entries(X, row, output, along, second, target, weight, rng.integers(0, GROUPS, n))


def placed(table: Entries, Y: Array, J: Array, S: Array) -> Array:
    """The entries of values (n, k, ...), partials (n, k, d, ...) and second partials (n, k, d, d, ...)."""
    at = table.row, table.output
    values, partials = table.input == VALUE, (table.input != VALUE) & (table.second == VALUE)
    found = np.array(S[*at, table.input, table.second])
    found[partials] = J[*at, table.input][partials]
    found[values] = Y[at][values]
    return found


def terms(m: Any, trend: Trend, x: Any, along: int | None = None) -> Any:
    """phi (terms,) at x (..., d), or its derivative along an input."""
    u = (x - trend.centre) / trend.half

    def factor(powers: Array, j: int) -> Any:
        powers_of_u = legendre.leg2poly([0.0] * powers[j] + [1.0])
        if j == along:
            powers_of_u = polynomial.polyder(powers_of_u) / trend.half[j]
        return sum(c * u[..., j] ** power for power, c in enumerate(powers_of_u)) + 0.0 * u[..., j]

    return m.stack([m.prod(m.stack([factor(p, j) for j in range(D)]), axis=0) for p in trend.powers], axis=-1)


def both(m: Any, net: Network, theta: Any, x: Any) -> tuple[Any, Any]:
    """Y (..., k) and J (..., k, d) at x (..., d)."""
    a, T = x, m.eye(D)
    for layer, act in zip(net.layers, net.activations, strict=True):
        split = layer.start + layer.fan_in * layer.fan_out
        W, b = theta[layer.start : split].reshape(layer.fan_in, layer.fan_out), theta[layer.bias]
        f, slope = FORMULAS[act.name]
        z = a @ W + b
        a, T = f(m, z), slope(m, z)[..., None] * m.einsum("...ud,uv->...vd", T, W)
    if net.trend is not None:
        C = theta[net.size - net.terms * K :].reshape(net.terms, K)
        a = a + terms(m, net.trend, x) @ C
        T = T + m.stack([terms(m, net.trend, x, j) @ C for j in range(D)], axis=-1)
    return a, T


def by_complex_step(net: Network, theta: Array, table: Entries, along: Array) -> tuple[Array, Array]:
    """The entries (n,), and their derivatives (m, n) along some weights (m, p).

    Those of second partials are differences of the partials' ones.
    """
    directions, X, none = np.eye(D), table.X, np.zeros(net.size)

    def slopes(of: Array, by: Array, x: Array) -> tuple[Array, Array]:
        Y, J = both(IN_NUMPY, net, theta + 1j * H * of, x + 1j * H * by)
        return Y.imag / H, J.imag / H

    def bent(of: Array, by: Array) -> Array:
        def at(h: float) -> Array:
            return slopes(of, np.zeros(D), X + h * by)[1]

        return np.asarray(sum(c * (at(i * STEP) - at(-i * STEP)) for i, c in STENCIL) / STEP)

    Y, J = both(IN_NUMPY, net, theta + 0j, X)
    S = np.stack([slopes(none, by, X)[1] for by in directions], axis=-1)
    found = []
    for of in along:
        of_S = np.stack([bent(of, by) for by in directions], axis=-1)
        found.append(placed(table, *slopes(of, np.zeros(D), X), of_S))
    return placed(table, Y.real, J.real, S), np.array(found)


def check(
    net: Network, theta: Array, table: Entries, right: tuple[Array, Array], along: Array, accuracy: float
) -> None:
    """Compare with entries (n,), and their derivatives (m, n) along some weights (m, p)."""
    kernels, work = BoundKernels(net, np.float64, SQUARED), Workspace()
    n, sigma, root = table.count, np.sqrt(table.weight), np.linspace(0.5, 2.0, GROUPS)
    answers, slopes = right
    r, J = kernels.entry_gradients(work, theta, table, 0, n, root)
    np.testing.assert_allclose(r, sigma * (answers - table.target), rtol=accuracy, atol=accuracy * 10)
    scale = sigma * root[table.group]
    atol = accuracy * np.abs(slopes).max()
    np.testing.assert_allclose(along @ J, scale * slopes, rtol=accuracy, atol=atol)
    np.testing.assert_allclose(kernels.residuals(work, theta, table, 0, n), r, rtol=1e-11, atol=1e-12)
    first, last = 133, n - 131
    some, of_some = kernels.entry_gradients(Workspace(), theta, table, first, last, root)
    np.testing.assert_allclose(some, r[first:last], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(of_some, J[:, first:last], rtol=1e-10, atol=1e-11)


@each_smooth
def test_entries_and_gradients_are_those_of_complex_steps(name: str, rng: np.random.Generator) -> None:
    table = table_of(rng)
    for net in networks(name):
        theta, along = net.init(rng), rng.normal(size=(2, net.size))
        check(net, theta, table, by_complex_step(net, theta, table, along), along, 1e-7)


@each_smooth
def test_entries_and_gradients_are_those_of_automatic_differentiation(
    name: str, rng: np.random.Generator, reference: Any
) -> None:
    jax, table, net = reference.jax, table_of(rng), Network((D, 4, 3, K), name)
    module = type("In", (), {**vars(jax.numpy), "erf": staticmethod(jax.scipy.special.erf)})
    theta = 2.0 * net.init(rng)

    def outputs(theta: Any, x: Any) -> Any:
        return both(module, net, theta, x)[0]

    def rows(function: Callable[..., Any]) -> Array:
        return np.asarray(jax.jit(jax.vmap(function, (None, 0)))(theta, table.X))

    partials = jax.jacfwd(outputs, 1)
    every = outputs, partials, jax.jacfwd(partials, 1)
    answers = placed(table, *map(rows, every))
    gradients = placed(table, *(rows(jax.jacfwd(each)) for each in every))
    check(net, theta, table, (answers, gradients.T), np.eye(net.size), 1e-11)


def test_of_relu_only_the_trend_has_second_derivatives(rng: np.random.Generator) -> None:
    table, net = table_of(rng), Network((D, 5, K), "relu", trend_of())
    theta, alone = net.init(rng), Network((D, K), "linear", trend_of())
    only = np.zeros(alone.size)
    alone.coefficients(only)[...] = net.coefficients(theta)
    found, right = (
        BoundKernels(each, np.float64, SQUARED).residuals(Workspace(), weights, table, 0, table.count)
        for each, weights in ((net, theta), (alone, only))
    )
    second = table.second != VALUE
    np.testing.assert_allclose(found[second], right[second], rtol=1e-12, atol=1e-12)
    assert not np.allclose(found[~second], right[~second])


def test_values_and_partials_are_the_same_bits_beside_second_derivatives(rng: np.random.Generator) -> None:
    table, net = table_of(rng), Network((D, 4, 3, K), "tanh", trend_of())
    stop = int((table.second == VALUE).sum())
    columns = [column[:stop] for column in table.columns[1:]]
    kernels, theta, root = BoundKernels(net, np.float64, SQUARED), net.init(rng), np.ones(GROUPS)
    for each in (table, Entries(table.X, *columns)):
        r, J = kernels.entry_gradients(Workspace(), theta, each, 0, each.count, root)
        if each is table:
            expected = r[:stop], J[:, :stop].copy()
    np.testing.assert_array_equal(r, expected[0])
    np.testing.assert_array_equal(J, expected[1])


def test_an_activation_of_ones_own_needs_a_third_derivative(rng: np.random.Generator) -> None:
    table = table_of(rng)
    own, tanh = (Network((D, 4, K), record) for record in (replace(TABLE["tanh"], name="own"), "tanh"))
    theta, root = own.init(rng), np.ones(GROUPS)
    found, right = (
        BoundKernels(net, np.float64, SQUARED).entry_gradients(
            Workspace(), theta, table, 0, table.count, root
        )
        for net in (own, tanh)
    )
    for ours, theirs in zip(found, right, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    own.need_third()
    without = Network((D, 4, K), OWN)
    kernels = BoundKernels(without, np.float64, SQUARED)
    with pytest.raises(SwarmnetError, match=r"'softsign' has no third derivative.*Activation\(..., third="):
        without.need_third()
    with pytest.raises(SwarmnetError, match="'softsign' has no third derivative"):
        kernels.entry_gradients(Workspace(), theta, table, 0, table.count, root)
    with pytest.raises(SwarmnetError, match="'softsign' has no third derivative"):
        kernels.residuals(Workspace(), theta, table, 0, table.count)
    first = Entries(table.X, *(column[:ROWS] for column in table.columns[1:]))
    assert np.isfinite(kernels.residuals(Workspace(), theta, first, 0, ROWS)).all()
