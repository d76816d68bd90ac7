import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.linalg  # noqa: F401  # whose BLAS is held as well, and must not come in between
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st

from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.floating_point import far_out
from swarmnet.linalg import mirror
from swarmnet.network.activations import TABLE, Activation
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.testing import check_gradient

Array = np.ndarray
NAMES = list(TABLE)
SMOOTH = [name for name, record in TABLE.items() if record.smooth]
WEIGHTS = {"derivative_weight": 0.3, "l2": 0.02}


# Data of every pattern of what is observed, and the loss straight from its definition.


def values_only(rng: np.random.Generator, seen: Array) -> Array:
    return np.zeros(seen.shape, bool)


def single_partials(rng: np.random.Generator, seen: Array) -> Array:
    """One partial in each of some rows, which then have no value."""
    n, k, d = seen.shape
    picked = np.zeros(seen.shape, bool)
    rows = np.flatnonzero(rng.random(n) < 0.6)
    picked[rows, rng.integers(k, size=len(rows)), rng.integers(d, size=len(rows))] = True
    return picked


def one_input(rng: np.random.Generator, seen: Array) -> Array:
    """Partials of all outputs along one input a row."""
    n, _, d = seen.shape
    return np.broadcast_to(rng.integers(d, size=n)[:, None, None] == np.arange(d), seen.shape)


def mixed(rng: np.random.Generator, seen: Array) -> Array:
    return rng.random(seen.shape) < 0.4


def full(rng: np.random.Generator, seen: Array) -> Array:
    return np.ones(seen.shape, bool)


PATTERNS: dict[str, Callable[[np.random.Generator, Array], Array]] = {
    "values only": values_only,
    "single partials": single_partials,
    "one input a row": one_input,
    "mixed": mixed,
    "full": full,
    "derivatives only": mixed,
}


def make_data(
    rng: np.random.Generator, pattern: str, n: int = 40, d: int = 3, k: int = 2, sigmas: bool = True
) -> MixedData:
    X, Y, J = rng.normal(size=(n, d)), rng.normal(size=(n, k)), rng.normal(size=(n, k, d))
    J[~PATTERNS[pattern](rng, J)] = np.nan
    if pattern == "derivatives only":
        Y[:] = np.nan
    elif pattern == "single partials":
        Y[~np.isnan(J).all((1, 2))] = np.nan
    elif pattern == "mixed":
        Y[rng.random(Y.shape) < 0.3] = np.nan
    if not sigmas:
        return MixedData(X, Y, J)
    Y_sigma = np.where(rng.random(Y.shape) < 0.5, rng.uniform(0.5, 2.0, Y.shape), np.nan)
    J_sigma = np.where(rng.random(J.shape) < 0.5, rng.uniform(0.5, 2.0, J.shape), np.nan)
    return MixedData(X, Y, J, Y_sigma, J_sigma)


def or_one(sigma: Array | None, target: Array) -> Array:
    return np.ones_like(target) if sigma is None else np.where(np.isnan(sigma), 1.0, sigma)


