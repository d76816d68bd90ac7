"""Best: the best weights so far, and the log evidence of each network that was tried."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from swarmnet.trainers.checkpoint import DamagedState, State, array, matching, prefixed, under, whole
from swarmnet.trainers.protocols import Trainable
from swarmnet.trainers.result import Array, Posterior


@dataclass
class Best:
    """The best weights so far: those with the lowest loss, or the last ones given with a posterior.

    Args:
        theta: (p,); None at first.
        network: the number of the objective that they belong to.
        loss: their loss.
        posterior: their posterior, if the trainer has one.
        candidates: see `TrainResult`.
        scores: see `TrainResult`.
    """

    theta: Array | None = None
    network: int = 0
    loss: float = np.inf
    posterior: Posterior | None = None
    candidates: dict[int, tuple[int, float | None]] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)

    def begin(self, loss: float, theta: Array, network: int) -> None:
        """Store the start if nothing is stored."""
        if self.theta is None and np.isfinite(loss):
            self._keep(loss, theta, network)

    def offer(self, loss: float, theta: Array, network: int, posterior: Posterior | None) -> None:
        """Store these weights if they are the best or have a posterior."""
        if posterior or loss < self.loss or (self.theta is None and np.isfinite(loss)):
            self._keep(loss, theta, network)
            self.posterior = posterior

    def _keep(self, loss: float, theta: Array, network: int) -> None:
        self.loss, self.theta, self.network = loss, np.array(theta, dtype=np.float64), network

    def enter(self, candidates: Sequence[tuple[int, float]], begun: bool = False) -> None:
        """Store the runs' log evidence by their objectives' numbers; with `begun`, count new runs."""
        for network, log_evidence in candidates:
            runs, best = self.candidates.get(network, (0, None))
            if not begun and np.isfinite(log_evidence):
                best = log_evidence if best is None else max(best, log_evidence)
            self.candidates[network] = runs + begun, best

    def saved(self) -> State:
        """Return the state for `load`."""
        state: State = {
            "run/best": self.theta,
            "run/best_network": self.network,
            "run/candidates": [[network, *found] for network, found in self.candidates.items()],
            "run/scores": [[network, score] for network, score in self.scores.items()],
            "run/best_loss": self.loss,
        }
        return state | ({} if self.posterior is None else prefixed("posterior", self.posterior.saved()))

    def load(self, saved: State, objective: Trainable, ended: bool) -> None:
        """Restore a `saved` state, of a run that had ended or not.

        Raises:
            DamagedState: it cannot come from training with this objective.
        """
        own = matching(saved, {"run/best_loss": 0.0, "run/candidates": [], "run/scores": []})
        self.scores = dict(_score(found, len(objective.candidates)) for found in own["run/scores"])
        self.candidates = {}
        for candidate in own["run/candidates"]:
            network, runs, best = _candidate(candidate, len(objective.candidates))
            self.candidates[network] = runs, best
        if saved.get("run/best") is None and not ended:
            return
        self.network = whole(saved, "run/best_network", 0, len(objective.candidates) - 1)
        size = objective.candidates[self.network].size
        self.theta, self.loss = array(saved, "run/best", (size,)), own["run/best_loss"]
        if posterior := under("posterior", saved):
            self.posterior = Posterior.restored(posterior, objective, size)


def _score(state: Any, networks: int) -> tuple[int, float]:
    """Check and return a saved item of `Best.scores`.

    Raises:
        DamagedState: it cannot come from training.
    """
    if not isinstance(state, list) or len(state) != 2:
        raise DamagedState("a score must be two numbers")
    named = dict(zip(("network", "score"), state, strict=True))
    score = matching(named, {"score": 0.0}, finite=("score",))["score"]
    return whole(named, "network", 0, networks - 1), score


def _candidate(state: Any, networks: int) -> tuple[int, int, float | None]:
    """Check and return a saved item of `Best.candidates`.

    Raises:
        DamagedState: it cannot come from training.
    """
    if not isinstance(state, list) or len(state) != 3:
        raise DamagedState("a candidate must be three numbers")
    named = dict(zip(("network", "climbs", "best"), state, strict=True))
    best = None if named["best"] is None else matching(named, {"best": 0.0})["best"]
    return whole(named, "network", 0, networks - 1), whole(named, "climbs"), best
