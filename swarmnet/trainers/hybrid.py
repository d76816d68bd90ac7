"""hybrid: swarms find starts, Levenberg-Marquardt climbs from them, the evidence chooses."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from swarmnet.checkpoint import State
from swarmnet.trainers.backprop import LBFGS
from swarmnet.trainers.base import Array, Monitor, ObjectiveLike, Trainer, require_count, require_number
from swarmnet.trainers.pso import PSO, ProjectedPSO, Swarm
from swarmnet.trainers.second_order import LM, MOST_WEIGHTS, Climb, cost, race

_POLISH = 3000  # iterations of L-BFGS, where nothing else limits them
_STARTS = 4
_STARTS_OF_EACH = 2  # of each network, where there are several
_HALVINGS = (60, 120, 180)  # iterations after which the worse half is given up
_DEAR = 2e10  # multiplications of an iteration from which L-BFGS gets further in the same time


@dataclass(frozen=True, kw_only=True)
class Hybrid(Trainer):
    """Swarms over the hidden layers, then Levenberg-Marquardt with Bayesian regularisation from their best.

    The climbs run side by side, one a thread, and after 60, 120 and 180 iterations only the half with the
    larger evidence goes on; where there are several networks to choose from, each has its own starts. Where
    that is too dear (many weights and entries) or impossible (another loss than the squared one), L-BFGS
    polishes the best of one swarm instead. The swarm's ridge is large: a start whose solved output weights
    are small is worth more to what follows than one with a lower loss. Where the output layer cannot be
    solved for, the swarm flies over all weights.

    Iterations, seconds or evaluations are the budget, of which the swarms use `swarm_share` at most and the
    rest all that is left; the limits of stages that were given hold besides. Without a budget, there are at
    most 400 iterations of Levenberg-Marquardt, or 3000 of L-BFGS.

    Args:
        swarm: each start's swarm.
        polish: what follows the swarms; by default whichever of the two suits the problem.
        starts: how many of each network; by default 4, or 2 of several, or one a thread if that is more.
        swarm_share: see above.
    """

    name: ClassVar[str] = "hybrid"
    descends: ClassVar[bool] = False
    iterations: int | None = None
    patience: int = 1_000_000  # the stages' own patience holds
    swarm: ProjectedPSO = field(default_factory=lambda: ProjectedPSO(iterations=20, ridge=1e-3))
    polish: LM | LBFGS | None = None
    starts: int | None = None
    swarm_share: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("starts", self.starts, 1, optional=True)
        require_number("swarm_share", self.swarm_share, "between 0 and 1", lambda x: 0 < x < 1)

    def prepare(self) -> None:
        self.swarm.prepare()
        for polish in (LM(), LBFGS()) if self.polish is None else (self.polish,):
            polish.prepare()

    def train(
        self, objective: ObjectiveLike, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        rungs = objective.rungs
        polish = self._polish(rungs[0])
        lanes = self._lanes(rungs) if isinstance(polish, LM) else [rungs[0]]
        saved = monitor.resume() or {"flown": 0}
        thetas = [saved[f"theta {number}"] for number in range(saved["flown"])]
        self._fly(lanes, start, rng, monitor, thetas)
        if monitor.status or not thetas:
            return
        monitor.checkpoint(partial(_state, thetas))
        with monitor.limits(polish, monitor.seconds_left, (self.swarm_share, 1.0)):
            if isinstance(polish, LM):
                climbs = [Climb(lane, theta) for lane, theta in zip(lanes, thetas, strict=False)]
                race(climbs, monitor, _HALVINGS)
            else:
                polish.train(rungs[0], thetas[0], rng, monitor)

    def _lanes(self, rungs: Sequence[ObjectiveLike]) -> list[ObjectiveLike]:
        """The objective of each start."""
        each = self.starts or max(_STARTS if len(rungs) == 1 else _STARTS_OF_EACH, rungs[0].threads)
        return [rung for rung in rungs for _ in range(each)][: self._affordable]

    def _polish(self, objective: ObjectiveLike) -> LM | LBFGS:
        """The second stage for this objective, with its limits."""
        if self.polish is not None:
            return self.polish
        if climbs_well(objective):
            return LM(iterations=None) if self._has_budget else LM()
        return LBFGS(iterations=None if self._has_budget else _POLISH)

    def _fly(
        self,
        lanes: Sequence[ObjectiveLike],
        start: Array | None,
        rng: np.random.Generator,
        monitor: Monitor,
        thetas: list[Array],
    ) -> None:
        """Add the best weights of each lane's swarm to `thetas`."""
        swarm = self._swarm(lanes[0].can_project, len(lanes))
        for number in range(len(thetas), len(lanes)):
            monitor.checkpoint(partial(_state, thetas))
            span = (self.swarm_share * number / len(lanes), self.swarm_share * (number + 1) / len(lanes))
            with monitor.limits(swarm, span=span):
                best = swarm.search(lanes[number], None if number else start, rng, monitor)
            if monitor.status:
                return
            thetas.append(lanes[number].initial(rng) if best is None else best)

    @property
    def _affordable(self) -> int:
        """Swarms of one iteration that their share of the budget allows, at least 1."""
        swarms = [
            _part(limit, self.swarm_share / particles)
            for limit, particles in ((self.iterations, 1), (self.evaluations, self.swarm.particles))
            if limit is not None
        ]
        return min((count for count in swarms if count is not None), default=1 << 30)

    @property
    def _has_budget(self) -> bool:
        return (self.iterations, self.seconds, self.evaluations) != (None, None, None)

    def _swarm(self, can_project: bool, starts: int) -> Swarm:
        """One start's swarm with its share of the budget."""
        swarm: Swarm = self.swarm
        if not can_project:
            common = {f.name: getattr(swarm, f.name) for f in fields(Swarm)}
            swarm = PSO(**common)
        share = self.swarm_share / starts
        limits: dict[str, Any] = {
            "iterations": _less(swarm.iterations, _part(self.iterations, share)),
            "evaluations": _less(swarm.evaluations, _part(self.evaluations, share)),
            "seconds": _less(swarm.seconds, self.seconds and self.seconds * share),
        }
        return replace(swarm, **limits)


def _state(thetas: Sequence[Array]) -> State:
    return {"flown": len(thetas)} | {f"theta {n}": theta for n, theta in enumerate(thetas)}


def climbs_well(objective: ObjectiveLike) -> bool:
    """Whether Levenberg-Marquardt is possible, and gets further than L-BFGS in the same time."""
    return objective.can_linearise and objective.size <= MOST_WEIGHTS and cost(objective) <= _DEAR


def _part(count: int | None, share: float) -> int | None:
    return None if count is None else max(1, int(count * share))


def _less(first: float | None, second: float | None) -> Any:
    given = [value for value in (first, second) if value is not None]
    return min(given) if given else None
