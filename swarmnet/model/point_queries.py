"""Predictions of a network at points: in NumPy for few points, by compiled kernels and threads for many."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    out = np.empty((len(X), net.k))
    _answered(net, theta, X, out, "outputs")
    return out


def jacobian(net: Network, theta: Array, X: Array) -> Array:
    """Return J (n, k, d) at X (n, d)."""
    if len(X) * net.size * (1 + min(net.k, net.d)) < _MANY:
        return net.jacobian(theta, X)
    out = np.empty((len(X), net.k, net.d))
    _answered(net, theta, X, out, "jacobians")
    return out


def hessian(net: Network, theta: Array, X: Array) -> Array:
    """Return H (n, k, d, d) at X (n, d)."""
    if len(X) * net.size * (1 + net.k + net.d) < _MANY:
        return net.hessian(theta, X)
    out = np.empty((len(X), net.k, net.d, net.d))
    _answered(net, theta, X, out, "hessians")
    return out


def _answered(net: Network, theta: Array, X: Array, out: Array, what: str) -> None:
    from swarmnet.objective.kernels.bound import BoundKernels, Workspace  # noqa: PLC0415  # imports Numba

    ask: Callable[..., None] = getattr(BoundKernels(net, np.float64, SQUARED), what)
    points = np.ascontiguousarray(X, dtype=np.float64)
    starts, team = range(0, len(points), _ROWS), ThreadTeam()
    memories = [Workspace() for _ in range(team.size)]

    def work(worker: int, task: int) -> None:
        start = starts[task]
        ask(memories[worker], theta, points, start, min(start + _ROWS, len(points)), out)

    with one_blas_thread():
        team.run(len(starts), work)
