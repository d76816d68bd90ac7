"""L-BFGS (Liu and Nocedal 1989; SciPy's) with backpropagation and an optional preconditioner."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from swarmnet import linalg as blas
from swarmnet.trainers.checkpoint import DamagedState, State, array, whole
from swarmnet.trainers.limits import require, require_count
from swarmnet.trainers.monitor import Monitor
from swarmnet.trainers.protocols import Trainable
from swarmnet.trainers.result import Array
from swarmnet.trainers.trainer import Trainer

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult


# Residuals per weight for a preconditioner, and its damping, as a share of its mean diagonal. Ratios of the
# loss after 200 iterations of two layers of 16 units, on 3,000 rows of a smooth function of two inputs (four
# seeds, standard error a factor of 1.3): 1.2 for 3 residuals, 0.5 for 6, 1.4 for 24; 0.4 for a damping of
# 1e-5, 0.8 for 1e-4, 1.2 for 1e-2, 5 for 0.1.
_SAMPLE, _DAMPING = 12, 1e-3


@dataclass(frozen=True, kw_only=True)
class LBFGS(Trainer):
    """L-BFGS (Liu and Nocedal 1989), SciPy's L-BFGS-B without bounds.

    SciPy's optimiser cannot be stopped and continued, but it is deterministic: with the same losses and
    gradients it takes the same steps. So a checkpoint stores the losses and gradients. To limit their size,
    the optimiser restarts from its present point when they would exceed `record_bytes`, but not within the
    first `record_iterations`. It does so without a checkpoint too, so that results are the same.

    With `refresh`, it works in coordinates in which the Gauss-Newton Hessian of randomly drawn rows, 12
    residuals per weight, is the unit matrix, and restarts with other rows after so many iterations (sampled
    curvature: Byrd, Chin, Neveitt and Nocedal 2011). A preconditioner costs about as much as a gradient. With
    many rows, several times fewer iterations are needed. It requires the squared loss.

    With `solved`, it minimises over the weights of the hidden layers only; at each step the linear output
    layer is solved for (variable projection: Golub and Pereyra 1973). At the solution the loss's derivative
    by the output weights is 0, so its gradient is that of the loss with fixed output weights.

    Args:
        memory: number of pairs of steps and gradient changes that model the curvature.
        refresh: iterations with one preconditioner; None for none.
        solved: see above; not with `refresh`.
        record_bytes: see above.
        record_iterations: see above.
    """

    name: ClassVar[str] = "lbfgs"
    iterations: int | None = 2000
    patience: int = 100
    memory: int = 20
    refresh: int | None = None
    solved: bool = False
    record_bytes: int = 64_000_000
    record_iterations: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("memory", self.memory, 1)
        require_count("refresh", self.refresh, 1, optional=True)
        require_count("record_bytes", self.record_bytes, 0)
        require_count("record_iterations", self.record_iterations, 1)
        require(not (self.solved and self.refresh), "refresh", self.refresh, "None with solved")

    @property
    def needs_squares(self) -> bool:
        """Whether it needs the squared loss."""
        return self.refresh is not None or self.solved

    @property
    def solves_output(self) -> bool:  # type: ignore[override]
        return self.solved

    def prepare(self) -> None:
        importlib.import_module("scipy.optimize")  # takes 0.25 s, which should not count as training

    def train(
        self, objective: Trainable, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        self.descend(objective, start, rng, monitor)

    def descend(
        self, objective: Trainable, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> Array:
        """Train as `train` does, and return the final weights (p,)."""
        saved = monitor.resume()
        if saved is None:
            theta = objective.initial(rng) if start is None else start
            loss, _ = objective.loss_and_gradient(theta)
            if not monitor.record(loss, theta, 1):
                return theta
            saved = {"start": theta, "rows": self._sample(objective, rng)}
        else:
            saved = _checked(saved, objective, self.solved)
        limits = (self.record_iterations, self.record_bytes) if self.refresh is None else (self.refresh, 0)
        while True:
            minimisation = _Minimisation(objective, monitor.keeps, *limits, self.solved, **saved)
            monitor.checkpoint(minimisation.state)
            found = self._minimize(minimisation, monitor)
            if not minimisation.full:
                break
            saved = {"start": minimisation.theta(found.x), "rows": self._sample(objective, rng)}
        monitor.finish("converged" if found.success else "stalled")
        return minimisation.theta(found.x)

    def _sample(self, objective: Trainable, rng: np.random.Generator) -> NDArray[np.intp]:
        """Return the rows for a preconditioner; none without `refresh`."""
        if self.refresh is None:
            return np.empty(0, dtype=np.intp)
        residuals = max(1.0, float(objective.groups.entries.sum()) / objective.n_rows)  # of a row
        rows = int(np.ceil(_SAMPLE * objective.size / residuals))
        return np.sort(rng.choice(objective.n_rows, min(rows, objective.n_rows), replace=False))

    def _minimize(self, minimisation: "_Minimisation", monitor: Monitor) -> "OptimizeResult":
        from scipy.optimize import minimize  # noqa: PLC0415  # see prepare

        def note(intermediate_result: "OptimizeResult") -> None:
            if minimisation.repeats():
                return
            theta = minimisation.theta(intermediate_result.x)
            if not monitor.record(intermediate_result.fun, theta, minimisation.spent()):
                raise StopIteration
            if minimisation.is_full():
                raise StopIteration
            monitor.checkpoint(minimisation.state)

        # SciPy's own limits are disabled, because the monitor's apply.
        options: dict[str, Any] = {"maxcor": self.memory, "maxiter": 10**9, "maxfun": 10**9}
        return minimize(
            minimisation,
            minimisation.origin,
            jac=True,
            method="L-BFGS-B",
            callback=note,
            options=options | {"ftol": 0.0, "gtol": 1e-14, "maxls": 40},
        )


class _Minimisation:
    """The function that one run of SciPy's optimiser minimises, with a record for checkpoints.

    Args:
        objective: computes losses and gradients.
        keeps: whether to record them.
        least: iterations after which to restart, if the record is full.
        most_bytes: size of a full record.
        solved: whether the output layer is solved for.
        start: theta (p,) where the optimiser starts.
        rows: rows for the preconditioner; empty for none.
        iterations: iterations that are repeated from a checkpoint.
        losses: the recorded losses of these.
        gradients: the recorded gradients of these.
    """

    def __init__(
        self,
        objective: Trainable,
        keeps: bool,
        least: int,
        most_bytes: int,
        solved: bool,
        start: Array,
        rows: NDArray[np.intp],
        iterations: int = 0,
        losses: Iterable[float] = (),
        gradients: Iterable[Array] = (),
    ) -> None:
        self._objective, self._keeps, self._start = objective, keeps, start
        self._least, self._most_bytes = least, most_bytes
        self._iterations, self._losses, self._gradients = iterations, list(losses), list(gradients)
        self._seen, self._asked, self._spent = 0, 0, 0
        self._given = len(self._losses)
        self._rows = rows
        self._free = objective.hidden_size if solved else objective.size
        self._factor = _preconditioner(objective, start, rows) if len(rows) else None
        self.full = False

    @property
    def origin(self) -> Array:
        """The start in the optimiser's coordinates."""
        return self._start[: self._free] if self._factor is None else np.zeros_like(self._start)

    def theta(self, point: Array) -> Array:
        """Return the weights at a point of the optimiser."""
        if self._free < len(self._start):
            return np.concatenate([point, self._objective.projected(point[None], ridge=0.0)[1][0]])
        if self._factor is None:
            return point
        return self._start + blas.divide(self._factor, point.copy(), transposed=True)

    def __call__(self, point: Array) -> tuple[float, Array]:
        self._asked += 1
        if self._asked <= self._given:
            return self._losses[self._asked - 1], self._gradients[self._asked - 1]
        self._spent += 1
        loss, gradient = self._objective.loss_and_gradient(self.theta(point))
        gradient = gradient[: self._free]
        if self._factor is not None:
            gradient = blas.divide(self._factor, gradient)
        if self._keeps:
            self._losses.append(loss)
            self._gradients.append(gradient)
        return loss, gradient

    def repeats(self) -> bool:
        """Count an iteration; return whether it repeats one from the checkpoint."""
        self._seen += 1
        if self._seen <= self._iterations:
            return True
        self._iterations = self._seen
        return False

    def is_full(self) -> bool:
        """Return whether it is time to restart."""
        recorded = 8 * self._asked * (self._objective.size + 1)
        self.full = self._iterations >= self._least and recorded >= self._most_bytes
        return self.full

    def spent(self) -> int:
        """Return the number of evaluations since the last call."""
        calls, self._spent = self._spent, 0
        return calls

    def state(self) -> State:
        """Return the state from which this run can be repeated."""
        return {
            "start": self._start,
            "rows": self._rows,
            "iterations": self._iterations,
            "losses": self._losses,
            "gradients": self._gradients,
        }


