"""FitOptions: how a network is fitted, in one record that is checked once."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from swarmnet.data.dataset import Dataset, is_dataset
from swarmnet.data.readers import Size
from swarmnet.errors import SwarmnetError, unknown
from swarmnet.floating_point import float_type
from swarmnet.network.activations import Activation, activation
from swarmnet.objective.value_losses import value_loss
from swarmnet.scaling import KINDS
from swarmnet.trainers import Trainer, configured
from swarmnet.trainers.checkpoint import EVERY
from swarmnet.trainers.limits import require_count, require_number
from swarmnet.trainers.result import Callback

if TYPE_CHECKING:
    from distributed import Client

Hidden = str | int | Sequence[int]
Activations = str | Activation | Sequence[str | Activation]


@dataclass(frozen=True, kw_only=True, eq=False)
class FitOptions:
    """Everything that `swarmnet.fit` is told but the data.

    `swarmnet.compare`, `SwarmNetRegressor` and the command line have some of these options, with the same
    meanings and defaults.

    Args:
        hidden: units of each hidden layer, () for none; with "auto", hybrid chooses among networks of
            one to three hidden layers by their evidence, and other trainers take two layers, as wide as the
            entries can support.
        activation: one name for the hidden layers, or one a layer with the output layer last.
        trainer: a name (hybrid, pso, projected, sgd, adam, lbfgs, lm) or a configured trainer.
        seed: the same seed gives the same model.
        iterations: the most iterations, instead of the trainer's own limit.
        seconds: the most seconds of training; without `iterations` they are the only limit.
        particles: the swarm's size, for trainers that have one.
        loss: "squared", or "cross-entropy" for values from 0 to 1 on sigmoid outputs.
        scaling: "standard" (mean 0, deviation 1), "minmax" (-1 to 1) or None: data as they stand,
            every residual in its own unit.
        derivative_weight: the derivatives' mean squared residual against the values'. By default hybrid
            and lm estimate the noise of the values and of each derivative column; for the others it is 1.
        l2: weight of the sum of squares of all W; estimated by hybrid and lm, a tiny one for the others.
        checkpoint: file to keep the state of training in. Where it holds that of the same run, stopped at any
            moment, training goes on from there, for the same model bit for bit as if it had never stopped,
            unless seconds limit it; what they were when it stopped counts.
        checkpoint_every: seconds between two writes of that file.
        callback: called with a `Progress` every iteration; training ends when it returns True itself.
        validation: data held out, whose loss the history shows beside the training loss.
        memory_limit: where data are given by a path: see `read_csv`.
        dtype: "float32" to add up in single precision, which takes half the time and is less exact.
        client: a `dask.distributed.Client`, whose workers do most of the work; files are read by them. The
            climbs of hybrid and lm are shared out among them where all rows take 128 MB or less, which each
            then holds, with what is made of them about five times as much; the rows are where not, where an
            iteration takes long, and for other trainers. However many workers there are, the model is that of
            this machine, for files with a `memory_limit` that leaves them in files; rows that are shared out
            from memory are added up in another order, which changes the last digits.

    Raises:
        SwarmnetError: an unknown name, a number out of range, or options that do not go together.
    """

    hidden: Hidden = "auto"
    activation: Activations = "tanh"
    trainer: str | Trainer = "hybrid"
    seed: int = 0
    iterations: int | None = None
    seconds: float | None = None
    particles: int | None = None
    loss: str = "squared"
    scaling: str | None = "standard"
    derivative_weight: float | None = None
    l2: float | None = None
    checkpoint: str | os.PathLike[str] | None = None
    checkpoint_every: float = EVERY
    callback: Callback | None = None
    validation: Dataset | None = None
    memory_limit: Size | None = None
    dtype: str = "float64"
    client: "Client | None" = None

    def __post_init__(self) -> None:
        if self.client is not None and self.memory_limit is not None:
            raise SwarmnetError("memory_limit is for one machine: workers have theirs from where they start")
        self._check_training()
        self._check_network()
        if self.scaling not in (None, *KINDS):
            raise unknown("scaling", self.scaling, [*KINDS, "None"])
        for name in ("derivative_weight", "l2"):
            require_number(
                name, getattr(self, name), "a number of 0 or more", lambda x: x >= 0, optional=True
            )
        float_type(self.dtype)
        if self.validation is not None and not is_dataset(self.validation):
            raise SwarmnetError("validation must be MixedData that are held out: read_csv reads a file")
        if self.checkpoint is not None:
            require_number("checkpoint_every", self.checkpoint_every, "0 or more", lambda x: x >= 0)

    def _check_training(self) -> None:
        _ = self.configured_trainer
        value_loss(self.loss)
        require_count("seed", self.seed, 0)

    def _check_network(self) -> None:
        _ = self.widths
        given = self.activation
        for name in [given] if isinstance(given, str | Activation) else given:
            activation(name)

    @property
    def configured_trainer(self) -> Trainer:
        """The trainer with its limits."""
        return configured(self.trainer, self.iterations, self.seconds, self.particles)

    @property
    def widths(self) -> tuple[int, ...] | None:
        """Units of each hidden layer; None where they are to be chosen for the data."""
        if isinstance(self.hidden, str) and self.hidden == "auto":
            return None
        whole = int | np.integer
        sizes: Any = [self.hidden] if isinstance(self.hidden, whole) else self.hidden
        if not isinstance(sizes, Sequence | np.ndarray) or not all(
            isinstance(size, whole) and not isinstance(size, bool) and size >= 1 for size in sizes
        ):
            raise SwarmnetError(
                f"hidden must be 'auto' or whole numbers of 1 or more such as (16, 16), not {self.hidden!r}"
            )
        return tuple(int(size) for size in sizes)

    @property
    def of_objective(self) -> dict[str, Any]:
        """Those that an `Objective` takes, by its names for them."""
        return {
            "loss": self.loss,
            "dtype": self.dtype,
            "derivative_weight": self.derivative_weight,
            "l2": self.l2,
        }
