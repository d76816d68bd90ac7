"""The result of training: the best weights, the history, and the posterior around the weights."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, SupportsFloat

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
    """A row of the history.

    `evaluations` counts the evaluations of the loss, or of the loss with its gradient, for one weight vector
    over all rows. `loss` is this iteration's loss; for a swarm, the best so far.
    """

    iteration: int
    evaluations: int
    seconds: float
    loss: float
    validation_loss: float
    best_loss: float
    fraction: float  # estimated share of the training that is done, 0 to 1


Callback = Callable[[Progress], bool | None]
Validate = Callable[[Array], SupportsFloat]


@dataclass(frozen=True)
class Posterior:
    """The noise, prior and evidence that Bayesian regularisation estimated at the weights.

    Args:
        precision: (groups,) of the noise.
        decay: (p,) precision of the prior.
        log_evidence: of the data.
        others: m weight vectors of other starts, or of other candidate networks.
        networks: (m,) the numbers of their objectives.
        share: (m,) their weight relative to the best, from 0 to 1.
    """

    precision: Array
    decay: Array
    log_evidence: float
    others: tuple[Array, ...]
    networks: Array
    share: Array

    def saved(self) -> State:
        """Return the state for `restored`: the fields by name, with `others` concatenated."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        sizes = np.array([len(theta) for theta in self.others], dtype=np.int64)
        return own | {"others": np.concatenate([*self.others, np.empty(0)]), "sizes": sizes}

    @classmethod
    def restored(cls, state: State, objective: Trainable, p: int) -> "Posterior":
        """Return the posterior of a saved state, for p weights.

        Raises:
            DamagedState: it cannot come from training with this objective.
        """
        sizes = array(state, "sizes", (None,), np.int64)
        networks = array(state, "networks", (len(sizes),), np.int64)
        own = dict(enumerate(candidate.size for candidate in objective.candidates))
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
    """The best weights and how training went; `status` is a key of `STATUS`.

    `network` is the number of theta's objective among the candidates. `candidates` has, for each number for
    which there were Levenberg-Marquardt runs, how many there were, and their largest log evidence.
    `scores` has the score of those that were compared by predictions of left-out entries.
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
    scores: dict[int, float] = field(default_factory=dict)

    @property
    def message(self) -> str:
        """Why training stopped, in a sentence."""
        return STATUS[self.status]

    @property
    def record(self) -> dict[str, Any]:
        """How training went, for a model's training record."""
        names = ("status", "message", "loss", "evaluations", "seconds")
        return {name: getattr(self, name) for name in names}
