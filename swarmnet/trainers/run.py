"""run: the one function that runs a trainer."""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np

from swarmnet import interrupts
from swarmnet.errors import SwarmnetError
from swarmnet.floating_point import far_out
from swarmnet.threads import one_blas_thread
from swarmnet.trainers.checkpoint import (
    Checkpoint,
    DamagedState,
    damaged,
)
from swarmnet.trainers.monitor import Monitor
from swarmnet.trainers.protocols import Executor, Trainable
from swarmnet.trainers.result import Array, Callback, TrainResult, Validate
from swarmnet.trainers.trainer import Trainer


def _train(
    trainer: Trainer,
    objective: Trainable,
    start: Array | None,
    rng: np.random.Generator,
    monitor: Monitor,
) -> None:
    with one_blas_thread(), far_out(), monitor.saving(), monitor.limits(trainer):
        trainer.train(objective, start, rng, monitor)
        interrupts.hold()


def run(
    trainer: Trainer,
    objective: Trainable,
    rng: np.random.Generator,
    *,
    start: Array | None = None,
    callback: Callback | None = None,
    validate: Validate | Sequence[Validate] = (),
    checkpoint: Checkpoint | None = None,
    executor: Executor | None = None,
) -> TrainResult:
    """Train; Ctrl-C ends training with the best weights so far.

    Args:
        trainer: what trains, with its limits.
        objective: what is minimised.
        rng: every random number comes from it.
        start: theta (p,) to start from; random weights by default.
        callback: called with a `Progress` every iteration; it ends training by returning True.
        validate: loss of theta on rows held out, for the history; a sequence of them where there are several
            objectives to choose from.
        checkpoint: where the state is kept, and where training goes on from if it holds one.
        executor: who runs climbs; by default the threads of the objective.

    Raises:
        SwarmnetError: no finite loss was found, or a checkpoint that is damaged, not of this run, or in use.
    """
    with nullcontext() if checkpoint is None else checkpoint.held():
        saved = None if checkpoint is None else checkpoint.read()
        trainer.prepare()
        monitor = Monitor(callback, [validate] if callable(validate) else validate, checkpoint, rng, executor)
        start = None if start is None else np.asarray(start, dtype=np.float64)
        try:
            if saved is None or monitor.load(saved, objective):
                _train(trainer, objective, start, rng, monitor)
        except DamagedState as error:
            assert checkpoint is not None
            raise damaged(checkpoint.path) from error
        except KeyboardInterrupt:
            if monitor.best is None:
                raise
            monitor.budget.status = "interrupted"
    if monitor.best is None:
        raise SwarmnetError(
            "the loss was infinite or not a number from the start: "
            "scale the data, or choose another activation"
        )
    return TrainResult(
        monitor.best,
        monitor.found.network,
        monitor.found.loss,
        monitor.budget.ended_as,
        monitor.history.arrays(),
        monitor.budget.evaluations,
        monitor.budget.seconds,
        monitor.found.posterior,
        monitor.found.candidates,
    )
