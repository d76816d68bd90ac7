"""Levenberg-Marquardt on the mixed residuals, with the evidence choosing weights and regularisation.

Plain Levenberg-Marquardt minimises the loss. Bayesian regularisation (MacKay 1992, Foresee and Hagan 1997)
reads it as a posterior: residuals r of group g have the noise precision beta_g, weights w of group a the
prior precision alpha_a, and

    M = 1/2 sum_g beta_g |r_g|^2 + 1/2 sum_a alpha_a |w_a|^2,   A = sum_g beta_g J_g' J_g + diag(alpha)

are its negative logarithm and Gauss-Newton Hessian. From the effective numbers of parameters

    gamma_g = beta_g tr(A^-1 J_g' J_g),   gamma_a = sum over a of (1 - alpha_a (A^-1)_ii)

follow alpha_a = gamma_a / |w_a|^2 and beta_g = (N_g - gamma_g) / |r_g|^2, and the log evidence of the data,

    -M - 1/2 log|A| + 1/2 sum_i log alpha_i + 1/2 sum_g N_g log(beta_g / 2 pi),

by which starts and sizes are compared without a validation set.

Values and every derivative column are groups of their own, so that the data set the balance between them; an
entry's measured sigma is its noise, which is not estimated. A noise may shrink only a little an iteration.
From a high one, networks with more weights than data do not interpolate them before the prior knows better;
from a low one, what is hard to fit is not taken for noise before the fit had a chance. Neither suits all
data, so climbs begin with different noises, and the evidence says which was right.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from swarmnet import linalg as blas
from swarmnet.trainers.base import Array, Posterior
from swarmnet.trainers.checkpoint import DamagedState, State, array, matching, whole
from swarmnet.trainers.protocols import LeastSquares, Trainable

MOST_WEIGHTS = 3000  # beyond, a step takes seconds
_FLOOR = 1e-6  # smallest noise, relative to each entry's scale: beyond it A is singular in double precision
NOISES = (1.0 / 3.0, 1e-4, 1e-2)  # to begin with, as shares of the data's mean square
COOLING = 1.3  # a noise precision's largest factor in an iteration, where nothing hurries
COLD = 55  # iterations at the usual cooling after which the noise of good data is low
_FAR = 100.0  # a noise precision's factor from which it may change twice as fast
_LEAST_FREEDOM = 4.0  # degrees of freedom: with 2 or fewer Student's t has no variance
_PRIOR_CHANGE = 2.0  # a prior precision's
_SOMETHING = math.log(1e4)  # prior odds that data hold more than a constant and noise
_LEAST_PRIOR = 1e-6  # smallest prior precision: a weight of 1,000 is as good as one without a prior
# Largest prior precision of the output biases: outputs are centred, so their biases are near 0, and an
# estimate would take them for known. A constant must not be known better than the data say.
_FREE_PRIOR = 1e-2
_HIDDEN_PRIOR = 4.0  # likewise of hidden biases, for error bars: that of the values they begin with
_SETTLED = 3  # estimates without a step in between
_FRESH = 4  # iterations for which effective numbers of parameters are good
STALE = 60  # iterations without progress that end it
_PROGRESS = 0.02  # of the log evidence for each entry: what a noise 2 % lower is worth
_FALLING = 1.05  # a noise precision's growth since the last progress from which its noise is still falling
_CHEAP = 2e7  # multiplications of an iteration up to which many cost next to nothing
_MOST_WEIGHT = 1e8  # beyond, a step is rounding where precisions are 1e16 and more apart
_MOST_BEND = 0.75  # twice the length of a second-order step, as a share of the first-order one
_TRIES = 30  # steps tried at a point before it counts as a minimum
_ROUNDING = 1e-15  # of M: by no more a step cannot be seen to lower it
_DAMPING = 1e-2  # to begin with, as a share of the mean diagonal of J'J, or of the prior
_LEAST_KNOWN = 1e-24  # smallest diagonal of A, as a share of the largest: of weights that change nothing
_LEAST_DAMPING, _MOST_DAMPING = 1e-16, 1e14


class Linearisation(Protocol):
    """M's quadratic model at a point."""

    gradient: Array

    def step(self, damping: float) -> Array:
        """The minimum of the model with A + damping diag(metric) for A."""

    def bend(self, step: Array) -> Array:
        """What to add to that step, because the residuals bend along it."""

    def effective(self) -> tuple[Array, Array, float]:
        """gamma_g (groups,), 1 - alpha_i (A^-1)_ii (p,), and log|A|."""