def _checked(saved: State, objective: Trainable, solved: bool) -> State:
    """Check and return a saved state.

    Raises:
        DamagedState: it cannot come from a run with this objective.
    """
    rows = array(saved, "rows", (None,), np.intp)
    if len(rows) and not (rows.min() >= 0 and rows.max() < objective.n_rows):
        raise DamagedState("rows must be those of the data")
    losses = array(saved, "losses", (None,), finite=False)
    free = objective.hidden_size if solved else objective.size
    shape = (len(losses), free) if len(losses) else (0,)  # an empty list
    return {
        "start": array(saved, "start", (objective.size,)),
        "rows": rows,
        "iterations": whole(saved, "iterations", 0, len(losses)),
        "losses": losses,
        "gradients": array(saved, "gradients", shape, finite=False),
    }


def _preconditioner(objective: Trainable, theta: Array, rows: NDArray[np.intp]) -> Array | None:
    """Return L with L L' the damped Gauss-Newton Hessian of some rows; None if it is not finite."""
    precision = 2.0 * objective.unit_precision * (objective.n_rows / len(rows))
    _, _, H = objective.gauss_newton(theta, precision, rows)
    where = np.diag_indices_from(H)
    damping = _DAMPING * float(np.mean(H[where]))
    if not np.isfinite(damping) or damping <= 0.0:
        return None
    H[where] += damping
    L = np.asfortranarray(H, dtype=np.float64)
    return L if blas.factor(L) else None
