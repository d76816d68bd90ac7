"""Constraints on a fit: training goes on under them, and they are checked at fresh points of the box."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import listed, shortened
from swarmnet.data.constraints import Constraint, constraints_of
from swarmnet.data.dataset import Dataset
from swarmnet.data.logarithms import Logarithms
from swarmnet.errors import SwarmnetError
from swarmnet.fitting.options import FitOptions
from swarmnet.floating_point import far_out
from swarmnet.network.network import Network
from swarmnet.objective.constrained import ConstrainedObjective
from swarmnet.objective.objective import Objective
from swarmnet.scaling import Scaling
from swarmnet.threads import one_blas_thread
from swarmnet.trainers import TrainResult
from swarmnet.trainers.constrained import ROUNDING, best_constrained

Array = NDArray[np.float64]

_POINTS = 14  # log2 of the number of points at which constraints are checked; chosen
_FACES = 0.05  # share of the points at either end of an input's range; chosen
_LAST_SEED = 1_000_000  # of the points of the last check, which differ from those of all rounds
# Limits of a warning: growth of an estimated noise, and its square as a share of its column's; chosen
_CONTRADICTED, _NOTICED = 3.0, 1e-4
_EVERYWHERE = 0.99  # share of the points from which a constraint counts as violated everywhere; chosen


class Constraints:
    """The constraints of a fit, on the box of the training inputs.

    Args:
        data: the training data.
        options: of the fit.
        net: one of the networks.
        free: outputs whose constants the data do not determine.
        logs: the inputs and outputs of which the network takes the logarithm, as the data here are.

    Raises:
        SwarmnetError: a constraint is not valid, or cannot be used with these data or this network.
    """

    def __init__(
        self, data: Dataset, options: FitOptions, net: Network, free: Collection[str], logs: Logarithms
    ) -> None:
        self._inputs, self._logs = data.inputs, logs
        self._wanted = constraints_of(options.require, data.define, data.inputs, data.outputs)
        self._cost = 1.0
        self._found: dict[str, dict[str, Any]] = {}
        if not self._wanted:
            return
        if data.in_memory is None or options.client is not None:
            raise SwarmnetError(
                "require= (--require) takes data in memory: leave out the memory limit or the scheduler"
            )
        for constraint in self._wanted:
            _refuse(constraint, net, free)
        known = data.statistics.X
        self._low, self._high = known.low, known.high

    @one_blas_thread()
    def trained(self, candidates: Sequence[Objective], result: TrainResult, scaling: Scaling) -> TrainResult:
        """Return the result of training that goes on under the constraints; the same if they are met.

        The error bars remain those of the data alone: constraints do not make them narrower.

        Raises:
            SwarmnetError: a constraint is violated everywhere.
        """
        if not self._wanted:
            return result
        started = time.perf_counter()
        own = scaling.x_offset, scaling.x_scale, scaling.y_offset, scaling.y_scale
        quantities = [self._logs.quantity(wanted.quantity).rescaled(*own, 1.0) for wanted in self._wanted]

        def draw(seed: int) -> Array:
            return scaling.scale_X(self._points(seed))

        plain = ConstrainedObjective(candidates[result.network], quantities)
        sizes = [plain.unit(result.theta, c, draw(0)) for c in range(len(quantities))]
        of_size = [replace(q, unit=size) for q, size in zip(quantities, sizes, strict=True)]

        def under(number: int) -> ConstrainedObjective:
            return ConstrainedObjective(candidates[number], of_size)

        with far_out():
            before, result = result, best_constrained(under, result, draw)
        self._cost = _growth(before, result, candidates[result.network])
        points, last = self._points(_LAST_SEED), under(result.network)
        for c, (wanted, size) in enumerate(zip(self._wanted, sizes, strict=True)):
            g = last.values(result.theta, c, scaling.scale_X(points))
            self._found[wanted.text] = self._checked(g * size, ROUNDING * size, self._logs.inputs_of(points))
        self._refuse_everywhere()
        return replace(result, seconds=result.seconds + time.perf_counter() - started)

    @property
    def record(self) -> dict[str, Any]:
        """For the training record: each constraint's largest violation, where that is, and on what share."""
        return {"require": self._found} if self._wanted else {}

    def warnings(self) -> Iterator[str]:
        """Yield a line for each constraint that is violated."""
        if self._cost > _CONTRADICTED:
            yield (
                f"with {listed([*self._found])} the noise is {self._cost:.3g} times as large as without: "
                "the data contradict this"
            )
        for text, found in self._found.items():
            if found["at"] is not None:
                at = listed([f"{name} = {x:.6g}" for name, x in found["at"].items()])
                yield (
                    f"{text} is violated at {found['violated_share']:.2%} of the points in the box of the "
                    f"data, at most by {found['largest_violation']:.3g} at {at}: check it against the data, "
                    "or give other sizes (hidden=)"
                )

    def _points(self, seed: int) -> Array:
        """Return quasi-random points (n, d) of the network in the box; some lie on its faces."""
        from scipy.stats import qmc  # noqa: PLC0415  # takes 0.3 s to import

        unit = qmc.Sobol(len(self._inputs), seed=seed).random_base2(_POINTS)
        unit = np.clip((unit - _FACES) / (1.0 - 2.0 * _FACES), 0.0, 1.0)
        return np.asarray(self._low * (1.0 - unit) + self._high * unit)

    def _checked(self, g: Array, rounding: float, points: Array) -> dict[str, Any]:
        violated = ~(g >= -rounding)
        worst = int(np.argmin(np.where(np.isnan(g), -np.inf, g)))
        at = dict(zip(self._inputs, points[worst].tolist(), strict=True)) if violated.any() else None
        return {
            "largest_violation": float(-g[worst]) if violated.any() else 0.0,
            "at": at,
            "violated_share": float(violated.mean()),
        }

    def _refuse_everywhere(self) -> None:
        for text, found in self._found.items():
            if found["violated_share"] >= _EVERYWHERE:
                raise SwarmnetError(
                    f"require= (--require): {shortened(text)} is violated everywhere in the box of the data: "
                    "it contradicts the others, or no network of this size can meet it"
                )


def _refuse(constraint: Constraint, net: Network, free: Collection[str]) -> None:
    quantity, what = constraint.quantity, f"require= (--require) of {shortened(constraint.text)}: "
    for output, along in quantity.arguments:
        if not along and (name := quantity.outputs[output]) in free:
            raise SwarmnetError(f"{what}no value of {name} was observed, so its constant is free: give one")
    kinked = sorted({act.name for act in net.activations if not act.smooth})
    if quantity.order == 2 and kinked:
        raise SwarmnetError(f"{what}{listed(kinked)} has no second derivative: use another activation")


def _growth(before: TrainResult, after: TrainResult, objective: Objective) -> float:
    """Return by how much constraints have made the estimated noise larger, of columns with much noise."""
    if before.posterior is None or after.posterior is None:
        return 1.0
    old, new = before.posterior.precision, after.posterior.precision
    groups = objective.groups
    seen = (groups.count > 0) & (new * groups.relative * _NOTICED < 1.0)
    return float(np.sqrt((old[seen] / new[seen]).max(initial=1.0)))
