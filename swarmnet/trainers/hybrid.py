"""hybrid: a swarm finds the basin, a second-order method finds its bottom."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np

from swarmnet.trainers.backprop import LBFGS
from swarmnet.trainers.base import Array, Monitor, ObjectiveLike, Trainer, require_number
from swarmnet.trainers.pso import PSO, ProjectedPSO, Swarm

_POLISH = 3000  # iterations, where nothing else limits them


@dataclass(frozen=True, kw_only=True)
class Hybrid(Trainer):
    """A swarm over the hidden layers, then L-BFGS from its best weights.

    The swarm's ridge is large: a start whose solved output weights are small is worth more to the polish than
    one with a lower loss. Where the output layer cannot be solved for, the swarm flies over all weights.

    Iterations, seconds or evaluations are the budget, of which the swarm uses `swarm_share` at most and the
    polish all that is left; each stage's own limits hold besides. Without a budget, the polish has at most
    3000 iterations.

    Args:
        swarm: the first stage.
        polish: the second stage.
        swarm_share: see above.
    """

    name: ClassVar[str] = "hybrid"
    iterations: int | None = None
    patience: int = 1_000_000  # the stages' own patience holds
    swarm: ProjectedPSO = field(default_factory=lambda: ProjectedPSO(iterations=20, ridge=1e-3))
    polish: LBFGS = field(default_factory=lambda: LBFGS(iterations=None))
    swarm_share: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("swarm_share", self.swarm_share, "between 0 and 1", lambda x: 0 < x < 1)

    def prepare(self) -> None:
        self.swarm.prepare()
        self.polish.prepare()

    def train(
        self, objective: ObjectiveLike, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        swarm, polish = self._stages(objective.can_project)
        flown = monitor.resume()
        if flown is None:
            with monitor.limits(swarm, span=(0.0, self.swarm_share)):
                swarm.train(objective, start, rng, monitor)
            if monitor.status or monitor.best is None:
                return
            flown = {"best": monitor.best}
            monitor.checkpoint(lambda: flown)
        with monitor.limits(polish, monitor.seconds_left, (self.swarm_share, 1.0)):
            polish.train(objective, flown["best"], rng, monitor)

    def _stages(self, can_project: bool) -> tuple[Swarm, LBFGS]:
        """The two stages with their shares of the budget."""
        swarm: Swarm = self.swarm
        if not can_project:
            common = {f.name: getattr(swarm, f.name) for f in fields(Swarm)}
            swarm = PSO(**common)
        budget = (self.iterations, self.seconds, self.evaluations)
        if budget == (None, None, None):
            return swarm, replace(self.polish, iterations=self.polish.iterations or _POLISH)
        share: dict[str, Any] = {
            "iterations": _less(swarm.iterations, _part(self.iterations, self.swarm_share)),
            "evaluations": _less(swarm.evaluations, _part(self.evaluations, self.swarm_share)),
            "seconds": _less(swarm.seconds, self.seconds and self.seconds * self.swarm_share),
        }
        return replace(swarm, **share), self.polish


def _part(count: int | None, share: float) -> int | None:
    return None if count is None else max(1, int(count * share))


def _less(first: float | None, second: float | None) -> Any:
    given = [value for value in (first, second) if value is not None]
    return min(given) if given else None
