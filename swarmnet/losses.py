"""What a value entry costs: squared error, or cross-entropy for a sigmoid output on 0/1 targets.

Both give the sum over a tile of weight times the entry's cost, and half its gradient with respect to the
output layer's z, which is what the backward pass starts from: a square's gradient without its factor of 2.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swarmnet.activations import LINEAR
from swarmnet.errors import unknown
from swarmnet.propagation import Propagation, flat

Array = NDArray[Any]


class ValueLoss(Protocol):
    """The cost of value entries; `passes` holds a forward pass, target and weight are (k, rows).

    Results are in buffers.
    """

    def cost(self, passes: Propagation, target: Array, weight: Array) -> Array:
        """The weighted sum over the tile, (s,), for a swarm."""

    def cost_and_cotangent(self, passes: Propagation, target: Array, weight: Array) -> tuple[Array, Array]:
        """That, (), and half its gradient with respect to z_L, (k, rows), for one theta."""


def weighted_squares(passes: Propagation, residual: Array, weight: Array) -> Array:
    """Each particle's sum of weight times residual squared, (s,), in a buffer; overwrites residual."""
    passes.do(np.multiply, residual, residual, residual)
    return _each_sum(passes, residual, weight)


def product(passes: Propagation, one: Array, other: Array, name: object) -> Array:
    """The sum of one times other, (), in a buffer of that name."""
    return passes.do(np.dot, flat(one), flat(other), passes.buffer(("product", name), ()))  # type: ignore[no-any-return]


def _each_sum(passes: Propagation, terms: Array, weight: Array) -> Array:
    """Sum of weight times terms over all but the particle axis, (s,), in a buffer."""
    each = flat(terms).reshape(len(terms), -1)
    return passes.do(np.matmul, each, flat(weight), passes.buffer("sum", (len(terms),)))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class SquaredError:
    """weight (y - target)^2."""

    def cost(self, passes: Propagation, target: Array, weight: Array) -> Array:
        y = passes.A[-1]
        residual = passes.do(np.subtract, y, target, passes.buffer("residual", y.shape))
        return weighted_squares(passes, residual, weight)

    def cost_and_cotangent(self, passes: Propagation, target: Array, weight: Array) -> tuple[Array, Array]:
        y = passes.A[-1]
        residual = passes.do(np.subtract, y, target, passes.buffer("residual", y.shape))
        z_bar = passes.do(np.multiply, residual, weight, passes.buffer("z_bar", y.shape))
        cost = product(passes, z_bar, residual, "values")
        if passes.layers[-1].activation is not LINEAR:
            passes.do(np.multiply, z_bar, passes.S[-1], z_bar)
        return cost, z_bar


@dataclass(frozen=True)
class CrossEntropy:
    """-weight (t log y + (1 - t) log(1 - y)) with y = sigmoid(z), as weight (softplus(z) - t z)."""

    def cost(self, passes: Propagation, target: Array, weight: Array) -> Array:
        return _each_sum(passes, self._costs(passes, target), weight)

    def cost_and_cotangent(self, passes: Propagation, target: Array, weight: Array) -> tuple[Array, Array]:
        y = passes.A[-1]
        cost = product(passes, self._costs(passes, target), weight, "values")
        z_bar = passes.do(np.subtract, y, target, passes.buffer("z_bar", y.shape))
        passes.do(np.multiply, z_bar, weight, z_bar)
        return cost, passes.do(np.multiply, z_bar, 0.5, z_bar)

    def _costs(self, passes: Propagation, target: Array) -> Array:
        """Each entry's cost, in a buffer."""
        z = passes.Z[-1]
        return passes.do(_cross_entropy, z, target, passes.buffer("residual", z.shape))  # type: ignore[no-any-return]


def _cross_entropy(z: Array, target: Array, out: Array) -> None:
    np.copyto(out, np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))) - target * z)


LOSSES: dict[str, ValueLoss] = {"squared": SquaredError(), "cross-entropy": CrossEntropy()}


def value_loss(name: str) -> ValueLoss:
    """Look a loss up by name.

    Raises:
        SwarmnetError: no such name.
    """
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    return LOSSES[name]
