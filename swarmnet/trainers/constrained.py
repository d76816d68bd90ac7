"""Training under constraints: from the weights of a fit to the best weights that meet them.

A constraint g >= 0 must hold everywhere in a box, that is at infinitely many points. As in exchange methods
of semi-infinite programming (Hettich and Kortanek 1993), it is imposed at a few points. It is then checked at
many fresh points, and those that violate it most are added. At each point it is a hinge residual
min(g - margin, 0). With any weight it leaves a small violation, so the margin is raised by that. This is the
method of multipliers (Hestenes 1969, Powell 1969; for inequalities Rockafellar 1973).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from swarmnet.objective.constrained import ConstrainedObjective, Hinge
from swarmnet.trainers.linear_choice import BETTER, Predictor
from swarmnet.trainers.linear_evidence import has_small_gradients, left_out, prediction_score
from swarmnet.trainers.lm_run import MOST_WEIGHTS, LMRun, cost
from swarmnet.trainers.network_choice import SMALL_COST
from swarmnet.trainers.protocols import Trainable
from swarmnet.trainers.result import Array, Posterior, TrainResult

Draw = Callable[[int], Array]

_ROUNDS = 15  # of adding points; only bounds time
_PATIENCE, _LESS = 4, 0.7  # rounds in a row with more than this share of a violation, which end all; chosen
_ITERATIONS = 20  # of Levenberg-Marquardt in a round; chosen
_LBFGS_ITERATIONS = 200  # of L-BFGS in a round; chosen
_LEAST_LOSS = 1e-3  # by which constraints are weighed, of scaled data; chosen
_SETTLED = 1e-2  # decrease of M, in units of an entry's share, that ends a round; chosen
_MOST_COST = 5e9  # multiplications of an iteration up to which Levenberg-Marquardt is used; bounds time
_BASE, _WORST = 64, 24  # points in the box at first, and points added in a round; chosen
_OTHERS = 5  # other fits that training kept, which are trained under constraints too; chosen
_APART = 0.5  # of the distance of as many even points, between points added in a round; chosen
# Standard deviation of a hinge residual, as a share of the violation; chosen. With at most 0.1 units, fits
# that interpolate noise ended at 20 times the loss.
_STIFFNESS = 0.1
_LEAST_VIOLATION = 0.01  # of a constraint in this, as a share of the largest of all; chosen
# Share of a violation by which margins rise beyond it, in the first round: the points do not hit its worst
# place; chosen
_SLACK = 0.1
_SLOW = 0.3  # share of a violation that may be left after a round; chosen
_STIFFER = 10.0  # factor of the weights if more is left; chosen
_MOST_STIFFER = 100.0  # largest factor of the weights in a round; chosen
ROUNDING = 1e-9  # largest violation that counts as none, in units of the quantity


@dataclass(frozen=True)
class Constrained:
    """The result of training under constraints.

    Args:
        objective: with the constraints at the points at which they were imposed.
        theta: (p,) the weights.
        posterior: the noise and prior estimated there; None if they are not estimated.
        evaluations: of the loss.
        meets: whether the weights meet the constraints.
    """

    objective: ConstrainedObjective
    theta: Array
    posterior: Posterior | None
    evaluations: int
    meets: bool

    def predictor(self) -> Predictor | None:
        """Return the fit with the score of its predictions; None without a posterior.

        Active hinges count as exact: they keep their share of the leverage, but are not predicted.
        """
        objective, posterior = self.objective, self.posterior
        if posterior is None or not has_small_gradients(objective.data):
            return None
        ones = np.ones(len(objective.groups.count))
        r, J, group = objective.residual_jacobian(self.theta, ones)
        precision = np.append(posterior.precision, 1.0)
        left = left_out(r - J @ self.theta, J, precision[group], posterior.decay)
        data, loss = group < len(posterior.precision), float(objective.data.loss(self.theta))
        score = prediction_score(objective.data, left[data], group[data])
        return Predictor(objective.data, self.theta, posterior, loss, score)


def constrained(objective: ConstrainedObjective, theta: Array, draw: Draw) -> Constrained:
    """Return weights that meet the constraints as far as possible; theta, without evaluations, if it does.

    Args:
        objective: with constraints in units of their size in the box; their hinges are changed.
        theta: (p,) weights that fit the data.
        draw: returns (n, d) points in the box for a seed.
    """
    rounds = _Rounds(objective, theta, draw)
    if not rounds.is_met():
        rounds.begin()
        least, missed = rounds.largest_violation, 0
        for _ in range(_ROUNDS):
            rounds.minimise()
            if rounds.is_met() or missed == _PATIENCE:
                break
            missed = 0 if rounds.largest_violation < _LESS * least else missed + 1
            least = min(least, rounds.largest_violation)
            rounds.tighten()
    return rounds.result()


def best_constrained(
    objectives: Callable[[int], ConstrainedObjective], result: TrainResult, draw: Draw
) -> TrainResult:
    """Return the result of training that goes on under constraints; the same if it meets them.

    The fit that was best without constraints need not be the best one with them. So the others that training
    kept are trained under them too; predictions of entries left out decide, and networks are preferred to
    polynomials that are hardly better. The others become part of the error bars.

    Args:
        objectives: returns the objective with constraints of a candidate network, by its number.
        result: of training without constraints.
        draw: see `constrained`.
    """
    posterior, theta = result.posterior, np.asarray(result.theta, np.float64)
    first = constrained(objectives(result.network), theta, draw)
    if first.evaluations == 0:
        return result
    found = [first]
    if posterior is not None and cost(first.objective.data) <= SMALL_COST:
        order = np.argsort(-posterior.share, kind="stable")[:_OTHERS]
        found += [constrained(objectives(posterior.networks[n]), posterior.others[n], draw) for n in order]
    evaluations = result.evaluations + sum(one.evaluations for one in found)
    fits = [fit for one in found if one.meets and (fit := one.predictor()) is not None]
    if len(fits) < 2 or posterior is None:
        loss, new = float(first.objective.data.loss(first.theta)), first.posterior
        if posterior is not None and new is not None:
            # Trainers that estimate no noise give no error bars with constraints either
            posterior = replace(
                new, others=posterior.others, networks=posterior.networks, share=posterior.share
            )
        return replace(result, theta=first.theta, loss=loss, posterior=posterior, evaluations=evaluations)
    best = min(fits, key=lambda fit: fit.score + (BETTER if fit.objective.hidden_size == 0 else 0.0))
    return replace(
        result,
        theta=best.theta,
        network=best.objective.number,
        loss=best.loss,
        posterior=best.beside(fits),
        evaluations=evaluations,
        scores=result.scores | {fit.objective.number: fit.score for fit in reversed(fits)},
    )


class _Rounds:
    """The state between two rounds."""

    def __init__(self, objective: ConstrainedObjective, theta: Array, draw: Draw) -> None:
        self._objective, self._draw, self._theta = objective, draw, theta
        trainable = cast(Trainable, objective)  # Levenberg-Marquardt needs no more than it has
        self._seed, self._evaluations, self._share = 0, 0, _SLACK
        self._violation = self._before = np.zeros(len(objective.hinges))
        self._run: LMRun | None = None
        if objective.can_linearise and objective.size <= MOST_WEIGHTS and cost(trainable) <= _MOST_COST:
            self._run = LMRun.from_fit(trainable, theta)

    def is_met(self) -> bool:
        """Return whether the constraints hold at points drawn twice."""
        self._before = self._violation
        for _ in range(2):
            self._seed += 1
            self._points = self._draw(self._seed)
            self._values = [self._at(c, self._points) for c in range(len(self._objective.hinges))]
            self._violation = np.array([max(0.0, -float(np.min(g))) for g in self._values])
            if (self._violation > ROUNDING).any():
                return False
        return True

    @property
    def largest_violation(self) -> float:
        """Of all constraints, at the last points."""
        return float(self._violation.max())

    def begin(self) -> None:
        """Choose the first points and the weights of the hinge residuals."""
        if not self._objective.can_linearise:
            # Cross-entropy ends at large weights, from which L-BFGS finds no way back
            self._theta = self._objective.data.initial(np.random.default_rng(0))
            self._violation = np.minimum(self._violation, 1.0)
        base, none = self._draw(0)[:_BASE], np.zeros(_BASE)
        unit, most = self._share_of_an_entry(), self._violation.max()
        for c, hinge in enumerate(self._objective.hinges):
            sigma = _STIFFNESS * max(self._violation[c], _LEAST_VIOLATION * most)
            hinge = replace(hinge, X=base, margin=none, weight=none + unit / sigma**2)
            self._objective.hinges[c] = self._with_worst(c, hinge)

    def minimise(self) -> None:
        """Go on from the present weights, at which the hinges have changed."""
        if self._run is None:
            self._minimise_loss()
            return
        run = self._run
        run.squares = self._objective.group_squares(run.theta)
        for _ in range(_ITERATIONS):
            run.advance(alone=False)
            if run.lowered <= _SETTLED * self._unit:
                break
        self._theta, self._evaluations = run.theta, run.evaluations

    def tighten(self) -> None:
        """Raise the margins by the violations, and add the points that violate constraints most."""
        self._share *= 2.0
        for c, hinge in enumerate(self._objective.hinges):
            stiffer = self._stiffer(c, float(hinge.weight[0]))
            pull = np.maximum(hinge.margin - self._at(c, hinge.X), 0.0) / stiffer
            margin = np.where(pull > 0, pull + self._slack(c), 0.0)
            hinge = replace(hinge, margin=margin, weight=hinge.weight * stiffer)
            self._objective.hinges[c] = self._with_worst(c, hinge)

    def result(self) -> Constrained:
        """Return the present weights."""
        if self._run is not None and not self._evaluations:
            self._run.estimate()
        posterior = None if self._run is None else self._run.posterior([self._run], ())
        if posterior is not None:
            posterior = replace(posterior, precision=posterior.precision[:-1])
        meets = not (self._violation > ROUNDING).any()
        return Constrained(self._objective, self._theta, posterior, self._evaluations, meets)

    def _at(self, c: int, X: Array) -> Array:
        return self._objective.values(self._theta, c, X)

    def _stiffer(self, c: int, weight: float) -> float:
        """Return the factor of a constraint's weights for the next round."""
        violation = float(self._violation[c])
        if violation == 0.0:
            return 1.0
        least = _STIFFER if violation > _SLOW * self._before[c] > 0 else 1.0
        wanted = self._unit / (_STIFFNESS * violation) ** 2 / weight
        return float(np.clip(wanted, least, _MOST_STIFFER))

    def _slack(self, c: int) -> float:
        """Return by how much margins rise beyond a violation: twice as far in each round."""
        return self._share * max(float(self._violation[c]), ROUNDING)

    def _with_worst(self, c: int, hinge: Hinge) -> Hinge:
        """Return the hinge with more points, at which the constraint is violated most, apart from others."""
        g, X = self._values[c], self._points
        order = np.argsort(g)
        order = order[g[order] < 0]
        width = np.maximum(np.ptp(X, axis=0), 1e-300)
        distance = _APART * _WORST ** (-1.0 / X.shape[1])
        chosen: list[int] = []
        while len(order) and len(chosen) < _WORST:
            chosen.append(int(order[0]))
            apart = np.abs((X[order] - X[order[0]]) / width).max(1) > distance
            order = order[apart]
        margin = np.full(len(chosen), self._slack(c))
        return replace(
            hinge,
            X=np.concatenate([hinge.X, X[chosen]]),
            margin=np.concatenate([hinge.margin, margin]),
            weight=np.concatenate([hinge.weight, np.full(len(chosen), hinge.weight[0])]),
        )

    def _share_of_an_entry(self) -> float:
        """Return what an entry contributes to M or to the loss: about 1 if the noise is estimated."""
        if self._run is not None:
            self._run.estimate()
            if self._run.hyper.estimates_noise:
                self._unit = 1.0
                return 1.0
        loss = self._objective.loss_and_gradient(self._theta)[0]
        self._unit = max(loss, _LEAST_LOSS) / max(1.0, float(self._objective.groups.entries.sum()))
        return self._unit

    def _minimise_loss(self) -> None:
        from scipy.optimize import minimize  # noqa: PLC0415  # takes 0.25 s to import

        limits = {"maxiter": _LBFGS_ITERATIONS, "maxcor": 20, "ftol": 1e-12, "gtol": 1e-14}
        ask = self._objective.loss_and_gradient
        found = minimize(ask, self._theta, jac=True, method="L-BFGS-B", options=limits)
        self._theta, self._evaluations = found.x, self._evaluations + int(found.nfev)
