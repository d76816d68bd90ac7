"""The exact fit of a model that is linear in all its weights, with noise and priors from the evidence.

Residuals are r + J theta for all theta, so there is nothing to iterate but the precisions. Each estimate
solves min |sqrt(beta) (r + J theta)|^2 + |sqrt(alpha) theta|^2 by QR of the stacked matrix, which is as exact
as double precision allows; normal equations would lose half of the digits. The updates are those of
`evidence` (MacKay 1992). Entries of a group are first reduced to as many as there are weights, also by QR.

Models are compared by the entries' leave-one-out residuals, which are exact for given precisions:
e_i = r_i / (1 - h_i) with the leverage h_i = beta_i j_i' A^-1 j_i (Allen 1974, "PRESS").
"""

import math
from dataclasses import dataclass

import numpy as np

from swarmnet.trainers.evidence import NOISES, Hyperparameters, proper_prior
from swarmnet.trainers.lm_run import LMRun
from swarmnet.trainers.protocols import LeastSquares, Trainable
from swarmnet.trainers.result import Array, Posterior

_ESTIMATES = 60  # maximum updates of the precisions; the evidence of smooth functions needs 5 to 40
_SETTLED = 1e-3  # change of log evidence, for each hundred entries, that ends the updates
_LEAST_LEFT = 1e-6  # smallest 1 - h that is a difference and not rounding
_MOST_FULL = 4000  # rows of a square orthogonal matrix, which takes 128 MB
_TINY = 1e-30
_ROUNDING = 1e-32  # smallest relative mean square that is told from rounding
MOST_NUMBERS = 2e7  # numbers in J, which take 160 MB; for more data or weights this fit is not used


@dataclass(frozen=True)
class LinearFit:
    """The fit of a linear model.

    Args:
        theta: (p,) the weights with the largest posterior.
        hyper: the precisions of noise and prior.
        squares: (groups,) sums of squared residuals.
        used: (groups,) effective numbers of parameters.
        share: (p,) how far the data determine each weight.
        log_evidence: of the data.
        score: see `prediction_score`.
    """

    theta: Array
    hyper: Hyperparameters
    squares: Array
    used: Array
    share: Array
    log_evidence: float
    score: float

    def run(self, objective: Trainable) -> LMRun:
        """Return the fit as a run that has ended."""
        ended = LMRun(objective, self.theta, squares=self.squares)
        ended.hyper, ended.used, ended.share = self.hyper, self.used, self.share
        ended.log_evidence = ended.best = self.log_evidence
        ended.done = True
        return ended


def is_linear(objective: Trainable) -> bool:
    """Return whether all weights enter linearly, precisions are estimated, and gradients fit into memory."""
    return (
        objective.hidden_size == 0
        and (objective.estimates_balance or objective.estimates_l2)
        and objective.can_project
        and has_small_gradients(objective)
    )


def has_small_gradients(objective: LeastSquares) -> bool:
    """Return whether the gradients of all residuals fit into memory."""
    return float(objective.groups.entries.sum()) * objective.size <= MOST_NUMBERS


def fitted(objective: LeastSquares) -> LinearFit:
    """Return the exact fit of an objective without hidden layers."""
    r, J, group = objective.residual_jacobian(np.zeros(objective.size))
    hyper = Hyperparameters(objective, NOISES[0], exact=True)
    rows, stiff = _Reduced(r, J, group, len(hyper.count)), _SETTLED * max(1.0, 0.01 * len(r))
    log_evidence = -math.inf
    for estimate in range(_ESTIMATES):
        solved = _Solution(rows, hyper.precision, hyper.decay)
        before = log_evidence
        log_evidence = hyper.log_evidence(hyper.energy(solved.theta, solved.squares), solved.log_det)
        if abs(log_evidence - before) <= stiff or estimate == _ESTIMATES - 1:
            break
        hyper.update(solved.theta, solved.squares, solved.used, solved.share)
    left = left_out(r, J, hyper.precision[group], hyper.decay)
    score = prediction_score(objective, left, group)
    return LinearFit(solved.theta, hyper, solved.squares, solved.used, solved.share, log_evidence, score)


def exact_covariance_root(objective: LeastSquares, posterior: Posterior) -> Array:
    """Return lower triangular C (p, p) with C' C = A^-1, the covariance of the weights.

    The noise is the one that the residuals support, see `Hyperparameters.supported`.
    """
    from scipy.linalg import solve_triangular  # noqa: PLC0415  # takes 0.1 s to import

    rows = _Reduced.of(objective)
    hyper, decay = Hyperparameters(objective, NOISES[0], exact=True), proper_prior(objective, posterior)
    hyper.precision = posterior.precision
    solved = _Solution(rows, posterior.precision, decay)
    R = _Solution(rows, hyper.supported(solved.squares, solved.used), decay).R
    return np.asarray(solve_triangular(R, np.eye(len(R)), check_finite=False).T)


