"""What all trainers share: when to stop, what to remember, and the one function that runs them.

A trainer sees an objective and a `Monitor`, never a network or data. It calls `monitor.record` once an
iteration and stops when that says so. The monitor keeps the best weights and the history.

Between iterations it calls `monitor.checkpoint` with what it would need to go on from there, and where it
begins it asks `monitor.resume` for what it once gave; that is all a trainer does for its checkpoints.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from swarmnet import interrupts
from swarmnet.errors import SwarmnetError
from swarmnet.floating_point import far_out
from swarmnet.threads import one_blas_thread
from swarmnet.trainers.checkpoint import (
    Checkpoint,
    DamagedState,
    State,
    array,
    damaged,
    frozen,
    is_empty,
    matching,
    whole,
)
from swarmnet.trainers.protocols import Executor, Trainable

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


@dataclass(frozen=True, kw_only=True)
class Trainer(ABC):
    """A configured trainer.

    Args:
        iterations: the most iterations; None for no limit but the others.
        seconds: the most seconds of training; None for no limit but the others.
        evaluations: the most evaluations; None for no limit but the others. An iteration is finished once
            it has begun: a swarm's may go beyond by its particles.
        tolerance: stop after `patience` iterations in which the best loss fell by less than this share.
        patience: see tolerance.
        target_loss: stop once the loss is as low as this; None for never.
    """

    name: ClassVar[str]
    solves_output: ClassVar[bool] = False  # needs a linear output layer and the squared loss
    finds_noise: ClassVar[bool] = False  # and with it what error bars are made of
    descends: ClassVar[bool] = True  # a much higher loss means that it diverges
    iterations: int | None = 1000
    seconds: float | None = None
    evaluations: int | None = None
    tolerance: float = 1e-6
    patience: int = 500
    target_loss: float | None = None

    @property
    def needs_squares(self) -> bool:
        """Whether it needs the squared loss."""
        return False

    def __post_init__(self) -> None:
        require_count("iterations", self.iterations, 1, optional=True)
        require_number("seconds", self.seconds, "a number more than 0", lambda x: x > 0, optional=True)
        require_count("evaluations", self.evaluations, 1, optional=True)
        require_count("patience", self.patience, 1)
        require_number("tolerance", self.tolerance, "from 0 to 1", lambda x: 0 <= x < 1)
        require_number("target_loss", self.target_loss, "a number", lambda x: True, optional=True)

    def climbs_at_once(self, objective: Trainable) -> int:
        """Climbs on which it spends its time, side by side: an executor can take them over."""
        return 0

    def prepare(self) -> None:
        """Do once, before the clock starts, what takes time and is no training."""
        return

    @abstractmethod
    def train(
        self, objective: Trainable, start: Array | None, rng: np.random.Generator, monitor: "Monitor"
    ) -> None:
        """Lower the loss, reporting to `monitor`; `start` is theta (p,), or None for random weights."""


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """Refuse a setting that is out of range.

    Raises:
        SwarmnetError: the condition does not hold.
    """
    if not condition:
        raise SwarmnetError(f"{name} must be {expected}, not {value}")


def require_number(
    name: str, value: object, expected: str, allowed: Callable[[float], bool], optional: bool = False
) -> None:
    """Refuse a setting that is no finite number, or not an allowed one.

    Raises:
        SwarmnetError: it is not.
    """
    if value is None and optional:
        return
    number = isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(float(value))
    require(number and allowed(float(value)), name, value, expected)  # type: ignore[arg-type]


def require_count(name: str, value: object, least: int, optional: bool = False) -> None:
    """Refuse a setting that is no whole number, or less than `least`.

    Raises:
        SwarmnetError: it is not.
    """
    if value is None and optional:
        return
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    require(whole and value >= least, name, value, f"a whole number of {least} or more")  # type: ignore[operator]


@dataclass
class _Stage:
    """Where the limits in force began to count."""

    limits: Trainer
    seconds: float | None
    span: tuple[float, float]
    network: int = 0  # the number of the objective at work
    iteration: int = 0
    evaluations: int = 0
    started: float = 0.0
    reference: float = np.inf  # the best loss when it last fell by a share of tolerance
    since: int = 0
    state: State | None = None  # the trainer's own, where it could go on from

    _kept: ClassVar = ("seconds", "iteration", "evaluations", "started", "reference", "since")

    def saved(self) -> State:
        """All of this but the limits themselves, which the run's trainer has."""
        counts = {name: getattr(self, name) for name in self._kept}
        return {"trainer": self.limits.name, "fresh": self.state is None, **counts}

    def load(self, saved: object, state: State, now: "Monitor") -> None:
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


