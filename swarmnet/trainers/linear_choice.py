"""The choice among polynomials, and between the best of them and a network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from swarmnet.trainers.linear_evidence import (
    LinearFit,
    fitted,
    has_small_gradients,
    is_linear,
    left_out,
    prediction_score,
)
from swarmnet.trainers.monitor import Monitor
from swarmnet.trainers.protocols import Trainable
from swarmnet.trainers.result import Array, Posterior

# Score (see `prediction_score`) from which networks are not tried, a relative error of 1.4e-6. On
# benchmarks/accuracy, seed 0, networks have -14 (water-flow) to -32 (rastrigin). Where a polynomial is below
# -27 (water-mixed, rosenbrock, rastrigin), it is more exact than the networks at unseen points.
_EXACT = -27.0
_ALIKE = 3  # polynomials that must have such a score
_PATIENCE = 4  # polynomials in a row that predict no better and end the search
_FEW = 60  # terms up to which all are tried: they take milliseconds
BETTER = 0.05  # decrease of the score that counts as better
_BESIDE = 4  # other fits in the error bars of a fit; each takes as long as its own prediction
# Difference of scores up to which predictions count as equal, because those of few entries vary. Then the
# evidence decides among polynomials, and networks are preferred: polynomials vary more at the edges.
_EQUAL = 0.5
_ALIKE_EVIDENCE = 1.0  # difference of log evidences that says nothing: odds of less than 3 to 1


@dataclass(frozen=True)
class Predictor:
    """A fit of a network or polynomial, and how well it predicts entries that are left out.

    Args:
        objective: of the network.
        theta: (p,) its weights.
        posterior: the precisions estimated there.
        loss: the mixed loss.
        score: see `prediction_score`.
    """

    objective: Trainable
    theta: Array
    posterior: Posterior
    loss: float
    score: float

    @classmethod
    def of(cls, objective: Trainable, fit: LinearFit) -> "Predictor":
        """Return an exact fit of a polynomial."""
        run = fit.run(objective)
        posterior = run.posterior([run], ())
        assert posterior is not None  # `is_linear` requires estimates
        return cls(objective, run.theta, posterior, run.loss, fit.score)

    def beside(self, others: Sequence["Predictor"]) -> Posterior:
        """Return the posterior, whose error bars also contain how far other polynomials are from this one.

        Terms that are missing do not show in the posterior, but in the distance of the next polynomials. One
        whose predictions of left-out entries are r times as far away is weighted by 1 / r^2.
        """
        close = sorted((o for o in others if o is not self), key=lambda o: o.score)[:_BESIDE]
        own = self.posterior
        return replace(
            own,
            others=(*own.others, *(o.theta for o in close)),
            networks=np.array([*own.networks, *(o.objective.number for o in close)], np.int64),
            share=np.array([*own.share, *(min(1.0, math.exp(self.score - o.score)) for o in close)]),
        )


def polynomials_by_score(objectives: Sequence[Trainable]) -> list[Predictor]:
    """Return the fits of polynomials, the one to choose first and the others by their score.

    They are tried by number of weights. The scores of few entries vary, so the evidence decides among those
    that are nearly the best, and the number of weights where the evidence is nearly the same too: terms that
    the prior has turned off change neither, but grow fast outside the data. Those whose residuals are not
    linear are left out.
    """
    tried: list[Predictor] = []
    best, missed = np.inf, 0
    for objective in filter(is_linear, objectives):
        if missed >= _PATIENCE and objective.size > _FEW:
            break
        found = Predictor.of(objective, fitted(objective))
        tried.append(found)
        missed = 0 if found.score < best - BETTER else missed + 1
        best = min(best, found.score)

    close = [fit for fit in tried if fit.score <= best + _EQUAL]
    most = max((fit.posterior.log_evidence for fit in close), default=0.0)

    def order(fit: Predictor) -> tuple[bool, float, float]:
        if fit.score > best + _EQUAL:
            return True, fit.score, 0.0
        lost = most - fit.posterior.log_evidence
        return (False, 0.0, fit.objective.size) if lost <= _ALIKE_EVIDENCE else (False, lost, 0.0)

    return sorted(tried, key=order)


def are_exact(polynomials: Sequence[Predictor]) -> bool:
    """Return whether polynomials predict so well that no network needs to be tried.

    Rounding ends the decrease of the score, so several polynomials must have nearly the same. A single low
    one can be luck: 58 terms for 60 entries of one input had -28.6, the next ones -27.6 and -24.8, and the
    errors at unseen points were as of -22. For formulas that are not linear, the score still falls where the
    entries allow no higher degree, so several low ones are enough.
    """
    scores = sorted(polynomial.score for polynomial in polynomials)[:_ALIKE]
    if len(scores) < _ALIKE:
        return False
    most = scores[0] + _EQUAL if is_linear(polynomials[0].objective) else _EXACT
    return scores[0] <= _EXACT and scores[-1] <= most


def network_found(monitor: Monitor, candidates: Sequence[Trainable]) -> Predictor | None:
    """Return the network that training has found; None if it found none, or has too many weights for this.

    Its predictions of left-out entries are those of the network linearised at its weights.
    """
    found = monitor.found
    if found.theta is None or found.posterior is None:
        return None
    objective, theta, posterior = candidates[found.network], found.theta, found.posterior
    if objective.hidden_size == 0 or not has_small_gradients(objective):
        return None
    network = predictor_of(objective, theta, posterior, found.loss)
    found.scores[objective.number] = network.score
    return network


def predictor_of(objective: Trainable, theta: Array, posterior: Posterior, loss: float) -> Predictor:
    """Return a fit with the score of its predictions, as if it were linear in its weights there."""
    r, J, group = objective.residual_jacobian(theta)
    left = left_out(r - J @ theta, J, posterior.precision[group], posterior.decay)
    return Predictor(objective, theta, posterior, loss, prediction_score(objective, left, group))


def report(polynomials: Sequence[Predictor], monitor: Monitor) -> None:
    """Make the first polynomial the result so far, and enter all."""
    for fit in polynomials:
        number = fit.objective.number
        monitor.found.enter([(number, fit.posterior.log_evidence)], begun=True)
        monitor.found.enter([(number, fit.posterior.log_evidence)])
        monitor.found.scores[number] = fit.score
    best = polynomials[0]
    posterior = best.beside(polynomials)
    monitor.record(best.loss, best.theta, len(polynomials), posterior, best.objective.number)


def _with_rival(posterior: Posterior, network: Predictor) -> Posterior:
    """Return a posterior with a network of share 0: under constraints it may be the better one."""
    return replace(
        posterior,
        others=(*posterior.others, network.theta),
        networks=np.append(posterior.networks, network.objective.number),
        share=np.append(posterior.share, 0.0),
    )


def keep_better(polynomials: Sequence[Predictor], monitor: Monitor, candidates: Sequence[Trainable]) -> None:
    """Make the first polynomial the result again if it predicts better than the network that was found."""
    network, best = network_found(monitor, candidates), polynomials[0]
    if network is not None and best.score < network.score - _EQUAL:
        posterior = _with_rival(best.beside(polynomials), network)
        monitor.found.offer(best.loss, best.theta, best.objective.number, posterior)
