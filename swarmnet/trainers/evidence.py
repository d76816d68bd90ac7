"""The evidence: noise and priors estimated from the data, for the Levenberg-Marquardt runs of `lm_run`.

Plain Levenberg-Marquardt minimises the loss. Bayesian regularisation (MacKay 1992, Foresee and Hagan 1997)
reads the loss as a posterior: residuals r of group g have the noise precision beta_g, weights w of group a
the prior precision alpha_a, and

    M = 1/2 sum_g beta_g |r_g|^2 + 1/2 sum_a alpha_a |w_a|^2,   A = sum_g beta_g J_g' J_g + diag(alpha)

are its negative logarithm and Gauss-Newton Hessian. With the effective numbers of parameters

    gamma_g = beta_g tr(A^-1 J_g' J_g),   gamma_a = sum over a of (1 - alpha_a (A^-1)_ii)

the updates are alpha_a = gamma_a / |w_a|^2 and beta_g = (N_g - gamma_g) / |r_g|^2. The coefficients of each
degree of a trend have an alpha. It may not fall from one degree to the next: degrees that would have a lower
one share the alpha of all their weights (isotonic regression). With free ones, a polynomial with as many
terms as entries fits their noise. The log evidence

    -M - 1/2 log|A| + 1/2 sum_i log alpha_i + 1/2 sum_g N_g log(beta_g / 2 pi)

compares starts and network sizes without a validation set.

Values and each derivative column are separate groups, so that the data determine the balance between them. An
entry's measured sigma is its noise and is not estimated. A noise may shrink only a little per iteration. With
a high initial noise, networks with more weights than data do not interpolate them before the prior is known.
With a low one, structure that is hard to fit is not taken for noise too early. No single value suits all
data, so runs begin with different noises, and the evidence chooses among them.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from swarmnet.trainers.lm_step import NormalEquations
from swarmnet.trainers.protocols import LeastSquares
from swarmnet.trainers.result import Array, Posterior

FLOOR = 1e-6  # smallest noise relative to an entry's scale: below it A is singular in double precision
_EXACT_FLOOR = 1e-15  # the same where QR solves for linear weights: below it residuals are rounding
# Initial noises, as shares of the data's mean square. With only a high one, a slope of the water data was
# taken for noise. With only a low one, 150 rows of one entry were interpolated.
NOISES = (1.0 / 3.0, 1e-4, 1e-2)
# Factor of a noise precision from which it may change twice as fast. Test errors, measured as in `lm_run`,
# are 1.09 times as large for 10, and the same for 1e9: it matters only for columns near 0.
_FAR = 100.0
_LEAST_FREEDOM = 4.0  # degrees of freedom: Student's t then has twice the Gaussian's variance; with 2, none
LEAST_PRIOR = 1e-6  # only bounds rounding: a weight of 1,000 is as good as free (1e-8: the same test errors)
_MOST_PRIOR = 1e6  # only bounds rounding: a weight of 0.001 matters little to a network
_MOST_EXACT_PRIOR = 1e34  # the same where QR solves: coefficients of a polynomial matter down to rounding
# Largest prior precision of the output biases. Outputs are centred, so their biases are near 0, and an
# estimated prior would fix them. Then two deviations held only 2 to 32 % of the truths at the centre.
_FREE_PRIOR = 1e-2
# The same for hidden biases in error bars: the precision of their initial values. Then two deviations hold
# the slope at the end of a line for 93 % of the seeds; without it, for 88 % (benchmarks.coverage).
_HIDDEN_PRIOR = 4.0


class Hyperparameters:
    """The precisions of noise and prior, and their estimates.

    If the user gave derivative_weight, all residuals share one noise, in the proportions of the loss. If the
    user gave l2, alpha is that share of the noise precisions, and 0 for biases. With both given, nothing is
    estimated, and M is half the loss. `noise` is the initial noise, a share of the data's mean square. With
    `exact`, precisions have wider limits, for weights that QR solves for.
    """

    def __init__(self, objective: LeastSquares, noise: float, exact: bool = False) -> None:
        groups, self._floor = objective.groups, _EXACT_FLOOR if exact else FLOOR
        count, unit = groups.count, objective.unit_precision
        self.count = np.where(unit > 0, count, 0.0)
        self.entries = int(groups.entries[unit > 0].sum())
        self._unit, self._l2, self._penalised = unit, objective.l2, objective.penalised
        self.weight_group, self._first_degree = objective.weight_groups, 2 * objective.layers
        self.estimates_prior = objective.estimates_l2
        self.estimates_noise = objective.estimates_balance or objective.estimates_l2
        if objective.estimates_balance:
            self._block = groups.noise_of
            # A quantity is in units of its root mean square, and so is the noise that others have from it.
            of_quantity = np.isin(self._block, groups.quantities)
            self._share = np.where(of_quantity, 1.0, groups.unit / groups.unit[self._block])
            self._tells = self._block == np.arange(len(count))
            self._fixed = np.arange(len(count)) >= groups.first_known
        else:
            self._share = unit * (self.count.sum() / max(float(unit @ self.count), 1e-300))
            self._block = np.zeros(len(count), int)
            self._tells = np.ones(len(count), bool)
            self._fixed = np.zeros(len(count), bool)
        self.precision = self._first_precision(groups, noise)
        self._values = groups.values[self.count[groups.values] > 0]
        self.prior = np.ones(self.weight_group.max() + 1)
        self._most_prior = np.full(len(self.prior), _MOST_EXACT_PRIOR if exact else _MOST_PRIOR)
        outputs = self.weight_group[np.flatnonzero(objective.penalised == 0)[-1]]
        self.prior[outputs] = self._most_prior[outputs] = _FREE_PRIOR

    def _first_precision(self, groups: Any, noise: float) -> Array:
        """Return the initial precisions; columns that matter less to the function begin with less weight."""
        self._matters = np.ones(len(self.count))
        if not self.estimates_noise:
            return np.asarray(self._unit)
        seen = self.count > 0
        relative = np.where(groups.relative > 0, groups.relative, 1.0)
        values = groups.square[seen & ~groups.is_partial]
        whole = values.max(initial=0.0) or groups.square.max() or 1.0
        unit = np.where(groups.relative > 0, groups.square / relative, 1.0)  # sigma^2
        self._matters = np.clip(unit / whole * relative, self._floor, 1.0)
        first = np.maximum(np.minimum(1.0 / relative, unit / whole), FLOOR**2) / noise
        if self._block.any():
            self._matters = self._matters[self._block]
            return np.where(self._fixed, 1.0, first[self._block] * self._share)
        total = float((self._share * relative) @ self.count)
        return np.asarray(self._share * self.count.sum() / (noise * (total or 1.0)))

    @property
    def estimated(self) -> Array:
        """(groups,): whether each group's noise is estimated."""
        return np.asarray(~self._fixed & (self.count > 0))

    @property
    def decay(self) -> Array:
        """(p,): alpha of each weight."""
        if self.estimates_prior:
            return np.asarray(self.prior[self.weight_group])
        proportion = float(self.precision @ self.count) / max(float(self._unit @ self.count), 1e-300)
        return np.asarray(self._l2 * proportion * self._penalised)

    def energy(self, theta: Array, squares: Array) -> float:
        """Return M."""
        return 0.5 * float(self.precision @ squares + self.decay @ (theta * theta))

    def log_evidence(self, energy: float, log_det: float) -> float:
        """Return the log evidence of the data, up to a constant that is the same for all networks."""
        seen = self.count > 0
        decay = self.decay
        prior = float(np.log(decay[decay > 0]).sum())
        noise = float(self.count[seen] @ np.log(self.precision[seen] / (2.0 * np.pi)))
        return -energy - 0.5 * log_det + 0.5 * prior + 0.5 * noise

    @property
    def constants(self) -> float:
        """A term that makes the evidence cost of an output's constant independent of the noise.

        A more precise constant costs evidence: half the logarithm of its precision, which is that of the
        values' noise. Without this term, a few exact values would be treated as noise instead of being
        fitted.
        """
        return 0.5 * float(np.log(self.precision[self._values]).sum())

    def _by_noise(self, *sums: Array) -> tuple[Array, ...]:
        """Return sums over groups (groups,) as sums over groups that share a noise, (noises,)."""
        noises = int(self._block.max()) + 1
        return tuple(np.bincount(self._block, one * self._tells, noises) for one in sums)

    def supported(self, squares: Array, used: Array) -> Array:
        """Return the noise precisions (groups,) that the residuals support, for error bars.

        No precision is higher than the residuals allow, whether it was estimated or given as sigmas that the
        fit misses. An estimate from few residuals is itself uncertain: with nu degrees of freedom the
        posterior is Student's t, whose variance is nu / (nu - 2) times the Gaussian's.

        Args:
            squares: (groups,) sums of squared residuals.
            used: (groups,) effective numbers of parameters.
        """
        count, gamma, own = self._by_noise(self.count, used, self._share * squares)
        free = np.maximum(count - gamma, 1e-3 * count)
        with np.errstate(divide="ignore", invalid="ignore"):  # groups without residuals or entries
            seen = (free / own)[self._block] * self._share
        nu = np.maximum(free[self._block], _LEAST_FREEDOM)
        unsure = np.where(self.estimated, (nu - 2.0) / nu, 1.0)
        return np.where(self.count > 0, np.minimum(self.precision, seen) * unsure, self.precision)

    def update(
        self,
        theta: Array,
        squares: Array,
        used: Array,
        share: Array,
        cooling: float = math.inf,
        prior_change: float = math.inf,
    ) -> None:
        """Re-estimate from the effective numbers of parameters, changing by at most these factors."""
        if self.estimates_prior:
            target = np.clip(self._wanted_prior(theta, share), LEAST_PRIOR, self._most_prior)
            self.prior = np.clip(target, self.prior / prior_change, self.prior * prior_change)
        count, gamma, squares = self._by_noise(self.count, used, self._share * squares)
        free = np.maximum(count - gamma, 1e-3 * count)
        most = self._matters / self._floor**2
        noise = (free / np.maximum(squares, 1e-300))[self._block] * self._share
        wanted = np.clip(noise, 1e-4 * self._share, most * self._share) / self.precision
        # Columns that matter little begin far from their estimate, and may change faster.
        fast = np.where((wanted > _FAR) & (self._matters < 1.0 / _FAR), cooling**2, cooling)
        change = np.clip(wanted, 1.0 / cooling, fast)
        self.precision = np.where(self.estimated, self.precision * change, self.precision)

    def _wanted_prior(self, theta: Array, share: Array) -> Array:
        """Return gamma / |w|^2 of each group of weights, not falling with the degree of a trend."""
        weights = np.maximum(np.bincount(self.weight_group, theta * theta), 1e-300)
        wanted, degrees = np.bincount(self.weight_group, share) / weights, slice(self._first_degree, None)
        if len(wanted[degrees]) > 1:
            from scipy.optimize import isotonic_regression  # noqa: PLC0415  # takes 0.3 s to import

            wanted[degrees] = isotonic_regression(wanted[degrees], weights=weights[degrees]).x
        return np.asarray(wanted)


