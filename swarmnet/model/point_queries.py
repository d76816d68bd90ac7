"""Predictions of a network at points: in NumPy for few points, by compiled kernels and threads for many."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.quantities import Quantity
from swarmnet.network.network import Network
from swarmnet.objective.value_losses import SQUARED
from swarmnet.threads import ThreadTeam, one_blas_thread

Array = NDArray[Any]

_MANY = 1 << 23  # multiplications from which compiled kernels are worth importing Numba
_ROWS = 1 << 13  # rows computed at a time


def outputs(net: Network, theta: Array, X: Array) -> Array:
    """Return Y (n, k) at X (n, d)."""
    if len(X) * net.size < _MANY:
        return net.forward(theta, X)
    return _answered(net, theta, X, "outputs", (net.k,))


def jacobian(net: Network, theta: Array, X: Array) -> Array:
    """Return J (n, k, d) at X (n, d)."""
    if len(X) * net.size * (1 + min(net.k, net.d)) < _MANY:
        return net.jacobian(theta, X)
    return _answered(net, theta, X, "jacobians", (net.k, net.d))


def hessian(net: Network, theta: Array, X: Array) -> Array:
    """Return H (n, k, d, d) at X (n, d)."""
    if len(X) * net.size * (1 + net.k + net.d) < _MANY:
        return net.hessian(theta, X)
    return _answered(net, theta, X, "hessians", (net.k, net.d, net.d))


def quantity(net: Network, theta: Array, X: Array, formula: Quantity) -> Array:
    """Return a quantity (n,) at X (n, d)."""
    return with_slopes(net, theta, X, formula)[0]


def with_slopes(net: Network, theta: Array, X: Array, formula: Quantity) -> tuple[Array, Array]:
    """Return a quantity (n,) at X (n, d), and its derivatives (arguments, n) by its arguments."""
    answers = [query(net, theta, X) for query in (outputs, jacobian, hessian)[: formula.order + 1]]
    arguments = [np.moveaxis(answers[len(along)], 0, -1)[(o, *along)] for o, along in formula.arguments]
    return formula.evaluate(X, np.array(arguments))


def _answered(net: Network, theta: Array, X: Array, what: str, shape: tuple[int, ...]) -> Array:
    """Return (n, *shape): what the method `what` of the compiled kernels computes."""
    from swarmnet.objective.kernels.bound import BoundKernels, Workspace  # noqa: PLC0415  # imports Numba

    ask: Callable[..., None] = getattr(BoundKernels(net, np.float64, SQUARED), what)
    points, out = np.ascontiguousarray(X, dtype=np.float64), np.empty((len(X), *shape))
    starts, team = range(0, len(points), _ROWS), ThreadTeam()
    memories = [Workspace() for _ in range(team.size)]

    def work(worker: int, task: int) -> None:
        start = starts[task]
        ask(memories[worker], theta, points, start, min(start + _ROWS, len(points)), out)

    with one_blas_thread():
        team.run(len(starts), work)
    return out
