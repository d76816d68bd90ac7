"""Gradient descent with backpropagation: plain, with momentum, and Adam (Kingma and Ba 2015)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from swarmnet.trainers.checkpoint import DamagedState, State, matching
from swarmnet.trainers.limits import require_count, require_number
from swarmnet.trainers.monitor import Monitor
from swarmnet.trainers.protocols import Trainable
from swarmnet.trainers.result import Array
from swarmnet.trainers.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class _Descent(Trainer):
    """Gradient steps over all rows or minibatches; an iteration is one pass over the rows.

    Args:
        learning_rate: step length.
        batch_size: rows in a minibatch, drawn in a new random order in each pass (the last one may be
            smaller); 1 for single rows, None for all rows.
    """

    learning_rate: float = 0.1
    batch_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("learning_rate", self.learning_rate, "more than 0", lambda x: x > 0)
        require_count("batch_size", self.batch_size, 1, optional=True)

    def _descend(
        self,
        objective: Trainable,
        start: Array | None,
        rng: np.random.Generator,
        monitor: Monitor,
        step: "_Step",
    ) -> None:
        theta = objective.initial(rng) if start is None else start.copy()
        if (saved := monitor.resume()) is not None:
            saved = matching(saved, {"theta": theta, **vars(step)}, finite=("theta",))
            theta = saved.pop("theta")
            if any(saved[name] != value for name, value in vars(step).items() if isinstance(value, float)):
                raise DamagedState("the steps are those of other settings")
            vars(step).update(saved)

        def state() -> State:
            return {"theta": theta, **vars(step)}

        batched = self.batch_size is not None and self.batch_size < objective.n_rows
        if batched and saved is None:
            monitor.begin(float(objective.loss(theta)), theta)
        while True:
            monitor.checkpoint(state)
            if batched:
                for rows in objective.batches(self.batch_size or 1, rng):
                    theta -= step.along(objective.loss_and_gradient(theta, rows)[1])
                loss, spent = float(objective.loss(theta)), 2
                if not monitor.record(loss, theta, spent):
                    return
            else:
                loss, gradient = objective.loss_and_gradient(theta)
                if not monitor.record(loss, theta, 1):
                    return
                theta -= step.along(gradient)


class _Step:
    """A rule that turns gradients into steps; its attributes are arrays and numbers, for checkpoints."""

    def along(self, gradient: Array) -> Array:
        raise NotImplementedError


class _MomentumStep(_Step):
    def __init__(self, learning_rate: float, momentum: float, size: int) -> None:
        self._rate, self._momentum = learning_rate, momentum
        self._velocity = np.zeros(size)

    def along(self, gradient: Array) -> Array:
        self._velocity *= self._momentum
        self._velocity += self._rate * gradient
        return self._velocity


class _AdamStep(_Step):
    """Adam's step (Kingma and Ba 2015, algorithm 1)."""

    def __init__(self, rate: float, beta1: float, beta2: float, size: int) -> None:
        self._rate, self._beta1, self._beta2 = rate, beta1, beta2
        self._mean, self._square, self._count = np.zeros(size), np.zeros(size), 0

    def along(self, gradient: Array) -> Array:
        self._count += 1
        self._mean += (1.0 - self._beta1) * (gradient - self._mean)
        self._square += (1.0 - self._beta2) * (gradient * gradient - self._square)
        mean = self._mean / (1.0 - self._beta1**self._count)
        square = self._square / (1.0 - self._beta2**self._count)
        return self._rate * mean / (np.sqrt(square) + 1e-8)


@dataclass(frozen=True, kw_only=True)
class SGD(_Descent):
    """Plain gradient descent, optionally with momentum.

    Args:
        momentum: share of the last step that is added (Polyak 1964); 0 for none.
    """

    name: ClassVar[str] = "sgd"
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("momentum", self.momentum, "from 0 to 1", lambda x: 0 <= x < 1)

    def train(
        self, objective: Trainable, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        step = _MomentumStep(self.learning_rate, self.momentum, objective.size)
        self._descend(objective, start, rng, monitor, step)


@dataclass(frozen=True, kw_only=True)
class Adam(_Descent):
    """Adam (Kingma and Ba 2015).

    Args:
        beta1: decay rate of the gradient's running mean.
        beta2: decay rate of the squared gradient's running mean.
    """

    name: ClassVar[str] = "adam"
    iterations: int | None = 5000
    learning_rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("beta1", self.beta1, "from 0 to 1", lambda x: 0 <= x < 1)
        require_number("beta2", self.beta2, "from 0 to 1", lambda x: 0 <= x < 1)

    def train(
        self, objective: Trainable, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        step = _AdamStep(self.learning_rate, self.beta1, self.beta2, objective.size)
        self._descend(objective, start, rng, monitor, step)
