"""Executors of Levenberg-Marquardt runs: threads of this process, or replicas of the objective elsewhere."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from swarmnet.floating_point import far_out
from swarmnet.threads import ThreadTeam, one_blas_thread
from swarmnet.trainers.checkpoint import State
from swarmnet.trainers.lm_run import LMRun, is_cheap
from swarmnet.trainers.protocols import Trainable

T = TypeVar("T")
R = TypeVar("R")


class Threads:
    """An executor on threads of this process: a single run uses all of them, several use one each.

    Runs with cheap iterations share one thread. Between their short kernels they hold the GIL, and handing
    it over costs more than a second thread gains (measured: twice the time on two cores).
    """

    ahead = 0

    def __init__(self, threads: int | None = None) -> None:
        self._team = ThreadTeam(threads)

    def advance(self, runs: Sequence[LMRun], seconds_left: float | None = None) -> None:
        """Do one iteration of each run."""
        if len(runs) == 1:
            runs[0].advance(alone=False)
            return
        shares, cheap = list[list[LMRun]](), list[LMRun]()
        for run in runs:
            if is_cheap(run.objective):
                cheap.append(run)
            else:
                shares.append([run])
        shares.append(cheap)

        def work(worker: int, task: int) -> None:
            with far_out():  # errstate is per thread
                for run in shares[task]:
                    run.advance()

        self._team.run(len(shares), work)


class Replicas(Protocol):
    """Replicas of the objectives in other processes, which work at the same time."""

    def map(self, work: Callable[[Any, T], R], items: Sequence[tuple[int, T]]) -> list[R]:
        """Return work(objective, item) for each (number, item), with the objective of that number."""


class OnReplicas:
    """An executor on replicas of the objectives; one call advances a run by several iterations.

    The call returns the states after each iteration, which are then used one by one. If a run's cooling
    changes meanwhile, states computed with another cooling are discarded. So the result is the same, to the
    last bit, as on threads.

    Args:
        replicas: of the runs' objectives.
        call: seconds of a call below which the next call asks for more iterations; above twice as many it
            asks for fewer.
        most: maximum iterations of a call.
        caution: calls of one iteration each after some results were discarded.
    """

    def __init__(self, replicas: Replicas, call: float = 0.5, most: int = 64, caution: int = 8) -> None:
        self._replicas, self._call, self._most, self._cautious = replicas, call, most, caution
        self._done: dict[LMRun, deque[State]] = {}
        self._iterations, self._seconds = 0, 0.0  # of the last call
        self._caution = 0  # calls before more iterations are asked for again

    @property
    def ahead(self) -> int:
        """Iterations of all runs that are already computed but not yet used."""
        return min((len(states) for states in self._done.values()), default=0)

    def advance(self, runs: Sequence[LMRun], seconds_left: float | None = None) -> None:
        """Do one iteration of each run."""
        waiting = [run for run in runs if not self._has_next(run)]
        if waiting:
            self._ask(waiting, seconds_left)
        self._done = {run: self._done[run] for run in runs}
        for run in runs:
            run.load(self._done[run].popleft())

    def _has_next(self, run: LMRun) -> bool:
        states = self._done.get(run)
        return states is not None and len(states) > 0 and states[0]["cooling"] == run.cooling

    def _ask(self, runs: Sequence[LMRun], seconds_left: float | None) -> None:
        """Advance runs on replicas, by more iterations than before if calls are short and used."""
        each = self._seconds / max(1, self._iterations)
        if any(self._done.get(run) for run in runs):
            self._iterations, self._caution = 1, self._cautious
        elif self._caution:
            self._caution -= 1
        elif self._seconds < self._call:
            self._iterations = min(max(1, 2 * self._iterations), self._most)
        elif self._seconds > 2.0 * self._call:
            self._iterations = max(1, self._iterations // 2)
        if seconds_left is not None and self._iterations * each > seconds_left:
            self._iterations = max(1, int(seconds_left / each))
        began = time.perf_counter()
        asked = [(run.objective.number, (run.state(), self._iterations)) for run in runs]
        for run, states in zip(runs, self._replicas.map(_advanced, asked), strict=True):
            self._done[run] = deque(states)
        self._seconds = time.perf_counter() - began


def _advanced(objective: Trainable, asked: tuple[State, int]) -> list[State]:
    """Return a run's states after each of so many iterations, or fewer if it ends."""
    state, iterations = asked
    run, states = LMRun.restored(objective, state), list[State]()
    with one_blas_thread(), far_out():
        while len(states) < iterations and not run.done:
            run.advance()
            states.append(run.state())
    return states
