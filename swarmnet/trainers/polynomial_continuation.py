"""Polynomials of rising degree for nonlinear residuals, each trained from the one before.

Formulas of derivatives, such as a speed of sound, have many poor local minima: from random weights, networks
end in one of them and take the rest for noise. A polynomial of degree 2 has so few coefficients that random
tries find the right region. A polynomial of the next degree contains it, and so begins there: numerical
continuation in the degree (Allgower and Georg 1990).
"""

from collections.abc import Sequence

import numpy as np

from swarmnet.trainers.linear_choice import Predictor, predictor_of
from swarmnet.trainers.linear_evidence import has_small_gradients, is_linear
from swarmnet.trainers.lm_run import LMRun
from swarmnet.trainers.protocols import Trainable
from swarmnet.trainers.result import Array

# Random weights that are tried, as many as give so many residuals, within bounds; they take about a second
_RESIDUALS, _FEWEST, _MOST = 1_000_000, 200, 4000
_BEST = 8  # of them are trained, for as many iterations; chosen
_ITERATIONS, _EACH = (
    60,
    150,
)  # of these, and of each degree; chosen: a fit of 200 entries takes 10 ms a degree
_PATIENCE = 2  # degrees in a row that predict no better and end the continuation; chosen
_NOISE = 1e-2  # initial, as a share of the mean square: a middle one of `evidence.NOISES`


def polynomials_by_continuation(objectives: Sequence[Trainable]) -> list[Predictor]:
    """Return fits of polynomials of rising degree, the one that predicts best first.

    Args:
        objectives: among them polynomials, each of whose weights begin with those of the one before. Networks
            are left out, and linear polynomials too, which have exact fits. So is a single one.
    """
    tried: list[Predictor] = []
    theta = np.zeros(0)
    rising = [o for o in objectives if o.hidden_size == 0 and not is_linear(o)]
    for objective in rising if len(rising) > 1 else ():
        if not has_small_gradients(objective):
            break
        if len(theta):
            longer = np.zeros(objective.size)
            longer[: len(theta)] = theta
            run = LMRun.from_fit(objective, longer)
        else:
            run = _first(objective)
        _advance(run, _EACH)
        theta, posterior = run.theta, run.posterior([run], ())
        if posterior is not None and np.isfinite(run.loss):
            tried.append(predictor_of(objective, theta, posterior, run.loss))
        best = min(range(len(tried)), key=lambda number: tried[number].score, default=0)
        if len(tried) - 1 - best >= _PATIENCE:
            break
    return sorted(tried, key=lambda found: found.score)


def _first(objective: Trainable) -> LMRun:
    """Return the best of several runs from random weights of different sizes."""
    rng = np.random.default_rng(0)
    count = int(np.clip(_RESIDUALS / max(1.0, float(objective.groups.count.sum())), _FEWEST, _MOST))
    sizes = 10.0 ** rng.uniform(-2.0, 1.0, (count, objective.size))
    swarm: Array = sizes * rng.normal(size=sizes.shape)
    losses = np.nan_to_num(objective.loss(swarm), nan=np.inf)
    runs = [LMRun(objective, swarm[start], _NOISE) for start in np.argsort(losses, kind="stable")[:_BEST]]
    for run in runs:
        _advance(run, _ITERATIONS)
    return min(runs, key=lambda run: np.nan_to_num(run.loss, nan=np.inf))


def _advance(run: LMRun, most: int) -> None:
    for _ in range(most):
        if run.done:
            return
        run.advance(alone=False)