class _Tall:
    """Through J'J (p, p)."""

    def __init__(self, objective: LeastSquares, theta: Array, precision: Array, decay: Array) -> None:
        self._objective, self._theta, self._precision, self._decay = objective, theta, precision, decay
        _, Jr, self._JJ = objective.gauss_newton(theta, precision)
        self.gradient = Jr + decay * theta
        self._metric = float(np.mean(np.diag(self._JJ)))

    def step(self, damping: float) -> Array:
        self._damped = self._factor(self._decay + damping * self._metric)
        return self._solved(self.gradient)

    def _solved(self, gradient: Array) -> Array:
        L, unit = self._damped
        return np.asarray(-unit * blas.solve(L, unit * gradient))

    def bend(self, step: Array) -> Array:
        bends = self._objective.bends(self._theta, step, self._precision)
        return _half(self._solved(bends), step)

    def effective(self) -> tuple[Array, Array, float]:
        L, inverse = self.roots()
        share = 1.0 - self._decay * np.einsum("ij,ij->j", inverse, inverse)
        used = self._objective.leverages(self._theta, self._precision, L)
        return used, share, 2.0 * float(np.log(np.diag(L)).sum())

    def roots(self) -> tuple[Array, Array]:
        """L with L L' = A, in the lower half, and its inverse, lower triangular."""
        L, unit = self._factor(self._decay)
        L = np.asfortranarray(L / unit[:, None])
        return L, blas.inverse(L)

    def _factor(self, diagonal: Array) -> tuple[Array, Array]:
        """L and u with L L' = u (JJ + diagonal) u, whose diagonal is 1."""
        own = _diagonal(self._JJ) + diagonal
        own = np.maximum(own, _LEAST_KNOWN * (own.max() or 1.0))
        unit = 1.0 / np.sqrt(own)

        def scaled() -> Array:
            A: Array = self._JJ * unit
            A *= unit[:, None]
            _diagonal(A)[:] = 1.0
            return A

        return _cholesky(scaled), unit


class _Wide:
    """Through K = J diag(1/alpha) J' (entries, entries), where residuals are few and every alpha positive."""

    def __init__(self, objective: LeastSquares, theta: Array, precision: Array, decay: Array) -> None:
        self._objective, self._theta, self._precision = objective, theta, precision
        r, Q, self._group = objective.residual_jacobian(theta, precision)
        self._root = np.sqrt(decay)
        Q *= 1.0 / self._root
        self._Q, self._K = Q, np.zeros((len(Q), len(Q)), order="F")
        blas.add_gram(Q, self._K, lower=True)
        self._slope = r @ Q + decay * theta / self._root
        self.gradient = self._slope * self._root
        self._Q_slope = Q @ self._slope
        self._groups = len(precision)

    def step(self, damping: float) -> Array:
        self._stiff = 1.0 + damping
        self._damped = self._factor(self._stiff)
        return self._solved(self._slope, self._Q_slope)

    def _solved(self, slope: Array, Q_slope: Array) -> Array:
        z = blas.solve(self._damped, Q_slope / self._stiff)
        return np.asarray(-(slope - z @ self._Q) / (self._stiff * self._root))

    def bend(self, step: Array) -> Array:
        bends = self._objective.bends(self._theta, step, self._precision) / self._root
        second = self._solved(bends, self._Q @ bends)
        return np.asarray(_half(second * self._root, step * self._root) / self._root)

    def effective(self) -> tuple[Array, Array, float]:
        L = self._factor(1.0)
        inverse = blas.inverse(L)
        used = 1.0 - np.einsum("ij,ij->j", inverse, inverse)
        V = blas.multiply(inverse, self._Q.copy())
        share = np.einsum("ij,ij->j", V, V)
        log_det = 2.0 * float(np.log(np.diag(L)).sum() + np.log(self._root).sum())
        return np.bincount(self._group, used, self._groups), share, log_det

    def _factor(self, stiff: float) -> Array:
        """L with L L' = K / stiff + 1."""

        def damped() -> Array:
            K: Array = self._K / stiff
            _diagonal(K)[:] += 1.0
            return K

        return _cholesky(damped)