class _Reduced:
    """Residuals and gradients with the same sums of squares, of no more rows a group than needed."""

    def __init__(self, r: Array, J: Array, group: Array, groups: int) -> None:
        parts = [_reduced(np.column_stack([J, r])[group == number]) for number in range(groups)]
        self.group = np.repeat(np.arange(groups), [len(part) for part, _ in parts])
        together = np.concatenate([part for part, _ in parts])
        self.J, self.r = together[:, :-1], together[:, -1]
        self.rest = np.array([rest for _, rest in parts])  # of the squares, whatever theta is

    @classmethod
    def of(cls, objective: LeastSquares) -> "_Reduced":
        """Return those of an objective at theta = 0."""
        return cls(*objective.residual_jacobian(np.zeros(objective.size)), len(objective.groups.count))


def _reduced(rows: Array) -> tuple[Array, float]:
    """Return rows [J | r] with the same J'J, J'r, and the part of r'r that is missing in them."""
    width = rows.shape[1]
    if len(rows) <= width:
        return rows, 0.0
    R = np.asarray(np.linalg.qr(rows, mode="r"))
    return R[:-1], float(R[-1, -1] ** 2)


class _Solution:
    """The weights for given precisions, and what the updates need."""

    def __init__(self, rows: _Reduced, precision: Array, decay: Array) -> None:
        from scipy.linalg import qr, solve_triangular  # noqa: PLC0415  # takes 0.1 s to import

        root = np.sqrt(precision[rows.group])
        n, groups = len(rows.r), len(precision)
        stacked = np.concatenate([rows.J * root[:, None], np.diag(np.sqrt(decay))])
        Q, self.R = qr(stacked, mode="economic", overwrite_a=True, check_finite=False)
        self.theta = solve_triangular(self.R, -(Q[:n].T @ (rows.r * root)), check_finite=False)
        left = rows.r + rows.J @ self.theta
        self.squares = np.bincount(rows.group, left * left, groups) + rows.rest
        leverage = np.einsum("ij,ij->i", Q, Q)
        self.used = np.bincount(rows.group, leverage[:n], groups)
        self.share = np.maximum(1.0 - leverage[n:], 0.0)
        self.log_det = 2.0 * float(np.log(np.abs(np.diag(self.R))).sum())


def left_out(r: Array, J: Array, precision: Array, decay: Array) -> Array:
    """Return the residual of each entry (entries,) for a fit without that entry.

    If an entry has nearly all of the leverage, r_i and 1 - h_i are differences of large numbers, and only
    rounding. Then they are computed as sums of small ones, from the rest of the orthogonal basis.

    Args:
        r: (entries,) residuals at theta = 0, of a model linear in theta.
        J: (entries, p) their gradients.
        precision: (entries,) of their noise.
        decay: (p,) of the prior.
    """
    from scipy.linalg import qr  # noqa: PLC0415  # takes 0.1 s to import

    root, n = np.sqrt(precision), len(r)
    stacked = np.concatenate([J * root[:, None], np.diag(np.sqrt(decay))])
    y = np.concatenate([r * root, np.zeros(len(decay))])
    Q = qr(stacked, mode="economic", check_finite=False)[0]
    kept = 1.0 - np.einsum("ij,ij->i", Q[:n], Q[:n])
    left = y[:n] - Q[:n] @ (Q.T @ y)
    if kept.min() < _LEAST_LEFT and len(y) <= _MOST_FULL:
        Q = qr(stacked, check_finite=False)[0][:, len(decay) :]
        kept = np.einsum("ij,ij->i", Q[:n], Q[:n])
        left = Q[:n] @ (Q.T @ y)
    return np.asarray(left / np.maximum(kept, _TINY) / root)


def prediction_score(objective: LeastSquares, left: Array, group: Array) -> float:
    """Return the mean logarithm, over entries, of their column's relative mean square of `left`.

    It is lower for better predictions, whatever the columns' units and noises. Unlike the evidence it does
    not depend on the prior, so it compares polynomials with networks.
    """
    groups = len(objective.groups.count)
    unit = np.where(objective.groups.relative > 0, objective.groups.relative, 1.0)
    count, squares = np.bincount(group, minlength=groups), np.bincount(group, left * left, groups)
    seen = count > 0
    mean = np.maximum(squares[seen] / (count[seen] * unit[seen]), _ROUNDING)
    return float(count[seen] @ np.log(mean) / count.sum())
