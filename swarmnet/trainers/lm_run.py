"""One run of Levenberg-Marquardt (Marquardt 1963): the minimisation from one start."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from swarmnet.trainers.checkpoint import DamagedState, State, array, matching, whole
from swarmnet.trainers.evidence import FLOOR, NOISES, Hyperparameters
from swarmnet.trainers.lm_step import DualEquations, Linearisation, NormalEquations
from swarmnet.trainers.protocols import LeastSquares, Trainable
from swarmnet.trainers.result import Array, Posterior

# In brackets are other values with the ratio of their test errors to those of the value here: geometric
# means of lm, 8-8 units, three seeds each of water_enthalpy, smooth2d, two_outputs, water_noisy in datasets/.
# Ratios of single fits range from 0.4 to 4, so that means between 0.85 and 1.2 say little.
MOST_WEIGHTS = 3000  # only bounds memory and time: a matrix p x p takes 72 MB, and a step seconds
COOLING = 1.3  # largest factor of a noise precision in an iteration (1.1: 0.95; 1.7: 1.07)
COLD = 55  # iterations in which a noise can fall to 1/1360, by 1.3^(1/2) each (30, 100: 1.00)
_PRIOR_CHANGE = 2.0  # largest factor of a prior precision in an iteration (1.3: 1.21; 4: 0.97)
# Log prior odds that the data contain more than a constant and noise. Of 322 default fits of 6 to 80 points,
# 23 ended as a constant with these odds, and 90 without.
_SOMETHING = math.log(1e4)
# Repeated estimates at fixed weights; only bounds time. Precisions are then within 8 % of those after 12
# estimates for water_enthalpy, within 25 % for two_outputs, and within a factor of 2.1 for smooth2d, which
# has few entries.
_ESTIMATES = 3
_FRESH = 4  # iterations with the same effective numbers of parameters (1: 1.22; 8: 0.98)
STALE = 60  # iterations without progress that end a run (30: 1.12; 120: 0.89, for 1.3 times the evaluations)
# Gain of log evidence for each entry that counts as progress, as from a noise 2 % lower (0.1: 1.17; 0.005:
# 0.89, for 1.2 times the evaluations)
_PROGRESS = 0.02
_FALLING = 1.05  # growth of a noise precision since progress that counts as falling (1.01: 1.00; 1.3: 0.97)
_CHEAP = 2e7  # multiplications of an iteration of about a millisecond: two cores do 2e10 to 4e10 a second
_MOST_WEIGHT = 1e8  # only bounds rounding: beyond, it dominates a step if precisions differ by 1e16 and more
_TRIES = 30  # only bounds the tries at a point: 27 raise the damping from the initial to the largest one
_ROUNDING = 1e-15  # relative decrease of M within its rounding, a few units of 2.2e-16
# Initial damping as in Marquardt (1963), as a share of the mean diagonal of J'J, or of the prior (1e-4: 1.03;
# 1: 1.15)
_DAMPING = 1e-2
# Smallest share of another optimum in the error bars, that of one with 10 times the noise. On exact data
# of benchmarks/accuracy, worse ones were up to 3,000 times as far away, and bars 60 times as wide as errors.
_LEAST_SHARE = 0.01
_LEAST_DAMPING, _MOST_DAMPING = 1e-16, 1e14  # only bound the damping


@dataclass(frozen=True)
class Optimum:
    """The result of a run that has ended: its weights and log evidence."""

    theta: Array
    log_evidence: float
    network: int  # number of its objective

    @classmethod
    def checked(cls, state: State, sizes: Mapping[int, int]) -> "Optimum":
        """Check and return a saved optimum; `sizes` has the number of weights of each network.

        Raises:
            DamagedState: it cannot come from a run of these networks.
        """
        network = whole(state, "network")
        if network not in sizes:
            raise DamagedState("an optimum belongs to no network")
        evidence = matching(state, {"log_evidence": 0.0})["log_evidence"]
        return cls(array(state, "theta", (sizes[network],)), evidence, network)


class LMRun:
    """One run of Levenberg-Marquardt, an iteration at a time.

    Args:
        objective: the objective; `advance` uses it on one thread by default, so that several runs can go on
            at once.
        theta: (p,) initial weights.
        noise: initial noise, see `NOISES`.
        squares: (groups,) sums of squared residuals at theta, if known.
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
        self.objective, self._alone = objective, objective.single_threaded()
        self.theta = theta.copy()
        self.squares = objective.group_squares(theta) if squares is None else squares
        self.noise, self.hyper = noise, Hyperparameters(objective, noise)
        self.best_precision = self.hyper.precision
        self.damping, self.cooling = _DAMPING, COOLING
        self.iteration, self.evaluations = 0, 1
        self.clock = 0.0  # progress in iterations at the usual cooling
        self.used, self.share = np.zeros(len(self.hyper.count)), np.zeros(len(theta))
        self.log_evidence = self.best = -np.inf
        self.best_at, self.done = 0, False
        self.lowered = 0.0  # by which the last iteration lowered M
        self.warm_up = COLD if self.hyper.estimates_noise else 0

    @classmethod
    def from_fit(cls, objective: Trainable, theta: Array) -> "LMRun":
        """Return a run from weights that fit already: noise and prior begin at estimates from them."""
        run = cls(objective, theta)
        run.hyper.update(theta, run.squares, run.used, np.ones(len(theta)))
        run.clock, run.warm_up = float(COLD), 0
        return run

    def estimate(self) -> None:
        """Estimate noise, prior and evidence at the present weights, without a step."""
        for _ in range(_ESTIMATES):
            model = NormalEquations(self.objective, self.theta, self.hyper.precision, self.hyper.decay)
            self.used, self.share, log_det = model.effective()
            self.log_evidence = self.hyper.log_evidence(self.hyper.energy(self.theta, self.squares), log_det)
            self.hyper.update(self.theta, self.squares, self.used, self.share)

    @property
    def criterion(self) -> float:
        """Minus half the Bayesian information criterion (Schwarz 1978), to compare networks.

        With many entries per weight it ranks networks as the evidence does, at almost no cost. A column's
        mean square counts as at least a millionth of the largest one. Otherwise a network too small for the
        data would win by fitting some columns exactly and the others not at all.
        """
        count, free = self.hyper.count, self.hyper.estimated
        mean = self.squares / np.where(count > 0, count, 1.0)
        floor = max(FLOOR * float(mean[free].max(initial=0.0)), FLOOR**2)
        likelihood = np.where(free, count * np.log(np.maximum(mean, floor)), self.squares)
        penalty = len(self.theta) * math.log(max(self.hyper.entries, 1))
        return -0.5 * (float(likelihood[count > 0].sum()) + penalty)

    def state(self) -> State:
        """Return the state for `load`."""
        own = {name: getattr(self, name) for name in self._kept}
        return own | {"precision": self.hyper.precision, "prior": self.hyper.prior}

    @classmethod
    def restored(cls, objective: Trainable, state: State) -> "LMRun":
        """Return a run with that state."""
        run = cls(objective, state["theta"], state["noise"], state["squares"])
        run.load(state)
        return run

    @classmethod
    def checked(cls, objective: Trainable, state: State) -> State:
        """Check and return a saved state.

        Raises:
            DamagedState: it cannot come from a run of this objective.
        """
        theta, squares = np.zeros(objective.size), np.zeros(len(objective.groups.count))
        finite = ("theta", "precision", "prior", "best_precision", "damping", "cooling", "clock", "noise")
        state = matching(state, cls(objective, theta, squares=squares).state(), finite)
        rising = state["cooling"] > 1.0 and min(state["damping"], state["noise"]) > 0.0
        if not (rising and min(state["precision"]) >= 0.0 and min(state["prior"]) > 0.0):
            raise DamagedState("a precision, a noise or their changes are out of range")
        return state

    def load(self, state: State) -> None:
        """Restore that state."""
        self.hyper.precision, self.hyper.prior = state["precision"], state["prior"]
        for name in self._kept:
            setattr(self, name, state[name])

    def advance(self, alone: bool = True) -> None:
        """Do one iteration, on one thread (`alone`) or all: a step that lowers M, then new precisions."""
        hyper, objective = self.hyper, self._alone if alone else self.objective
        decay = hyper.decay
        # DualEquations divide by the prior precisions, so they need all of them to be positive.
        few = 0 < hyper.entries < len(self.theta) and decay.min() > 0
        kind: Callable[..., Linearisation] = DualEquations if few else NormalEquations
        model = kind(objective, self.theta, hyper.precision, decay)
        energy = hyper.energy(self.theta, self.squares)
        if hyper.estimates_noise and self.iteration % _FRESH == 0:
            self.used, self.share, log_det = model.effective()
            self.log_evidence = hyper.log_evidence(energy, log_det)
        self.iteration += 1
        self.clock += math.log(self.cooling) / math.log(COOLING)
        self.evaluations += 1
        self.lowered = self._step(objective.group_squares, model, energy)
        self._watch(energy, self.lowered)
        if hyper.estimates_noise:
            hyper.update(self.theta, self.squares, self.used, self.share, self.cooling, _PRIOR_CHANGE)

    def _step(self, squares_at: Callable[[Array], Array], model: Linearisation, energy: float) -> float:
        """Step to a lower M, with adapted damping (Marquardt 1963), and return the decrease.

        The step has a second-order correction, the geodesic acceleration of Transtrum and Sethna (2012).
        Where residuals are nonlinear, it reaches several times as far as a straight step.
        """
        for _ in range(_TRIES):
            step = model.step(self.damping)
            trial = self.theta + step + model.bend(step)
            squares = squares_at(trial)
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
                break  # shorter steps promise even less; a negative number is rounding
            self.damping *= 4.0
        self.damping = _DAMPING
        return 0.0

    def _watch(self, energy: float, lowered: float) -> None:
        """Set `done` after many iterations without progress."""
        merit = self.log_evidence if self.hyper.estimates_noise else -energy
        gain = _PROGRESS * self._entries_falling() if self.hyper.estimates_noise else 1e-6 * energy
        if merit > self.best + gain:
            self.best, self.best_at, self.best_precision = merit, self.iteration, self.hyper.precision
        waited = self.iteration - max(self.best_at, self.warm_up)
        self.done = waited >= STALE or (lowered == 0.0 and not self.hyper.estimates_noise)

    def _entries_falling(self) -> float:
        """Return the number of entries in which the evidence must gain.

        If the noise of some columns still falls, only their entries count.
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
        """The criterion by which runs are compared: log evidence, or minus M if nothing is estimated.

        Data are assumed to contain more than noise, so a constant function has low prior odds. The function
        counts as constant as far as the data determine less than one of the parameters in W.
        """
        if not self.hyper.estimates_noise:
            return -self.hyper.energy(self.theta, self.squares)
        determined = float(self.share[self.objective.penalised > 0].sum())
        return self.log_evidence + self.hyper.constants - _SOMETHING * max(0.0, 1.0 - determined)

    @property
    def optimum(self) -> Optimum:
        """The run's result, kept when another run is better."""
        return Optimum(self.theta, self.log_evidence, self.objective.number)

    def posterior(self, runs: Sequence["LMRun"], optima: Sequence[Optimum]) -> Posterior | None:
        """Return the estimated precisions with the results of other runs; None if none were estimated."""
        if not self.hyper.estimates_noise:
            return None
        others = [c.optimum for c in runs if c is not self] + [*optima]
        entries = self.hyper.count.sum() or 1.0
        behind = [(self.log_evidence - other.log_evidence) / entries for other in others]
        # An optimum with r times the noise is about r times as far away, if r is not large.
        # A run without finite evidence gets share 0.
        share = np.exp(-2.0 * np.maximum(np.nan_to_num(behind, nan=np.inf, posinf=np.inf), 0.0))
        return Posterior(
            self.hyper.precision,
            self.hyper.decay,
            self.log_evidence,
            tuple(other.theta for other in others),
            np.array([other.network for other in others], dtype=np.int64),
            np.where(share >= _LEAST_SHARE, share, 0.0),
        )


def cost(objective: LeastSquares) -> float:
    """Return the multiplications of an iteration's largest matrix product."""
    return multiplications(float(objective.groups.entries.sum()), objective.size)


def multiplications(entries: float, weights: int) -> float:
    """Return the multiplications of the largest product, for so many entries and weights."""
    return entries * weights * min(entries, weights)


def is_cheap(objective: LeastSquares) -> bool:
    """Return whether iterations cost so little that there may be many."""
    return cost(objective) <= _CHEAP
