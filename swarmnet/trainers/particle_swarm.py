"""Particle swarms on PySwarms' backend: over all weights, or over hidden layers with the output solved for.

PySwarms stores the swarm, and its topology finds each particle's best neighbour. The update of velocities and
positions is PySwarms' formula (Kennedy and Eberhart 1995, with the inertia of Shi and Eberhart 1998),

    v <- w v + c1 r1 (pbest - x) + c2 r2 (gbest - x),   x <- x + v,

done here in place, and with random numbers from the given generator, because PySwarms uses the global one. v
is clamped, and x stays in a box: saturated units do not learn, which is how swarms fail on networks (van Wyk
and Engelbrecht 2010).
"""

import importlib
import os
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from swarmnet.errors import unknown
from swarmnet.trainers.checkpoint import DamagedState, State, array, is_empty, matching
from swarmnet.trainers.limits import require_count, require_number
from swarmnet.trainers.monitor import Monitor
from swarmnet.trainers.protocols import Trainable
from swarmnet.trainers.result import Array
from swarmnet.trainers.trainer import Trainer

Schedule = float | Sequence[float]

TOPOLOGIES = ("star", "ring")
_LOST = 1e300  # replaces an infinite loss, because PySwarms fails if every cost is inf
# The attributes of a PySwarms swarm that change.
_MOVING = ("position", "velocity", "pbest_pos", "pbest_cost", "best_pos", "best_cost")
_environment = threading.Lock()


@contextmanager
def _quiet_pyswarms() -> Iterator[None]:
    """Prevent PySwarms from reconfiguring the user's loggers and from writing report.log."""
    with _environment:
        before = os.environ.get("LOG_CFG")
        os.environ["LOG_CFG"] = str(Path(__file__).with_name("quiet_logging.yaml"))
        try:
            yield
        finally:
            if before is None:
                del os.environ["LOG_CFG"]
            else:
                os.environ["LOG_CFG"] = before