_Row = tuple[int, int, float, float, float, int]  # the stage by its number
_KEPT = 20_000


class History:
    """A row an iteration; past 20,000 only every second, every fourth..., so that memory has a bound.

    The newest row and the one with the lowest loss are always there. A stage is the trainer at work, which
    hybrid has several of.
    """

    columns = ("iteration", "evaluations", "seconds", "loss", "validation_loss", "stage")

    def __init__(self) -> None:
        self._stages: list[str] = []
        self._rows: list[_Row] = []
        self._kept: list[_Row] = []  # the newest and the best
        self._stride = 1

    def add(
        self, iteration: int, evaluations: int, seconds: float, loss: float, validation: float, stage: str
    ) -> None:
        """Note an iteration."""
        if stage not in self._stages:
            self._stages.append(stage)
        row = (iteration, evaluations, seconds, loss, validation, self._stages.index(stage))
        best = self._kept[-1] if self._kept and not row[3] < self._kept[-1][3] else row
        self._kept = [row, best]
        if (row[0] - 1) % self._stride == 0:
            self._rows.append(row)
        if len(self._rows) > _KEPT:
            self._stride *= 2
            self._rows = self._rows[::2]

    def saved(self) -> State:
        """What `load` takes."""
        rows = {"rows": self._rows, "kept": np.array(self._kept), "stride": self._stride}
        return rows | {"stages": tuple(self._stages)}

    def load(self, saved: State) -> None:
        """Go on from what was `saved`, as it was read.

        Raises:
            DamagedState: no history can have given it.
        """
        self._stride = whole(saved, "stride", 1)
        self._stages = matching(saved, {"stages": []})["stages"]
        if not all(isinstance(name, str) for name in self._stages):
            raise DamagedState("the stages' names must be text")
        self._rows, self._kept = (_rows(saved, name, len(self._stages)) for name in ("rows", "kept"))

    def arrays(self) -> dict[str, Array]:
        """The columns."""
        rows = {row[0]: row for row in self._rows + self._kept}
        columns: list[Sequence[Any]] = [*zip(*(rows[iteration] for iteration in sorted(rows)), strict=True)]
        columns = columns or [() for _ in self.columns]
        columns[-1] = [self._stages[stage] for stage in columns[-1]]
        return {name: np.array(column) for name, column in zip(self.columns, columns, strict=True)}


def _rows(saved: State, name: str, stages: int) -> list[_Row]:
    """Those that were read, of so many stages."""
    shape = (0,) if is_empty(saved, name) else (None, len(History.columns))
    rows = array(saved, name, shape, finite=False)
    whole_numbers = rows[:, [0, 1, -1]] if len(rows) else rows
    if not ((whole_numbers >= 0) & (whole_numbers == np.floor(whole_numbers))).all():
        raise DamagedState(f"{name} must count from 0 in whole numbers")
    if len(rows) and not (rows[:, -1] < stages).all():
        raise DamagedState("an iteration belongs to no stage")
    return [(int(i), int(n), *rest, int(stage)) for i, n, *rest, stage in rows.tolist()]


