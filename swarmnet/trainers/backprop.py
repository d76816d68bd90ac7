"""The baselines that train by backpropagated gradients: gradient descent, Adam and L-BFGS."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from swarmnet.trainers.base import Array, Monitor, ObjectiveLike, Trainer, require_count, require_number

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult


@dataclass(frozen=True, kw_only=True)
class _Descent(Trainer):
    """Steps along gradients, of all rows or of minibatches; an iteration is one pass over the rows.

    Args:
        learning_rate: step length.
        batch_size: rows a step, in a new random order each pass, the last batch being what remains;
            1 for one row at a time, None for all.
    """

    learning_rate: float = 0.1
    batch_size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("learning_rate", self.learning_rate, "more than 0", lambda x: x > 0)
        require_count("batch_size", self.batch_size, 1, optional=True)

    def _descend(
        self,
        objective: ObjectiveLike,
        theta: Array,
        rng: np.random.Generator,
        monitor: Monitor,
        step: "_Step",
    ) -> None:
        batched = self.batch_size is not None and self.batch_size < objective.n_rows
        while True:
            if batched:
                for rows in _batches(objective.n_rows, self.batch_size or 1, rng):
                    theta -= step.along(objective.loss_and_gradient(theta, rows)[1])
                loss, spent = float(objective.loss(theta)), 2
                if not monitor.record(loss, theta, spent):
                    return
            else:
                loss, gradient = objective.loss_and_gradient(theta)
                if not monitor.record(loss, theta, 1):
                    return
                theta -= step.along(gradient)


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    order = rng.permutation(n)
    for start in range(0, n, size):
        yield order[start : start + size]


class _Step:
    """A rule that turns gradients into steps."""

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
    """Kingma and Ba 2015, algorithm 1."""

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
    """Plain gradient descent, with momentum if asked for.

    Args:
        momentum: share of the last step that is kept (Polyak 1964); 0 for none.
    """

    name: ClassVar[str] = "sgd"
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("momentum", self.momentum, "from 0 to 1", lambda x: 0 <= x < 1)

    def train(
        self, objective: ObjectiveLike, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        theta = objective.initial(rng) if start is None else start.copy()
        step = _MomentumStep(self.learning_rate, self.momentum, objective.size)
        self._descend(objective, theta, rng, monitor, step)


@dataclass(frozen=True, kw_only=True)
class Adam(_Descent):
    """Adam (Kingma and Ba 2015).

    Args:
        beta1: decay of the gradient's running mean.
        beta2: decay of its square's.
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
        self, objective: ObjectiveLike, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        theta = objective.initial(rng) if start is None else start.copy()
        step = _AdamStep(self.learning_rate, self.beta1, self.beta2, objective.size)
        self._descend(objective, theta, rng, monitor, step)


@dataclass(frozen=True, kw_only=True)
class LBFGS(Trainer):
    """L-BFGS (Liu and Nocedal 1989), SciPy's L-BFGS-B without bounds.

    Args:
        memory: pairs of steps and gradient changes that model the curvature.
    """

    name: ClassVar[str] = "lbfgs"
    iterations: int | None = 2000
    patience: int = 100
    memory: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("memory", self.memory, 1)

    def prepare(self) -> None:
        importlib.import_module("scipy.optimize")  # a quarter of a second, which is no training

    def train(
        self, objective: ObjectiveLike, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        from scipy.optimize import minimize  # noqa: PLC0415  # see prepare

        theta = objective.initial(rng) if start is None else start
        counted = _Counted(objective)
        loss, _ = counted(theta)
        if not monitor.record(loss, theta, counted.spent()):
            return

        def note(intermediate_result: "OptimizeResult") -> None:
            if not monitor.record(intermediate_result.fun, intermediate_result.x, counted.spent()):
                raise StopIteration

        # SciPy's own limits are out of the way: the monitor's hold.
        options: dict[str, Any] = {"maxcor": self.memory, "maxiter": 10**9, "maxfun": 10**9}
        found = minimize(
            counted,
            theta,
            jac=True,
            method="L-BFGS-B",
            callback=note,
            options=options | {"ftol": 0.0, "gtol": 1e-14, "maxls": 40},
        )
        monitor.finish("converged" if found.success else "stalled")


class _Counted:
    """loss_and_gradient with a count of its calls."""

    def __init__(self, objective: ObjectiveLike) -> None:
        self._objective, self._calls = objective, 0

    def __call__(self, theta: Array) -> tuple[float, Array]:
        self._calls += 1
        return self._objective.loss_and_gradient(theta)

    def spent(self) -> int:
        calls, self._calls = self._calls, 0
        return calls
