"""Monitor: what a trainer reports to, and what tells it when to stop.

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
    """What trainers report to.

    Args:
        callback: called with a `Progress` every iteration; it ends training by returning True.
        validate: the loss of theta on rows held out, a function for each objective to choose from.
        file: the checkpoint, if there is one.
        rng: the random generator, whose state goes into the checkpoint too.
        executor: who runs climbs, if not the objective's own threads.
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
        """The best weights so far (p,); None before there are any."""
        return self.found.theta

    @property
    def status(self) -> str:
        """Why the trainer at work is to stop, a key of `STATUS`; "" while it may go on."""
        return self.budget.status

    def limits(
        self,
        limits: Limits,
        seconds: float | None = None,
        span: tuple[float, float] = (0.0, 1.0),
        network: int = 0,
    ) -> AbstractContextManager[None]:
        """Stop by those limits, counted from here; by `seconds` too, if that is less.

        Limits nest: what ends by the inner ones goes on by the outer ones. `span` says which part of the
        whole training this is, for those who watch; `network` is the number of the objective at work.
        """
        return self.budget.limits(limits, seconds, span, network)

    def begin(self, loss: float, theta: Array) -> None:
        """Keep the start, which is no iteration, where the first one may end anywhere."""
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
        """Note an iteration's loss, weights and number of evaluations; False when it is time to stop.

        The weights with the lowest loss are the result, or those that come with a posterior to `keep`. They
        belong to the objective at work, if no other `network` is named.
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
        """Note that the trainer ended of its own accord."""
        self.budget.finish(status)

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
        if self.file is None or self.status or self.budget.to_resume:  # the last: on the way to where it was
            return
        self._rng_then = None
        self.budget.innermost.state = frozen(state())
        if self.file.is_due():
            self.file.hold(self._saved(""))

    def resume(self) -> State | None:
        """What this trainer last gave to `checkpoint` in the run to go on with; None to begin.

        The random generator stands where it stood then.
        """
        state = self.budget.innermost.state
        if state is None:
            return None
        if self.rng is not None and self._rng_then is not None:
            self.rng.bit_generator.state = self._rng_then
        return deepcopy(state)  # what an outer trainer gave goes into every checkpoint of its stages as well

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Leave a checkpoint however training ends; one that goes on from there if it was stopped."""
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
        """All that this and the trainers need to go on, or, once ended, to say how."""
        rng = None if self.rng is None else self.rng.bit_generator.state
        state = {"run/ended": ended, "run/rng": rng} | prefixed("run", self.budget.saved())
        state |= self.found.saved() | frozen(prefixed("history", self.history.saved()))
        for depth, stage in enumerate(self.budget.stages):
            state |= prefixed(f"stage {depth}", stage.state or {})
        return state

    def load(self, saved: State, objective: Trainable) -> bool:
        """Go on from what the checkpoint holds; False if training had ended.

        Raises:
            DamagedState: training with this objective cannot have given it.
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
        """The random generator's state that was read."""
        state: Any = saved.get("run/rng")
        if self.rng is not None:
            try:
                deepcopy(self.rng.bit_generator).state = state
            except Exception as error:  # each generator has its own kinds
                raise DamagedState("the random generator's state is none") from error
        return state

    def _validation(self, network: int, theta: Array) -> float:
        if not self.validate:
            return np.nan
        with self.budget.not_counted():
            return self.validate[network](theta)

    def _wants_out(self, loss: float, validation: float) -> bool:
        if self.callback is None:
            return False
        budget = self.budget
        counts = budget.iteration, budget.evaluations, budget.seconds
        answer = self.callback(Progress(*counts, loss, validation, self.found.loss, budget.overall))
        return isinstance(answer, bool | np.bool_) and bool(answer)
