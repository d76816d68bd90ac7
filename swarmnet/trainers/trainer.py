"""Trainer: what all trainers have in common. One sees an objective and a `Monitor`, never a network or data.

It calls `monitor.record` once an iteration and stops when that says so. Between iterations it calls
`monitor.checkpoint` with what it would need to go on from there, and where it begins it asks `monitor.resume`
for what it once gave; that is all a trainer does for its checkpoints.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from swarmnet.trainers.limits import Limits
from swarmnet.trainers.monitor import Monitor
from swarmnet.trainers.protocols import Trainable
from swarmnet.trainers.result import Array


@dataclass(frozen=True, kw_only=True)
class Trainer(Limits, ABC):
    """A configured trainer, with its limits."""

    solves_output: ClassVar[bool] = False  # needs a linear output layer and the squared loss
    finds_noise: ClassVar[bool] = False  # and with it what error bars are made of

    @property
    def needs_squares(self) -> bool:
        """Whether it needs the squared loss."""
        return False

    def climbs_at_once(self, objective: Trainable) -> int:
        """Climbs on which it spends its time, side by side: an executor can take them over."""
        return 0

    def prepare(self) -> None:
        """Do once, before the clock starts, what takes time and is no training."""
        return

    @abstractmethod
    def train(
        self, objective: Trainable, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        """Lower the loss, reporting to `monitor`; `start` is theta (p,), or None for random weights."""
