"""Monitor: trainers report to it, and it decides when they stop.

Its parts are the budget, the best weights so far, the history and the checkpoint.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from swarmnet import interrupts
from swarmnet.trainers.best import Best
from swarmnet.trainers.budget import Budget
from swarmnet.trainers.checkpoint import Checkpoint, DamagedState, State, frozen, matching, prefixed, under
from swarmnet.trainers.history import History
from swarmnet.trainers.limits import Limits
from swarmnet.trainers.protocols import Executor, Trainable
from swarmnet.trainers.result import Array, Callback, Posterior, Progress, Validate


@dataclass
class Monitor:
    """The object to which trainers report.

    Args:
        callback: called with a `Progress` at every iteration; it stops training by returning True.
        validate: the loss of theta on held-out rows, a function for each candidate objective.
        file: the checkpoint, if there is one.
        rng: the random generator, whose state is also saved in the checkpoint.
        executor: does the Levenberg-Marquardt runs; by default the objective's own threads.
    """

    callback: Callback | None = None
    validate: Sequence[Validate] = ()
    file: Checkpoint | None = None
    rng: np.random.Generator | None = None
    executor: Executor | None = None
    budget: Budget = field(default_factory=Budget)
    found: Best = field(default_factory=Best)
    history: History = field(default_factory=History)
    _rng_then: dict[str, Any] | None = None

    @property
    def best(self) -> Array | None:
        """The best weights so far (p,); None at first."""
        return self.found.theta

    @property
    def status(self) -> str:
        """Why the running trainer must stop, a key of `STATUS`; "" while it may continue."""
        return self.budget.status

    def limits(
        self,
        limits: Limits,
        seconds: float | None = None,
        span: tuple[float, float] = (0.0, 1.0),
        network: int = 0,
    ) -> AbstractContextManager[None]:
        """Apply limits, counted from here, inside the `with` block; and `seconds`, if that is less.

        Limits nest: when an inner limit ends a stage, training continues within the outer limits. `span` is
        the part of the whole training that this is, for progress displays; `network` is the objective's
        number.
        """
        return self.budget.limits(limits, seconds, span, network)

    def begin(self, loss: float, theta: Array) -> None:
        """Store the start, which is not an iteration, if the first iteration may end at a higher loss."""
        self.budget.evaluations += 1
        if np.isfinite(loss):
            self.budget.innermost.see(float(loss))
        self.found.begin(loss, theta, self.budget.innermost.network)

    def record(
        self,
        loss: float,
        theta: Array,
        evaluations: int,
        keep: Posterior | None = None,
        network: int | None = None,
    ) -> bool:
        """Record an iteration's loss, weights and number of evaluations; return False to stop.

        The result is the weights with the lowest loss, or those given with a posterior in `keep`. They belong
        to the objective of the running stage, unless `network` names another.
        """
        interrupts.insist()
        budget, loss = self.budget, float(loss)
        network = budget.innermost.network if network is None else network
        budget.iteration += 1
        budget.evaluations += evaluations
        self.found.offer(loss, theta, network, keep)
        validation = self._validation(network, theta)
        at_work = budget.innermost.limits.name
        self.history.add(budget.iteration, budget.evaluations, budget.seconds, loss, validation, at_work)
        if self._wants_out(loss, validation):
            budget.status = "callback"
        budget.check(loss, self.found.loss)
        return not budget.status

    def finish(self, status: str) -> None:
        """Record that the trainer ended by its own rule."""
        self.budget.finish(status)

    @property
    def keeps(self) -> bool:
        """Whether there is a checkpoint, for trainers whose state is expensive to record."""
        return self.file is not None

    def checkpoint(self, state: Callable[[], State]) -> None:
        """Call between two iterations: `state` returns what this trainer needs to continue from here.

        The state may hold arrays, which are copied; lists to which the trainer only appends numbers or arrays
        of one shape, which are read back as one array; and values that JSON can hold. The random generator's
        state and the last states of the outer trainers are saved with it. Without a checkpoint, `state` is
        not called.

        A trainer that runs others in stages (see `limits`) calls this before each stage, unless its first
        action is the first stage. When it resumes, it opens the same stage again.
        """
        if self.file is None or self.status or self.budget.to_resume:  # the last: stages are being restored
            return
        self._rng_then = None
        self.budget.innermost.state = frozen(state())
        if self.file.is_due():
            self.file.hold(self._saved(""))

    def resume(self) -> State | None:
        """Return this trainer's last `checkpoint` state in the run to continue; None for a new run.

        The random generator is set to its state at that time.
        """
        state = self.budget.innermost.state
        if state is None:
            return None
        if self.rng is not None and self._rng_then is not None:
            self.rng.bit_generator.state = self._rng_then
        return deepcopy(state)  # an outer trainer's state is also saved with every stage

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Write a checkpoint however training ends; if it was stopped, training can continue from it."""
        if self.file is None:
            yield
            return
        try:
            yield
            if self.status != "callback" and self.best is not None:
                self.file.hold(self._saved(self.budget.ended_as))
        finally:
            self.file.write()

    def _saved(self, ended: str) -> State:
        """Return everything that is needed to continue or, once ended, to report the result."""
        rng = None if self.rng is None else self.rng.bit_generator.state
        state = {"run/ended": ended, "run/rng": rng} | prefixed("run", self.budget.saved())
        state |= self.found.saved() | frozen(prefixed("history", self.history.saved()))
        for depth, stage in enumerate(self.budget.stages):
            state |= prefixed(f"stage {depth}", stage.state or {})
        return state

    def load(self, saved: State, objective: Trainable) -> bool:
        """Restore the state in the checkpoint; return False if training had ended.

        Raises:
            DamagedState: it cannot come from training with this objective.
        """
        own = matching(under("run", saved), {"ended": "", "stages": []})
        self.found.load(saved, objective, bool(own["ended"]))
        self.budget.load(under("run", saved), own["ended"])
        self._rng_then = self._generator(saved)
        self.history.load(under("history", saved))
        states = [under(f"stage {depth}", saved) for depth in range(len(own["stages"]))]
        self.budget.to_resume = list(zip(own["stages"], states, strict=True))
        return not own["ended"]

    def _generator(self, saved: State) -> Any:
        """Check and return the saved state of the random generator."""
        state: Any = saved.get("run/rng")
        if self.rng is not None:
            try:
                deepcopy(self.rng.bit_generator).state = state
            except Exception as error:  # each generator raises its own types
                raise DamagedState("the random generator's state is none") from error
        return state

    def _validation(self, network: int, theta: Array) -> float:
        if not self.validate:
            return np.nan
        with self.budget.not_counted():
            return float(self.validate[network](theta))

    def _wants_out(self, loss: float, validation: float) -> bool:
        if self.callback is None:
            return False
        budget = self.budget
        counts = budget.iteration, budget.evaluations, budget.seconds
        answer = self.callback(Progress(*counts, loss, validation, self.found.loss, budget.overall))
        return isinstance(answer, bool | np.bool_) and bool(answer)
