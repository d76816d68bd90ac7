"""run: the function that runs a trainer."""

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
        trainer: the trainer, with its limits.
        objective: the function to minimise.
        rng: the source of all random numbers.
        start: weights (p,) of an earlier fit, from which training goes on; random weights by default.
        callback: called with a `Progress` at every iteration; it stops training by returning True.
        validate: the loss of theta on held-out rows, for the history; a sequence for several candidates.
        checkpoint: the file for the state; if it has one already, training continues from it.
        executor: does the Levenberg-Marquardt runs; by default the objective's threads.

    Raises:
        SwarmnetError: no finite loss was found; or the checkpoint is damaged, in use, or of another run.
    """
    with nullcontext() if checkpoint is None else checkpoint.held():
        saved = None if checkpoint is None else checkpoint.read()
        trainer.prepare()
        monitor = Monitor(callback, [validate] if callable(validate) else validate, checkpoint, rng, executor)
        start = None if start is None else np.asarray(start, dtype=np.float64)
        try:
            if saved is None or monitor.load(saved, objective):
                with one_blas_thread(), far_out(), monitor.saving(), monitor.limits(trainer):
                    trainer.train(objective, start, rng, monitor)
                    interrupts.hold()
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
        monitor.found.scores,
    )
