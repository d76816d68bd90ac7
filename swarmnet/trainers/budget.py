"""Budget: the progress of training, and the limit that ends it.

Limits nest: a trainer that runs others in stages has outer limits. When an inner limit ends a stage, training
continues within the outer limits.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from swarmnet.trainers.checkpoint import DamagedState, State, matching, whole
from swarmnet.trainers.limits import Limits
from swarmnet.trainers.result import STATUS


@dataclass
class Stage:
    """The limits of a stage, and the counts when it began."""

    limits: Limits
    seconds: float | None
    span: tuple[float, float]
    network: int = 0  # number of the objective being trained
    iteration: int = 0
    evaluations: int = 0
    started: float = 0.0
    best: float = np.inf  # the lowest loss within these limits
    reference: float = np.inf  # the same when it last fell by a share of tolerance
    since: int = 0
    state: State | None = None  # the trainer's state from which it can continue

    _kept: ClassVar = ("seconds", "iteration", "evaluations", "started", "best", "reference", "since")

    def saved(self) -> State:
        """Return everything except the limits, which belong to the run's trainer."""
        counts = {name: getattr(self, name) for name in self._kept}
        return {"trainer": self.limits.name, "fresh": self.state is None, **counts}

    def load(self, saved: object, state: State, now: "Budget") -> None:
        """Restore a `saved` stage; `now` is the restored progress of the whole run.

        Raises:
            DamagedState: it cannot come from a stage with these limits.
        """
        if not isinstance(saved, dict):
            raise DamagedState("a stage must have names")
        limited = saved.get("seconds") is not None
        like = self.saved() | {"seconds": 0.0 if limited else None, "started": 0.0}
        found = matching(saved, like, finite=("seconds", "started"))
        if found["trainer"] != self.limits.name:
            raise DamagedState(f"{self.limits.name} was to go on where {found['trainer']} was stopped")
        most = {"iteration": now.iteration, "evaluations": now.evaluations, "since": now.iteration}
        if any(found[name] > count for name, count in most.items()) or found["started"] > now.seconds:
            raise DamagedState("a stage cannot have begun later than now")
        allowed = np.inf if self.limits.seconds is None else self.limits.seconds
        if (limited and not 0.0 <= found["seconds"] <= allowed) or limited < (allowed < np.inf):
            raise DamagedState("a stage cannot have other seconds than its limits allow")
        for name in self._kept:
            setattr(self, name, found[name])
        self.state = None if found["fresh"] else state

    def fraction(self, now: "Budget") -> float:
        """Return the used share of these limits, from 0 to 1."""
        used = [0.0]
        if self.limits.iterations is not None:
            used.append((now.iteration - self.iteration) / self.limits.iterations)
        if self.limits.evaluations is not None:
            used.append((now.evaluations - self.evaluations) / self.limits.evaluations)
        if self.seconds is not None:
            used.append((now.seconds - self.started) / max(self.seconds, 1e-9))
        return min(1.0, max(used))

    def see(self, loss: float) -> None:
        """Note a loss within these limits."""
        self.best = min(self.best, loss)

    def reached(self, now: "Budget", loss: float, best_loss: float) -> str:
        """Return the limit reached after an iteration with this loss, a key of `STATUS`; "" if none."""
        limits = self.limits
        if not np.isfinite(loss) or (limits.descends and loss > 1e6 * max(best_loss, 1.0)):
            return "diverged"
        if limits.target_loss is not None and best_loss <= limits.target_loss:
            return "target_loss"
        self.see(loss)
        if self.best < self.reference * (1.0 - limits.tolerance):
            self.reference, self.since = self.best, now.iteration
        elif now.iteration - max(self.since, self.iteration) >= limits.patience:
            return "tolerance"
        if limits.iterations is not None and now.iteration - self.iteration >= limits.iterations:
            return "iterations"
        if limits.evaluations is not None and now.evaluations - self.evaluations >= limits.evaluations:
            return "evaluations"
        if self.seconds is not None and now.seconds - self.started >= self.seconds:
            return "seconds"
        return ""