def naive_loss(
    net: Network,
    data: MixedData,
    theta: Array,
    derivative_weight: float = 1.0,
    l2: float = 0.0,
) -> float:
    """The definition of the loss, entry by entry."""
    Y, J = net.forward(theta, data.X), net.jacobian(theta, data.X)
    values = ((Y - data.Y) / or_one(data.Y_sigma, data.Y))[~np.isnan(data.Y)]
    partials = ((J - data.J) / or_one(data.J_sigma, data.J))[~np.isnan(data.J)]
    loss = l2 * sum((W**2).sum() for W, _ in net.unflatten(theta))
    if len(values):
        loss += np.mean(values**2)
    if len(partials):
        loss += derivative_weight * np.mean(partials**2)
    return float(loss)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("sigmas", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_loss_is_its_definition(rng: np.random.Generator, pattern: str, sigmas: bool, k: int) -> None:
    net = Network((3, 7, 5, k))
    data = make_data(rng, pattern, k=k, sigmas=sigmas)
    for options in ({}, WEIGHTS):
        objective, swarm = Objective(net, data, **options), net.init(rng, 5)
        expected = [naive_loss(net, data, theta, **options) for theta in swarm]
        np.testing.assert_allclose(objective.loss(swarm), expected, rtol=1e-12)
        loss, _ = objective.loss_and_gradient(swarm[2])
        assert loss == pytest.approx(expected[2], rel=1e-12)
        assert objective.loss(swarm[2]) == pytest.approx(expected[2], rel=1e-12)


@pytest.mark.parametrize("sizes", [(3, 2), (3, 4, 5, 2)])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_loss_of_a_linear_network_is_its_definition(
    rng: np.random.Generator, pattern: str, sizes: tuple[int, ...]
) -> None:
    """Its partials are the same in every row."""
    net = Network(sizes, ["linear"] * (len(sizes) - 1))
    data, swarm = make_data(rng, pattern), net.init(rng, 3)
    expected = [naive_loss(net, data, theta, **WEIGHTS) for theta in swarm]
    np.testing.assert_allclose(Objective(net, data, **WEIGHTS).loss(swarm), expected, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_loss_of_each_activation_is_its_definition(rng: np.random.Generator, name: str) -> None:
    net = Network((3, 6, 2), [name, name])
    data, swarm = make_data(rng, "mixed"), net.init(rng, 3)
    expected = [naive_loss(net, data, theta, **WEIGHTS) for theta in swarm]
    np.testing.assert_allclose(Objective(net, data, **WEIGHTS).loss(swarm), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
@pytest.mark.parametrize("sizes", [(3, 8, 2), (3, 40, 7, 2), (3, 200, 1), (3, 5, 60, 5, 1)])
def test_large_tiles_agree_with_the_definition(
    rng: np.random.Generator, sizes: tuple[int, ...], name: str, dtype: str
) -> None:
    """Enough numbers for the faster ways through activations and weights, some units being saturated."""
    net = Network(sizes, name)
    swarm = net.init(rng, 15)
    swarm[::3] *= 30.0
    for pattern in PATTERNS:
        data = make_data(rng, pattern, n=300, k=net.k)
        expected = [naive_loss(net, data, theta, **WEIGHTS) for theta in swarm]
        objective = Objective(net, data, dtype=dtype, **WEIGHTS)
        accuracy = 1e-11 if dtype == "float64" else 2e-3
        np.testing.assert_allclose(objective.loss(swarm), expected, rtol=accuracy)
        loss, gradient = objective.loss_and_gradient(swarm[1])
        assert loss == pytest.approx(expected[1], rel=accuracy)
        if dtype == "float64":
            step = 1e-5 * rng.normal(size=net.size)
            slope = (objective.loss(swarm[1] + step) - objective.loss(swarm[1] - step)) / 2
            assert slope == pytest.approx(gradient @ step, rel=1e-5, abs=1e-9)


@given(
    n=st.integers(1, 300),
    d=st.integers(1, 4),
    k=st.integers(1, 3),
    density=st.sampled_from([0.05, 0.2, 0.5, 1.0]),
    hidden=st.lists(st.integers(1, 4), max_size=2),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_pattern_of_entries(n: int, d: int, k: int, density: float, hidden: list[int], seed: int) -> None:
    """However rows are sorted into tiles, each entry counts once, in the loss and in the gradient."""
    rng = np.random.default_rng(seed)
    X, Y, J = rng.normal(size=(n, d)), rng.normal(size=(n, k)), rng.normal(size=(n, k, d))
    J[rng.random(J.shape) > density] = np.nan
    Y[rng.random(Y.shape) > density] = np.nan
    Y[0, 0] = 1.0
    net, data = Network((d, *hidden, k)), MixedData(X, Y, J)
    objective, theta = Objective(net, data, **WEIGHTS), net.init(rng)
    expected = naive_loss(net, data, theta, **WEIGHTS)
    assert objective.loss(theta) == pytest.approx(expected, rel=1e-11)
    loss, gradient = objective.loss_and_gradient(theta)
    assert loss == pytest.approx(expected, rel=1e-11)
    # A minibatch of all rows is cut into tiles in another way, which the order of rows must not matter to.
    loss, again = objective.loss_and_gradient(theta, rng.permutation(n))
    assert loss == pytest.approx(expected, rel=1e-11)
    np.testing.assert_allclose(again, gradient, rtol=1e-9, atol=1e-12 * np.abs(gradient).max())
    step = 1e-4 * rng.normal(size=net.size)
    slope = (objective.loss(theta + step) - objective.loss(theta - step)) / 2
    assert slope == pytest.approx(gradient @ step, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("runs", [(70, 1, 70), (1, 70, 1), (70, 70, 1), (3, 2, 1), (1, 1, 70)])
def test_a_lone_row_between_long_runs_counts(rng: np.random.Generator, runs: tuple[int, ...]) -> None:
    """Rows with partials along the same input go together, those that are too few with the others."""
    n = sum(runs)
    J = np.where(np.repeat(np.eye(3), runs, axis=0)[:, None] > 0, rng.normal(size=(n, 1, 3)), np.nan)
    net, data = Network((3, 4, 1)), MixedData(rng.normal(size=(n, 3)), J=J)
    theta = net.init(rng)
    assert Objective(net, data).loss(theta) == pytest.approx(naive_loss(net, data, theta), rel=1e-12)


# Gradients


class JaxLoss:
    """The definition of the loss once more, in JAX."""

    def __init__(self, reference: Any, names: tuple[str, ...]) -> None:
        jax = reference.jax
        np_ = jax.numpy

        def loss(layers: Any, X: Any, targets: Any, weights: Any, l2: Any) -> Any:
            def one(x: Any) -> Any:
                return reference.forward(names, layers, x)

            Y, J = jax.vmap(one)(X), jax.vmap(jax.jacfwd(one))(X)
            total = l2 * sum(np_.sum(W**2) for W, _ in layers)
            for prediction, target, weight in zip((Y, J), targets, weights, strict=True):
                total += np_.sum(weight * (prediction - target) ** 2)
            return total

        self.compiled = jax.jit(jax.value_and_grad(loss))

    def __call__(
        self, net: Network, data: MixedData, theta: Array, derivative_weight: float, l2: float
    ) -> tuple[float, Array]:
        targets, weights = [], []
        for target, sigma, factor in (
            (data.Y, data.Y_sigma, 1.0),
            (data.J, data.J_sigma, derivative_weight),
        ):
            seen = ~np.isnan(target)
            weight = factor * seen / or_one(sigma, target) ** 2 / max(1, seen.sum())
            targets.append(np.where(seen, target, 0.0))
            weights.append(weight)
        loss, gradient = self.compiled(net.unflatten(theta), data.X, targets, weights, l2)
        return float(loss), net.flatten(gradient)


@pytest.mark.parametrize("sizes", [(1, 4, 1), (3, 5, 2), (2, 4, 3, 1), (4, 3, 3, 3, 2)])
@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_agrees_with_automatic_differentiation(
    reference: Any, rng: np.random.Generator, name: str, sizes: tuple[int, ...]
) -> None:
    names = (*[name] * (len(sizes) - 2), "linear" if len(sizes) % 2 else name)
    net, jax_loss = Network(sizes, names), JaxLoss(reference, names)
    for pattern in PATTERNS:
        data = make_data(rng, pattern, n=20, d=net.d, k=net.k)
        theta = net.init(rng)
        expected, slopes = jax_loss(net, data, theta, **WEIGHTS)
        loss, gradient = Objective(net, data, **WEIGHTS).loss_and_gradient(theta)
        assert loss == pytest.approx(expected, rel=1e-12)
        floor = 1e-12 * np.abs(slopes).max()
        np.testing.assert_allclose(gradient, slopes, rtol=1e-10, atol=floor)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", NAMES)
def test_gradient_agrees_with_differences(rng: np.random.Generator, name: str, pattern: str) -> None:
    net = Network((3, 4, 3, 2), [name, name, name])
    objective = Objective(net, make_data(rng, pattern, n=15), **WEIGHTS)
    # Not the initial weights: output biases of 0 below dead units are a ReLU's very kink.
    assert check_gradient(objective, rng.normal(0.0, 0.7, net.size)) < 1e-6


@pytest.mark.parametrize("names", list(itertools.product(("linear", "sigmoid"), repeat=3)))
def test_gradient_of_any_list_of_layers(rng: np.random.Generator, names: tuple[str, ...]) -> None:
    """3 inputs and layers of 3, 2 and 1 units, each linear or sigmoid."""
    net = Network((3, 3, 2, 1), names)
    for pattern in ("values only", "mixed", "full"):
        objective = Objective(net, make_data(rng, pattern, n=12, k=1), **WEIGHTS)
        assert check_gradient(objective, rng.normal(size=net.size)) < 1e-7


def test_gradient_of_an_autoencoder(rng: np.random.Generator) -> None:
    """n-k-n-n, its inputs being its targets, with the cost (sum of squares) / 2m."""
    n, k, m = 5, 2, 9
    X = rng.normal(size=(m, n))
    net = Network((n, k, n, n), ["sigmoid", "sigmoid", "linear"])
    # The mean is over m n entries: sigma^2 = 2 / n makes it the sum over 2m.
    objective = Objective(net, MixedData(X, X, Y_sigma=np.full((m, n), np.sqrt(2 / n))))
    theta = rng.normal(size=net.size)

    def cost(theta: Array) -> float:
        return float(((net.forward(theta, X) - X) ** 2).sum() / (2 * m))

    loss, gradient = objective.loss_and_gradient(theta)
    assert loss == pytest.approx(cost(theta), rel=1e-13)
    h = 1e-3
    slopes = np.zeros_like(theta)
    for step, weight in ((1, 2 / 3), (2, -1 / 12)):  # fourth order
        for i, unit in enumerate(h * np.eye(net.size)):
            slopes[i] += weight * (cost(theta + step * unit) - cost(theta - step * unit)) / h
    for (W, b), (dW, db) in zip(net.unflatten(gradient), net.unflatten(slopes), strict=True):
        np.testing.assert_allclose(W, dW, rtol=1e-7, atol=1e-9 * np.abs(dW).max())
        np.testing.assert_allclose(b, db, rtol=1e-7, atol=1e-9 * np.abs(db).max())


def test_derivative_weight_of_nothing_leaves_the_values(rng: np.random.Generator) -> None:
    net, data = Network((3, 4, 2)), make_data(rng, "full")
    theta = net.init(rng)
    with_both = Objective(net, data, derivative_weight=0.0)
    values = Objective(net, data.values_only())
    assert with_both.loss(theta) == pytest.approx(values.loss(theta), rel=1e-13)
    np.testing.assert_allclose(
        with_both.loss_and_gradient(theta)[1], values.loss_and_gradient(theta)[1], rtol=1e-12
    )


# Minibatches


@pytest.mark.parametrize("size", [1, 8, 40])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_equal_minibatches_average_to_the_whole(rng: np.random.Generator, pattern: str, size: int) -> None:
    net = Network((3, 5, 2))
    objective, theta = Objective(net, make_data(rng, pattern), **WEIGHTS), net.init(rng)
    loss, gradient = objective.loss_and_gradient(theta)
    batches = rng.permutation(40).reshape(-1, size)
    parts = [objective.loss_and_gradient(theta, rows) for rows in batches]
    assert np.mean([part for part, _ in parts]) == pytest.approx(loss, rel=1e-12)
    average = np.mean([slopes for _, slopes in parts], axis=0)
    np.testing.assert_allclose(average, gradient, rtol=1e-10, atol=1e-13 * np.abs(gradient).max())


def test_a_remainder_counts_by_its_rows(rng: np.random.Generator) -> None:
    net = Network((3, 5, 2))
    objective, theta = Objective(net, make_data(rng, "mixed"), **WEIGHTS), net.init(rng)
    batches = np.split(rng.permutation(40), [12, 24, 36])
    average = sum(len(b) / 40 * objective.loss_and_gradient(theta, b)[1] for b in batches)
    expected = objective.loss_and_gradient(theta)[1]
    np.testing.assert_allclose(average, expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("rows", [np.array([7]), np.array([3, 3, 5]), np.arange(11)])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_gradient_of_a_minibatch(rng: np.random.Generator, pattern: str, rows: Array) -> None:
    net = Network((3, 3, 2))
    data = make_data(rng, pattern, n=15)
    objective, theta = Objective(net, data, **WEIGHTS), net.init(rng)
    assert check_gradient(objective, theta, rows) < 1e-6
    # Means over all entries of the data, but summed over the minibatch's rows, times n / rows.
    taken = np.zeros(net.size)
    for row in rows:
        taken += objective.loss_and_gradient(theta, np.array([row]))[1] / len(rows)
    gradient = objective.loss_and_gradient(theta, rows)[1]
    np.testing.assert_allclose(gradient, taken, rtol=1e-9, atol=1e-12)


def test_a_minibatch_without_entries_has_the_penalty_alone(rng: np.random.Generator) -> None:
    Y = np.array([[1.0], [np.nan], [np.nan]])
    net, data = Network((2, 3, 1)), MixedData(rng.normal(size=(3, 2)), Y, None)
    theta = net.init(rng)
    loss, gradient = Objective(net, data, l2=0.5).loss_and_gradient(theta, np.array([1, 2]))
    penalty = 0.5 * sum((W**2).sum() for W, _ in net.unflatten(theta))
    assert loss == pytest.approx(penalty, rel=1e-14)
    assert (net.unflatten(gradient)[0][1] == 0).all()
    np.testing.assert_allclose(gradient[:6], theta[:6], rtol=1e-14)
    assert Objective(net, data).loss_and_gradient(theta, np.array([1, 2]))[0] == 0.0


# Cross-entropy


def binary_data(rng: np.random.Generator, k: int = 2) -> MixedData:
    data = make_data(rng, "mixed", k=k)
    Y = np.where(np.isnan(data.Y), np.nan, (data.Y > 0).astype(float))
    Y[0, 0] = 0.25
    return replace(data, Y=Y)


def test_cross_entropy_is_its_definition(rng: np.random.Generator) -> None:
    net, data = Network((3, 5, 2), ["tanh", "sigmoid"]), binary_data(rng)
    swarm = net.init(rng, 4)
    losses = Objective(net, data, loss="cross-entropy", **WEIGHTS).loss(swarm)
    seen = ~np.isnan(data.Y)
    slopes_only = replace(data, Y=np.full_like(data.Y, np.nan), Y_sigma=None)
    for theta, loss in zip(swarm, losses, strict=True):
        y = net.forward(theta, data.X)
        cost = -(data.Y * np.log(y) + (1 - data.Y) * np.log(1 - y))
        expected = np.mean((cost / or_one(data.Y_sigma, data.Y) ** 2)[seen])
        expected += naive_loss(net, slopes_only, theta, **WEIGHTS)
        assert loss == pytest.approx(expected, rel=1e-12)


def test_cross_entropy_of_large_tiles_is_its_definition(rng: np.random.Generator) -> None:
    """Tiles large enough for values on a detour, which must leave alone the z that this loss reads."""
    net, X = Network((2, 3, 2), ["tanh", "sigmoid"]), rng.normal(size=(2000, 2))
    Y = rng.integers(0, 2, size=(2000, 2)).astype(float)
    swarm = net.init(rng, 40)
    objective = Objective(net, MixedData(X, Y), loss="cross-entropy", l2=0.0)
    y = net.forward(swarm, X)
    expected = -np.mean(Y * np.log(y) + (1 - Y) * np.log(1 - y), axis=(1, 2))
    np.testing.assert_allclose(objective.loss(swarm), expected, rtol=1e-12)
    alone = MixedData(np.repeat(X, 20, axis=0), np.repeat(Y, 20, axis=0))
    loss, gradient = Objective(net, alone, loss="cross-entropy", l2=0.0).loss_and_gradient(swarm[0])
    assert loss == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(gradient, objective.loss_and_gradient(swarm[0])[1], rtol=1e-9, atol=1e-12)


def test_gradient_of_cross_entropy(rng: np.random.Generator) -> None:
    net = Network((3, 5, 2), ["tanh", "sigmoid"])
    objective = Objective(net, binary_data(rng), loss="cross-entropy", **WEIGHTS)
    theta = net.init(rng)
    assert check_gradient(objective, theta) < 1e-7
    assert check_gradient(objective, theta, np.arange(0, 40, 3)) < 1e-7


@pytest.mark.parametrize("weight", [50.0, 700.0, 1e5])
def test_cross_entropy_of_saturated_outputs(weight: float) -> None:
    net = Network((1, 1), ["sigmoid"])
    data = MixedData([[1.0], [-1.0]], Y=[0.0, 0.0])
    objective, theta = Objective(net, data, loss="cross-entropy"), np.array([weight, 0.0])
    assert objective.loss(theta) == pytest.approx(weight / 2, rel=1e-14)
    np.testing.assert_allclose(objective.loss_and_gradient(theta)[1], [0.5, 0.5], rtol=1e-14)


# The output layer solved exactly


def output_design(
    net: Network, hidden: Array, data: MixedData, o: int, derivative_weight: float
) -> tuple[Array, Array]:
    """Rows of the least-squares problem for one output's weights (h + 1,), one row an entry."""
    X = data.X
    features, slopes = X, np.broadcast_to(np.eye(net.d), (len(X), net.d, net.d))
    if len(net.sizes) > 2:
        below = Network(net.sizes[:-1], net.activations[:-1])
        features, slopes = below.forward(hidden, X), below.jacobian(hidden, X)
    rows, targets = [], []
    seen = ~np.isnan(data.Y[:, o])
    scale = np.sqrt(1.0 / max(1, data.n_values)) / or_one(data.Y_sigma, data.Y)[seen, o]
    rows.append(scale[:, None] * np.column_stack([features[seen], np.ones(seen.sum())]))
    targets.append(scale * data.Y[seen, o])
    for j in range(net.d):
        seen = ~np.isnan(data.J[:, o, j])
        scale = np.sqrt(derivative_weight / max(1, data.n_derivatives))
        scale = scale / or_one(data.J_sigma, data.J)[seen, o, j]
        rows.append(scale[:, None] * np.column_stack([slopes[seen, :, j], np.zeros(seen.sum())]))
        targets.append(scale * data.J[seen, o, j])
    return np.concatenate(rows), np.concatenate(targets)


def penalty_rows(h: int, l2: float) -> Array:
    return np.sqrt(l2) * np.eye(h, h + 1)


PROJECTED = [(3, 4, 1), (3, 4, 2), (2, 5, 3, 3), (3, 2)]


@pytest.mark.parametrize("sizes", PROJECTED)
@pytest.mark.parametrize("sigmas", ["none", "partials", "all"])
@pytest.mark.parametrize("pattern", ["values only", "single partials", "mixed", "full"])
def test_projected_is_the_least_squares_solution(
    rng: np.random.Generator, pattern: str, sigmas: str, sizes: tuple[int, ...]
) -> None:
    net = Network(sizes)
    data = make_data(rng, pattern, n=60, d=net.d, k=net.k, sigmas=sigmas != "none")
    if sigmas == "partials":  # the outputs' values weigh the same, their partials do not
        data = MixedData(data.X, data.Y, data.J, None, data.J_sigma)
    objective = Objective(net, data, derivative_weight=0.3, l2=0.02)
    hidden = net.init(rng, 3)[:, : objective.hidden_size]
    losses, output = objective.projected(hidden, ridge=1e-14)
    h = sizes[-2]
    assert output.shape == (3, (h + 1) * net.k)
    for below, loss, weights in zip(hidden, losses, output, strict=True):
        for o in range(net.k):
            design, target = output_design(net, below, data, o, 0.3)
            design = np.concatenate([design, penalty_rows(h, 0.02)])
            target = np.concatenate([target, np.zeros(h)])
            expected = np.linalg.lstsq(design, target, rcond=None)[0]
            np.testing.assert_allclose(weights.reshape(h + 1, net.k)[:, o], expected, rtol=1e-8)
        theta = np.concatenate([below, weights])
        assert loss == pytest.approx(objective.loss(theta), rel=1e-10)
        gradient = objective.loss_and_gradient(theta)[1][objective.hidden_size :]
        assert np.abs(gradient).max() < 1e-11


@pytest.mark.parametrize("pattern", ["values only", "mixed", "full"])
def test_ridge_is_relative_to_the_mean_of_the_diagonal(rng: np.random.Generator, pattern: str) -> None:
    net = Network((3, 4, 1))
    data = make_data(rng, pattern, k=1)
    objective = Objective(net, data)
    hidden = net.init(rng, 1)[:, : objective.hidden_size]
    design, target = output_design(net, hidden[0], data, 0, 1.0)
    G = design.T @ design
    expected = np.linalg.solve(G + 0.1 * np.trace(G) / 5 * np.eye(5), design.T @ target)
    loss, output = objective.projected(hidden, ridge=0.1)
    np.testing.assert_allclose(output[0], expected, rtol=1e-10)
    # The ridge steers the solution but is no part of the loss.
    theta = np.concatenate([hidden[0], output[0]])
    assert loss[0] == pytest.approx(objective.loss(theta), rel=1e-12)


def test_projected_is_never_worse_than_other_output_weights(rng: np.random.Generator) -> None:
    net = Network((3, 5, 2))
    objective = Objective(net, make_data(rng, "mixed"), **WEIGHTS)
    theta = net.init(rng, 20)
    best, _ = objective.projected(theta[:, : objective.hidden_size])
    assert (best < objective.loss(theta)).all()


@pytest.mark.parametrize("ridge", [1e-9, 1e-6])
def test_ridge_keeps_weights_of_duplicated_units_finite(rng: np.random.Generator, ridge: float) -> None:
    net = Network((2, 4, 1))
    data = make_data(rng, "mixed", d=2, k=1)
    objective = Objective(net, data)
    hidden = net.init(rng)[: objective.hidden_size]
    layer = hidden.reshape(3, 4)
    layer[:, 1:] = layer[:, :1]
    loss, output = objective.projected(hidden[None], ridge=ridge)
    np.testing.assert_allclose(output[0, 1:4], output[0, 0], rtol=1e-4)
    # Four equal units do what one does.
    single = Objective(Network((2, 1, 1)), data)
    alone, weights = single.projected(layer[:, 0][None], ridge=1e-14)
    assert loss[0] == pytest.approx(alone[0], rel=1e-4)
    assert np.abs(output).max() <= np.abs(weights).max() * 1.01


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_equal_or_dead_units_can_be_solved_without_a_ridge(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = Network((2, 6, 1), name)
    objective = Objective(net, MixedData(rng.normal(size=(20, 2)), rng.normal(size=20)))
    hidden = net.init(rng, 3)[:, : objective.hidden_size]
    hidden[0] = 0.0
    hidden[1] = np.repeat(rng.normal(size=3), 6)
    losses, output = objective.projected(hidden, ridge=0.0)
    theta = np.concatenate([hidden, output], axis=1)
    np.testing.assert_allclose(losses, objective.loss(theta), rtol=1e-10)
    assert np.abs(output).max() < 1e3


def test_projected_without_values_leaves_the_free_constant_at_zero(
    rng: np.random.Generator,
) -> None:
    net = Network((3, 4, 2))
    objective = Objective(net, make_data(rng, "derivatives only"))
    loss, output = objective.projected(net.init(rng, 2)[:, : objective.hidden_size])
    assert (output[:, -2:] == 0.0).all()
    assert (loss > 0).all()


def test_projected_of_dead_units_is_the_mean(rng: np.random.Generator) -> None:
    net = Network((2, 3, 1), "relu")
    data = make_data(rng, "values only", d=2, k=1, sigmas=False)
    hidden = np.concatenate([np.zeros(6), np.full(3, -1.0)])[None]
    loss, output = Objective(net, data).projected(hidden)
    np.testing.assert_allclose(output[0], [0, 0, 0, data.Y.mean()], rtol=1e-8)
    assert loss[0] == pytest.approx(data.Y.var(), rel=1e-8)
    slopes = make_data(rng, "derivatives only", d=2, k=1, sigmas=False)
    loss, output = Objective(net, slopes).projected(hidden)
    assert (output == 0).all()
    assert loss[0] == pytest.approx(np.nanmean(slopes.J**2), rel=1e-12)


def test_projected_refuses_what_is_not_linear(rng: np.random.Generator) -> None:
    net = Network((3, 4, 2), ["tanh", "sigmoid"])
    hidden = np.zeros((1, 16))
    with pytest.raises(SwarmnetError, match="only a linear output layer"):
        Objective(net, make_data(rng, "mixed")).projected(hidden)
    with pytest.raises(SwarmnetError, match="only a linear output layer"):
        Objective(net, binary_data(rng), loss="cross-entropy").projected(hidden)


# Threads, tiles and precision


def every_sum(objective: Objective, swarm: Array, rows: Array) -> Iterator[Any]:
    yield objective.loss(swarm)
    yield from objective.loss_and_gradient(swarm[0])
    yield from objective.loss_and_gradient(swarm[1], rows)
    yield from objective.projected(swarm[:, : objective.hidden_size])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_threads_change_nothing_to_the_last_bit(rng: np.random.Generator, pattern: str, dtype: str) -> None:
    net = Network((3, 20, 2))
    data, swarm = make_data(rng, pattern, n=2500), net.init(rng, 30)
    rows = rng.permutation(2500)[:700]
    alone, *others = (
        list(every_sum(Objective(net, data, dtype=dtype, threads=t, **WEIGHTS), swarm, rows))
        for t in (1, 2, 8)
    )
    for other in others:
        for result, expected in zip(other, alone, strict=True):
            np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_more_rows_than_a_tile_and_more_particles_than_a_block(
    rng: np.random.Generator, pattern: str
) -> None:
    net = Network((3, 40, 2))
    data, swarm = make_data(rng, pattern, n=2000), net.init(rng, 25)
    objective = Objective(net, data, **WEIGHTS)
    expected = [naive_loss(net, data, theta, **WEIGHTS) for theta in swarm]
    np.testing.assert_allclose(objective.loss(swarm), expected, rtol=1e-11)
    loss, gradient = objective.loss_and_gradient(swarm[0])
    assert loss == pytest.approx(expected[0], rel=1e-11)
    steps = 1e-4 * rng.normal(size=(4, net.size))
    slopes = (objective.loss(swarm[0] + steps) - objective.loss(swarm[0] - steps)) / 2
    np.testing.assert_allclose(slopes, steps @ gradient, rtol=1e-4)
    losses, output = objective.projected(swarm[:, : objective.hidden_size])
    best = swarm.copy()
    best[:, objective.hidden_size :] = output
    np.testing.assert_allclose(losses, objective.loss(best), rtol=1e-9)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_particle_does_not_depend_on_its_swarm(rng: np.random.Generator, pattern: str) -> None:
    net = Network((3, 20, 2))
    objective, swarm = Objective(net, make_data(rng, pattern)), net.init(rng, 30)
    losses = objective.loss(swarm)
    alone = [objective.loss(theta) for theta in swarm]
    np.testing.assert_allclose(losses, alone, rtol=1e-14)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_float32_is_the_same_less_exactly(rng: np.random.Generator, pattern: str) -> None:
    net = Network((3, 10, 2))
    data, swarm = make_data(rng, pattern, n=300), net.init(rng, 6)
    single, double = (Objective(net, data, dtype=dtype, **WEIGHTS) for dtype in ("float32", "float64"))
    np.testing.assert_allclose(single.loss(swarm), double.loss(swarm), rtol=1e-5)
    assert (single.loss(swarm) != double.loss(swarm)).any()
    loss, gradient = single.loss_and_gradient(swarm[0])
    expected, slopes = double.loss_and_gradient(swarm[0])
    assert loss == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-4, atol=1e-5 * np.abs(slopes).max())
    hidden = swarm[:, : double.hidden_size]
    np.testing.assert_allclose(
        single.projected(hidden, 1e-6)[0], double.projected(hidden, 1e-6)[0], rtol=1e-4
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["softplus", "tanh", "relu", "sine"])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.filterwarnings("error")
def test_a_bad_particle_has_a_bad_loss_and_harms_no_other(
    rng: np.random.Generator, pattern: str, name: str, bad: float, threads: int
) -> None:
    net = Network((3, 6, 2), name)
    data, good, others = make_data(rng, pattern), net.init(rng, 4), [0, 1, 3]
    for dtype, l2 in (("float64", 0.1), ("float32", 0.0)):
        objective = Objective(net, data, dtype=dtype, l2=l2, threads=threads)
        hidden = objective.hidden_size
        losses, solved = objective.loss(good), objective.projected(good[:, :hidden])[0]
        for where in (slice(None), 0, hidden - 1, -3, -1):
            swarm = good.copy()
            swarm[2, where] = bad
            spoilt = objective.loss(swarm)
            np.testing.assert_array_equal(spoilt[others], losses[others])
            assert not np.isfinite(spoilt[2])
            objective.loss_and_gradient(swarm[2])
            spoilt, output = objective.projected(swarm[:, :hidden])
            np.testing.assert_array_equal(spoilt[others], solved[others])
            assert np.isfinite(output).all()
            if where not in (-3, -1):
                assert spoilt[2] == np.inf


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.filterwarnings("error")
def test_weights_far_out_give_no_warning(rng: np.random.Generator, pattern: str, name: str) -> None:
    net = Network((3, 6, 2), name)
    data, swarm = make_data(rng, pattern), net.init(rng, 5)
    swarm *= np.array([1.0, 1e3, 1e40, 1e150, 1e300])[:, None]
    for dtype in ("float64", "float32"):
        objective = Objective(net, data, dtype=dtype, **WEIGHTS)
        losses = objective.loss(swarm)
        assert np.isfinite(losses[:2]).all()
        assert not (losses[2:] < 1e30).any()
        for theta in swarm:
            objective.loss_and_gradient(theta)
        assert np.isfinite(objective.projected(swarm[:, : objective.hidden_size])[1]).all()


def blas_threads() -> list[int]:
    return [p["num_threads"] for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]


@pytest.mark.parametrize("threads", [1, 2])
def test_blas_is_held_to_one_thread_and_then_given_back(rng: np.random.Generator, threads: int) -> None:
    during: list[int] = []
    tanh = TABLE["tanh"]

    def watched(z: Array, out: Array) -> None:
        during.extend(blas_threads())
        tanh.value(z, out)

    # Units enough that BLAS, if it may, takes threads for a layer: it is not held for smaller ones.
    net = Network((3, 40, 40, 2), Activation("watched", watched, tanh.slope, tanh.curvature))
    objective = Objective(net, make_data(rng, "mixed", n=2000), threads=threads)
    swarm = net.init(rng, 2)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        assert 2 in before
        for result in every_sum(objective, swarm, np.arange(1500)):
            assert np.isfinite(result).all()
            assert blas_threads() == before
        assert set(during) == {1}


def test_blas_is_held_outside_the_sums_too(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads spin for milliseconds after a product, on the cores of the sums' own threads."""
    during: list[int] = []

    def watched(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            during.extend(blas_threads())
            return work(*arguments)

        return call

    for work in (far_out, mirror):  # which follow the sums, where they are solved or filled up
        monkeypatch.setattr(f"swarmnet.objective.objective.{work.__name__}", watched(work))
    objective = Objective(Network((3, 4, 2)), make_data(rng, "mixed"))
    theta = objective.initial(rng)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        for call in (
            lambda: objective.normal_equations(theta),
            lambda: objective.projected(theta[None, : objective.hidden_size]),
        ):
            during.clear()
            call()
            assert set(during) == {1}


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_thread_comes_out_and_blas_is_given_back(
    rng: np.random.Generator, threads: int
) -> None:
    def broken(z: Array, out: Array) -> None:
        raise RuntimeError("out of order")

    tanh = TABLE["tanh"]
    net = Network((3, 4, 2), Activation("broken", broken, tanh.slope, tanh.curvature))
    objective = Objective(net, make_data(rng, "mixed", n=300), threads=threads)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with pytest.raises(RuntimeError, match="out of order"):
            objective.loss(net.init(rng, 2))
        assert blas_threads() == before


# What trainers see, and errors


def test_sizes_and_initial_weights(rng: np.random.Generator) -> None:
    net = Network((3, 4, 5, 2))
    objective = Objective(net, make_data(rng, "mixed"))
    assert (objective.size, objective.hidden_size, objective.n_rows) == (net.size, 16 + 25, 40)
    first, again = (objective.initial(np.random.default_rng(3), 2) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (2, net.size)
    assert objective.initial(rng).shape == (net.size,)


def test_nothing_given_is_changed(rng: np.random.Generator) -> None:
    net = Network((3, 4, 2))
    objective, swarm = Objective(net, make_data(rng, "full")), net.init(rng, 3)
    swarm.setflags(write=False)
    before = swarm.copy()
    first = [np.copy(result) for result in every_sum(objective, swarm, np.arange(5))]
    for result, again in zip(every_sum(objective, swarm, np.arange(5)), first, strict=True):
        np.testing.assert_array_equal(result, again)
    np.testing.assert_array_equal(swarm, before)


@pytest.mark.parametrize("option", ["derivative_weight", "l2"])
@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_weights_out_of_range(rng: np.random.Generator, option: str, value: float) -> None:
    with pytest.raises(SwarmnetError, match=f"{option} must be a number of 0 or more"):
        Objective(Network((3, 4, 2)), make_data(rng, "mixed"), **{option: value})


@pytest.mark.parametrize("sizes", [(2, 4, 2), (3, 4, 1)])
def test_a_network_that_does_not_fit(rng: np.random.Generator, sizes: tuple[int, ...]) -> None:
    with pytest.raises(SwarmnetError, match=r"inputs and .* outputs, the data 3 and 2"):
        Objective(Network(sizes), make_data(rng, "mixed"))


def test_bad_options(rng: np.random.Generator) -> None:
    net, data = Network((3, 4, 2)), make_data(rng, "mixed")
    with pytest.raises(SwarmnetError, match="unknown loss 'square': did you mean 'squared'"):
        Objective(net, data, loss="square")
    with pytest.raises(SwarmnetError, match="dtype must be float64 or float32, not int32"):
        Objective(net, data, dtype="int32")
    with pytest.raises(SwarmnetError, match="threads must be a whole number of 1 or more, not 0"):
        Objective(net, data, threads=0)
    with pytest.raises(SwarmnetError, match="cross-entropy needs sigmoid outputs"):
        Objective(net, data, loss="cross-entropy")
    for target in (-0.1, 1.1):
        with pytest.raises(SwarmnetError, match="cross-entropy needs targets from 0 to 1"):
            Objective(Network((1, 1), ["sigmoid"]), MixedData([[0.0]], Y=[target]), loss="cross-entropy")


@pytest.mark.parametrize("shape", [(25,), (27,), (1, 25), (2, 27), (2, 1, 26)])
def test_weights_of_the_wrong_shape(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    objective = Objective(Network((3, 4, 2)), make_data(rng, "mixed"))
    with pytest.raises(SwarmnetError, match="26"):
        objective.loss(np.zeros(shape))
    with pytest.raises(SwarmnetError, match="26"):
        objective.loss_and_gradient(np.zeros(shape))
    with pytest.raises(SwarmnetError, match="26"):
        objective.loss_and_gradient(np.zeros((1, 26)))


@pytest.mark.parametrize("shape", [(16,), (2, 1), (2, 15), (2, 26)])
def test_hidden_weights_of_the_wrong_shape(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    objective = Objective(Network((3, 4, 2)), make_data(rng, "mixed"))
    with pytest.raises(SwarmnetError, match=r"\(particles, 16\)"):
        objective.projected(np.zeros(shape))


def test_a_minibatch_of_no_rows(rng: np.random.Generator) -> None:
    objective = Objective(Network((3, 4, 2)), make_data(rng, "mixed"))
    with pytest.raises(SwarmnetError, match="rows"):
        objective.loss_and_gradient(np.zeros(26), np.array([], dtype=int))


def test_a_mask_of_rows_is_a_minibatch(rng: np.random.Generator) -> None:
    net, data = Network((3, 4, 2)), make_data(rng, "mixed")
    objective, theta = Objective(net, data), net.init(rng)
    mask = rng.random(data.n) < 0.3
    by_mask, by_rows = (objective.loss_and_gradient(theta, rows) for rows in (mask, np.flatnonzero(mask)))
    assert by_mask[0] == by_rows[0]
    np.testing.assert_array_equal(by_mask[1], by_rows[1])
