"""hybrid: swarms find starts, Levenberg-Marquardt climbs from them, the evidence chooses."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from itertools import product
from typing import Any, ClassVar

import numpy as np

from swarmnet.checkpoint import DamagedState, State, array, matching, whole
from swarmnet.trainers.backprop import LBFGS
from swarmnet.trainers.base import Array, Monitor, ObjectiveLike, Trainer, require_count, require_number
from swarmnet.trainers.lm import LM
from swarmnet.trainers.pso import PSO, ProjectedPSO, Swarm
from swarmnet.trainers.race import race
from swarmnet.trainers.second_order import MOST_WEIGHTS, NOISES, Climb, Rival, cost, is_cheap

_POLISH = 400  # iterations of Levenberg-Marquardt, if nothing limits them
_CONDITIONED, _PLAIN = 900, 2500  # those of L-BFGS with and without a preconditioner
_REFRESH = 20  # iterations with one preconditioner
_BOTH = NOISES[:2]  # with which each network races
_HALVINGS = (60, 120, 180)  # iterations after which the worse half of the networks is given up
_DEAR = 2e10  # multiplications of an iteration from which L-BFGS gets further in the same time


@dataclass(frozen=True, kw_only=True)
class Hybrid(Trainer):
    """Swarms over the hidden layers, then Levenberg-Marquardt with Bayesian regularisation from their best.

    The climbs run side by side, one a core, from a high, a low and a middle noise, and the largest evidence
    wins. With several networks to choose from, they race first: after 60 and 120 iterations only the half
    with the larger evidence goes on, after 180 the best alone; half of the later starts go to the network
    that came second. Where the others came to is part of the error bars. Where Levenberg-Marquardt is too
    dear (many weights and entries) or impossible (another loss than the squared one), L-BFGS polishes the
    best of one swarm instead, with a preconditioner where there can be one. The swarm's ridge is large: a
    start whose solved output weights are small is worth more to what follows than one with a lower loss.
    Where the output layer cannot be solved for, the swarm flies over all weights.

    Iterations, seconds or evaluations are the budget, of which the swarms use `swarm_share` at most and the
    rest all that is left; the limits of stages that were given hold besides. Without a budget, there are at
    most 400 iterations of Levenberg-Marquardt (800 where they cost next to nothing), 900 of preconditioned
    L-BFGS or 2500 of plain L-BFGS.

    Args:
        swarm: each start's swarm.
        polish: what follows the swarms; by default whichever of the two suits the problem.
        starts: how many in the end; by default 3, or with a limit of seconds one a thread if that is more; 10
            where the network was chosen and an iteration costs next to nothing.
        swarm_share: see above.
    """

    name: ClassVar[str] = "hybrid"
    descends: ClassVar[bool] = False
    iterations: int | None = None
    patience: int = 1_000_000  # the stages' own patience holds
    swarm: ProjectedPSO = field(default_factory=lambda: ProjectedPSO(iterations=20, ridge=1e-3))
    polish: LM | LBFGS | None = None
    starts: int | None = None
    swarm_share: float = 0.25
    _ladder_share: ClassVar[float] = 0.5  # of the budget, for the choice of a network

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("starts", self.starts, 1, optional=True)
        require_number("swarm_share", self.swarm_share, "between 0 and 1", lambda x: 0 < x < 1)

    def climbs_at_once(self, objective: ObjectiveLike) -> int:
        if not isinstance(self._polish(objective), LM):
            return 0
        return self.starts or self._usual_starts(objective, chosen=False)

    def prepare(self) -> None:
        self.swarm.prepare()
        (self.polish or LM()).prepare()  # where L-BFGS follows, its imports are next to nothing

    def train(
        self, objective: ObjectiveLike, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        polish = self._polish(objective.rungs[0])
        if isinstance(polish, LM):
            self._climb(polish, objective.rungs, start, rng, monitor)
            return
        whole = self if self._has_budget else replace(self, evaluations=_part(polish.iterations, 1.0))
        thetas = whole._fly([objective], start, rng, monitor, 1, {})
        if thetas:
            with monitor.limits(polish, monitor.seconds_left, (self.swarm_share, 1.0)):
                polish.train(objective, thetas[0], rng, monitor)

    def _climb(
        self,
        polish: LM,
        rungs: Sequence[ObjectiveLike],
        start: Array | None,
        rng: np.random.Generator,
        monitor: Monitor,
    ) -> None:
        """Choose the network, if there are several; then climb from all starts."""
        several = len(rungs) > 1
        starts = min(self.starts or self._usual_starts(rungs[0], several), self._affordable)
        entrants = list(product(rungs, _BOTH if self._affordable >= 2 * len(rungs) else NOISES[:1]))
        swarms = starts + (len(entrants) - 1 if several else 0)
        chosen = self._choose(polish, entrants, rungs, rng, monitor, swarms) if several else _Choice()
        if chosen is None:
            return
        leading = [] if chosen.winner is None else [chosen.winner]
        net, first = (leading[0].objective, leading[0].noise) if leading else (rungs[0], NOISES[0])
        starts = min(starts, self.starts or self._usual_starts(net, several))
        order = [first, *(noise for noise in NOISES if noise != first)]
        noises = [order[number % len(order)] for number in range(starts)][len(leading) :]
        before = chosen.state(rungs)
        half = len(noises) // 2  # the network that came second may only have begun badly
        lanes = [net] * (len(noises) - half) + [chosen.runner_up(rungs) or net] * half
        thetas = self._fly(lanes, None if several else start, rng, monitor, swarms, before)
        if len(thetas) < len(lanes):
            return
        begun = zip(lanes, thetas, noises, strict=True)
        climbs = [Climb(lane, theta, noise) for lane, theta, noise in begun]
        share = (self._ladder_share if several else 0.0, 1.0)
        with monitor.limits(self._climbing(net), monitor.seconds_left, share):
            race(leading + climbs, monitor, rivals=chosen.rivals)

    def _usual_starts(self, net: ObjectiveLike, chosen: bool) -> int:
        if chosen and is_cheap(net):
            return 1 + 3 * len(NOISES)
        # One a thread only where the clock decides anyway: else the model would depend on the machine.
        return len(NOISES) if self.seconds is None else max(len(NOISES), net.threads)

    def _choose(
        self,
        polish: LM,
        entrants: Sequence[tuple[ObjectiveLike, float]],
        rungs: Sequence[ObjectiveLike],
        rng: np.random.Generator,
        monitor: Monitor,
        swarms: int,
    ) -> "_Choice | None":
        """The outcome of the race of networks; None if training ended."""
        saved = monitor.resume() or {}
        if "rung" in saved:
            return _Choice.restored(saved, rungs)
        thetas = self._fly([rung for rung, _ in entrants], None, rng, monitor, swarms, {})
        if len(thetas) < len(entrants):
            return None
        share = _share(polish, self, self._ladder_share)
        with monitor.limits(share, share.seconds, (self.swarm_share, self._ladder_share)):
            pairs = zip(entrants, thetas, strict=True)
            climbs = [Climb(rung, theta, noise) for (rung, noise), theta in pairs]
            winner, *others = race(climbs, monitor, _HALVINGS)
        rivals = [Rival(climb.theta, climb.log_evidence) for climb in others]
        return None if monitor.status else _Choice(winner, rivals)

    def _polish(self, objective: ObjectiveLike) -> LM | LBFGS:
        """The second stage for this objective, with its limits."""
        if self.polish is not None:
            return self.polish
        if climbs_well(objective):
            return self._climbing(objective)
        conditioned = objective.can_linearise and objective.size <= MOST_WEIGHTS
        iterations = _CONDITIONED if conditioned else _PLAIN
        return LBFGS(
            iterations=None if self._has_budget else iterations, refresh=_REFRESH if conditioned else None
        )

    def _climbing(self, objective: ObjectiveLike) -> LM:
        """Levenberg-Marquardt with its limits."""
        if isinstance(self.polish, LM):
            return self.polish
        iterations = 2 * _POLISH if is_cheap(objective) else _POLISH
        return LM(iterations=None if self._has_budget else iterations)

    def _fly(
        self,
        lanes: Sequence[ObjectiveLike],
        start: Array | None,
        rng: np.random.Generator,
        monitor: Monitor,
        swarms: int,
        before: State,
    ) -> list[Array]:
        """The best weights of a swarm for each lane; fewer if training ended.

        `swarms` is how many there are in all; `before` goes into the checkpoints besides.
        """
        swarm = self._swarm(lanes[0], swarms) if lanes else self.swarm
        saved = monitor.resume() or {}
        mine = saved if saved.get("rung") == before.get("rung") else {}
        flown = whole(mine, "flown", 0, len(lanes)) if mine else 0
        thetas = [array(mine, f"theta {number}", (lanes[number].size,)) for number in range(flown)]
        for number in range(len(thetas), len(lanes)):
            monitor.checkpoint(partial(_state, thetas, before))
            span = (self.swarm_share * number / swarms, self.swarm_share * (number + 1) / swarms)
            with monitor.limits(swarm, span=span):
                best = swarm.search(lanes[number], None if number else start, rng, monitor)
            if monitor.status:
                return []
            thetas.append(lanes[number].initial(rng) if best is None else best)
        monitor.checkpoint(partial(_state, thetas, before))
        return thetas

    @property
    def _affordable(self) -> int:
        """Swarms of one iteration that their share of the budget allows, at least 1."""
        swarms = [
            _part(limit, self.swarm_share / particles)
            for limit, particles in ((self.iterations, 1), (self.evaluations, self.swarm.particles))
            if limit is not None
        ]
        return min((count for count in swarms if count is not None), default=1 << 30)

    @property
    def _has_budget(self) -> bool:
        return (self.iterations, self.seconds, self.evaluations) != (None, None, None)

    def _swarm(self, objective: ObjectiveLike, starts: int) -> Swarm:
        """One start's swarm with its share of the budget."""
        swarm: Swarm = self.swarm
        if not objective.can_project:
            common = {f.name: getattr(swarm, f.name) for f in fields(Swarm)}
            swarm = PSO(**common)
        share = self.swarm_share / starts
        limits: dict[str, Any] = {
            "iterations": _less(swarm.iterations, _part(self.iterations, share)),
            "evaluations": _less(swarm.evaluations, _part(self.evaluations, share)),
            "seconds": _less(swarm.seconds, self.seconds and self.seconds * share),
        }
        return replace(swarm, **limits)


