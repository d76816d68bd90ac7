"""What trainers ask of a loss, and who runs their climbs. `swarmnet.Objective` is all of these losses."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Loss(Protocol):
    """A loss of weights: theta (p,), or a swarm (s, p)."""

    number: int  # among the networks to choose from

    @property
    def size(self) -> int:
        """p."""

    def initial(self, rng: np.random.Generator, particles: int | None = None) -> Array:
        """Random weights: (p,), or (particles, p)."""

    def loss(self, swarm: Array) -> Array:
        """(s,) of a swarm, () of theta."""


class DifferentiableLoss(Loss, Protocol):
    """One that has a gradient."""

    n_rows: int

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Any]:
        """All rows once, in a random order, in minibatches."""

    def loss_and_gradient(self, theta: Array, rows: Any = None) -> tuple[float, Array]:
        """The loss and its gradient (p,), over all rows or a minibatch."""


class SeparableLoss(Loss, Protocol):
    """One that the best output layer can be solved for."""

    @property
    def hidden_size(self) -> int:
        """How many of theta's first weights belong to hidden layers."""

    @property
    def can_project(self) -> bool:
        """Whether the output layer is linear and the loss squared."""

    def projected(self, hidden_swarm: Array, ridge: float = ...) -> tuple[Array, Array]:
        """(s,) losses and (s, p - hidden_size) output weights, for hidden layers (s, hidden_size)."""


class LeastSquares(Loss, Protocol):
    """A sum of squared residuals in groups, each with a noise of its own."""

    l2: float
    groups: Any
    estimates_l2: bool
    estimates_balance: bool

    @property
    def can_linearise(self) -> bool:
        """Whether it is one: the loss is squared."""

    @property
    def unit_precision(self) -> Array:
        """(groups,) factors of the groups' squares in the loss."""

    @property
    def weight_groups(self) -> Array:
        """(p,) which weights share a prior."""

    @property
    def penalised(self) -> Array:
        """(p,) 1 for weights that l2 counts, 0 for others."""

    @property
    def threads(self) -> int:
        """How many share the work."""

    def twin(self) -> "LeastSquares":
        """The same on one thread, to be asked at the same time as others."""

    def gauss_newton(
        self, theta: Array, precision: Array, rows: NDArray[np.intp] | None = None
    ) -> tuple[Array, Array, Array]:
        """Each group's squares (groups,), and J'r (p,) and J'J (p, p) with the groups' precision."""

    def leverages(self, theta: Array, precision: Array, factor: Array) -> Array:
        """(groups,) effective numbers of parameters, with the Cholesky factor (p, p) of A."""

    def residual_jacobian(self, theta: Array, precision: Array | None = None) -> tuple[Array, Array, Array]:
        """Residuals (entries,), gradients (entries, p), groups (entries,)."""

    def bends(self, theta: Array, step: Array, precision: Array) -> Array:
        """(p,) J'r'' with r'' the residuals' second derivatives along a step (p,)."""

    def group_squares(self, theta: Array) -> Array:
        """(groups,) sums of squared residuals."""


class Trainable(DifferentiableLoss, SeparableLoss, LeastSquares, Protocol):
    """All of these, beside the same for other networks."""

    @property
    def layers(self) -> int:
        """How many the network has."""

    @property
    def candidates(self) -> Sequence["Trainable"]:
        """Those of the networks to choose from, this one among them."""


class Executor(Protocol):
    """Who runs climbs."""

    @property
    def ahead(self) -> int:
        """How many iterations of all the climbs last advanced are done already, beyond where they stand."""

    def advance(self, climbs: Sequence[Any], seconds_left: float | None = None) -> None:
        """One iteration of each; what is done beyond that should take no longer than there is time left."""