@dataclass(frozen=True, kw_only=True)
class Swarm(Trainer):
    """A swarm's settings; a schedule is a number, or (first, last) to change linearly over the budget.

    Args:
        particles: s.
        topology: "star": the social term uses the best of all particles; "ring": the best of the neighbours.
        neighbours: number of nearest particles in a ring's neighbourhood, including the particle itself.
        inertia: w. The defaults are Clerc and Kennedy's constriction (2002).
        cognitive: c1.
        social: c2.
        velocity_clamp: the largest step of a weight in an iteration, as a share of `bound`.
        bound: weights stay in [-bound, bound].
    """

    particles: int = 50
    topology: str = "star"
    neighbours: int = 5
    inertia: Schedule = 0.7298
    cognitive: Schedule = 1.49618
    social: Schedule = 1.49618
    velocity_clamp: float = 0.02
    bound: float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("particles", self.particles, 2)
        require_count("neighbours", self.neighbours, 2)
        for name in ("inertia", "cognitive", "social"):
            _require_schedule(name, getattr(self, name))
        for name in ("velocity_clamp", "bound"):
            require_number(name, getattr(self, name), "a number more than 0", lambda x: x > 0)
        if self.topology not in TOPOLOGIES:
            raise unknown("topology", self.topology, TOPOLOGIES)

    def prepare(self) -> None:
        with _quiet_pyswarms():
            importlib.import_module("pyswarms.backend")

    @abstractmethod
    def _evaluate(self, objective: Trainable, positions: Array) -> tuple[Array, Array]:
        """Return costs (s,) of positions (s, dimensions), none NaN, and theta (p,) of the best of them."""

    def _exact(self, objective: Trainable, theta: Array, cost: float) -> tuple[float, int]:
        """Return the exact loss at theta, whose cost is known, and the evaluations that it took."""
        return cost, 0

    def _positions(self, objective: Trainable, start: Array | None, rng: np.random.Generator) -> Array:
        """Return theta (p,) of each particle from the network's initialiser, the first one at `start`."""
        positions = objective.initial(rng, self.particles)
        if start is not None:
            positions[0] = start
        return positions

    def train(
        self, objective: Trainable, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        self.search(objective, start, rng, monitor)

    @abstractmethod
    def search(
        self, objective: Trainable, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> Array | None:
        """Train, and return this swarm's best weights; None if no loss was finite."""

    def _move_until_stopped(
        self, objective: Trainable, positions: Array, rng: np.random.Generator, monitor: Monitor
    ) -> Array | None:
        """Move the swarm until the monitor stops it; memory does not grow with the iterations."""
        with _quiet_pyswarms():
            particles = _Particles(self, positions, rng)
        best, best_cost, loss = positions[0], np.inf, np.inf
        if (saved := monitor.resume()) is not None:
            saved |= matching(saved, {"best_cost": best_cost, "loss": loss})
            best_cost, loss = saved["best_cost"], saved["loss"]
            evaluated = np.isfinite(best_cost)
            best = array(saved, "best", (objective.size if evaluated else len(best),))
            particles.load(saved)

        def state() -> State:
            return {"best": best, "best_cost": best_cost, "loss": loss, **particles.state()}

        while True:
            monitor.checkpoint(state)
            costs, theta = self._evaluate(objective, particles.swarm.position)
            spent = len(costs)
            if costs.min() < best_cost:
                best, best_cost = theta, float(costs.min())
                loss, more = self._exact(objective, best, best_cost)
                spent += more
            if not monitor.record(loss, best, spent):
                return best if np.isfinite(loss) else None
            particles.move(costs, monitor.budget.fraction)


def _at(schedule: Schedule, fraction: float) -> float:
    if isinstance(schedule, Sequence | np.ndarray):
        return float(schedule[0] + (schedule[1] - schedule[0]) * fraction)
    return float(schedule)


def _require_schedule(name: str, schedule: object) -> None:
    two = isinstance(schedule, Sequence | np.ndarray) and len(schedule) == 2
    for end in schedule if two else [schedule]:  # type: ignore[attr-defined]
        require_number(name, end, "a number of 0 or more, or two of them (first, last)", lambda x: x >= 0)


def _without_nan(costs: Array) -> Array:
    return np.where(np.isnan(costs), np.inf, costs)


class _Particles:
    """A PySwarms swarm with its topology, and the in-place update."""

    def __init__(self, settings: Swarm, positions: Array, rng: np.random.Generator) -> None:
        from pyswarms.backend.swarms import Swarm as PySwarm  # noqa: PLC0415  # see _quiet_pyswarms
        from pyswarms.backend.topology import Ring, Star  # noqa: PLC0415

        self._settings, self._rng = settings, rng
        self.swarm = PySwarm(position=positions, velocity=np.zeros_like(positions), options={})
        self.swarm.pbest_pos = positions.copy()
        self.swarm.pbest_cost = np.full(len(positions), np.inf)
        self._work = np.empty_like(positions), np.empty_like(positions)
        if settings.topology == "ring":
            # Fixed neighbours, because PySwarms otherwise builds a k-d tree in p dimensions per iteration.
            self._topology, k = Ring(static=True), min(settings.neighbours, len(positions))
            self._who: dict[str, int] = {"p": 2, "k": k}
        else:
            self._topology, self._who = Star(), {}

    def state(self) -> State:
        """Return everything that changes, and a ring's neighbours, which depend on the initial positions."""
        swarm = {f"swarm_{name}": getattr(self.swarm, name) for name in _MOVING}
        return {**swarm, "neighbours": self._topology.neighbor_idx if self._who else None}

    def load(self, state: State) -> None:
        """Restore a saved state.

        Raises:
            DamagedState: it cannot come from such a swarm.
        """
        s, dimensions = self.swarm.position.shape
        best = (s, dimensions) if self._who else (dimensions,)
        first, begun = self.state(), not is_empty(state, "swarm_best_pos")
        if begun:
            first["swarm_best_pos"] = np.empty(best)
            first["neighbours"] = np.empty((s, self._who["k"]), dtype=np.intp) if self._who else None
        places = ("swarm_position", "swarm_velocity", "swarm_pbest_pos", "swarm_best_pos")
        state = matching(state, first, finite=places)
        costs, best_cost = state["swarm_pbest_cost"], state["swarm_best_cost"]
        if np.isnan([*costs, best_cost]).any() or not (begun or best_cost == np.inf):
            raise DamagedState("the costs are those of no swarm")
        if begun and self._who and not np.isin(state["neighbours"], np.arange(s)).all():
            raise DamagedState("neighbours must be particles")
        for name in _MOVING:
            setattr(self.swarm, name, state[f"swarm_{name}"])
        self._topology.neighbor_idx = state["neighbours"]

    def move(self, costs: Array, fraction: float) -> None:
        """Use the costs of the present positions, then move; `fraction` is the used share of the budget."""
        swarm, settings = self.swarm, self._settings
        swarm.current_cost = np.minimum(costs, _LOST)
        better = swarm.current_cost < swarm.pbest_cost
        swarm.pbest_cost[better] = swarm.current_cost[better]
        swarm.pbest_pos[better] = swarm.position[better]
        swarm.best_pos, swarm.best_cost = self._topology.compute_gbest(swarm, **self._who)
        swarm.velocity *= _at(settings.inertia, fraction)
        self._pull(swarm.pbest_pos, _at(settings.cognitive, fraction))
        self._pull(swarm.best_pos, _at(settings.social, fraction))
        clamp = settings.velocity_clamp * settings.bound
        np.clip(swarm.velocity, -clamp, clamp, out=swarm.velocity)
        swarm.position += swarm.velocity
        np.clip(swarm.position, -settings.bound, settings.bound, out=swarm.position)

    def _pull(self, target: Array, strength: float) -> None:
        """Add strength r (target - x) to the velocities, r uniform on [0, 1)."""
        pull, draw = self._work
        np.subtract(target, self.swarm.position, out=pull)
        pull *= self._rng.random(out=draw)
        pull *= strength
        self.swarm.velocity += pull


@dataclass(frozen=True, kw_only=True)
class PSO(Swarm):
    """A swarm over all weights."""

    name: ClassVar[str] = "pso"
    iterations: int | None = 2000

    def search(
        self, objective: Trainable, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> Array | None:
        return self._move_until_stopped(objective, self._positions(objective, start, rng), rng, monitor)

    def _evaluate(self, objective: Trainable, positions: Array) -> tuple[Array, Array]:
        costs = _without_nan(objective.loss(positions))
        return costs, positions[int(np.argmin(costs))].copy()


@dataclass(frozen=True, kw_only=True)
class ProjectedPSO(Swarm):
    """A swarm over the hidden layers' weights; each particle's linear output layer is solved for exactly.

    This linear least-squares problem inside a swarm is PSO-ELM (Xu and Shu 2006), and variable projection
    (Golub and Pereyra 1973).

    Args:
        ridge: limits the solved output weights, relative to the mean diagonal of their Gram matrix.
    """

    name: ClassVar[str] = "projected"
    solves_output: ClassVar[bool] = True
    iterations: int | None = 500
    particles: int = 30
    ridge: float = 1e-9

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("ridge", self.ridge, "0 or more", lambda x: x >= 0)

    def search(
        self, objective: Trainable, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> Array | None:
        positions = self._positions(objective, start, rng)
        # The start's own output weights may have a lower loss than those solved with the ridge.
        fresh = monitor.resume() is None
        if fresh and start is not None and not monitor.record(float(objective.loss(start)), start, 1):
            return start
        best = self._move_until_stopped(objective, positions[:, : objective.hidden_size].copy(), rng, monitor)
        if start is not None and best is not None and objective.loss(start) < objective.loss(best):
            return start
        return best

    def _evaluate(self, objective: Trainable, positions: Array) -> tuple[Array, Array]:
        costs, output = objective.projected(positions, self.ridge)
        costs = _without_nan(costs)
        best = int(np.argmin(costs))
        return costs, np.concatenate([positions[best], output[best]])

    def _exact(self, objective: Trainable, theta: Array, cost: float) -> tuple[float, int]:
        # The cost is a difference of sums, which has rounding errors if the fit is close.
        return float(objective.loss(theta)), 1