@dataclass(frozen=True)
class _Choice:
    """The outcome of a race of networks, if there was one: the winner, and where its last rivals came to."""

    winner: Climb | None = None
    rivals: Sequence[Rival] = ()

    def runner_up(self, rungs: Sequence[ObjectiveLike]) -> ObjectiveLike | None:
        """The best of the rivals' networks that is not the winner's."""
        sizes = [len(rival.theta) for rival in self.rivals]
        others = [size for size in sizes if self.winner and size != len(self.winner.theta)]
        return next((rung for rung in rungs if rung.size in others[:1]), None)

    def state(self, rungs: Sequence[ObjectiveLike]) -> State:
        """What `restored` takes."""
        if self.winner is None:
            return {}
        rung = next(n for n, rung in enumerate(rungs) if rung is self.winner.objective)
        state: State = {"rung": rung, "rivals": len(self.rivals)}
        state |= {f"winner/{name}": value for name, value in self.winner.state().items()}
        for n, rival in enumerate(self.rivals):
            state |= {f"rival {n}/{name}": value for name, value in asdict(rival).items()}
        return state

    @classmethod
    def restored(cls, state: State, rungs: Sequence[ObjectiveLike]) -> "_Choice":
        def part(name: str) -> State:
            return {key.removeprefix(name): x for key, x in state.items() if key.startswith(name)}

        rung = rungs[whole(state, "rung", 0, len(rungs) - 1)]
        winner = Climb.restored(rung, Climb.checked(rung, part("winner/")))
        return cls(winner, [_rival(part(f"rival {n}/"), rungs) for n in range(whole(state, "rivals"))])


