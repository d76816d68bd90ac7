"""Successive halving of climbs: they run at the same time, and the worse half is given up at set times."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from swarmnet.trainers.checkpoint import DamagedState, State, whole
from swarmnet.trainers.climb import COLD, COOLING, Climb, Rival
from swarmnet.trainers.executor import Threads
from swarmnet.trainers.monitor import Monitor

ALONE = 150  # iterations after which only the best climb continues
_MOST_COOLING = 3.0  # largest cooling if the budget is short


def race(
    climbs: list[Climb],
    monitor: Monitor,
    halvings: Sequence[float] = (),
    rivals: Sequence[Rival] = (),
    end: float = math.inf,
    alone: float = math.inf,
    cold: float = COLD,
) -> tuple[list[Climb], list[Rival]]:
    """Run all climbs at the same time, an iteration each, until the monitor stops them or all are done.

    The result does not depend on the executor. When the clock passes one of `halvings`, only the half with
    the larger merit continues, among climbs with the same initial noise. After `alone` only the best of all
    continues, and after `end` none. If the budget would end before the clock is at `cold`, the noise falls
    faster; after `cold` the leader is the result even if an earlier leader had a lower loss. Returns the
    remaining climbs, best first, and the results of the others, last given up first, followed by `rivals`
    (results of earlier climbs). All results are part of the best climb's posterior.
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
        if leader.done or leader.clock >= cold or leader.loss <= monitor.found.loss:
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
            continue  # times are too inexact to discard finished iterations
        _cool_faster(going, monitor, (monitor.budget.seconds - began) / rounds, cold)
    else:
        monitor.finish("converged")
    return _ranked(climbs), rivals


def _entry(climb: Climb) -> tuple[int, float]:
    return climb.objective.number, climb.log_evidence


def _ranked(climbs: Sequence[Climb]) -> list[Climb]:
    return sorted(climbs, key=lambda climb: -climb.merit)


def _better_halves(climbs: Sequence[Climb]) -> list[Climb]:
    """Return, among climbs with the same initial noise, the half with the larger merit."""
    kept: list[Climb] = []
    for noise in sorted({climb.noise for climb in climbs}):
        same = [climb for climb in climbs if climb.noise == noise]
        kept += _ranked(same)[: (len(same) + 1) // 2]
    return kept


def _evaluations(climbs: Sequence[Climb]) -> int:
    return sum(climb.evaluations for climb in climbs)


def _state(climbs: Sequence[Climb], rivals: Sequence[Rival]) -> State:
    """Return the states of all climbs and rivals, with numbered names."""
    parts = [climb.state() | {"network": climb.objective.number} for climb in climbs]
    parts += [asdict(rival) for rival in rivals]
    numbered = {f"{n}/{name}": x for n, part in enumerate(parts) for name, x in part.items()}
    return {"climbs": len(climbs), "rivals": len(rivals)} | numbered


def _resumed(
    climbs: Sequence[Climb], rivals: Sequence[Rival], saved: State
) -> tuple[list[Climb], list[Rival]]:
    """Return the climbs that were running, in their saved states, and the saved rivals.

    Raises:
        DamagedState: it cannot come from these climbs and rivals.
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


def _cool_faster(climbs: list[Climb], monitor: Monitor, seconds: float, cold: float) -> None:
    """Increase the cooling if the budget would end before `cold`; an iteration takes `seconds`."""
    newest = min(climbs, key=lambda climb: climb.iteration)
    each = _evaluations(climbs) / sum(climb.iteration for climb in climbs)
    left = monitor.budget.iterations_left(seconds, each * len(climbs))
    if left is None:
        return
    wanted = max(cold - newest.clock, 0.0)
    cooling = min(_MOST_COOLING, COOLING ** max(1.0, wanted / max(0.7 * left, 1.0)))
    for climb in climbs:
        climb.cooling = cooling