def covariance_root(objective: LeastSquares, theta: Array, posterior: Posterior) -> Array:
    """Return lower triangular C (p, p) with C' C = A^-1 at theta, the covariance of the weights.

    With a given l2, biases have no prior. They get the smallest estimated one, so that no number in C is so
    large that rounding would spoil error bars, where it cancels.
    """
    return NormalEquations(objective, theta, posterior.precision, proper_prior(objective, posterior)).roots()[
        1
    ]


def with_supported_noise(objective: LeastSquares, theta: Array, posterior: Posterior) -> Posterior:
    """Return the posterior with the noise precisions that the residuals at theta support."""
    used = NormalEquations(
        objective, theta, posterior.precision, proper_prior(objective, posterior)
    ).effective()[0]
    noise = Hyperparameters(objective, NOISES[0])
    noise.precision = posterior.precision
    return replace(posterior, precision=noise.supported(objective.group_squares(theta), used))


def proper_prior(objective: LeastSquares, posterior: Posterior) -> Array:
    """Return the prior's precision (p,) for error bars.

    For biases near 0 the estimate is so large that they would count as known, and the function as odd about
    the middle of the data. So their precision is limited.
    """
    most = np.where(objective.penalised > 0, np.inf, _HIDDEN_PRIOR)
    return np.clip(posterior.decay, LEAST_PRIOR, most)