@dataclass
class Monitor:
    """Keeps the best weights and the history, and says when to stop."""

    callback: Callback | None = None
    validate: Sequence[Validate] = ()  # an objective each
    file: Checkpoint | None = None
    rng: np.random.Generator | None = None  # goes into the file too
    executor: Executor | None = None  # who runs climbs, if not the objective's own threads
    best: Array | None = None
    best_network: int = 0  # the number of its objective
    best_loss: float = np.inf
    posterior: Posterior | None = None  # of the best, where its trainer has one
    candidates: dict[int, tuple[int, float | None]] = field(default_factory=dict)  # see TrainResult
    status: str = ""
    iteration: int = 0
    evaluations: int = 0
    history: History = field(default_factory=History)
    _stages: list[_Stage] = field(default_factory=list)
    _ended_by: _Stage | None = None
    _ended_as: str = ""
    _origin: float = field(default_factory=time.perf_counter)
    _paused: float = 0.0
    _to_resume: list[tuple[State, State]] = field(default_factory=list)
    _rng_then: dict[str, Any] | None = None

    @property
    def seconds(self) -> float:
        """Seconds of training so far; time spent on validation does not count."""
        return time.perf_counter() - self._origin - self._paused

    @contextmanager
    def limits(
        self,
        trainer: Trainer,
        seconds: float | None = None,
        span: tuple[float, float] = (0.0, 1.0),
        network: int = 0,
    ) -> Iterator[None]:
        """Stop by that trainer's limits, counted from here; by `seconds` too, if that is less.

        Limits nest: what ends by the inner ones goes on by the outer ones. `span` says which part of the
        whole training this is, for those who watch; `network` is the number of the objective at work.
        """
        allowed = [s for s in (trainer.seconds, seconds) if s is not None]
        self.status = ""
        allowance = min(allowed) if allowed else None
        stage = _Stage(trainer, allowance, span, network, self.iteration, self.evaluations, self.seconds)
        if self._to_resume:
            stage.load(*self._to_resume.pop(0), self)
        self._stages.append(stage)
        try:
            yield
        finally:
            self._stages.pop()
            self._ended_as = self.status or self._ended_as
            if self._ended_by is stage:
                self.status, self._ended_by = "", None

    @property
    def ended_as(self) -> str:
        """Why training ended, once it has."""
        return self.status or self._ended_as or "converged"

    @property
    def seconds_left(self) -> float | None:
        """Until the time limit in force; None when there is none."""
        left = [s.started + s.seconds - self.seconds for s in self._stages if s.seconds is not None]
        return max(0.0, min(left)) if left else None

    @property
    def fraction(self) -> float:
        """How much of the innermost limits' budget is used up, from 0 to 1."""
        stage = self._stages[-1]
        used = [0.0]
        if stage.limits.iterations is not None:
            used.append((self.iteration - stage.iteration) / stage.limits.iterations)
        if stage.limits.evaluations is not None:
            used.append((self.evaluations - stage.evaluations) / stage.limits.evaluations)
        if stage.seconds is not None:
            used.append((self.seconds - stage.started) / max(stage.seconds, 1e-9))
        return min(1.0, max(used))

    def _overall(self) -> float:
        """How much of the whole training is done, as far as that can be told."""
        first, last = self._stages[-1].span
        return first + (last - first) * self.fraction

    def iterations_left(self, seconds: float, evaluations: float) -> float | None:
        """How many more iterations the limits in force allow, each taking so much; None for no end."""
        left = [] if self.seconds_left is None else [self.seconds_left / max(seconds, 1e-9)]
        for stage in self._stages:
            limits = stage.limits
            if limits.iterations is not None:
                left.append(limits.iterations - (self.iteration - stage.iteration))
            if limits.evaluations is not None:
                left.append((limits.evaluations - (self.evaluations - stage.evaluations)) / evaluations)
        return min(left) if left else None

    def begin(self, loss: float, theta: Array) -> None:
        """Keep the start, which is no iteration, where the first one may end anywhere."""
        self.evaluations += 1
        if self.best is None and np.isfinite(loss):
            self._keep(loss, theta, self._stages[-1].network)

    def _keep(self, loss: float, theta: Array, network: int) -> None:
        self.best_loss, self.best, self.best_network = loss, np.array(theta, dtype=np.float64), network

    def record(
        self,
        loss: float,
        theta: Array,
        evaluations: int,
        keep: Posterior | None = None,
        network: int | None = None,
    ) -> bool:
        """Note an iteration's loss, weights and number of evaluations; False when it is time to stop.

        The weights with the lowest loss are the result, or those that come with a posterior to `keep`. They
        belong to the objective at work, if no other `network` is named.
        """
        interrupts.insist()
        network = self._stages[-1].network if network is None else network
        self.iteration += 1
        self.evaluations += evaluations
        loss = float(loss)
        if keep or loss < self.best_loss or (self.best is None and np.isfinite(loss)):
            self._keep(loss, theta, network)
            self.posterior = keep
        validation = self._validation(network, theta)
        at_work = self._stages[-1].limits.name
        self.history.add(self.iteration, self.evaluations, self.seconds, loss, validation, at_work)
        if self._wants_out(loss, validation):
            self.status = "callback"
        for stage in self._stages:
            if not self.status and (reached := self._reached(stage, loss)):
                self.status, self._ended_by = reached, stage
        return not self.status

    def finish(self, status: str) -> None:
        """Note that the trainer ended of its own accord."""
        if not self.status:
            self.status, self._ended_by = status, self._stages[-1]

    @property
    def keeps(self) -> bool:
        """Whether there is a checkpoint to be kept, for a trainer to which its state is a burden."""
        return self.file is not None

    def checkpoint(self, state: Callable[[], State]) -> None:
        """Between two iterations: `state` gives what this trainer would need to go on from here.

        Its items are arrays, which are copied; lists to which the trainer only ever adds numbers or arrays of
        one shape, which come back as one array; and whatever JSON has. The random generator's state is
        saved with them, and so is what the trainers around this one gave last. Without a checkpoint
        to keep, `state` is not called.

        A trainer that runs others in stages (see `limits`) calls it before each stage, unless the first
        stage is the first that it does; when it goes on it opens the same stage again.
        """
        if self.file is None or self.status or self._to_resume:  # the last: on the way to where it was
            return
        self._rng_then = None
        self._stages[-1].state = frozen(state())
        if self.file.is_due():
            self.file.hold(self._saved(""))

    def resume(self) -> State | None:
        """What this trainer last gave to `checkpoint` in the run to go on with; None to begin.

        The random generator stands where it stood then.
        """
        state = self._stages[-1].state
        if state is None:
            return None
        if self.rng is not None and self._rng_then is not None:
            self.rng.bit_generator.state = self._rng_then
        return deepcopy(state)  # what an outer trainer gave goes into every checkpoint of its stages as well

    def _saved(self, ended: str) -> State:
        """All that this and the trainers need to go on, or, once ended, to say how."""
        state = {
            "run/ended": ended,
            "run/iteration": self.iteration,
            "run/evaluations": self.evaluations,
            "run/seconds": self.seconds,
            "run/best": self.best,
            "run/best_network": self.best_network,
            "run/candidates": [[network, *found] for network, found in self.candidates.items()],
            "run/best_loss": self.best_loss,
            "run/ended_as": self._ended_as,
            "run/stages": [stage.saved() for stage in self._stages],
            "run/rng": None if self.rng is None else self.rng.bit_generator.state,
        }
        if self.posterior is not None:
            state |= _prefixed("posterior", self.posterior.saved())
        state |= frozen(_prefixed("history", self.history.saved()))
        for depth, stage in enumerate(self._stages):
            state |= _prefixed(f"stage {depth}", stage.state or {})
        return state

    def load(self, saved: State, objective: Trainable) -> bool:
        """Go on from what the checkpoint holds; False if training had ended.

        Raises:
            DamagedState: training with this objective cannot have given it.
        """
        like: State = {"best_loss": 0.0, "seconds": 0.0, "ended": "", "ended_as": "", "stages": []}
        own = matching(_of("run", saved), like | {"candidates": []}, finite=("seconds",))
        self.iteration, self.evaluations = whole(saved, "run/iteration"), whole(saved, "run/evaluations")
        self.candidates = {}
        for candidate in own["candidates"]:
            network, climbs, best = _candidate(candidate, len(objective.candidates))
            self.candidates[network] = climbs, best
        if saved.get("run/best") is not None or own["ended"]:
            self.best_network = whole(saved, "run/best_network", 0, len(objective.candidates) - 1)
            size = objective.candidates[self.best_network].size
            self.best, self.best_loss = array(saved, "run/best", (size,)), own["best_loss"]
            if posterior := _of("posterior", saved):
                self.posterior = Posterior.restored(posterior, objective, size)
        if own["seconds"] < 0.0 or not {own["ended"], own["ended_as"]} <= {"", *STATUS}:
            raise DamagedState("training cannot have ended so")
        self._origin -= own["seconds"]
        self._ended_as, self._rng_then = own["ended"] or own["ended_as"], self._generator(saved)
        self.history.load(_of("history", saved))
        self._to_resume = [(stage, _of(f"stage {depth}", saved)) for depth, stage in enumerate(own["stages"])]
        return not own["ended"]

    def _generator(self, saved: State) -> Any:
        """The random generator's state that was read."""
        state: Any = saved.get("run/rng")
        if self.rng is not None:
            try:
                deepcopy(self.rng.bit_generator).state = state
            except Exception as error:  # each generator has its own kinds
                raise DamagedState("the random generator's state is none") from error
        return state

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Leave a checkpoint however training ends; one that goes on from there if it was stopped."""
        if self.file is None:
            yield
            return
        try:
            yield
            if self.status != "callback" and self.best is not None:
                self.file.hold(self._saved(self.ended_as))
        finally:
            self.file.write()

    def enter(self, candidates: Sequence[tuple[int, float]], begun: bool = False) -> None:
        """Note to what log evidence climbs came, by their objectives' numbers; or that they have begun."""
        for network, log_evidence in candidates:
            climbs, best = self.candidates.get(network, (0, None))
            if not begun and np.isfinite(log_evidence):
                best = log_evidence if best is None else max(best, log_evidence)
            self.candidates[network] = climbs + begun, best

    def _validation(self, network: int, theta: Array) -> float:
        if not self.validate:
            return np.nan
        began = time.perf_counter()
        value = self.validate[network](theta)
        self._paused += time.perf_counter() - began
        return value

    def _wants_out(self, loss: float, validation: float) -> bool:
        if self.callback is None:
            return False
        progress = Progress(
            self.iteration,
            self.evaluations,
            self.seconds,
            loss,
            validation,
            self.best_loss,
            self._overall(),
        )
        answer = self.callback(progress)
        return isinstance(answer, bool | np.bool_) and bool(answer)

    def _reached(self, stage: _Stage, loss: float) -> str:
        limits = stage.limits
        if not np.isfinite(loss) or (limits.descends and loss > 1e6 * max(self.best_loss, 1.0)):
            return "diverged"
        if limits.target_loss is not None and self.best_loss <= limits.target_loss:
            return "target_loss"
        if self.best_loss < stage.reference * (1.0 - limits.tolerance):
            stage.reference, stage.since = self.best_loss, self.iteration
        elif self.iteration - max(stage.since, stage.iteration) >= limits.patience:
            return "tolerance"
        if limits.iterations is not None and self.iteration - stage.iteration >= limits.iterations:
            return "iterations"
        spent = self.evaluations - stage.evaluations
        if limits.evaluations is not None and spent >= limits.evaluations:
            return "evaluations"
        if stage.seconds is not None and self.seconds - stage.started >= stage.seconds:
            return "seconds"
        return ""


