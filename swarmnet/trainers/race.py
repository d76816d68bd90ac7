"""The race of climbs: side by side, the worse half given up from time to time."""

from collections.abc import Sequence
from functools import partial

from swarmnet.checkpoint import DamagedState, State, array, whole
from swarmnet.trainers.base import Monitor
from swarmnet.trainers.crews import crew_for
from swarmnet.trainers.second_order import COLD, COOLING, Climb, Rival

_MOST_COOLING = 3.0  # where the budget is short


def race(
    climbs: list[Climb], monitor: Monitor, halvings: Sequence[int] = (), rivals: Sequence[Rival] = ()
) -> list[Climb]:
    """Let all climb side by side, an iteration each, until the monitor says stop or none gets any further.

    Who takes which climb, and how far ahead, changes nothing. Each time the clock passes one of `halvings`,
    only the half with the larger merit goes on, of those that began with the same noise; the last time
    ends it. Returns those that were left, the best first; the others stand by it in its posterior, with the
    rivals, which climbed before.
    """
    if (saved := monitor.resume()) is not None:
        climbs = _resumed(climbs, saved)
    crew = crew_for(climbs[0].objective)
    began, rounds = monitor.seconds, 0
    while going := [climb for climb in climbs if not climb.done]:
        monitor.checkpoint(partial(_state, climbs))
        spent, clock = -_evaluations(climbs), max(climb.clock for climb in going)
        crew.advance(going, monitor.seconds_left)
        spent += _evaluations(climbs)
        leader = max(climbs, key=lambda climb: climb.merit)
        keep = None
        if leader.done or leader.clock >= COLD or leader.loss <= monitor.best_loss:
            keep = leader.posterior(climbs, rivals)
        if not monitor.record(leader.loss, leader.theta, spent, keep):
            return _ranked(climbs)
        now = max(climb.clock for climb in going)
        if halvings and now >= halvings[-1]:
            return _ranked(climbs)
        if any(clock < at <= now for at in halvings):
            climbs = _better_halves(climbs)
        rounds += 1
        if crew.ahead and monitor.seconds_left is not None:
            continue  # the clock is not exact enough to throw away what is done
        _hurry(going, monitor, (monitor.seconds - began) / rounds)
    monitor.finish("converged")
    return _ranked(climbs)


def _ranked(climbs: Sequence[Climb]) -> list[Climb]:
    return sorted(climbs, key=lambda climb: -climb.merit)


def _better_halves(climbs: Sequence[Climb]) -> list[Climb]:
    """Of those that began with the same noise, the half with the larger merit."""
    kept: list[Climb] = []
    for noise in sorted({climb.noise for climb in climbs}):
        same = [climb for climb in climbs if climb.noise == noise]
        kept += _ranked(same)[: (len(same) + 1) // 2]
    return kept


def _evaluations(climbs: Sequence[Climb]) -> int:
    return sum(climb.evaluations for climb in climbs)


def _state(climbs: Sequence[Climb]) -> State:
    """All climbs', their fields numbered."""
    states = enumerate(climb.state() for climb in climbs)
    return {"climbs": len(climbs)} | {f"{n}/{name}": x for n, state in states for name, x in state.items()}


def _resumed(climbs: Sequence[Climb], saved: State) -> list[Climb]:
    """Those that were still climbing, where they were."""
    going = []
    for number in range(whole(saved, "climbs", 1, len(climbs))):
        own = f"{number}/"
        state = {name.removeprefix(own): x for name, x in saved.items() if name.startswith(own)}
        size = len(array(state, "theta", (None,)))
        climb = next((c for c in climbs if len(c.theta) == size and c not in going), None)
        if climb is None:
            raise DamagedState("a climb is that of no network")
        climb.load(Climb.checked(climb.objective, state))
        going.append(climb)
    return going


def _hurry(climbs: list[Climb], monitor: Monitor, seconds: float) -> None:
    """Cool faster where the budget would end before the noise is low; an iteration takes `seconds`."""
    newest = min(climbs, key=lambda climb: climb.iteration)
    each = _evaluations(climbs) / sum(climb.iteration for climb in climbs)
    left = monitor.iterations_left(seconds, each * len(climbs))
    if left is None:
        return
    wanted = max(COLD - newest.clock, 0.0)
    cooling = min(_MOST_COOLING, COOLING ** max(1.0, wanted / max(0.7 * left, 1.0)))
    for climb in climbs:
        climb.cooling = cooling
