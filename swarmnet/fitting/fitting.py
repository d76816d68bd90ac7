"""fit: read and prepare data, train a network, and return the model."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from swarmnet.data.canonical_order import canonical
from swarmnet.data.data_frames import pd
from swarmnet.data.dataset import Dataset
from swarmnet.data.readers import Data, Size
from swarmnet.errors import warn_user
from swarmnet.fitting.candidates import candidates_for
from swarmnet.fitting.data_location import cluster_of, located
from swarmnet.fitting.data_warnings import refuse_nothing_to_learn, warn_of_kinks, warn_of_weights
from swarmnet.fitting.error_bar_parts import other_fits, spread_of
from swarmnet.fitting.free_outputs import warn_of_free_outputs, with_pinned_outputs
from swarmnet.fitting.objectives import losses_of, objective_specification, objectives, preparation_for
from swarmnet.fitting.options import Activations, FitOptions, Hidden
from swarmnet.fitting.outcome import Outcome
from swarmnet.fitting.run_record import fingerprint_of, record_of
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.reordering import reordered
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.scaling import Preparation
from swarmnet.trainers import Trainer, TrainResult, run
from swarmnet.trainers.checkpoint import EVERY, Checkpoint
from swarmnet.trainers.result import Callback

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
    as not observed. For data that stay in files none of this holds: rows and columns keep their order, and
    entries are used unchanged.

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
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        callback=callback,
        validation=validation,
        memory_limit=memory_limit,
        dtype=dtype,
        client=client,
    )
    return fitted(data, options)


def fitted(data: Data, options: FitOptions) -> FittedModel:
    """Return the model for data and options, as `fit` does.

    Data that stay in files keep the order of their rows, which affects rounding, and of their columns. Equal
    entries are not combined, and sigmas of any size are used. In the mean of the inputs, at which outputs
    without a value are set to 0, each row at a point counts.

    Raises:
        SwarmnetError: as in `fit`.
    """
    given = located(data, options.memory_limit, options.client)
    cluster = cluster_of(given, options.client)
    if cluster is not None:
        given = given.read_by(cluster)
    problem = _Problem.of(given, options)
    objective, result = _trained(problem, cluster)
    if result.status == "interrupted":
        warn_user(result.message)
    warn_of_weights(given, result)
    model = _model(given, problem, objective, result)
    return reordered(with_pinned_outputs(model, problem.data), given.inputs, given.outputs)


@dataclass(frozen=True, eq=False)
class _Problem:
    """Data, options and networks of a fit.

    Args:
        data: in canonical order.
        options: of the fit.
        nets: the network, or those among which the trainer chooses.
        preparation: the scaling of rows.
    """

    data: Dataset
    options: FitOptions
    nets: list[Network]
    preparation: Preparation

    @classmethod
    def of(cls, given: Dataset, options: FitOptions) -> "_Problem":
        """Return the problem for data and options; warn of what is known before training."""
        data = canonical(given)
        nets = candidates_for(data, options)
        refuse_nothing_to_learn(data, options.derivative_weight)
        warn_of_kinks(data, nets[0])
        warn_of_free_outputs(data)
        return cls(data, options, nets, preparation_for(data, nets[0], options))


def _trained(problem: _Problem, cluster: "Cluster | None") -> tuple[Objective, TrainResult]:
    """Return the objective of the chosen network, and the result of training."""
    data, nets, options = problem.data, problem.nets, problem.options
    trainer, validation = options.configured_trainer, options.validation
    if validation is not None:
        validation = validation.select(data.inputs, data.outputs)
    checkpoint = None
    if options.checkpoint is not None:
        of_run = fingerprint_of(data, nets, options, validation)
        checkpoint = Checkpoint(options.checkpoint, of_run, options.checkpoint_every)
    specification = objective_specification(data, problem.preparation, options)
    with objectives(nets, specification, trainer, cluster) as (candidates, executor):
        held_out = (
            None if validation is None else objective_specification(validation, problem.preparation, options)
        )
        result = run(
            trainer,
            candidates[0],
            np.random.default_rng(options.seed),
            callback=options.callback,
            validate=() if held_out is None else losses_of(nets, held_out),
            checkpoint=checkpoint,
            executor=executor,
        )
    return candidates[result.network], result


def _model(given: Dataset, problem: _Problem, objective: Objective, result: TrainResult) -> FittedModel:
    """Return the model of a result, with its record and error bars; warn of a doubtful result."""
    data, options, scaling = problem.data, problem.options, problem.preparation.scaling
    outcome = Outcome(objective, result, data.inputs, data.outputs, scaling, options.configured_trainer)
    for line in outcome.warnings():
        warn_user(line)
    training: dict[str, Any] = {
        **record_of(given, data, options),
        **outcome.record(problem.nets),
        "status": result.status,
        "message": result.message,
        "loss": result.loss,
        "evaluations": result.evaluations,
        "seconds": result.seconds,
    }
    return FittedModel(
        objective.net,
        result.theta,
        scaling,
        data.inputs,
        data.outputs,
        training,
        pd.DataFrame(result.history),
        spread_of(objective, result),
        other_fits(problem.nets, result),
    )