def _candidate(state: Any, networks: int) -> tuple[int, int, float | None]:
    """An item of `Monitor.candidates` that was read.

    Raises:
        DamagedState: no training can have given it.
    """
    if not isinstance(state, list) or len(state) != 3:
        raise DamagedState("a candidate must be three numbers")
    named = dict(zip(("network", "climbs", "best"), state, strict=True))
    best = None if named["best"] is None else matching(named, {"best": 0.0})["best"]
    return whole(named, "network", 0, networks - 1), whole(named, "climbs"), best


def _prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}/{name}": value for name, value in state.items()}


def _of(prefix: str, saved: State) -> State:
    return {
        name.removeprefix(f"{prefix}/"): value
        for name, value in saved.items()
        if name.startswith(f"{prefix}/")
    }


def _train(
    trainer: Trainer,
    objective: Trainable,
    start: Array | None,
    rng: np.random.Generator,
    monitor: Monitor,
) -> None:
    with one_blas_thread(), far_out(), monitor.saving(), monitor.limits(trainer):
        trainer.train(objective, start, rng, monitor)
        interrupts.hold()


def run(
    trainer: Trainer,
    objective: Trainable,
    rng: np.random.Generator,
    *,
    start: Array | None = None,
    callback: Callback | None = None,
    validate: Validate | Sequence[Validate] = (),
    checkpoint: Checkpoint | None = None,
    executor: Executor | None = None,
) -> TrainResult:
    """Train; Ctrl-C ends training with the best weights so far.

    Args:
        trainer: what trains, with its limits.
        objective: what is minimised.
        rng: every random number comes from it.
        start: theta (p,) to start from; random weights by default.
        callback: called with a `Progress` every iteration; it ends training by returning True.
        validate: loss of theta on rows held out, for the history; a sequence of them where there are several
            objectives to choose from.
        checkpoint: where the state is kept, and where training goes on from if it holds one.
        executor: who runs climbs; by default the threads of the objective.

    Raises:
        SwarmnetError: no finite loss was found, or a checkpoint that is damaged, not of this run, or in use.
    """
    with nullcontext() if checkpoint is None else checkpoint.held():
        saved = None if checkpoint is None else checkpoint.read()
        trainer.prepare()
        monitor = Monitor(callback, [validate] if callable(validate) else validate, checkpoint, rng, executor)
        start = None if start is None else np.asarray(start, dtype=np.float64)
        try:
            if saved is None or monitor.load(saved, objective):
                _train(trainer, objective, start, rng, monitor)
        except DamagedState as error:
            assert checkpoint is not None
            raise damaged(checkpoint.path) from error
        except KeyboardInterrupt:
            if monitor.best is None:
                raise
            monitor.status = "interrupted"
    if monitor.best is None:
        raise SwarmnetError(
            "the loss was infinite or not a number from the start: "
            "scale the data, or choose another activation"
        )
    return TrainResult(
        monitor.best,
        monitor.best_network,
        monitor.best_loss,
        monitor.ended_as,
        monitor.history.arrays(),
        monitor.evaluations,
        monitor.seconds,
        monitor.posterior,
        monitor.candidates,
    )
