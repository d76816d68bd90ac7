"""Budget: how far training has come, and which limit ends it.

Limits nest, as those of a trainer that runs others in stages: what ends by the inner ones goes on by the
outer ones.
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
    """Limits in force, and where they began to count."""

    limits: Limits
    seconds: float | None
    span: tuple[float, float]
    network: int = 0  # the number of the objective at work
    iteration: int = 0
    evaluations: int = 0
    started: float = 0.0
    best: float = np.inf  # the lowest loss within these limits
    reference: float = np.inf  # the same when it last fell by a share of tolerance
    since: int = 0
    state: State | None = None  # the trainer's own, where it could go on from

    _kept: ClassVar = ("seconds", "iteration", "evaluations", "started", "best", "reference", "since")

    def saved(self) -> State:
        """All of this but the limits themselves, which the run's trainer has."""
        counts = {name: getattr(self, name) for name in self._kept}
        return {"trainer": self.limits.name, "fresh": self.state is None, **counts}

    def load(self, saved: object, state: State, now: "Budget") -> None:
        """Count on from where `saved` was, in a run that has come as far as it is now.

        Raises:
            DamagedState: no stage with these limits can have given it.
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
        """How much of these limits is used up, from 0 to 1."""
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
        """The limit that an iteration with this loss has reached, a key of `STATUS`; "" for none."""
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
    """Counts of what is done, the limits in force, and why training stopped."""

    iteration: int = 0
    evaluations: int = 0
    status: str = ""
    stages: list[Stage] = field(default_factory=list)
    to_resume: list[tuple[Any, State]] = field(default_factory=list)  # what stages were, the outermost first
    _ended_by: Stage | None = None
    _ended_as: str = ""
    _origin: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return time.perf_counter() - self._origin

    @contextmanager
    def not_counted(self) -> Iterator[None]:
        """Take no time off the budget meanwhile."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._origin += time.perf_counter() - began

    @contextmanager
    def limits(
        self, limits: Limits, seconds: float | None, span: tuple[float, float], network: int
    ) -> Iterator[None]:
        """Hold these limits meanwhile: see `Monitor.limits`."""
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
        """The stage at work."""
        return self.stages[-1]

    @property
    def ended_as(self) -> str:
        """Why training ended, once it has."""
        return self.status or self._ended_as or "converged"

    @property
    def seconds_left(self) -> float | None:
        """Until the time limit in force; None when there is none."""
        left = [s.started + s.seconds - self.seconds for s in self.stages if s.seconds is not None]
        return max(0.0, min(left)) if left else None

    @property
    def fraction(self) -> float:
        """How much of the innermost limits is used up, from 0 to 1."""
        return self.innermost.fraction(self)

    @property
    def overall(self) -> float:
        """How much of the whole training is done, from 0 to 1, as far as that can be told."""
        first, last = self.innermost.span
        return first + (last - first) * self.fraction

    def iterations_left(self, seconds: float, evaluations: float) -> float | None:
        """How many more iterations the limits in force allow, each taking so much; None for no end."""
        left = [] if self.seconds_left is None else [self.seconds_left / max(seconds, 1e-9)]
        for stage in self.stages:
            limits = stage.limits
            if limits.iterations is not None:
                left.append(limits.iterations - (self.iteration - stage.iteration))
            if limits.evaluations is not None:
                left.append((limits.evaluations - (self.evaluations - stage.evaluations)) / evaluations)
        return min(left) if left else None

    def check(self, loss: float, best_loss: float) -> None:
        """Note which limit an iteration with this loss has reached, if any."""
        for stage in self.stages:
            if not self.status and (reached := stage.reached(self, loss, best_loss)):
                self.status, self._ended_by = reached, stage

    def finish(self, status: str) -> None:
        """Note that the innermost trainer ended of its own accord."""
        if not self.status:
            self.status, self._ended_by = status, self.innermost

    def saved(self) -> State:
        """What `load` takes, but for the trainers' states."""
        return {
            "iteration": self.iteration,
            "evaluations": self.evaluations,
            "seconds": self.seconds,
            "ended_as": self._ended_as,
            "stages": [stage.saved() for stage in self.stages],
        }

    def load(self, saved: State, ended: str) -> None:
        """Count on from what was `saved`; `ended` says how training had ended, if it had.

        Raises:
            DamagedState: no training can have given it.
        """
        own = matching(saved, {"seconds": 0.0, "ended_as": ""}, finite=("seconds",))
        self.iteration, self.evaluations = whole(saved, "iteration"), whole(saved, "evaluations")
        if own["seconds"] < 0.0 or not {ended, own["ended_as"]} <= {"", *STATUS}:
            raise DamagedState("training cannot have ended so")
        self._origin -= own["seconds"]
        self._ended_as = ended or own["ended_as"]
