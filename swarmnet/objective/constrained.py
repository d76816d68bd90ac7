"""An objective with constraints: hinge residuals of quantities that must not be negative.

The residual of a constraint g >= 0 at a point is sqrt(weight) min(g - margin, 0). It and its derivatives are
0 where g is at least the margin.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.quantities import Quantity
from swarmnet.objective.noise_groups import EntryWeights, Groups
from swarmnet.objective.objective import Objective
from swarmnet.objective.quantity_entries import QuantityBlock
from swarmnet.objective.row_source import Terms
from swarmnet.objective.row_sums import ready
from swarmnet.objective.value_losses import SQUARED

Array = NDArray[Any]

_ROWS = 4096  # points at which constraints are computed at a time; only bounds memory


@dataclass(frozen=True, eq=False)
class Hinge:
    """A constraint at some points.

    Args:
        quantity: must not be negative.
        X: (n, d) the points.
        margin: (n,) what the quantity should be at least.
        weight: (n,) of the squared residuals.
    """

    quantity: Quantity
    X: Array
    margin: Array
    weight: Array


class ConstrainedObjective:
    """An objective with hinge residuals, which form one more group of known noise.

    For what trainers need of it, see `swarmnet.trainers.protocols`; sums over some of the rows are left out.

    Args:
        data: the objective of the data.
        quantities: that must not be negative, in the units of the objective.
    """

    def __init__(self, data: Objective, quantities: Sequence[Quantity]) -> None:
        self.data, self.number = data, data.number
        if any(quantity.order == 2 for quantity in quantities):
            data.net.need_third()
        self.hinges = [Hinge(quantity, *_nowhere(data.net.d)) for quantity in quantities]
        terms = Terms(data.net, SQUARED, EntryWeights(1.0, 1.0), np.dtype(np.float64))
        self._kernels, self._work = ready(terms), terms.workspace()
        self.size, self.l2, self.n_rows = data.size, data.l2, data.n_rows
        self.estimates_l2, self.estimates_balance = data.estimates_l2, data.estimates_balance
        self.layers, self.weight_groups, self.penalised = data.layers, data.weight_groups, data.penalised
        self.can_linearise, self.threads = data.can_linearise, data.threads
        self.unit_precision = np.append(data.unit_precision, 1.0)
        self.groups = _with_one_more(data.groups)

    def single_threaded(self) -> ConstrainedObjective:
        """Return this objective, which is used by one run at a time."""
        return self

    def values(self, theta: Array, number: int, X: Array) -> Array:
        """Return the quantity of a constraint (n,) at X (n, d)."""
        return np.concatenate([value for value, _ in self._evaluated(theta, number, X)])

    def unit(self, theta: Array, number: int, X: Array) -> float:
        """Return the size of a constraint's quantity: its change if values and derivatives change by 1.

        It is the root mean square over X (n, d). In an objective of scaled data, 1 is the size of both.
        """
        slopes = np.concatenate([slopes for _, slopes in self._evaluated(theta, number, X)], axis=1)
        squares = (slopes**2).sum(0)
        squares = squares[np.isfinite(squares)]
        size = float(np.sqrt(squares.mean())) if len(squares) else 0.0
        return size if 0.0 < size < np.inf else 1.0

    def _evaluated(self, theta: Array, number: int, X: Array) -> Iterator[tuple[Array, Array]]:
        """Yield a constraint's quantity at some points, and its derivatives by the arguments there."""
        quantity, theta = self.hinges[number].quantity, np.asarray(theta, np.float64)
        for start in range(0, len(X), _ROWS):
            part = X[start : start + _ROWS]
            table = QuantityBlock.unweighted(quantity, part).arguments
            found = self._kernels.residuals(self._work, theta, table, 0, table.count)
            yield quantity.evaluate(part, found.reshape(-1, len(part)), True)

    def loss_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """Return the loss with the squares of the hinge residuals, and its gradient (p,)."""
        loss, gradient = self.data.loss_and_gradient(theta)
        gradient = np.asarray(gradient, np.float64)
        for r, J in self._active(theta):
            loss, gradient = loss + float(r @ r), gradient + 2.0 * (J @ r)
        return loss, gradient

    def gauss_newton(self, theta: Array, precision: Array) -> tuple[Array, Array, Array]:
        """Return squares (groups,), J'r (p,) and J'J (p, p), see `Objective.gauss_newton`."""
        squares, Jr, JJ = self.data.gauss_newton(theta, precision[:-1])
        hinged = 0.0
        for r, J in self._active(theta):
            hinged += float(r @ r)
            Jr += precision[-1] * (J @ r)
            JJ += precision[-1] * (J @ J.T)
        return np.append(squares, hinged), Jr, JJ

    def group_squares(self, theta: Array) -> Array:
        """Return each group's sum of squared residuals (groups,)."""
        theta = np.asarray(theta, np.float64)
        hinged = sum(float(r @ r) for _, r in self._residuals(theta))
        return np.append(self.data.group_squares(theta), hinged)

    def leverages(self, theta: Array, precision: Array, factor: Array) -> Array:
        """Return effective numbers of parameters (groups,); 0 for the hinges, which are no observations."""
        return np.append(self.data.leverages(theta, precision[:-1], factor), 0.0)

    def bends(self, theta: Array, step: Array, precision: Array) -> Array:
        """Return J'r'' (p,) of the data's residuals; hinges have a kink, and are left out."""
        return self.data.bends(theta, step, precision[:-1])

    def residual_jacobian(self, theta: Array, precision: Array) -> tuple[Array, Array, Array]:
        """Return residuals, gradients and groups, see `Objective.residual_jacobian`."""
        found = [self.data.residual_jacobian(theta, precision[:-1])]
        root, last = np.sqrt(precision[-1]), len(precision) - 1
        for r, J in self._active(theta):
            found.append((root * r, root * J.T, np.full(len(r), last)))
        r, J, group = (np.concatenate(part) for part in zip(*found, strict=True))
        return r, J, group

    def _residuals(self, theta: Array) -> Iterator[tuple[Hinge, Array]]:
        for number, hinge in enumerate(self.hinges):
            if len(hinge.X):
                below = np.minimum(self.values(theta, number, hinge.X) - hinge.margin, 0.0)
                # Where a formula is not defined, nothing is known of where to go
                yield hinge, np.sqrt(hinge.weight) * np.nan_to_num(below, nan=0.0, neginf=0.0)

    def _active(self, theta: Array) -> Iterator[tuple[Array, Array]]:
        """Yield the negative hinge residuals (m,) of each constraint, and their gradients (p, m)."""
        theta = np.asarray(theta, np.float64)
        for hinge, r in self._residuals(theta):
            seen = r < 0
            if seen.any():
                block = QuantityBlock.unweighted(hinge.quantity, hinge.X[seen])
                block = replace(block, weight=hinge.weight[seen])
                yield r[seen], block.gradients(self._kernels, self._work, theta, np.ones(1))[1]


def _nowhere(d: int) -> tuple[Array, Array, Array]:
    return np.zeros((0, d)), np.zeros(0), np.zeros(0)


def _with_one_more(groups: Groups) -> Groups:
    """Return groups with one more of known noise, and without entries: it does not count as data."""
    found = copy.copy(groups)
    last = len(groups.count)
    own = {"entries": 0, "count": 0.0, "square": 0.0, "relative": 0.0, "unit": 1.0, "variance": 0.0}
    for name, value in (own | {"noise_of": last, "is_partial": True}).items():
        setattr(found, name, np.append(getattr(groups, name), value))
    return found
