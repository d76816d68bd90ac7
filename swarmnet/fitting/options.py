"""FitOptions: how a network is fitted, in one record that is checked once."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from swarmnet.data.constraints import Require, as_requirements
from swarmnet.data.dataset import Dataset, is_dataset
from swarmnet.data.readers import Size
from swarmnet.errors import SwarmnetError, unknown
from swarmnet.floating_point import float_type
from swarmnet.network.activations import Activation, activation
from swarmnet.objective.value_losses import value_loss
from swarmnet.scaling import KINDS
from swarmnet.trainers import Trainer, configured
from swarmnet.trainers.checkpoint import EVERY
from swarmnet.trainers.limits import is_count, require_count, require_number
from swarmnet.trainers.result import Callback

if TYPE_CHECKING:
    from distributed import Client

Hidden = str | int | Sequence[int]
Activations = str | Activation | Sequence[str | Activation]

NOISE = ("gaussian", "student")
# "16,16" as on the command line, and "(16, 16)" or "[16, 16]" as in files of settings
_WIDTHS = re.compile(r"[(\[]?\s*[0-9]+(\s*,\s*[0-9]+)*\s*,?\s*[)\]]?")


@dataclass(frozen=True, kw_only=True, eq=False)
class FitOptions:
    """All arguments of `swarmnet.fit` except the data.

    `swarmnet.compare`, `SwarmNetRegressor` and the command line have some of these options, with the same
    meanings and defaults.

    Args:
        hidden: units of each hidden layer, such as (16, 16) or "16,16"; () for none. With "auto", hybrid
            chooses among networks of one to three hidden layers by their evidence, and other trainers take
            two equal layers, with at most as many weights as there are entries.
        activation: one name for all hidden layers, or one for each layer, with the output layer last.
        trainer: a name (hybrid, pso, projected, sgd, adam, lbfgs, lm) or a configured trainer.
        seed: the same seed gives the same model.
        iterations: maximum number of iterations, instead of the trainer's own limit.
        seconds: maximum seconds of training; without `iterations` it is the only limit.
        particles: number of particles, for trainers with a swarm.
        loss: "squared", or "cross-entropy" for values from 0 to 1 on sigmoid outputs.
        scaling: "standard" (mean 0, deviation 1), "minmax" (-1 to 1), or None: data are not scaled, and each
            residual is in its own unit.
        derivative_weight: weight of the derivatives' mean squared residual relative to the values'. hybrid
            and lm estimate the noise of the values and of each derivative column by default; for the others
            it is 1.
        l2: weight of the sum of squares of all W. By default hybrid and lm estimate it; for the others it is
            1e-8.
        degree: degree of the polynomial that is added to the outputs; 0 for none. It has all products of
            inputs up to this degree or, if those are too many for the entries, those whose powers, each plus
            1, have a product of at most degree + 1 (a hyperbolic cross). With hidden=() this is polynomial
            regression. With "auto" and hidden="auto", hybrid tries polynomials of many degrees, and networks
            with a linear trend; it compares them by predictions of entries left out. With "auto" and
            hidden=() it chooses among the polynomials. In all other cases "auto" adds none.
        log: names of inputs and outputs that the network takes as natural logarithms, such as numbers over
            several decades; they must be positive. Data, formulas and answers are still those of the numbers
            themselves. Such outputs are always positive, and their errors without a sigma are relative; so
            are those of its derivatives in rows that have its value too.
        require: constraints that hold in the box of the training inputs, such as ("dh/dT >= 0", "h <= 5"):
            formulas of inputs, outputs, first and second derivatives and defined names on either side of
            >= or <=; > and < mean the same. After training, it goes on under them; the record has their
            largest violations. Data in files or with a client cannot have them.
        noise: distribution of the noise: "gaussian", or "student" for data with outliers. Student's t, with 4
            degrees of freedom, lets entries far from the fit count less. There are up to three fits, each
            with all iterations, which share seconds and evaluations; after each the entries get new weights.
            The history is that of the last one. It takes the squared loss, data in memory, and no checkpoint.
        checkpoint: file for the state of training. If it holds a state of the same run, training continues
            from there, and the model is the same, bit for bit, as without the stop. With a time limit it is
            not the same; the seconds before the stop count.
        checkpoint_every: seconds between two writes of that file.
        callback: called with a `Progress` at each iteration; training ends if it returns True.
        validation: held-out data; their loss is in the history.
        memory_limit: for data given by a path: see `read_csv`.
        dtype: "float32" for sums in single precision, which takes half the time and is less exact.
        client: a `dask.distributed.Client` whose workers read the files and do most of the work. If all rows
            take 128 MB or less, and iterations are short, each worker gets all rows, and does whole
            Levenberg-Marquardt runs of hybrid and lm; it needs about five times the memory of the rows.
            Otherwise, and for other trainers, the rows are divided among the workers. The model does not
            depend on the number of workers. It is the same as on this machine if data are in files, with a
            `memory_limit` that leaves them there. Sums over rows divided from memory have another order,
            which changes the last digits.

    Raises:
        SwarmnetError: a name is unknown, a number is out of range, or options contradict each other.
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
    degree: str | int = "auto"
    log: str | Sequence[str] | None = None
    require: Require = ()
    noise: str = "gaussian"
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
        self._check_noise()
        float_type(self.dtype)
        if self.validation is not None and not is_dataset(self.validation):
            raise SwarmnetError("validation must be MixedData that are held out: read_csv reads a file")
        if self.checkpoint is not None:
            require_number("checkpoint_every", self.checkpoint_every, "0 or more", lambda x: x >= 0)

    def _check_training(self) -> None:
        _ = self.configured_trainer
        value_loss(self.loss)
        require_count("seed", self.seed, 0)

    def _check_noise(self) -> None:
        if not isinstance(self.noise, str) or self.noise not in NOISE:
            raise unknown("noise", self.noise, NOISE)
        if self.noise == "student" and self.loss != "squared":
            raise SwarmnetError("noise 'student' needs the squared loss")
        if self.noise == "student" and self.checkpoint is not None:
            raise SwarmnetError("noise 'student' takes several fits, which keep no checkpoint: leave it out")

    def _check_network(self) -> None:
        _ = self.widths, self.log_names
        object.__setattr__(self, "require", as_requirements(self.require))
        if self.degree != "auto" and (not is_count(self.degree) or int(self.degree) < 0):
            raise SwarmnetError(f"degree must be 'auto' or a whole number of 0 or more, not {self.degree!r}")
        given = self.activation
        if not isinstance(given, str | Activation | Sequence | np.ndarray):
            raise SwarmnetError(f"activation must be a name, or one for each layer, not {given!r}")
        for name in [given] if isinstance(given, str | Activation) else given:
            activation(name)

    @property
    def configured_trainer(self) -> Trainer:
        """The trainer with its limits."""
        return configured(self.trainer, self.iterations, self.seconds, self.particles)

    @property
    def log_names(self) -> tuple[str, ...]:
        """The names in `log`, each once."""
        names = [self.log] if isinstance(self.log, str) else () if self.log is None else self.log
        if not isinstance(names, Iterable) or not all(isinstance(name, str) for name in names):
            raise SwarmnetError(f"log must be names of inputs and outputs, not {self.log!r}")
        return tuple(dict.fromkeys(names))

    @property
    def widths(self) -> tuple[int, ...] | None:
        """Units of each hidden layer; None if they are chosen for the data."""
        if isinstance(self.hidden, str) and self.hidden == "auto":
            return None
        whole = int | np.integer
        sizes: Any = [self.hidden] if isinstance(self.hidden, whole) else self.hidden
        if isinstance(sizes, str) and _WIDTHS.fullmatch(sizes):
            sizes = [int(size) for size in re.findall("[0-9]+", sizes)]
        if not isinstance(sizes, Sequence | np.ndarray) or not all(
            isinstance(size, whole) and not isinstance(size, bool) and size >= 1 for size in sizes
        ):
            raise SwarmnetError(
                "hidden must be 'auto' or whole numbers of 1 or more such as (16, 16), not "
                f"{' '.join(repr(self.hidden).split())}"
            )
        return tuple(int(size) for size in sizes)

    @property
    def of_objective(self) -> dict[str, Any]:
        """The options that `Objective` takes, by its names."""
        return {
            "loss": self.loss,
            "dtype": self.dtype,
            "derivative_weight": self.derivative_weight,
            "l2": self.l2,
        }
