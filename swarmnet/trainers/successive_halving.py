"""The race of climbs: side by side, the worse half given up from time to time."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from swarmnet.trainers.checkpoint import DamagedState, State, whole
from swarmnet.trainers.climb import COLD, COOLING, Climb, Rival
from swarmnet.trainers.executor import Threads
from swarmnet.trainers.monitor import Monitor

ALONE = 150  # iterations after which the best of all climbs goes on alone
_MOST_COOLING = 3.0  # where the budget is short


def race(
    climbs: list[Climb],
    monitor: Monitor,
    halvings: Sequence[float] = (),
    rivals: Sequence[Rival] = (),
    end: float = math.inf,
    alone: float = math.inf,
) -> tuple[list[Climb], list[Rival]]:
    """Let all climb side by side, an iteration each, until the monitor says stop or none gets any further.

    Who takes which climb, and how far ahead, changes nothing. Each time the clock passes one of `halvings`,
    only the half with the larger merit goes on, of those that began with the same noise; past `alone` only
    the best of all does, and past `end` none. Returns those that were left, the best first, and where the
    others came to, the last given up first, with the rivals, which climbed before; in the best one's
    posterior they stand by it.
    """
    rivals = list(rivals)
    if (saved := monitor.resume()) is not None:
        climbs, rivals = _resumed(climbs, rivals, saved)
    else:
        monitor.found.enter([_entry(climb) for climb in climbs if climb.iteration == 0], begun=True)
    executor = monitor.executor or Threads(climbs[0].objective.threads)
    began, rounds = monitor.budget.seconds, 0
    while going := [climb for climb in climbs if not climb.done]:
        monitor.checkpoint(partial(_state, climbs, rivals))
        spent, clock = -_evaluations(climbs), max(climb.clock for climb in going)
        executor.advance(going, monitor.budget.seconds_left)
        spent += _evaluations(climbs)
        leader = max(climbs, key=lambda climb: climb.merit)
        posterior = None
        if leader.done or leader.clock >= COLD or leader.loss <= monitor.found.loss:
            posterior = leader.posterior(climbs, rivals)
        monitor.found.enter([_entry(climb) for climb in going])
        if not monitor.record(leader.loss, leader.theta, spent, posterior, leader.objective.number):
            break
        now = max(climb.clock for climb in going)
        if now >= end:
            break
        if any(clock < at <= now for at in (*halvings, alone)):
            kept = _ranked(climbs)[:1] if now >= alone else _better_halves(climbs)
            rivals[:0] = [climb.rival for climb in _ranked(climbs) if climb not in kept]
            climbs = kept
        rounds += 1
        if executor.ahead and monitor.budget.seconds_left is not None:
            continue  # the clock is not exact enough to throw away what is done
        _hurry(going, monitor, (monitor.budget.seconds - began) / rounds)
    else:
        monitor.finish("converged")
    return _ranked(climbs), rivals


def _entry(climb: Climb) -> tuple[int, float]:
    return climb.objective.number, climb.log_evidence


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


def _state(climbs: Sequence[Climb], rivals: Sequence[Rival]) -> State:
    """All climbs' and rivals', their fields numbered."""
    parts = [climb.state() | {"network": climb.objective.number} for climb in climbs]
    parts += [asdict(rival) for rival in rivals]
    numbered = {f"{n}/{name}": x for n, part in enumerate(parts) for name, x in part.items()}
    return {"climbs": len(climbs), "rivals": len(rivals)} | numbered


def _resumed(
    climbs: Sequence[Climb], rivals: Sequence[Rival], saved: State
) -> tuple[list[Climb], list[Rival]]:
    """Those that were still climbing, where they were, and those that were no more.

    Raises:
        DamagedState: none of these climbs and rivals can have given it.
    """

    def part(number: int) -> State:
        own = f"{number}/"
        return {name.removeprefix(own): x for name, x in saved.items() if name.startswith(own)}

    going: list[Climb] = []
    for number in range(whole(saved, "climbs", 1, len(climbs))):
        state = part(number)
        network = whole(state, "network")
        climb = next((c for c in climbs if c.objective.number == network and c not in going), None)
        if climb is None:
            raise DamagedState("a climb is that of no network")
        climb.load(Climb.checked(climb.objective, state))
        going.append(climb)
    sizes = {climb.objective.number: climb.objective.size for climb in climbs}
    sizes |= {rival.network: len(rival.theta) for rival in rivals}
    count = whole(saved, "rivals", 0, len(climbs) + len(rivals))
    return going, [Rival.checked(part(saved["climbs"] + number), sizes) for number in range(count)]


def _hurry(climbs: list[Climb], monitor: Monitor, seconds: float) -> None:
    """Cool faster where the budget would end before the noise is low; an iteration takes `seconds`."""
    newest = min(climbs, key=lambda climb: climb.iteration)
    each = _evaluations(climbs) / sum(climb.iteration for climb in climbs)
    left = monitor.budget.iterations_left(seconds, each * len(climbs))
    if left is None:
        return
    wanted = max(COLD - newest.clock, 0.0)
    cooling = min(_MOST_COOLING, COOLING ** max(1.0, wanted / max(0.7 * left, 1.0)))
    for climb in climbs:
        climb.cooling = cooling