def _half(second: Array, first: Array) -> Array:
    """Half of the second-order step, or nothing where it is no small correction of the first."""
    small = 2.0 * float(np.linalg.norm(second)) <= _MOST_BEND * float(np.linalg.norm(first))
    return 0.5 * second if small else np.zeros_like(second)


def _diagonal(A: Array) -> Array:
    """A view, to write to."""
    return np.asarray(np.einsum("ii->i", A))


def _cholesky(made: Callable[[], Array]) -> Array:
    """L of a new A; where rounding has made A indefinite, of A with a larger diagonal."""
    for jitter in (0.0, 1e-13, 1e-11, 1e-9, 1e-7):
        A = made()
        if jitter:
            diagonal = _diagonal(A)
            diagonal += jitter * diagonal.max()
        if blas.factor(A):
            return A
    raise np.linalg.LinAlgError("A is not positive definite")


class Hyperparameters:
    """The precisions of noise and prior, with what is estimated of them.

    Where the user gave derivative_weight, all residuals share one noise, in the loss's proportions. Where the
    user gave l2, alpha is that share of the noise precisions, and 0 for biases. With both, nothing is
    estimated, and M is half the loss. `noise` is what it begins with, a share of the data's mean square.
    """

    def __init__(self, objective: LeastSquares, noise: float) -> None:
        groups = objective.groups
        count, unit = groups.count, objective.unit_precision
        self.count = np.where(unit > 0, count, 0.0)
        self.entries = int(groups.entries[unit > 0].sum())
        self._unit, self._l2, self._penalised = unit, objective.l2, objective.penalised
        self.weight_group = objective.weight_groups
        self.estimates_prior = objective.estimates_l2
        self.estimates_noise = objective.estimates_balance or objective.estimates_l2
        if objective.estimates_balance:
            self._block = groups.noise_of
            self._share = groups.unit / groups.unit[self._block]
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
        self._most_prior = np.full(len(self.prior), 1.0 / _LEAST_PRIOR)
        self.prior[-1] = self._most_prior[-1] = _FREE_PRIOR

    def _first_precision(self, groups: Any, noise: float) -> Array:
        """Of that noise; columns that matter less to the function begin with less weight."""
        self._matters = np.ones(len(self.count))
        if not self.estimates_noise:
            return np.asarray(self._unit)
        seen = self.count > 0
        relative = np.where(groups.relative > 0, groups.relative, 1.0)
        values = groups.square[seen & ~groups.is_partial]
        whole = values.max(initial=0.0) or groups.square.max() or 1.0
        unit = np.where(groups.relative > 0, groups.square / relative, 1.0)  # sigma^2
        self._matters = np.clip(unit / whole * relative, _FLOOR, 1.0)
        first = np.maximum(np.minimum(1.0 / relative, unit / whole), _FLOOR**2) / noise
        if self._block.any():
            self._matters = self._matters[self._block]
            return np.where(self._fixed, 1.0, first[self._block] * self._share)
        total = float((self._share * relative) @ self.count)
        return np.asarray(self._share * self.count.sum() / (noise * (total or 1.0)))

    @property
    def estimated(self) -> Array:
        """Whether each group's noise is, (groups,)."""
        return np.asarray(~self._fixed & (self.count > 0))

    @property
    def decay(self) -> Array:
        """alpha of each weight, (p,)."""
        if self.estimates_prior:
            return np.asarray(self.prior[self.weight_group])
        proportion = float(self.precision @ self.count) / max(float(self._unit @ self.count), 1e-300)
        return np.asarray(self._l2 * proportion * self._penalised)

    def energy(self, theta: Array, squares: Array) -> float:
        """M."""
        return 0.5 * float(self.precision @ squares + self.decay @ (theta * theta))

    def log_evidence(self, energy: float, log_det: float) -> float:
        """Of the data, up to a constant that is the same for all networks."""
        seen = self.count > 0
        decay = self.decay
        prior = float(np.log(decay[decay > 0]).sum())
        noise = float(self.count[seen] @ np.log(self.precision[seen] / (2.0 * np.pi)))
        return -energy - 0.5 * log_det + 0.5 * prior + 0.5 * noise

    @property
    def constants(self) -> float:
        """What makes an output's constant cost the same evidence whatever the noise.

        To know a constant better takes evidence: half the logarithm of its precision, which is that of the
        values' noise. So few exact values would be worth more taken for noise than learnt.
        """
        return 0.5 * float(np.log(self.precision[self._values]).sum())

    def _by_noise(self, *sums: Array) -> tuple[Array, ...]:
        """Sums over groups (groups,) as sums over those that share a noise, (noises,)."""
        noises = int(self._block.max()) + 1
        return tuple(np.bincount(self._block, one * self._tells, noises) for one in sums)

    def supported(self, squares: Array, used: Array) -> Array:
        """The noise precisions that the residuals support, (groups,), for error bars.

        None is higher than the residuals left say, whether it was estimated, or given as sigmas that the fit
        misses. An estimate from few residuals is uncertain itself: with nu degrees of freedom left the
        posterior is Student's t, whose variance is nu / (nu - 2) times the Gaussian's.

        Args:
            squares: (groups,) sums of squared residuals.
            used: (groups,) effective numbers of parameters.
        """
        count, gamma, own = self._by_noise(self.count, used, self._share * squares)
        free = np.maximum(count - gamma, 1e-3 * count)
        with np.errstate(divide="ignore", invalid="ignore"):  # where nothing is left, or nothing was there
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
        """Re-estimate from the effective numbers of parameters; by these factors at most."""
        if self.estimates_prior:
            weights = np.bincount(self.weight_group, theta * theta)
            gamma = np.bincount(self.weight_group, share)
            target = np.clip(gamma / np.maximum(weights, 1e-300), _LEAST_PRIOR, self._most_prior)
            self.prior = np.clip(target, self.prior / prior_change, self.prior * prior_change)
        count, gamma, squares = self._by_noise(self.count, used, self._share * squares)
        free = np.maximum(count - gamma, 1e-3 * count)
        most = self._matters / _FLOOR**2
        noise = (free / np.maximum(squares, 1e-300))[self._block] * self._share
        wanted = np.clip(noise, 1e-4 * self._share, most * self._share) / self.precision
        # Columns that hardly matter begin far off, and may catch up.
        fast = np.where((wanted > _FAR) & (self._matters < 1.0 / _FAR), cooling**2, cooling)
        change = np.clip(wanted, 1.0 / cooling, fast)
        self.precision = np.where(self.estimated, self.precision * change, self.precision)


