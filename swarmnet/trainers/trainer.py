"""Trainer: the base class of all trainers. A trainer knows an objective and a `Monitor`, no network or data.

It calls `monitor.record` once per iteration and stops when that returns False. Between iterations it calls
`monitor.checkpoint` with the state that it needs to continue, and at the beginning it asks `monitor.resume`
for a saved state. A trainer does nothing else for checkpoints.
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
    finds_noise: ClassVar[bool] = False  # estimates the noise, from which error bars follow

    @property
    def needs_squares(self) -> bool:
        """Whether it needs the squared loss."""
        return False

    def runs_at_once(self, objective: Trainable) -> int:
        """Return how many Levenberg-Marquardt runs an executor can do at the same time; 0 if none."""
        return 0

    def prepare(self) -> None:
        """Do slow preparations, such as imports, once before the clock starts."""
        return

    @abstractmethod
    def train(
        self, objective: Trainable, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        """Lower the loss and report to `monitor`; `start` is theta (p,), or None for random weights."""
