"""Successive halving (Jamieson and Talwalkar 2016) of Levenberg-Marquardt runs."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from swarmnet.trainers.checkpoint import DamagedState, State, whole
from swarmnet.trainers.executor import Threads
from swarmnet.trainers.lm_run import COLD, COOLING, LMRun, Optimum
from swarmnet.trainers.monitor import Monitor

# Iterations after which only the best run continues. In 8 fits of datasets/ by hybrid with 8-8
# units, test errors are the same with 75, for 0.88 times the evaluations, and 1.02 times as large with 300.
ALONE = 150
# Largest cooling if the budget is short. It is reached with less than 20 iterations. With 1.3, test errors of
# lm are 1.3 times as large after 40 iterations (12 fits as in `lm_run`).
_MOST_COOLING = 3.0


def successive_halving(
    runs: list[LMRun],
    monitor: Monitor,
    halvings: Sequence[float] = (),
    optima: Sequence[Optimum] = (),
    end: float = math.inf,
    alone: float = math.inf,
    cold: float = COLD,
) -> tuple[list[LMRun], list[Optimum]]:
    """Advance all runs at the same time, an iteration each, until the monitor stops them or all are done.

    The result does not depend on the executor. When the clock passes one of `halvings`, only the half with
    the larger merit continues, among runs with the same initial noise. After `alone` only the best of all
    continues, and after `end` none. If the budget would end before the clock is at `cold`, the noise falls
    faster; after `cold` the leader is the result even if an earlier leader had a lower loss. Returns the
    remaining runs, best first, and the results of the others, last given up first, followed by `optima`
    (results of earlier runs). All results are part of the best run's posterior.
    """
    optima = list(optima)
    if (saved := monitor.resume()) is not None:
        runs, optima = _resumed(runs, optima, saved)
    else:
        monitor.found.enter([_entry(run) for run in runs if run.iteration == 0], begun=True)
    executor = monitor.executor or Threads(runs[0].objective.threads)
    began, rounds = monitor.budget.seconds, 0
    while going := [run for run in runs if not run.done]:
        monitor.checkpoint(partial(_state, runs, optima))
        spent, clock = -_evaluations(runs), max(run.clock for run in going)
        executor.advance(going, monitor.budget.seconds_left)
        spent += _evaluations(runs)
        leader = max(runs, key=lambda run: run.merit)
        posterior = None
        if leader.done or leader.clock >= cold or leader.loss <= monitor.found.loss:
            posterior = leader.posterior(runs, optima)
        monitor.found.enter([_entry(run) for run in going])
        if not monitor.record(leader.loss, leader.theta, spent, posterior, leader.objective.number):
            break
        now = max(run.clock for run in going)
        if now >= end:
            break
        if any(clock < at <= now for at in (*halvings, alone)):
            kept = _ranked(runs)[:1] if now >= alone else _better_halves(runs)
            optima[:0] = [run.optimum for run in _ranked(runs) if run not in kept]
            runs = kept
        rounds += 1
        if executor.ahead and monitor.budget.seconds_left is not None:
            continue  # times are too inexact to discard finished iterations
        _cool_faster(going, monitor, (monitor.budget.seconds - began) / rounds, cold)
    else:
        monitor.finish("converged")
    return _ranked(runs), optima


def _entry(run: LMRun) -> tuple[int, float]:
    return run.objective.number, run.log_evidence


def _ranked(runs: Sequence[LMRun]) -> list[LMRun]:
    return sorted(runs, key=lambda run: -run.merit)


def _better_halves(runs: Sequence[LMRun]) -> list[LMRun]:
    """Return, among runs with the same initial noise, the half with the larger merit."""
    kept: list[LMRun] = []
    for noise in sorted({run.noise for run in runs}):
        same = [run for run in runs if run.noise == noise]
        kept += _ranked(same)[: (len(same) + 1) // 2]
    return kept


def _evaluations(runs: Sequence[LMRun]) -> int:
    return sum(run.evaluations for run in runs)


def _state(runs: Sequence[LMRun], optima: Sequence[Optimum]) -> State:
    """Return the states of all runs and optima, with numbered names."""
    parts = [run.state() | {"network": run.objective.number} for run in runs]
    parts += [asdict(optimum) for optimum in optima]
    numbered = {f"{n}/{name}": x for n, part in enumerate(parts) for name, x in part.items()}
    return {"climbs": len(runs), "rivals": len(optima)} | numbered


def _resumed(
    runs: Sequence[LMRun], optima: Sequence[Optimum], saved: State
) -> tuple[list[LMRun], list[Optimum]]:
    """Return the runs that were running, in their saved states, and the saved optima.

    Raises:
        DamagedState: it cannot come from these runs and optima.
    """

    def part(number: int) -> State:
        own = f"{number}/"
        return {name.removeprefix(own): x for name, x in saved.items() if name.startswith(own)}

    going: list[LMRun] = []
    for number in range(whole(saved, "climbs", 1, len(runs))):
        state = part(number)
        network = whole(state, "network")
        run = next((c for c in runs if c.objective.number == network and c not in going), None)
        if run is None:
            raise DamagedState("a run belongs to no network")
        run.load(LMRun.checked(run.objective, state))
        going.append(run)
    sizes = {run.objective.number: run.objective.size for run in runs}
    sizes |= {optimum.network: len(optimum.theta) for optimum in optima}
    count = whole(saved, "rivals", 0, len(runs) + len(optima))
    return going, [Optimum.checked(part(saved["climbs"] + number), sizes) for number in range(count)]


def _cool_faster(runs: list[LMRun], monitor: Monitor, seconds: float, cold: float) -> None:
    """Increase the cooling if the budget would end before `cold`; an iteration takes `seconds`."""
    newest = min(runs, key=lambda run: run.iteration)
    each = _evaluations(runs) / sum(run.iteration for run in runs)
    left = monitor.budget.iterations_left(seconds, each * len(runs))
    if left is None:
        return
    wanted = max(cold - newest.clock, 0.0)
    cooling = min(_MOST_COOLING, COOLING ** max(1.0, wanted / max(0.7 * left, 1.0)))
    for run in runs:
        run.cooling = cooling
