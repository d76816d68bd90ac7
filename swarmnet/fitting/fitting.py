"""fit: read and prepare data, train a network, and return the model."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.canonical_order import canonical, mean_point
from swarmnet.data.constraints import Require
from swarmnet.data.data_frames import pd
from swarmnet.data.dataset import Dataset
from swarmnet.data.logarithms import Logarithms
from swarmnet.data.readers import Data, Size
from swarmnet.errors import SwarmnetError, warn_user
from swarmnet.fitting.auditing import audited
from swarmnet.fitting.candidates import candidates_for
from swarmnet.fitting.constraints import Constraints
from swarmnet.fitting.data_location import cluster_of, located, source_of
from swarmnet.fitting.data_warnings import refuse_nothing_to_learn, warn_of_kinks, warn_of_weights
from swarmnet.fitting.error_bar_parts import other_fits, spread_of
from swarmnet.fitting.free_outputs import (
    free_outputs,
    refuse_free_logarithms,
    warn_of_free_outputs,
    warn_of_free_slopes,
    with_pinned_outputs,
)
from swarmnet.fitting.options import Activations, FitOptions, Hidden
from swarmnet.fitting.outcome import Outcome
from swarmnet.fitting.reweighting import Trained, trained_robustly, with_outliers
from swarmnet.fitting.run_record import fingerprint_of, record_of
from swarmnet.fitting.warm_start import checked_start
from swarmnet.model.audit import verdicts
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.reordering import reordered
from swarmnet.model.training_region import TrainingPoints
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.scaling import Preparation, Scaling
from swarmnet.trainers import Trainer, run
from swarmnet.trainers.checkpoint import EVERY, Checkpoint
from swarmnet.trainers.result import Callback, Validate

if TYPE_CHECKING:
    from distributed import Client

    from swarmnet.distributed.cluster import Cluster


def fit(
    data: Data,
    hidden: Hidden = "auto",
    activation: Activations = "tanh",
    trainer: str | Trainer = "hybrid",
    seed: int = 0,
    iterations: int | None = None,
    seconds: float | None = None,
    particles: int | None = None,
    loss: str = "squared",
    scaling: str | None = "standard",
    derivative_weight: float | None = None,
    l2: float | None = None,
    *,
    degree: str | int = "auto",
    log: str | Sequence[str] | None = None,
    require: Require = (),
    noise: str = "gaussian",
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = EVERY,
    callback: Callback | None = None,
    validation: Dataset | None = None,
    memory_limit: Size | None = None,
    dtype: str = "float64",
    client: "Client | None" = None,
) -> FittedModel:
    """Train a network on mixed data, and return the model with the lowest training loss, or best evidence.

    The model does not depend on the order of rows and named columns, or on how the entries at one point are
    divided into rows. An entry whose sigma is more than 10^12 times the largest number of its output counts
    as not observed. None of this holds for data that stay in files: their order and entries are kept.

    Args:
        data: MixedData, FileData, or the path or glob of CSV or Parquet files.
        hidden: this and all others are the options of `swarmnet.fitting.options.FitOptions`.

    Raises:
        SwarmnetError: data, names or settings are invalid, or the checkpoint is of another run.
    """
    options = FitOptions(
        hidden=hidden,
        activation=activation,
        trainer=trainer,
        seed=seed,
        iterations=iterations,
        seconds=seconds,
        particles=particles,
        loss=loss,
        scaling=scaling,
        derivative_weight=derivative_weight,
        l2=l2,
        degree=degree,
        log=log,
        require=require,
        noise=noise,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        callback=callback,
        validation=validation,
        memory_limit=memory_limit,
        dtype=dtype,
        client=client,
    )
    return fitted(data, options)


def fitted(
    data: Data,
    options: FitOptions,
    *,
    checked: bool = True,
    row_numbers: NDArray[np.intp] | None = None,
    start: FittedModel | None = None,
) -> FittedModel:
    """Return the model for data and options, as `fit` does.

    With `checked`, suspect columns are checked by refits. `row_numbers` (n,), by default 0 to n - 1, are the
    numbers by which the audit names the rows. Training goes on from the weights of the model `start`.

    Data that stay in files keep the order of their rows, which affects rounding, and of their columns. Equal
    entries are not combined, and sigmas of any size are used. In the mean of the inputs, at which outputs
    without a value are set to 0, each row at a point counts.

    Raises:
        SwarmnetError: as in `fit`.
    """
    given, cluster = _located(data, options)
    ordered = canonical(given)
    learnt, logs = _in_logarithms(ordered, options)
    start = None if start is None else checked_start(start, ordered, options)
    nets = _networks(learnt, options, start)
    free = free_outputs(ordered)
    constraints = Constraints(learnt, options, nets[0], free, logs)
    centre = _centre(learnt, logs) if free else {}
    warn_of_free_outputs(free, centre)
    warn_of_free_slopes(ordered)
    found = _found(learnt, nets, options, cluster, logs, start)
    scaling, candidates, result = found.preparation.scaling, found.candidates, found.result
    warn_of_weights(given.statistics, result)
    result = constraints.trained(candidates, result, scaling)
    objective = candidates[result.network]
    labels = logs.labels(ordered.inputs, ordered.outputs)
    outcome = Outcome(objective, result, *labels, scaling, options.configured_trainer)
    model = FittedModel(
        objective.net,
        result.theta,
        replace(scaling, logs=logs or None),
        ordered.inputs,
        ordered.outputs,
        record_of(given, ordered, options) | outcome.record(nets) | result.record | constraints.record,
        pd.DataFrame(result.history),
        spread_of(objective, result),
        other_fits(nets, result),
        TrainingPoints.of(ordered),
        dict(given.units),
    )
    if options.noise == "student":
        model = with_outliers(model, scaling, learnt, given, logs)
    if free:
        model = with_pinned_outputs(model, free, centre)
    refits = checked and outcome.is_complete and _can_be_refitted(options)
    model, explained = audited(reordered(model, given.inputs, given.outputs), given, row_numbers, refits)
    for line in (*outcome.warnings(explained), *verdicts(model.training), *constraints.warnings()):
        warn_user(line)
    return model


def _located(data: Data, options: FitOptions) -> "tuple[Dataset, Cluster | None]":
    """Return the data where they are to be read, and the cluster whose workers do so."""
    given = located(data, options.memory_limit, options.client)
    cluster = cluster_of(given.pool, options.client)
    given = given if cluster is None else given.read_by(cluster)
    return Logarithms.of(options.log_names, given.inputs, given.outputs).checked(given), cluster


def _can_be_refitted(options: FitOptions) -> bool:
    """Return whether refits for the audit, which are plain, say something about such a fit."""
    return (options.loss, options.noise) == ("squared", "gaussian") and not options.log_names


def _in_logarithms(ordered: Dataset, options: FitOptions) -> tuple[Dataset, Logarithms]:
    """Return the data as the network takes them, and of which columns it takes logarithms."""
    logs = Logarithms.of(options.log_names, ordered.inputs, ordered.outputs)
    if any(logs.outputs):
        refuse_free_logarithms(ordered, options.log_names)
        if options.loss != "squared":
            raise SwarmnetError(f"{options.loss} takes outputs as they are: leave them out of log")
    return logs.data(ordered), logs


def _networks(data: Dataset, options: FitOptions, start: FittedModel | None) -> list[Network]:
    """Return the networks to train on data from which there is something to learn."""
    nets = candidates_for(data, options, None if start is None else start.net)
    refuse_nothing_to_learn(data.statistics, options.derivative_weight)
    warn_of_kinks(data.statistics, nets[0])
    return nets


def _centre(learnt: Dataset, logs: Logarithms) -> dict[str, float]:
    """Return the mean of the inputs, of those with a logarithm the geometric mean."""
    return dict(zip(learnt.inputs, logs.inputs_of(mean_point(learnt)).tolist(), strict=True))


def _preparation(data: Dataset, net: Network, options: FitOptions, start: FittedModel | None) -> Preparation:
    """Return how rows are scaled before training on `data`: as they were for `start`, if there is one."""
    squared, known = options.loss == "squared", data.statistics
    scales_outputs = squared and net.activations[-1].name == "linear"
    scaling = Scaling.of(known, options.scaling, outputs=scales_outputs)
    if scales_outputs and options.scaling is not None:
        scaling = scaling.for_quantities(known, data.quantities)
    if start is not None:
        scaling = replace(start.scaling, logs=None)
    # With cross-entropy, values are probabilities and are not scaled.
    return Preparation(scaling, None if options.scaling is None else known, scales_values=squared)


def _found(
    data: Dataset,
    nets: list[Network],
    options: FitOptions,
    cluster: "Cluster | None",
    logs: Logarithms,
    start: FittedModel | None,
) -> Trained:
    """Return the fit of the networks with the kind of noise that the options say."""
    one_fit = partial(_trained, nets, cluster, logs, start)
    found = trained_robustly(data, options, one_fit) if options.noise == "student" else one_fit(data, options)
    if found.result.status == "interrupted":
        warn_user(found.result.message)
    return found


def _trained(
    nets: list[Network],
    cluster: "Cluster | None",
    logs: Logarithms,
    start: FittedModel | None,
    data: Dataset,
    options: FitOptions,
) -> Trained:
    """Return the fit of the networks."""
    preparation = _preparation(data, nets[0], options, start)
    trainer, validation, settings = options.configured_trainer, options.validation, options.of_objective
    if validation is not None:
        validation = validation.select(data.inputs, data.outputs)
        validation = logs.data(logs.checked(validation))
    checkpoint = None
    if options.checkpoint is not None:
        of_run = fingerprint_of(data, nets, options, validation)
        checkpoint = Checkpoint(options.checkpoint, of_run, options.checkpoint_every)
    source, executor = source_of(data, preparation), None
    if cluster is None:
        candidates = [Objective(net, source, **settings) for net in nets]
    else:
        from swarmnet.distributed import replicas  # noqa: PLC0415  # an extra

        specification = replicas.ObjectiveSpecification(source, settings)
        candidates, executor = replicas.shared_out(nets, specification, trainer, cluster)
    validate: list[Validate] = []
    if validation is not None:
        held_out = source_of(validation, preparation)
        validate = [Objective(net, held_out, **settings).loss for net in nets]
    candidates[0].candidates = candidates
    try:
        result = run(
            trainer,
            candidates[0],
            np.random.default_rng(options.seed),
            start=None if start is None else start.theta,
            callback=options.callback,
            validate=validate,
            checkpoint=checkpoint,
            executor=executor,
        )
    finally:
        candidates[0].candidates = ()  # otherwise a reference cycle would keep their rows in memory
    return Trained(preparation, candidates, result)