@dataclass(frozen=True)
class Rival:
    """Where a climb came to that is over, and the evidence for it."""

    theta: Array
    log_evidence: float
    network: int  # the number of its objective

    @classmethod
    def checked(cls, state: State, sizes: Mapping[int, int]) -> "Rival":
        """That of a state that was read; networks have so many weights.

        Raises:
            DamagedState: no climb of these networks can have given it.
        """
        network = whole(state, "network")
        if network not in sizes:
            raise DamagedState("a rival is that of no network")
        evidence = matching(state, {"log_evidence": 0.0})["log_evidence"]
        return cls(array(state, "theta", (sizes[network],)), evidence, network)


class Climb:
    """One run of Levenberg-Marquardt, an iteration at a time.

    Args:
        objective: what is climbed, on one thread, so that climbs can go side by side.
        theta: (p,) from where.
        noise: to begin with, see `NOISES`.
        squares: (groups,) sums of squared residuals at theta, where they are known.
    """

    _kept = (
        *("theta", "squares", "damping", "cooling", "iteration", "clock", "evaluations"),
        *("used", "share", "log_evidence", "best", "best_at", "best_precision", "done", "noise", "warm_up"),
    )

    def __init__(
        self,
        objective: Trainable,
        theta: Array,
        noise: float = NOISES[0],
        squares: Array | None = None,
    ) -> None:
        self.objective, self._alone = objective, objective.twin()
        self.theta = theta.copy()
        self.squares = objective.group_squares(theta) if squares is None else squares
        self.noise, self.hyper = noise, Hyperparameters(objective, noise)
        self.best_precision = self.hyper.precision
        self.damping, self.cooling = _DAMPING, COOLING
        self.iteration, self.evaluations = 0, 1
        self.clock = 0.0  # iterations at the usual cooling
        self.used, self.share = np.zeros(len(self.hyper.count)), np.zeros(len(theta))
        self.log_evidence = self.best = -np.inf
        self.best_at, self.done = 0, False
        self.warm_up = COLD if self.hyper.estimates_noise else 0

    @classmethod
    def from_fit(cls, objective: Trainable, theta: Array) -> "Climb":
        """The climb from weights that fit already: noise and prior begin at what is seen there."""
        climb = cls(objective, theta)
        climb.hyper.update(theta, climb.squares, climb.used, np.ones(len(theta)))
        climb.clock, climb.warm_up = float(COLD), 0
        return climb

    def settle(self) -> None:
        """Estimate noise, prior and evidence where it stands, without a step."""
        for _ in range(_SETTLED):
            model = _Tall(self.objective, self.theta, self.hyper.precision, self.hyper.decay)
            self.used, self.share, log_det = model.effective()
            self.log_evidence = self.hyper.log_evidence(self.hyper.energy(self.theta, self.squares), log_det)
            self.hyper.update(self.theta, self.squares, self.used, self.share)

    @property
    def criterion(self) -> float:
        """Minus half the Bayesian information criterion (Schwarz 1978), by which networks can be compared.

        It is as good as the evidence where entries are many for each weight, and costs next to nothing. The
        mean square of a column counts as a millionth of the worst one's at least: else a network too small
        for the data would win by fitting some columns exactly and none of the others.
        """
        count, free = self.hyper.count, self.hyper.estimated
        mean = self.squares / np.where(count > 0, count, 1.0)
        floor = max(_FLOOR * float(mean[free].max(initial=0.0)), _FLOOR**2)
        likelihood = np.where(free, count * np.log(np.maximum(mean, floor)), self.squares)
        penalty = len(self.theta) * math.log(max(self.hyper.entries, 1))
        return -0.5 * (float(likelihood[count > 0].sum()) + penalty)

    def state(self) -> State:
        """What `load` takes."""
        own = {name: getattr(self, name) for name in self._kept}
        return own | {"precision": self.hyper.precision, "prior": self.hyper.prior}

    @classmethod
    def restored(cls, objective: Trainable, state: State) -> "Climb":
        """The climb of that state."""
        climb = cls(objective, state["theta"], state["noise"], state["squares"])
        climb.load(state)
        return climb

    @classmethod
    def checked(cls, objective: Trainable, state: State) -> State:
        """A state that was read.

        Raises:
            DamagedState: no climb of this objective can have given it.
        """
        theta, squares = np.zeros(objective.size), np.zeros(len(objective.groups.count))
        finite = ("theta", "precision", "prior", "best_precision", "damping", "cooling", "clock", "noise")
        state = matching(state, cls(objective, theta, squares=squares).state(), finite)
        rising = state["cooling"] > 1.0 and min(state["damping"], state["noise"]) > 0.0
        if not (rising and min(state["precision"]) >= 0.0 and min(state["prior"]) > 0.0):
            raise DamagedState("a precision, a noise or their changes are out of range")
        return state

    def load(self, state: State) -> None:
        """Go on from there."""
        self.hyper.precision, self.hyper.prior = state["precision"], state["prior"]
        for name in self._kept:
            setattr(self, name, state[name])

    def advance(self, alone: bool = True) -> None:
        """One iteration, on one thread or on all: a step that lowers M, then the precisions."""
        hyper, objective = self.hyper, self._alone if alone else self.objective
        decay = hyper.decay
        # K divides by the prior: where some weights have none, damping them takes A itself.
        few = 0 < hyper.entries < len(self.theta) and decay.min() > 0
        kind: Callable[..., Linearisation] = _Wide if few else _Tall
        model = kind(objective, self.theta, hyper.precision, decay)
        energy = hyper.energy(self.theta, self.squares)
        if hyper.estimates_noise and self.iteration % _FRESH == 0:
            self.used, self.share, log_det = model.effective()
            self.log_evidence = hyper.log_evidence(energy, log_det)
        self.iteration += 1
        self.clock += math.log(self.cooling) / math.log(COOLING)
        self.evaluations += 1
        lowered = self._step(objective, model, energy)
        self._watch(energy, lowered)
        if hyper.estimates_noise:
            hyper.update(self.theta, self.squares, self.used, self.share, self.cooling, _PRIOR_CHANGE)

    def _step(self, objective: LeastSquares, model: Linearisation, energy: float) -> float:
        """Move to a lower M, adapting the damping (Marquardt 1963); by how much it fell.

        A step goes along the geodesic on which the residuals move evenly, to second order (Transtrum and
        Sethna 2012): where they bend, that is several times as far as a straight step can go.
        """
        for _ in range(_TRIES):
            step = model.step(self.damping)
            trial = self.theta + step + model.bend(step)
            squares = objective.group_squares(trial)
            self.evaluations += 2
            lowered = energy - self.hyper.energy(trial, squares)
            expected = -0.5 * float(model.gradient @ step)
            if lowered > 0 and np.abs(trial).max() < _MOST_WEIGHT:
                ratio = lowered / max(expected, 1e-300)
                factor = 0.4 if ratio > 0.75 else 1.0 if ratio > 0.25 else 2.0
                self.damping = max(self.damping * factor, _LEAST_DAMPING)
                self.theta, self.squares = trial, squares
                return lowered
            if abs(expected) <= _ROUNDING * energy or self.damping >= _MOST_DAMPING:
                break  # shorter steps expect less still; a negative number is rounding, which says nothing
            self.damping *= 4.0
        self.damping = _DAMPING
        return 0.0

    def _watch(self, energy: float, lowered: float) -> None:
        """Notice when nothing improves any more."""
        merit = self.log_evidence if self.hyper.estimates_noise else -energy
        gain = _PROGRESS * self._entries_falling() if self.hyper.estimates_noise else 1e-6 * energy
        if merit > self.best + gain:
            self.best, self.best_at, self.best_precision = merit, self.iteration, self.hyper.precision
        waited = self.iteration - max(self.best_at, self.warm_up)
        self.done = waited >= STALE or (lowered == 0.0 and not self.hyper.estimates_noise)

    def _entries_falling(self) -> float:
        """Of how many entries the evidence has to gain.

        Where some columns' noise has been found and that of others still falls, these alone have to.
        """
        hyper = self.hyper
        falling = hyper.precision > _FALLING * self.best_precision
        return float(hyper.count[falling].sum() if falling.any() else hyper.count.sum())

    @property
    def loss(self) -> float:
        """The mixed loss, as all trainers report it."""
        objective = self.objective
        weights = self.theta * objective.penalised
        return float(objective.unit_precision @ self.squares + objective.l2 * (weights @ weights))

    @property
    def merit(self) -> float:
        """What climbs are compared by: the log evidence, or minus M where nothing is estimated.

        Nobody trains on what is nothing but noise: a constant has to be likelier than others by far. It
        is one as far as the data determine less than one of the parameters in W.
        """
        if not self.hyper.estimates_noise:
            return -self.hyper.energy(self.theta, self.squares)
        determined = float(self.share[self.objective.penalised > 0].sum())
        return self.log_evidence + self.hyper.constants - _SOMETHING * max(0.0, 1.0 - determined)

    @property
    def rival(self) -> Rival:
        """What is left of it where another one wins."""
        return Rival(self.theta, self.log_evidence, self.objective.number)

    def posterior(self, climbs: Sequence["Climb"], rivals: Sequence[Rival]) -> Posterior | None:
        """The precisions found, and where the others came to; None where none were sought."""
        if not self.hyper.estimates_noise:
            return None
        others = [c.rival for c in climbs if c is not self] + [*rivals]
        entries = self.hyper.count.sum() or 1.0
        behind = [(self.log_evidence - other.log_evidence) / entries for other in others]
        return Posterior(
            self.hyper.precision,
            self.hyper.decay,
            self.log_evidence,
            tuple(other.theta for other in others),
            np.array([other.network for other in others], dtype=np.int64),
            # An optimum whose noises are r times larger lies about r times as far off.
            # One without a finite evidence lies infinitely far behind.
            np.exp(-2.0 * np.maximum(np.nan_to_num(behind, nan=np.inf, posinf=np.inf), 0.0)),
        )