def _rival(state: State, rungs: Sequence[ObjectiveLike]) -> Rival:
    """That of a state that was read.

    Raises:
        DamagedState: no network can have given it.
    """
    theta = array(state, "theta", (None,))
    if len(theta) not in {rung.size for rung in rungs}:
        raise DamagedState("a rival is that of no network")
    return Rival(theta, matching(state, {"log_evidence": 0.0})["log_evidence"])


def _state(thetas: Sequence[Array], before: State) -> State:
    return before | {"flown": len(thetas)} | {f"theta {n}": theta for n, theta in enumerate(thetas)}


def _share(polish: LM, whole: "Hybrid", share: float) -> LM:
    """The polish with a share of the whole's budget."""
    return replace(
        polish,
        iterations=_less(polish.iterations, _part(whole.iterations, share)),
        evaluations=_less(polish.evaluations, _part(whole.evaluations, share)),
        seconds=_less(polish.seconds, whole.seconds and whole.seconds * share),
    )


def climbs_well(objective: ObjectiveLike) -> bool:
    """Whether Levenberg-Marquardt is possible, and gets further than L-BFGS in the same time."""
    return objective.can_linearise and objective.size <= MOST_WEIGHTS and cost(objective) <= _DEAR


def _part(count: int | None, share: float) -> int | None:
    return None if count is None else max(1, int(count * share))


def _less(first: float | None, second: float | None) -> Any:
    given = [value for value in (first, second) if value is not None]
    return min(given) if given else None
