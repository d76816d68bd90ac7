"""What training gives: the best weights, how they were reached, and what is known around them."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.trainers.checkpoint import (
    DamagedState,
    State,
    array,
    matching,
)
from swarmnet.trainers.protocols import Trainable

Array = NDArray[Any]

STATUS = {
    "converged": "the optimiser converged",
    "stalled": "the line search found no lower loss",
    "tolerance": "the loss stopped falling",
    "target_loss": "the target loss was reached",
    "iterations": "all iterations were done; more may lower the loss",
    "seconds": "the time was up; more may lower the loss",
    "evaluations": "all evaluations were used; more may lower the loss",
    "callback": "the callback asked to stop",
    "interrupted": "interrupted; the best weights so far are kept",
    "diverged": "the loss grew without bound; the best weights are kept: try a smaller learning rate",
}


@dataclass(frozen=True)
class Progress:
    """One line of the history.

    `evaluations` counts how many times the loss, or the loss with its gradient, was taken of one weight
    vector over all rows; `loss` is this iteration's, for a swarm the best found so far.
    """

    iteration: int
    evaluations: int
    seconds: float
    loss: float
    validation_loss: float
    best_loss: float
    fraction: float  # of the training done, 0 to 1, as far as that can be told


Callback = Callable[[Progress], bool | None]
Validate = Callable[[Array], float]


@dataclass(frozen=True)
class Posterior:
    """What Bayesian regularisation found around the weights: the noise, the prior, and the evidence.

    Args:
        precision: (groups,) of the noise.
        decay: (p,) precision of the prior.
        log_evidence: of the data.
        others: m times the weights to which another start came, or another network among those to choose
            from.
        networks: (m,) whose weights they are: the numbers of their objectives.
        share: (m,) how much each counts beside the best, from 0 to 1.
    """

    precision: Array
    decay: Array
    log_evidence: float
    others: tuple[Array, ...]
    networks: Array
    share: Array

    def saved(self) -> State:
        """What `restored` takes: its fields by name, the others end to end."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        sizes = np.array([len(theta) for theta in self.others], dtype=np.int64)
        return own | {"others": np.concatenate([*self.others, np.empty(0)]), "sizes": sizes}

    @classmethod
    def restored(cls, state: State, objective: Trainable, p: int) -> "Posterior":
        """That of a state that was read, for p weights.

        Raises:
            DamagedState: training with this objective cannot have given it.
        """
        sizes = array(state, "sizes", (None,), np.int64)
        networks = array(state, "networks", (len(sizes),), np.int64)
        own = dict(enumerate(rung.size for rung in objective.candidates))
        if [own.get(network) for network in networks.tolist()] != sizes.tolist():
            raise DamagedState("the weights of another start are those of no network")
        ends = np.cumsum(sizes)
        together = array(state, "others", (int(ends[-1]) if len(ends) else 0,))
        return cls(
            array(state, "precision", (len(objective.groups.count),)),
            array(state, "decay", (p,)),
            matching(state, {"log_evidence": 0.0}, finite=("log_evidence",))["log_evidence"],
            tuple(np.split(together, ends)[:-1]),
            networks,
            array(state, "share", (len(sizes),)),
        )


@dataclass(frozen=True)
class TrainResult:
    """The best weights and how they were reached; `status` is a key of `STATUS`.

    `network` is the number of the objective that theta belongs to, among those to choose from; `candidates`
    has, for each number that second-order climbs were made of, how many, and their largest log evidence.
    """

    theta: Array
    network: int
    loss: float
    status: str
    history: dict[str, Array]
    evaluations: int
    seconds: float
    posterior: Posterior | None = None
    candidates: dict[int, tuple[int, float | None]] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """Why training stopped, in a sentence."""
        return STATUS[self.status]
