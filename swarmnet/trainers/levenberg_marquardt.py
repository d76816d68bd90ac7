"""lm: Levenberg-Marquardt with Bayesian regularisation, from one start."""

import importlib
import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from swarmnet.errors import SwarmnetWarning
from swarmnet.trainers.evidence import NOISES
from swarmnet.trainers.lbfgs import LBFGS
from swarmnet.trainers.lm_run import MOST_WEIGHTS, LMRun
from swarmnet.trainers.monitor import Monitor
from swarmnet.trainers.protocols import Trainable
from swarmnet.trainers.result import Array
from swarmnet.trainers.successive_halving import ALONE, successive_halving
from swarmnet.trainers.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class LM(Trainer):
    """Levenberg-Marquardt with Bayesian regularisation, from one start.

    It estimates the noise of values and of each derivative column, and the size of the weights, unless
    derivative_weight or l2 is given. With both given it minimises the loss. Three runs with different
    initial noises go on at the same time; after 150 iterations only the best continues. From weights that are
    given there is one run, whose noise and weight sizes begin at estimates from these weights.
    """

    name: ClassVar[str] = "lm"
    descends: ClassVar[bool] = False
    finds_noise: ClassVar[bool] = True
    iterations: int | None = 4000
    patience: int = 1_000_000  # runs end by their own rule

    @property
    def needs_squares(self) -> bool:
        return True

    def runs_at_once(self, objective: Trainable) -> int:
        return len(NOISES) if objective.size <= MOST_WEIGHTS else 0

    def prepare(self) -> None:
        importlib.import_module("scipy.linalg")  # takes 0.1 s, which should not count as training

    def train(
        self, objective: Trainable, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        theta = objective.initial(rng) if start is None else start
        if not self.runs_at_once(objective):
            warnings.warn(
                f"{objective.size} weights are too many for Levenberg-Marquardt: L-BFGS takes its place",
                SwarmnetWarning,
                stacklevel=2,
            )
            LBFGS(iterations=None).train(objective, theta, rng, monitor)
            return
        if start is None:
            runs = [LMRun(objective, theta, noise) for noise in NOISES]
        else:
            runs = [LMRun.from_fit(objective, start)]
        successive_halving(runs, monitor, alone=ALONE)