def cost(objective: LeastSquares) -> float:
    """Multiplications of an iteration's largest product."""
    return multiplications(float(objective.groups.entries.sum()), objective.size)


def multiplications(entries: float, weights: int) -> float:
    """Those of an iteration's largest product, for so many entries and weights."""
    return entries * weights * min(entries, weights)


def is_cheap(objective: LeastSquares) -> bool:
    """Whether iterations cost so little that there may be many."""
    return cost(objective) <= _CHEAP


def covariance_root(objective: LeastSquares, theta: Array, posterior: Posterior) -> Array:
    """C (p, p), lower triangular, with C' C = A^-1 at theta: the weights' covariance.

    A given l2 leaves biases without a prior. With the least that is estimated for others, no number in C is
    so large that an error bar, in which it cancels, would be lost in rounding. Biases have a wide one.
    """
    return _Tall(objective, theta, posterior.precision, _proper(objective, posterior)).roots()[1]


def with_supported_noise(objective: LeastSquares, theta: Array, posterior: Posterior) -> Posterior:
    """The posterior with the noise precisions that the residuals at theta support."""
    used = _Tall(objective, theta, posterior.precision, _proper(objective, posterior)).effective()[0]
    noise = Hyperparameters(objective, NOISES[0])
    noise.precision = posterior.precision
    return replace(posterior, precision=noise.supported(objective.group_squares(theta), used))


def _proper(objective: LeastSquares, posterior: Posterior) -> Array:
    """The prior's precision (p,) for error bars.

    Of biases that are near 0 it is estimated so large that they would pass for known, and the function for an
    odd one about the middle of the data.
    """
    most = np.where(objective.penalised > 0, np.inf, _HIDDEN_PRIOR)
    return np.clip(posterior.decay, _LEAST_PRIOR, most)
