"""Protocols of losses and executors, as trainers use them. `swarmnet.Objective` is all of these losses."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Loss(Protocol):
    """A loss of weights: theta (p,), or a swarm (s, p)."""

    number: int  # among the candidate networks

    @property
    def size(self) -> int:
        """The number of weights p."""

    def initial(self, rng: np.random.Generator, particles: int | None = None) -> Array:
        """Return random weights: (p,), or (particles, p)."""

    def loss(self, swarm: Array) -> Array:
        """Return the losses (s,) of a swarm, () of theta."""


class DifferentiableLoss(Loss, Protocol):
    """A loss with a gradient."""

    n_rows: int

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Any]:
        """Yield all rows once, in a random order, in minibatches."""

    def loss_and_gradient(self, theta: Array, rows: Any = None) -> tuple[float, Array]:
        """Return the loss and its gradient (p,), over all rows or a minibatch."""


class SeparableLoss(Loss, Protocol):
    """A loss for which the best output layer can be computed."""

    @property
    def hidden_size(self) -> int:
        """How many of theta's first weights belong to hidden layers."""

    @property
    def can_project(self) -> bool:
        """Whether the output layer is linear, the loss squared, and so are all its residuals."""

    @property
    def can_project_start(self) -> bool:
        """Whether `projected` is available: enough residuals are linear to begin with."""

    def projected(self, hidden_swarm: Array, ridge: float = ...) -> tuple[Array, Array]:
        """Return losses (s,) and output weights (s, p - hidden_size), for hidden layers (s, hidden_size)."""


class LeastSquares(Loss, Protocol):
    """A sum of squared residuals in groups, each with its own noise."""

    l2: float
    groups: Any
    estimates_l2: bool
    estimates_balance: bool

    @property
    def can_linearise(self) -> bool:
        """Whether the loss is squared, so that it has residuals."""

    @property
    def unit_precision(self) -> Array:
        """(groups,) factors of the groups' squares in the loss."""

    @property
    def layers(self) -> int:
        """The number of layers."""

    @property
    def weight_groups(self) -> Array:
        """(p,) for each weight, the number of its prior: two for each layer, then one for each degree."""

    @property
    def penalised(self) -> Array:
        """(p,) 1 for weights in the l2 term, 0 for others."""

    @property
    def threads(self) -> int:
        """The number of threads that share the work."""

    def single_threaded(self) -> "LeastSquares":
        """Return the same on one thread, for use at the same time as others."""

    def gauss_newton(
        self, theta: Array, precision: Array, rows: NDArray[np.intp] | None = None
    ) -> tuple[Array, Array, Array]:
        """Return each group's squares (groups,), and J'r (p,) and J'J (p, p) with the groups' precision."""

    def leverages(self, theta: Array, precision: Array, factor: Array) -> Array:
        """Return effective numbers of parameters (groups,), for the Cholesky factor (p, p) of A."""

    def residual_jacobian(self, theta: Array, precision: Array | None = None) -> tuple[Array, Array, Array]:
        """Return residuals (entries,), gradients (entries, p), groups (entries,)."""

    def bends(self, theta: Array, step: Array, precision: Array) -> Array:
        """Return J'r'' (p,), with r'' the residuals' second derivatives along a step (p,)."""

    def group_squares(self, theta: Array) -> Array:
        """Return the sums of squared residuals (groups,)."""


class Trainable(DifferentiableLoss, SeparableLoss, LeastSquares, Protocol):
    """All of these protocols, with the objectives of other candidate networks."""

    @property
    def candidates(self) -> Sequence["Trainable"]:
        """The objectives of the candidate networks, including this one."""


class Executor(Protocol):
    """Does Levenberg-Marquardt runs."""

    @property
    def ahead(self) -> int:
        """Iterations of the last runs that are already computed but not yet used."""

    def advance(self, runs: Sequence[Any], seconds_left: float | None = None) -> None:
        """Do one iteration of each run; any further iterations should fit into the seconds left."""
