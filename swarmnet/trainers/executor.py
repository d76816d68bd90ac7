"""Who runs the climbs of a race: threads of this process, or replicas of the objective elsewhere."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from swarmnet.floating_point import far_out
from swarmnet.threads import Crew, one_blas_thread
from swarmnet.trainers.checkpoint import State
from swarmnet.trainers.climb import Climb, is_cheap
from swarmnet.trainers.protocols import Trainable

T = TypeVar("T")
R = TypeVar("R")

_CALL = 0.5  # seconds that a call may take before no more iterations are asked for at a time
_MOST = 64  # iterations that are asked for at a time
_CAUTION = 8  # calls of one iteration each after some were wasted


class Threads:
    """So many threads of this process: one climb has all of them, several have one each.

    Climbs with cheap iterations have one together: between their short kernels they hold Python's lock, and
    handing it over takes longer than another thread gains (twice as long, as measured on two cores).
    """

    ahead = 0

    def __init__(self, threads: int | None = None) -> None:
        self._crew = Crew(threads)

    def advance(self, climbs: Sequence[Climb], seconds_left: float | None = None) -> None:
        """One iteration of each."""
        if len(climbs) == 1:
            climbs[0].advance(alone=False)
            return
        shares, cheap = list[list[Climb]](), list[Climb]()
        for climb in climbs:
            if is_cheap(climb.objective):
                cheap.append(climb)
            else:
                shares.append([climb])
        shares.append(cheap)

        def work(worker: int, task: int) -> None:
            with far_out():  # each thread has a state of its own
                for climb in shares[task]:
                    climb.advance()

        self._crew.run(len(shares), work)


class Replicas(Protocol):
    """The same objectives in other processes, which work at the same time."""

    def map(self, work: Callable[[Any, T], R], items: Sequence[tuple[int, T]]) -> list[R]:
        """work(objective, item) of each (number, item), with the objective of that number."""


class OnReplicas:
    """Replicas of the objectives, each of which takes a climb some iterations further in one call.

    The states between come back with it, and the race takes them one by one. Where it has changed a climb's
    cooling meanwhile, what was done with another is thrown away, so that the race is the same to the last
    bit as it would be here.

    Args:
        replicas: of the climbs' objectives.
    """

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._done: dict[Climb, deque[State]] = {}
        self._iterations, self._seconds = 0, 0.0  # of the last call
        self._caution = 0  # calls before more is asked for again

    @property
    def ahead(self) -> int:
        """How many iterations of all climbs are done already, beyond where they stand."""
        return min((len(states) for states in self._done.values()), default=0)

    def advance(self, climbs: Sequence[Climb], seconds_left: float | None = None) -> None:
        """One iteration of each."""
        waiting = [climb for climb in climbs if not self._has_next(climb)]
        if waiting:
            self._ask(waiting, seconds_left)
        self._done = {climb: self._done[climb] for climb in climbs}
        for climb in climbs:
            climb.load(self._done[climb].popleft())

    def _has_next(self, climb: Climb) -> bool:
        states = self._done.get(climb)
        return states is not None and len(states) > 0 and states[0]["cooling"] == climb.cooling

    def _ask(self, climbs: Sequence[Climb], seconds_left: float | None) -> None:
        """Have each taken further: by more than last time, as long as calls are short and none is wasted."""
        each = self._seconds / max(1, self._iterations)
        if any(self._done.get(climb) for climb in climbs):
            self._iterations, self._caution = 1, _CAUTION
        elif self._caution:
            self._caution -= 1
        elif self._seconds < _CALL:
            self._iterations = min(max(1, 2 * self._iterations), _MOST)
        elif self._seconds > 2.0 * _CALL:
            self._iterations = max(1, self._iterations // 2)
        if seconds_left is not None and self._iterations * each > seconds_left:
            self._iterations = max(1, int(seconds_left / each))
        began = time.perf_counter()
        asked = [(climb.objective.number, (climb.state(), self._iterations)) for climb in climbs]
        for climb, states in zip(climbs, self._replicas.map(_advanced, asked), strict=True):
            self._done[climb] = deque(states)
        self._seconds = time.perf_counter() - began


def _advanced(objective: Trainable, asked: tuple[State, int]) -> list[State]:
    """The states of a climb after each of so many iterations, or fewer if it is done."""
    state, iterations = asked
    climb, states = Climb.restored(objective, state), list[State]()
    with one_blas_thread(), far_out():
        while len(states) < iterations and not climb.done:
            climb.advance()
            states.append(climb.state())
    return states