@dataclass
class Budget:
    """Progress counts, the nested limits, and the reason why training stopped."""

    iteration: int = 0
    evaluations: int = 0
    status: str = ""
    stages: list[Stage] = field(default_factory=list)
    to_resume: list[tuple[Any, State]] = field(default_factory=list)  # saved stages, outermost first
    _ended_by: Stage | None = None
    _ended_as: str = ""
    _origin: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return time.perf_counter() - self._origin

    @contextmanager
    def not_counted(self) -> Iterator[None]:
        """Do not count the time of the `with` block."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._origin += time.perf_counter() - began

    @contextmanager
    def limits(
        self, limits: Limits, seconds: float | None, span: tuple[float, float], network: int
    ) -> Iterator[None]:
        """Apply these limits inside the `with` block: see `Monitor.limits`."""
        allowed = [s for s in (limits.seconds, seconds) if s is not None]
        self.status = ""
        allowance = min(allowed) if allowed else None
        stage = Stage(limits, allowance, span, network, self.iteration, self.evaluations, self.seconds)
        if self.to_resume:
            stage.load(*self.to_resume.pop(0), self)
        self.stages.append(stage)
        try:
            yield
        finally:
            self.stages.pop()
            self._ended_as = self.status or self._ended_as
            if self._ended_by is stage:
                self.status, self._ended_by = "", None

    @property
    def innermost(self) -> Stage:
        """The stage of the trainer that runs now."""
        return self.stages[-1]

    @property
    def ended_as(self) -> str:
        """The reason why training ended."""
        return self.status or self._ended_as or "converged"

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the nearest time limit; None if there is none."""
        left = [s.started + s.seconds - self.seconds for s in self.stages if s.seconds is not None]
        return max(0.0, min(left)) if left else None

    @property
    def fraction(self) -> float:
        """The used share of the innermost limits, from 0 to 1."""
        return self.innermost.fraction(self)

    @property
    def overall(self) -> float:
        """An estimate of the finished share of the whole training, from 0 to 1."""
        first, last = self.innermost.span
        return first + (last - first) * self.fraction

    def iterations_left(self, seconds: float, evaluations: float) -> float | None:
        """Return how many iterations of this cost the limits still allow; None if unlimited."""
        left = [] if self.seconds_left is None else [self.seconds_left / max(seconds, 1e-9)]
        for stage in self.stages:
            limits = stage.limits
            if limits.iterations is not None:
                left.append(limits.iterations - (self.iteration - stage.iteration))
            if limits.evaluations is not None:
                left.append((limits.evaluations - (self.evaluations - stage.evaluations)) / evaluations)
        return min(left) if left else None

    def check(self, loss: float, best_loss: float) -> None:
        """Store which limit an iteration with this loss has reached, if any."""
        for stage in self.stages:
            if not self.status and (reached := stage.reached(self, loss, best_loss)):
                self.status, self._ended_by = reached, stage

    def finish(self, status: str) -> None:
        """Store that the innermost trainer ended by its own rule."""
        if not self.status:
            self.status, self._ended_by = status, self.innermost

    def saved(self) -> State:
        """Return the state for `load`, without the trainers' states."""
        return {
            "iteration": self.iteration,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "ended_as": self._ended_as,
            "stages": [stage.saved() for stage in self.stages],
        }

    def load(self, saved: State, ended: str) -> None:
        """Restore a `saved` state; `ended` is the reason why training had ended, or "".

        Raises:
            DamagedState: it cannot come from training.
        """
        own = matching(saved, {"seconds": 0.0, "ended_as": ""}, finite=("seconds",))
        self.iteration, self.evaluations = whole(saved, "iteration"), whole(saved, "evaluations")
        if own["seconds"] < 0.0 or not {ended, own["ended_as"]} <= {"", *STATUS}:
            raise DamagedState("training cannot have ended so")
        self._origin -= own["seconds"]
        self._ended_as = ended or own["ended_as"]
