"""What a value entry costs: squared error, or cross-entropy for a sigmoid output on 0/1 targets.

Both give the sum over a tile of weight times the entry's cost, and its gradient with respect to the output
layer's z, which is what the backward pass starts from.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swarmnet.activations import LINEAR
from swarmnet.errors import unknown
from swarmnet.propagation import Propagation

Array = NDArray[Any]


class ValueLoss(Protocol):
    """The cost of value entries; `passes` holds a forward pass, target and weight are (k, rows)."""

    def cost(self, passes: Propagation, target: Array, weight: Array) -> Array:
        """The weighted sum over the tile: a scalar, or (s,) for a swarm."""

    def cost_and_cotangent(self, passes: Propagation, target: Array, weight: Array) -> tuple[float, Array]:
        """That and its gradient with respect to z_L, (k, rows), for one theta."""


def weighted_squares(residual: Array, weight: Array) -> Array:
    """Sum of weight times residual squared over all but a leading particle axis; overwrites residual."""
    residual *= residual
    lead = residual.shape[: residual.ndim - weight.ndim]
    total: Array = residual.reshape(*lead, -1) @ weight.ravel()
    return total


@dataclass(frozen=True)
class SquaredError:
    """weight (y - target)^2."""

    def cost(self, passes: Propagation, target: Array, weight: Array) -> Array:
        y = passes.A[-1]
        residual = np.subtract(y, target, out=passes.buffer("residual", y.shape))
        return weighted_squares(residual, weight)

    def cost_and_cotangent(self, passes: Propagation, target: Array, weight: Array) -> tuple[float, Array]:
        y = passes.A[-1]
        residual = np.subtract(y, target, out=passes.buffer("residual", y.shape))
        z_bar = np.multiply(residual, weight, out=passes.buffer("z_bar", y.shape))
        cost = float(np.vdot(z_bar, residual))
        z_bar *= 2.0
        if passes.layers[-1].activation is not LINEAR:
            z_bar *= passes.S[-1]
        return cost, z_bar


@dataclass(frozen=True)
class CrossEntropy:
    """-weight (t log y + (1 - t) log(1 - y)) with y = sigmoid(z), as weight (softplus(z) - t z)."""

    def cost(self, passes: Propagation, target: Array, weight: Array) -> Array:
        z = passes.Z[-1]
        cost = np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))) - target * z
        lead = cost.shape[: cost.ndim - 2]
        total: Array = cost.reshape(*lead, -1) @ weight.ravel()
        return total

    def cost_and_cotangent(self, passes: Propagation, target: Array, weight: Array) -> tuple[float, Array]:
        y = passes.A[-1]
        z_bar = np.subtract(y, target, out=passes.buffer("z_bar", y.shape))
        z_bar *= weight
        return float(self.cost(passes, target, weight)), z_bar


LOSSES: dict[str, ValueLoss] = {"squared": SquaredError(), "cross-entropy": CrossEntropy()}


def value_loss(name: str) -> ValueLoss:
    """Look a loss up by name.

    Raises:
        SwarmnetError: no such name.
    """
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    return LOSSES[name]
