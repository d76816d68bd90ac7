"""Polynomials of rising degree for nonlinear residuals, each trained from the one before.

Formulas of derivatives, such as a speed of sound, have many poor local minima: from random weights, networks
end in one of them and take the rest for noise. A polynomial of degree 2 has so few coefficients that random
tries find the right region. A polynomial of the next degree contains it, and so begins there: numerical
continuation in the degree (Allgower and Georg 1990).
"""

from collections.abc import Callable, Sequence

import numpy as np

from swarmnet.trainers.linear_choice import Predictor, predictor_of
from swarmnet.trainers.linear_evidence import has_small_gradients, is_linear
from swarmnet.trainers.lm_run import LMRun
from swarmnet.trainers.monitor import Monitor
from swarmnet.trainers.protocols import Trainable
from swarmnet.trainers.result import Array

Ends = Callable[[], bool]  # whether the budget for polynomials is used

# Random weights that are tried, as many as give so many residuals, within bounds; chosen
_RESIDUALS, _FEWEST, _MOST = 1_000_000, 200, 4000
_BEST = 8  # of them are trained, for as many iterations; chosen
# Iterations of these, and of each degree; chosen. With 202 entries (water in benchmarks/quantities), each
# degree up to 7 takes 0.5 to 1.3 seconds.
_ITERATIONS, _EACH = 60, 150
_SHARE = 0.5  # of the budget from which no further degree begins; chosen
_PATIENCE = 2  # degrees in a row that predict no better and end the continuation; chosen
_NOISE = 1e-2  # initial, as a share of the mean square: a middle one of `evidence.NOISES`


def polynomials_by_continuation(objectives: Sequence[Trainable], monitor: Monitor) -> list[Predictor]:
    """Return fits of polynomials of rising degree, the one that predicts best first.

    Args:
        objectives: among them polynomials, each of whose weights begin with those of the one before. Networks
            are left out, and linear polynomials too, which have exact fits. So is a single one.
        monitor: a new run reports each degree to it, and ends when it says so, or when a share of the budget
            is used. A run that continues fits the same polynomials again.
    """
    tried: list[Predictor] = []
    theta, is_new = np.zeros(0), monitor.resume() is None

    def ends() -> bool:
        return is_new and bool(monitor.status or monitor.budget.fraction >= _SHARE)

    rising = [o for o in objectives if o.hidden_size == 0 and not is_linear(o)]
    for objective in rising if len(rising) > 1 else ():
        if not has_small_gradients(objective):
            break
        if len(theta):
            longer = np.zeros(objective.size)
            longer[: len(theta)] = theta
            run = LMRun.from_fit(objective, longer)
        else:
            run = _first(objective, ends)
        _advance(run, _EACH, ends)
        theta, posterior = run.theta, run.posterior([run], ())
        if posterior is not None and np.isfinite(run.loss):
            tried.append(predictor_of(objective, theta, posterior, run.loss))
            if is_new:
                monitor.record(run.loss, theta, run.evaluations, posterior, objective.number)
        best = min(range(len(tried)), key=lambda number: tried[number].score, default=0)
        if len(tried) - 1 - best >= _PATIENCE or ends():
            break
    return sorted(tried, key=lambda found: found.score)


def _first(objective: Trainable, ends: Ends) -> LMRun:
    """Return the best of several runs from random weights of different sizes; fewer if the budget ends."""
    rng = np.random.default_rng(0)
    count = int(np.clip(_RESIDUALS / max(1.0, float(objective.groups.count.sum())), _FEWEST, _MOST))
    sizes = 10.0 ** rng.uniform(-2.0, 1.0, (count, objective.size))
    swarm: Array = sizes * rng.normal(size=sizes.shape)
    losses: list[float] = []
    while len(losses) < count and not (losses and ends()):
        losses += objective.loss(swarm[len(losses) : len(losses) + _FEWEST]).tolist()
    runs: list[LMRun] = []
    for start in np.argsort(np.nan_to_num(losses, nan=np.inf), kind="stable")[:_BEST]:
        if runs and ends():
            break
        runs.append(LMRun(objective, swarm[start], _NOISE))
        _advance(runs[-1], _ITERATIONS, ends)
    return min(runs, key=lambda run: np.nan_to_num(run.loss, nan=np.inf))


def _advance(run: LMRun, most: int, ends: Ends) -> None:
    """Continue a run by up to so many iterations; by one at least, whose estimates the result has."""
    for number in range(most):
        if run.done or (number and ends()):
            return
        run.advance(alone=False)
