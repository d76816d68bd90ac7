"""fit: from data to a model, with everything in between at its default."""

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
from swarmnet.fitting.objectives import blueprint, losses_of, objectives, preparation_for
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
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = EVERY,
    callback: Callback | None = None,
    validation: Dataset | None = None,
    memory_limit: Size | None = None,
    dtype: str = "float64",
    client: "Client | None" = None,
) -> FittedModel:
    """Train a network on mixed data: the model is the one with the lowest training loss met on the way.

    Neither the order of the rows, nor that of named columns, nor how entries at one point are shared out
    among rows changes it. An entry whose sigma is more than 10^12 times the largest number of its output
    counts as not observed. Data that stay in files keep the order of their rows and columns; their entries
    are taken as they stand.

    Args:
        data: MixedData, FileData, or the path or glob of CSV or Parquet files.
        hidden: this and all others are the options of `swarmnet.fitting.options.FitOptions`.

    Raises:
        SwarmnetError: data, names or settings that do not do, or the checkpoint of another run.
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
    """What `fit` comes to with these options.

    Data that stay in files keep the order of their rows, by which sums are rounded, and of their columns;
    equal entries are not put together, a sigma however large is taken as it stands, and rows at one point are
    several in the mean of the inputs, where outputs without a value are pinned to 0.

    Raises:
        SwarmnetError: as `fit` does.
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
    """What is to be trained.

    Args:
        data: in canonical order.
        options: how.
        nets: the network, or those among which the trainer chooses.
        preparation: what becomes of rows.
    """

    data: Dataset
    options: FitOptions
    nets: list[Network]
    preparation: Preparation

    @classmethod
    def of(cls, given: Dataset, options: FitOptions) -> "_Problem":
        """The problem that the data and options pose, with warnings of what can be seen before training."""
        data = canonical(given)
        nets = candidates_for(data, options)
        refuse_nothing_to_learn(data, options.derivative_weight)
        warn_of_kinks(data, nets[0])
        warn_of_free_outputs(data)
        return cls(data, options, nets, preparation_for(data, nets[0], options))


def _trained(problem: _Problem, cluster: "Cluster | None") -> tuple[Objective, TrainResult]:
    """The objective of the network that was chosen, and the result of training."""
    data, nets, options = problem.data, problem.nets, problem.options
    trainer, validation = options.configured_trainer, options.validation
    if validation is not None:
        validation = validation.select(data.inputs, data.outputs)
    checkpoint = None
    if options.checkpoint is not None:
        of_run = fingerprint_of(data, nets, options, validation)
        checkpoint = Checkpoint(options.checkpoint, of_run, options.checkpoint_every)
    plan = blueprint(data, problem.preparation, options)
    with objectives(nets, plan, trainer, cluster) as (candidates, executor):
        held_out = None if validation is None else blueprint(validation, problem.preparation, options)
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
    """The model of a result, with its record and error bars; warns of what training came to."""
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
