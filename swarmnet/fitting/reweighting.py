"""Fits with Student's t noise: a fit, weights of the entries by its residuals, and another fit with these."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import listed
from swarmnet.data.dataset import Dataset
from swarmnet.data.logarithms import Logarithms
from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError, warn_user
from swarmnet.fitting.options import FitOptions
from swarmnet.fitting.student_noise import (
    DEGREES,
    OUTLIER,
    are_alike,
    first_weights,
    names_of,
    residuals_of,
    scales_of,
    weighted,
    weights_of,
)
from swarmnet.floating_point import far_out
from swarmnet.model.fitted_model import FittedModel
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.objective.row_sums import HeldSource
from swarmnet.scaling import Preparation, Scaling
from swarmnet.threads import one_blas_thread
from swarmnet.trainers import TrainResult
from swarmnet.trainers.linear_evidence import fitted, is_linear
from swarmnet.trainers.lm_run import LMRun, cost

Array = NDArray[Any]

_FITS = 3  # most fits
_SETTLED = 0.1  # mean change of the weights that ends their updates
_UPDATES, _STEPS = 10, 5  # most updates of the weights after a fit, and steps between two
_TOLD = 6  # outliers in a warning
OUTLIERS = "outliers, entries of weight below 0.1: "  # the beginning of the warning
_MOST = 1e9  # multiplications of a step from which there are none; only bounds time


@dataclass(frozen=True)
class Trained:
    """A fit: how the rows were prepared, the objectives of all networks, and the result."""

    preparation: Preparation
    candidates: Sequence[Objective]
    result: TrainResult

    @property
    def objective(self) -> Objective:
        """That of the chosen network."""
        return self.candidates[self.result.network]


Train = Callable[[MixedData, FitOptions], Trained]


def trained_robustly(data: Dataset, options: FitOptions, train: Train) -> Trained:
    """Return the last of several fits, each with the weights that follow from the one before.

    Outliers spoil the choice of a network, not only its weights. So whole fits are repeated, until the same
    entries are outliers; the first one leaves out entries that are far from all others.

    Args:
        data: the rows in canonical form.
        options: of the fit.
        train: does one fit.

    Raises:
        SwarmnetError: the data stay in files.
    """
    rows = data.in_memory
    if rows is None:
        raise SwarmnetError("noise 'student' needs the data in memory: leave memory_limit and client out")
    weights, spent, evaluations = first_weights(rows), 0.0, 0
    for left in range(_FITS, 0, -1):
        found = train(weighted(rows, weights), _share(options, spent, evaluations, left))
        result = found.result
        spent, evaluations = spent + result.seconds, evaluations + result.evaluations
        found = replace(found, result=replace(result, seconds=spent, evaluations=evaluations))
        if left == 1 or result.status in ("callback", "interrupted"):
            break
        before = weights
        with one_blas_thread(), far_out():
            weights = _updated(rows, found, options)
        if left < _FITS and are_alike(before, weights):
            break
    return found


def _share(options: FitOptions, seconds: float, evaluations: int, fits: int) -> FitOptions:
    """Return the options for the next of so many fits, which share what is left of a budget."""
    trainer = options.configured_trainer
    if trainer.seconds is not None:
        trainer = replace(trainer, seconds=max((trainer.seconds - seconds) / fits, 1e-3))
    if trainer.evaluations is not None:
        trainer = replace(trainer, evaluations=max((trainer.evaluations - evaluations) // fits, 1))
    return replace(options, trainer=trainer, iterations=None, seconds=None, particles=None)


def _updated(data: MixedData, found: Trained, options: FitOptions) -> Array:
    """Return the weights of the entries for a fit; they settle first if the steps take little time."""
    net, theta = found.objective.net, found.result.theta
    weights = _weights(data, net, theta, found)
    if found.result.posterior is None or cost(found.objective) > _MOST:
        return weights
    for _ in range(_UPDATES):
        source = HeldSource(weighted(data, weights), found.preparation)
        objective = Objective(net, source, **options.of_objective)
        if is_linear(objective):
            theta = fitted(objective).theta
        else:
            run = LMRun.from_fit(objective, theta)
            for _ in range(_STEPS):
                run.advance(alone=False)
            theta = run.theta
        before, weights = weights, _weights(data, net, theta, found)
        if float(np.nanmean(np.abs(weights - before))) <= _SETTLED and are_alike(before, weights):
            break
    return weights


def _weights(data: MixedData, net: Network, theta: Array, found: Trained) -> Array:
    model = FittedModel(net, theta, found.preparation.scaling, data.inputs, data.outputs)
    residuals = residuals_of(model, data)
    return weights_of(data, residuals, scales_of(data, residuals))


def with_outliers(
    model: FittedModel, scaling: Scaling, data: Dataset, given: Dataset, logs: Logarithms
) -> FittedModel:
    """Return the model with the outliers in its record, and warn of them.

    An entry of Student's t has (nu + 1) / (nu + 3) times the Fisher information of its weighted square
    (Lange, Little and Taylor 1989), so error bars are wider by the root of the inverse.

    Args:
        model: the model.
        scaling: from the units of these rows, which may be logarithms, to the network's.
        data: the training rows in canonical form, which tell the scale of the noise.
        given: the same rows as they were given, whose numbers are recorded.
        logs: of which columns `data` has the logarithms.
    """
    known, rows = data.in_memory, logs.data(given.select(model.inputs, model.outputs)).in_memory
    assert known is not None and rows is not None  # `trained_robustly` requires it
    plain = replace(model, scaling=scaling)
    scales = scales_of(known, residuals_of(plain, known))
    weights = weights_of(rows, residuals_of(plain, rows), scales)
    at, columns = np.nonzero((weights < OUTLIER) & (rows.row_weights > 0)[:, None])
    names = names_of(rows)
    worst = sorted(zip(weights[at, columns], at.tolist(), columns.tolist(), strict=True))
    if worst:
        told = [f"{names[column]} in row {row}" for _, row, column in worst[:_TOLD]]
        more = [f"{len(worst) - _TOLD} more"] if len(worst) > _TOLD else []
        warn_user(
            f"{OUTLIERS}{len(worst)} of {rows.n_entries}: {listed([*told, *more])} (row 0 is the first)"
        )
    listed_rows = {names[c]: sorted(at[columns == c].tolist()) for c in np.unique(columns)}
    record = {"noise_distribution": "student", "degrees_of_freedom": DEGREES, "outliers": listed_rows}
    wider = ((DEGREES + 3.0) / (DEGREES + 1.0)) ** 0.5
    spread = None if model.spread is None else wider * model.spread
    return replace(model, training=model.training | record, spread=spread)
