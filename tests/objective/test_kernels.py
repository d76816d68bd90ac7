"""Compiled kernels against their definition in NumPy: `Network`, `Passes` and the activations' records."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from swarmnet import Activation, MixedData, Network, Objective
from swarmnet.model.error_bars import GradientWork, jacobian_deviations, pack, value_deviations
from swarmnet.network.activations import TABLE
from swarmnet.network.network import unit
from swarmnet.network.propagation import Passes
from tests import kernel_sums
from tests.activation_formulas import OWN

Array = np.ndarray[Any, Any]
NAN = np.nan


ALL = {**TABLE, "own": OWN}
CURVED = {name: record for name, record in ALL.items() if name != "linear"}
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


# Sums over rows

KINDS = ("values", "one partial a row", "several", "full", "mixed")
SIZES = ((4, 2), (1, 5, 1), (4, 6, 3), (2, 4, 3, 3, 1))
BALANCE, L2 = 0.3, 0.02


def data_of(
    rng: np.random.Generator, kind: str, d: int, k: int, n: int = 24, share: bool = False
) -> MixedData:
    """Half of the entries have a sigma, and some rows the weight 0; with `share` values are from 0 to 1."""
    X, J = rng.normal(size=(n, d)), rng.normal(size=(n, k, d))
    Y = rng.uniform(size=(n, k)) if share else rng.normal(size=(n, k))
    along = np.arange(n)[:, None, None] % d == np.arange(d)
    if kind == "values":
        J[:] = NAN
    elif kind == "one partial a row":
        J[~(along & (np.arange(n)[:, None, None] % k == np.arange(k)[:, None]))] = NAN
        Y[::2] = NAN
    elif kind == "several":
        J[np.broadcast_to(along, J.shape)] = NAN
    elif kind == "mixed":
        J[rng.random(J.shape) < 0.5], Y[rng.random(Y.shape) < 0.5] = NAN, NAN
    Y[0] = 0.5
    sigma = [np.where(rng.random(a.shape) < 0.5, rng.uniform(0.5, 2.0, a.shape), NAN) for a in (Y, J)]
    return MixedData(X, Y, J, *sigma, weights=np.arange(n) % 4)


class Definition:
    """Every entry of MixedData under a network, written out.

    Attributes:
        row: (entries,) which each belongs to.
        y: what the network gives there, and g (entries, p) its gradient.
        target: what was observed.
        r: residuals, and J (entries, p) their gradients.
        group: as `groups.Groups` counts them.
        weight: of (y - target)^2 in the loss.
    """

    def __init__(self, net: Network, data: MixedData, theta: Array) -> None:
        self.net, self.theta = net, theta
        passes = Passes(net.layers, theta, data.X.T, order=2)
        Y, J = net.forward(theta, data.X), net.jacobian(theta, data.X)
        answers = [(Y[:, o], passes.weight_gradients(o)) for o in range(net.k)]
        sigmas = np.full(J.shape, NAN) if data.J_sigma is None else data.J_sigma
        targets = [(data.Y[:, o], data.Y_sigma[:, o]) for o in range(net.k)]
        for o in range(net.k):
            for i in range(net.d):
                answers.append((J[:, o, i], passes.weight_gradients(o, unit(net.d, i))))
                targets.append((data.J[:, o, i], sigmas[:, o, i]))
        columns = []
        for column, ((y, g), (target, sigma)) in enumerate(zip(answers, targets, strict=True)):
            seen = np.flatnonzero(~np.isnan(target) & (data.row_weights > 0))
            columns.append((seen, y[seen], g.T[seen], target[seen], sigma[seen], np.full(len(seen), column)))
        self.row, self.y, self.g, self.target, sigma, column = map(np.concatenate, zip(*columns, strict=True))
        self.is_partial = column >= net.k
        self.groups = net.k * (1 + net.d) + 2
        self.group = np.where(np.isnan(sigma), column, self.groups - 2 + self.is_partial)
        often = data.row_weights[self.row]
        precision = often / np.where(np.isnan(sigma), 1.0, sigma) ** 2
        self.r, self.J = np.sqrt(precision) * (self.y - self.target), np.sqrt(precision)[:, None] * self.g
        counts = [often[self.is_partial == kind].sum() or 1.0 for kind in (False, True)]
        self.weight = precision * np.where(self.is_partial, BALANCE / counts[1], 1.0 / counts[0])
        self.penalised = Objective(net, data).penalised

    def sums(self, entries: Array) -> Array:
        """Group by group."""
        return np.bincount(self.group, entries, self.groups)

    def loss(self, cross_entropy: bool = False) -> float:
        costs = (self.y - self.target) ** 2
        if cross_entropy:
            values = ~self.is_partial
            y, t = self.y[values], self.target[values]
            costs[values] = -t * np.log(y) - (1.0 - t) * np.log(1.0 - y)
        return float(self.weight @ costs + L2 * self.penalised @ self.theta**2)

    def gradient(self, rows: Array, cross_entropy: bool = False) -> Array:
        """Of the loss, if there were those rows only, each as often as it is there."""
        slopes = 2.0 * (self.y - self.target)
        if cross_entropy:
            values = ~self.is_partial
            slopes[values] /= 2.0 * self.y[values] * (1.0 - self.y[values])
        times = np.bincount(rows, minlength=self.row.max() + 1)[self.row]
        return (times * self.weight * slopes) @ self.g + 2.0 * L2 * self.penalised * self.theta

    def projected(self) -> float:
        """The loss with the best output layer, in whose weights all is linear."""
        first = self.net.layers[-1].start
        A, penalty = self.g[:, first:], L2 * np.diag(self.penalised[first:])
        target = self.target - self.y + A @ self.theta[first:]
        w = np.linalg.lstsq((A.T * self.weight) @ A + penalty, (A.T * self.weight) @ target)[0]
        hidden = self.penalised[:first] @ self.theta[:first] ** 2
        return float(self.weight @ (A @ w - target) ** 2 + w @ penalty @ w + L2 * hidden)


def cases(name: str, output: str = "linear", **options: Any) -> Iterator[tuple[Network, MixedData, Array]]:
    """Networks, data and a swarm, of every kind and size."""
    for sizes in SIZES:
        for kind in KINDS:
            rng = np.random.default_rng([len(kind), *sizes])
            hidden = [ALL[name]] * (len(sizes) - 2)
            net = Network(sizes, [*hidden, output])
            yield net, data_of(rng, kind, net.d, net.k, **options), net.init(rng, 3)


def close(found: Any, right: Any, dtype: str) -> None:
    accuracy = 1e-9 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(
        found, right, rtol=accuracy, atol=accuracy * max(np.abs(right).max(initial=0.0), 1e-3)
    )


@each_dtype
@pytest.mark.parametrize("name", ALL)
def test_losses_and_gradients_are_their_definition(name: str, dtype: str) -> None:
    for net, data, swarm in cases(name):
        objective = Objective(net, data, dtype=dtype, derivative_weight=BALANCE, l2=L2)
        definitions = [Definition(net, data, theta) for theta in swarm]
        close(objective.loss(swarm), [each.loss() for each in definitions], dtype)
        every, some = np.arange(data.n), np.array([3, 1, 7, 7, 2, 9])
        loss, gradient = objective.loss_and_gradient(swarm[0])
        close(loss, definitions[0].loss(), dtype)
        close(gradient, definitions[0].gradient(every), dtype)
        scaled = definitions[1].gradient(np.repeat(some, 4))  # 24 rows in 6
        close(objective.loss_and_gradient(swarm[1], some)[1], scaled, dtype)
        losses, _ = objective.projected(swarm[:, : objective.hidden_size], ridge=0.0)
        close(losses, [each.projected() for each in definitions], dtype)


@each_dtype
@pytest.mark.parametrize("name", ALL)
def test_sums_over_residuals_are_their_definition(name: str, dtype: str) -> None:
    for net, data, (theta, *_) in cases(name):
        objective = Objective(net, data, dtype=dtype, derivative_weight=BALANCE)
        right = Definition(net, data, theta)
        precision = np.linspace(0.5, 2.0, right.groups)
        beta = precision[right.group]
        close(objective.group_squares(theta), right.sums(right.r**2), dtype)
        squares, Jr, JJ = objective.gauss_newton(theta, precision)
        close(squares, right.sums(right.r**2), dtype)
        close(Jr, (beta * right.r) @ right.J, dtype)
        close(JJ, (right.J.T * beta) @ right.J, dtype)
        A = (right.J.T * beta) @ right.J + np.eye(net.size)
        used = beta * np.einsum("ep,ep->e", right.J @ np.linalg.inv(A), right.J)
        close(objective.leverages(theta, precision, np.linalg.cholesky(A)), right.sums(used), dtype)
        r, J, group = objective.residual_jacobian(theta)
        for ours, theirs in ((r, right.r), (r**2 @ J, right.r**2 @ right.J), (group, right.group)):
            close(np.sort(ours), np.sort(theirs), dtype)


@each_dtype
@pytest.mark.parametrize("name", ["tanh", "relu", "own"])
def test_cross_entropies_are_their_definition(name: str, dtype: str) -> None:
    for net, data, swarm in cases(name, "sigmoid", share=True):
        objective = Objective(net, data, loss="cross-entropy", dtype=dtype, derivative_weight=BALANCE, l2=L2)
        definitions = [Definition(net, data, theta) for theta in swarm]
        close(objective.loss(swarm), [each.loss(True) for each in definitions], dtype)
        loss, gradient = objective.loss_and_gradient(swarm[0])
        close(loss, definitions[0].loss(True), dtype)
        close(gradient, definitions[0].gradient(np.arange(data.n), True), dtype)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("sizes", SIZES)
def test_error_bars_are_those_of_plain_numpy(
    name: str, sizes: tuple[int, ...], rng: np.random.Generator
) -> None:
    net = Network(sizes, [ALL[name]] * (len(sizes) - 1))
    of = (
        net,
        net.init(rng),
        pack(np.tril(rng.normal(size=(net.size, net.size)))),
        rng.normal(size=(60, net.d)),
    )
    for deviations in (value_deviations, jacobian_deviations):
        compiled, plain = (deviations(*of, GradientWork(compiled_from=many)) for many in (0, 10**9))
        close(compiled, plain, "float64")


@each_dtype
@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_no_bit_of_long_sums(kind: str, dtype: str, rng: np.random.Generator) -> None:
    net = Network((3, 24, 16, 2))
    data, swarm = data_of(rng, kind, 3, 2, n=2500), net.init(rng, 10)

    def found(threads: int) -> Iterator[Array]:
        return kernel_sums.sums(Objective(net, data, dtype=dtype, threads=threads), swarm)

    for one, two, eight in zip(*map(found, (1, 2, 8)), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, eight)


# What goes wrong


@each_dtype
@pytest.mark.parametrize("name", CURVED)
def test_no_weight_makes_a_finite_loss_that_is_wrong(name: str, dtype: str, rng: np.random.Generator) -> None:
    """NaN, infinite, or so large that squares overflow: the loss is that of NumPy, infinite or NaN."""
    net = Network((3, 4, 3, 2), ALL[name])
    extremes = [NAN, np.inf, -np.inf, 1e300, -1e300, 1e150, -1e30, 1e12]
    if (name, dtype) == ("sine", "float32"):
        extremes.pop()  # of a phase of 1e12, too few digits are left
    for kind in KINDS:
        data = data_of(rng, kind, 3, 2)
        swarm = np.tile(net.init(rng), (3 * len(extremes), 1))
        for place, at in enumerate((2, 20, net.size - 1)):
            swarm[place * len(extremes) : (place + 1) * len(extremes), at] = extremes
        objective = Objective(net, data, dtype=dtype, derivative_weight=BALANCE, l2=L2)
        losses = objective.loss(swarm)
        one_by_one = [objective.loss_and_gradient(theta)[0] for theta in swarm]
        with np.errstate(all="ignore"):
            right = np.array([Definition(net, data, theta).loss() for theta in swarm])
        for found in (losses, np.array(one_by_one)):
            finite = np.isfinite(found)
            assert not finite[np.isnan(swarm).any(1)].any()
            np.testing.assert_allclose(found[finite], right[finite], rtol=1e-3)


PARTS = ("value", "slope", "curvature")


def listed(found: Any) -> list[Any]:
    return list(found) if isinstance(found, tuple) else [found]


@pytest.mark.parametrize("error", [RuntimeError("out of order"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", ["values", "several", "full"])
def test_what_an_activation_of_ones_own_raises_comes_out(
    kind: str, part: str, error: BaseException, rng: np.random.Generator
) -> None:
    broken = False

    def watched(name: str) -> Any:
        def call(*arguments: Array) -> None:
            if broken and name == part:
                raise error
            getattr(OWN, name)(*arguments)

        return call

    net = Network((2, 4, 3, 1), Activation("own", *map(watched, PARTS)))
    objective, swarm = Objective(net, data_of(rng, kind, 2, 1), l2=L2), net.init(rng, 3)
    calls = {
        "loss": lambda: objective.loss(swarm),
        "projected": lambda: objective.projected(swarm[:, : objective.hidden_size]),
        "group_squares": lambda: objective.group_squares(swarm[0]),
        "gradient": lambda: objective.loss_and_gradient(swarm[0]),
        "normal equations": lambda: objective.normal_equations(swarm[0]),
        "residuals": lambda: objective.residual_jacobian(swarm[0]),
    }
    first = 0 if part == "value" or (part == "slope" and kind != "values") else 3
    for name in list(calls)[first:]:
        before = calls[name]()
        broken = True
        with pytest.raises(type(error)) as raised:
            calls[name]()
        assert raised.value is error
        broken = False
        after = calls[name]()
        for found, right in zip(*map(listed, (after, before)), strict=True):
            np.testing.assert_array_equal(found, right)
