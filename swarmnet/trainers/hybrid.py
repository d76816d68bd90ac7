"""hybrid: a projected swarm finds the basin, a second-order method finds its bottom."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from swarmnet.trainers.backprop import LBFGS
from swarmnet.trainers.base import Array, Monitor, ObjectiveLike, Trainer, require
from swarmnet.trainers.pso import ProjectedPSO


@dataclass(frozen=True, kw_only=True)
class Hybrid(Trainer):
    """The projected swarm, then L-BFGS from its best weights.

    The swarm's ridge is large: a start whose solved output weights are small is worth more to the polish than
    one with a lower loss.

    Args:
        swarm: the first stage.
        polish: the second stage.
        swarm_share: the most of the seconds, where seconds are limited, that the first stage may use.
    """

    name: ClassVar[str] = "hybrid"
    iterations: int | None = None
    patience: int = 1_000_000  # the stages' own patience holds
    swarm: ProjectedPSO = field(default_factory=lambda: ProjectedPSO(iterations=20, ridge=1e-3))
    polish: LBFGS = field(default_factory=lambda: LBFGS(iterations=3000))
    swarm_share: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.swarm_share < 1, "swarm_share", self.swarm_share, "between 0 and 1")

    def prepare(self) -> None:
        self.swarm.prepare()

    def train(
        self, objective: ObjectiveLike, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        if start is not None and not monitor.record(float(objective.loss(start)), start, 1):
            return
        left, share = monitor.seconds_left, self.swarm_share
        with monitor.limits(self.swarm, None if left is None else left * share, (0.0, share)):
            self.swarm.train(objective, start, rng, monitor)
        if monitor.status or monitor.best is None:
            return
        with monitor.limits(self.polish, left, (share, 1.0)):
            self.polish.train(objective, monitor.best, rng, monitor)
