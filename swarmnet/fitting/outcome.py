"""Results of training beside the weights: noise and priors, the quality of the fit, and warnings."""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import derivative_name, listed
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.scaling import Scaling
from swarmnet.trainers import Trainer, TrainResult
from swarmnet.trainers.lm_run import MOST_WEIGHTS

Array = NDArray[Any]

TAKEN_FOR_NOISE = "nearly all of "  # the beginning of the warning
# Limits of warnings; they change no model.
_NOISE = 0.9  # unexplained share of a column's variance from which it counts as taken for noise
_NEGLIGIBLE = 0.1  # largest mean square of an unmentioned column, as a share of its output's largest
_MISFIT = 1.5  # smallest chi2 per entry of a misfit
_CHANCE = 5.0  # standard deviations of chi2 (Gaussian: 6e-7 by chance) that a misfit must exceed

# States in which training ended before it had converged
_LIMITS = ("iterations", "evaluations", "seconds", "callback", "interrupted")


class Outcome:
    """The results of a training, in the data's units.

    Args:
        objective: of the chosen network.
        result: of training.
        inputs: the names of the objective's inputs, in its order.
        outputs: the names of its outputs, in its order.
        scaling: between the data's units and the objective's.
        trainer: the trainer that was used.
    """

    def __init__(
        self,
        objective: Objective,
        result: TrainResult,
        inputs: Sequence[str],
        outputs: Sequence[str],
        scaling: Scaling,
        trainer: Trainer,
    ) -> None:
        self._objective, self._result, self._trainer = objective, result, trainer
        names = [*outputs, *(derivative_name(y, x) for y in outputs for x in inputs)]
        slopes = scaling.y_scale[:, None] / scaling.x_scale
        self._columns = dict(zip(names, np.append(scaling.y_scale, slopes), strict=True))
        # (groups,) sums of squared residuals; the groups of columns come first, in the order of their names
        self._squares = objective.group_squares(result.theta) if objective.can_linearise else None

    def record(self, nets: Sequence[Network]) -> dict[str, Any]:
        """Return the results for a model's training record.

        If derivative_weight and l2 were estimated, they are None. Then `noise` has the standard deviation of
        each column without sigmas, in the column's unit, and `prior` that of each layer's weights.
        `derivative_balance` is the derivative_weight that corresponds to the estimated noise.

        Args:
            nets: the candidate networks. Those compared by predictions have a `left_out_error`: the root mean
                square of predictions of left-out entries relative to their column, as the geometric mean over
                all entries.
        """
        objective, posterior = self._objective, self._result.posterior
        estimated = posterior is not None
        return {
            "derivative_weight": None if estimated and objective.estimates_balance else objective.balance,
            "l2": None if estimated and objective.estimates_l2 else objective.l2,
            "noise": self._noise(),
            "prior": self._prior(),
            "derivative_balance": self._balance(),
            "chi2_per_entry": self._chi2(),
            "log_evidence": None if posterior is None else posterior.log_evidence,
            "candidates": self._candidates(nets),
            "no_error_bars": self.no_error_bars() or None,
        }

    @property
    def _own_limit(self) -> bool:
        """Whether training ended at the trainer's own limit of iterations."""
        trainer = self._trainer
        usual = trainer.iterations == type(trainer)().iterations and getattr(trainer, "polish", None) is None
        return usual and self._result.status == "iterations"

    @property
    def is_complete(self) -> bool:
        """Whether training was not cut short."""
        return self._own_limit or self._result.status in ("converged", "tolerance", "stalled")

    def warnings(self, explained: Collection[str] = ()) -> Iterator[str]:
        """Yield warnings of one line each.

        Args:
            explained: columns of which the audit says what is wrong. Then neither their noise nor misfits nor
                missing error bars are warned of, which follow from it.
        """
        result, trainer, own_limit = self._result, self._trainer, self._own_limit
        if own_limit and (result.posterior is not None or trainer.needs_squares):
            yield (
                "training stopped at the trainer's own limit of iterations before it had converged: give it "
                "more by iterations= or seconds="
            )
        taken = self._taken_for_noise() if result.status == "converged" else []
        if names := [name for name in taken if name not in explained]:
            yield (
                f"{TAKEN_FOR_NOISE}{listed(names)} was taken for noise: if it is none, give other sizes "
                "(hidden=), or use trainer 'lbfgs', which fits whatever there is"
            )
        if explained:
            return
        if (why := self.no_error_bars()) and (own_limit or result.status not in _LIMITS):
            yield f"no error bars: {why}"
        if self.is_complete:
            for kind, chi2 in self._misfits().items():
                yield (
                    f"the fit misses the sigmas of the {kind}: chi2 per entry is {chi2:.3g} instead of 1; "
                    "error bars are wider by its root; try larger sigmas, or other sizes (hidden=)"
                )

    def no_error_bars(self) -> str:
        """Return why error bars are missing although the trainer estimates noise; "" if none are."""
        objective, result = self._objective, self._result
        opened = objective.can_linearise and (objective.estimates_balance or objective.estimates_l2)
        if result.posterior is not None or not opened or not self._trainer.finds_noise:
            return ""
        size, entries = objective.size, int(objective.groups.entries.sum())
        if size > MOST_WEIGHTS:
            return (
                f"they take at most {MOST_WEIGHTS} weights, and this network has {size}: give fewer units "
                "(hidden=) if you need them"
            )
        if result.status in _LIMITS:
            return f"{result.message}: give training more iterations= or seconds="
        return (
            f"{entries} entries are too many for {size} weights: give fewer units (hidden=) if you need them"
        )

    def _noise(self) -> dict[str, float] | None:
        posterior, groups = self._result.posterior, self._objective.groups
        if posterior is None:
            return None
        deviation = np.sqrt(groups.unit / posterior.precision)
        columns = zip(self._columns.items(), deviation, groups.count, strict=False)
        return {name: float(own * unit) for (name, unit), own, count in columns if count > 0}

    def _prior(self) -> dict[str, float | None] | None:
        posterior = self._result.posterior
        if posterior is None:
            return None
        group = self._objective.weight_groups
        first = [int(np.flatnonzero(group == number)[0]) for number in range(group.max() + 1)]
        net = self._objective.net
        names = [f"{letter}{layer}" for layer in range(1, len(net.layers) + 1) for letter in "Wb"]
        names += [] if net.trend is None else [f"degree {m}" for m in np.unique(net.trend.degrees)]
        found = zip(names, posterior.decay[first], strict=True)
        return {name: float(decay**-0.5) if decay > 0 else None for name, decay in found}

    def _balance(self) -> float | None:
        """Return the mean noise precision of derivatives divided by that of values."""
        posterior, groups = self._result.posterior, self._objective.groups
        means = []
        for kind in (groups.is_partial, ~groups.is_partial):
            seen = kind & (groups.count > 0)
            if posterior is None or not seen.any():
                return None
            means.append(np.average(posterior.precision[seen], weights=groups.count[seen]))
        return float(means[0] / means[1])

    def _chi2(self) -> dict[str, float] | None:
        """Return the mean of (residual / sigma)^2 over the entries with a measured sigma."""
        if self._squares is None:
            return None
        groups = self._objective.groups
        known = slice(groups.first_known, None)
        found = zip(("values", "derivatives"), self._squares[known], groups.count[known], strict=True)
        return {kind: float(square / count) for kind, square, count in found if count > 0} or None

    def _misfits(self) -> dict[str, float]:
        """Return chi2 per entry of values and derivatives that the model misses by more than chance."""
        groups = self._objective.groups
        counts = dict(zip(("values", "derivatives"), groups.entries[groups.first_known :], strict=True))
        return {
            kind: chi2
            for kind, chi2 in (self._chi2() or {}).items()
            if chi2 > max(_MISFIT, 1.0 + _CHANCE * np.sqrt(2.0 / counts[kind]))
        }

    def _candidates(self, nets: Sequence[Network]) -> list[dict[str, Any]] | None:
        result, found = self._result, list[dict[str, Any]]()
        for number, (runs, best) in sorted(result.candidates.items()):
            net = nets[number]
            row = {"hidden": list(net.sizes[1:-1]), "climbs": runs, "log_evidence": best}
            if net.trend is not None:
                row |= {"degree": net.trend.degree, "terms": net.terms}
            if number in result.scores:
                row["left_out_error"] = math.exp(0.5 * result.scores[number])
            found.append(row)
        return found or None

    def _taken_for_noise(self) -> list[str]:
        """Return the names of columns of which the model explains almost nothing."""
        groups = self._objective.groups
        if self._result.posterior is None or self._squares is None:
            return []
        own = np.concatenate([groups.values[:, None], groups.partials], axis=1)
        is_value = own < len(groups.values)
        size = np.where(is_value, groups.variance[own], groups.square[own])
        # Slopes along an input with little effect are small, and may be noise.
        matters = is_value | (size > _NEGLIGIBLE * size.max(1, keepdims=True))
        varied = np.sort(own[matters & (groups.variance[own] > 0)])
        # For values the variance; for slopes the mean square, since a constant function has slopes of 0.
        wanted = np.where(groups.is_partial, groups.square, groups.variance)
        with np.errstate(all="ignore"):
            in_sigmas = (groups.count * wanted / groups.unit)[varied]
        names = [*self._columns]
        return [names[group] for group in varied[self._squares[varied] > _NOISE * in_sigmas]]
