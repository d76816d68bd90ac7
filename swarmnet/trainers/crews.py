"""Who advances the climbs of a race: the threads of this process, or copies of the objective in others."""

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from swarmnet.checkpoint import State
from swarmnet.floats import far_out
from swarmnet.threads import Copies, CopiesLost, Crew, one_blas_thread
from swarmnet.trainers.base import ObjectiveLike
from swarmnet.trainers.second_order import Climb

_CALL = 0.5  # seconds that a call may take before no more iterations are asked for at a time
_MOST = 64  # iterations that are asked for at a time
_CAUTION = 8  # calls of one iteration each after some were wasted


class Climbers(Protocol):
    """Those who advance climbs."""

    @property
    def ahead(self) -> int:
        """How many iterations of all the climbs last advanced are done already, beyond where they stand."""

    def advance(self, climbs: Sequence[Climb], seconds_left: float | None = None) -> None:
        """One iteration of each; what is done beyond that should take no longer than there is time left."""


def crew_for(objective: ObjectiveLike) -> Climbers:
    """Those who advance climbs of this objective and its rungs."""
    here = Here(objective.threads)
    return here if objective.copies is None else Elsewhere(objective.copies, here)


class Here:
    """So many threads: one climb has all of them, several have one each.

    Climbs with cheap iterations take turns on the caller's: their NumPy calls are so short that handing
    Python's lock over takes longer than a second thread gains (1.7 times as long, as measured on two cores).
    For them there are `processes`.
    """

    ahead = 0

    def __init__(self, threads: int) -> None:
        self.threads, self._crew = threads, Crew(threads)

    def advance(self, climbs: Sequence[Climb], seconds_left: float | None = None) -> None:
        """One iteration of each."""
        if len(climbs) == 1:
            climbs[0].advance(alone=False)
            return

        def work(worker: int, task: int) -> None:
            with far_out():  # each thread has a state of its own
                climbs[task].advance()

        self._crew.run(len(climbs), work)


class Elsewhere:
    """Copies of the objective, each of which takes a climb some iterations further in one call.

    The states between come back with it, and the race takes them one by one. Where it has changed a climb's
    cooling meanwhile, what was done with another is thrown away, so that the race is the same to the last
    bit as it would be here. A last climb has all threads here, if there are several.

    Args:
        copies: of the climbs' objectives.
        here: who advances a single climb, and all of them until the copies are ready.
    """

    def __init__(self, copies: Copies, here: Here) -> None:
        self._copies, self._here = copies, here
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
        if (len(climbs) == 1 and self._here.threads > 1) or not self._can_go_on(waiting, seconds_left):
            self._done.clear()
            self._here.advance(climbs)
            return
        self._done = {climb: self._done[climb] for climb in climbs}
        for climb in climbs:
            climb.load(self._done[climb].popleft())

    def _can_go_on(self, waiting: Sequence[Climb], seconds_left: float | None) -> bool:
        """Whether all have states to go on with, after asking for those of the ones that wait."""
        if not waiting:
            return True
        if self._copies.ready:
            with suppress(CopiesLost):
                self._ask(waiting, seconds_left)
                return True
        return False

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
        for climb, states in zip(climbs, self._copies.map(_advanced, asked), strict=True):
            self._done[climb] = deque(states)
        self._seconds = time.perf_counter() - began


def _advanced(objective: ObjectiveLike, asked: tuple[State, int]) -> list[State]:
    """The states of a climb after each of so many iterations, or fewer if it is done."""
    state, iterations = asked
    climb, states = Climb.restored(objective, state), list[State]()
    with one_blas_thread(), far_out():
        while len(states) < iterations and not climb.done:
            climb.advance()
            states.append(climb.state())
    return states
