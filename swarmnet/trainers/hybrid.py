"""hybrid: swarms find starts, Levenberg-Marquardt trains from each, and the evidence chooses."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import product
from typing import Any, ClassVar, TypeVar

import numpy as np

from swarmnet.trainers.checkpoint import State, array, whole
from swarmnet.trainers.evidence import NOISES
from swarmnet.trainers.lbfgs import LBFGS
from swarmnet.trainers.lbfgs_stages import RIDGE, judging, polishing, solved_start
from swarmnet.trainers.levenberg_marquardt import LM
from swarmnet.trainers.limits import lesser, part, require_count, require_number
from swarmnet.trainers.linear_choice import are_exact, keep_better, polynomials_by_score, report
from swarmnet.trainers.linear_evidence import is_linear
from swarmnet.trainers.lm_run import MOST_WEIGHTS, STALE, LMRun, Optimum, cost, is_cheap
from swarmnet.trainers.monitor import Monitor
from swarmnet.trainers.network_choice import Choice, is_small, without_variants
from swarmnet.trainers.particle_swarm import PSO, ProjectedPSO, Swarm
from swarmnet.trainers.polynomial_continuation import polynomials_by_continuation
from swarmnet.trainers.protocols import Trainable
from swarmnet.trainers.result import Array
from swarmnet.trainers.stages import Stages
from swarmnet.trainers.successive_halving import ALONE, successive_halving
from swarmnet.trainers.trainer import Trainer

_BOTH = NOISES[:2]  # initial noises with which each network is tried
# Multiplications, of which two cores do 2e10 to 4e10 a second; they only bound time.
_CONTINUED = 2e12  # of all further iterations of a large network: 1 to 2 minutes
_ESTIMATE_TIMED, _ESTIMATE_UNTIMED = 1e11, 5e11  # of an estimate, with and without time limit
_PLACE = ("candidate", "tried")  # names in a state of this trainer that say where it was saved
_GROWN = ("tried", "layers", "missed")  # names in a state that say how far the choice of larger networks was
# Larger networks in a row, with as many layers, that are no better and end the search (1: too early, airfoil)
_MISSES = 2
# Times the best network's loss, up to which a larger one fits as well and ends the search: 10,000 rows of one
# entry took 27 s instead of 42, with the same network.
_AS_WELL = 1.05
# Measured as `fitting.candidates._ENTRIES_A_WEIGHT`; shares with 4,000 evaluations, two_outputs besides.
_AS_LARGE = 0.8  # fewest weights of the next network to try, as a share of the best one's (0.4, 1.6: 1.00)
# Share of the budget for each larger network (0.05: 0.26; 0.2: 0.66; single ratios from 0.02 to 1.03)
_SCREENED_SHARE = 0.1

P = TypeVar("P", LM, LBFGS)


@dataclass(frozen=True, kw_only=True)
class Hybrid(Trainer):
    """Swarms over the hidden layers, then Levenberg-Marquardt with Bayesian regularisation from their best.

    Each start has a Levenberg-Marquardt run, with a high, a low or a middle initial noise. All run at the
    same time, one on a core, and the one with the largest evidence is the result. With several candidates,
    the network is chosen first by successive halving: after 20 and 40 iterations the half with the larger
    evidence continues, after 60 only the best. Half of the later starts use the second-best network, and
    every second one the same hidden layers with another trend. Of the starts, the worse half is given up
    after 60 and 100 iterations, and all but the best after 150. The others become part of the error bars.

    Large networks, with long iterations, take no part in the successive halving. If the chosen network is not
    much smaller than the largest small one, L-BFGS trains larger ones from random weights, in order of layers
    and size, as long as they improve the Bayesian information criterion. Then training continues with the
    best of them.

    If Levenberg-Marquardt is too slow (many weights and entries) or impossible (a loss that is not squared),
    L-BFGS improves the best of one swarm, with a preconditioner if possible, and noise and prior are
    estimated at the end. The swarm's ridge is large, because a start with small solved output weights is a
    better start than one with a lower loss. If the output layer cannot be solved for, the swarm moves over
    all weights.

    From given weights, Levenberg-Marquardt or L-BFGS goes on, without swarms and other starts.

    Iterations, seconds or evaluations are the budget. The swarms use at most `swarm_share` of it, and the
    rest is for the other stages; limits given for stages apply too. Without a budget, Levenberg-Marquardt
    ends by its own rule within 4000 iterations, and L-BFGS after 900 with a preconditioner or 2500 without.

    Args:
        swarm: the swarm of each start.
        polish: the trainer after the swarms; by default L-BFGS or Levenberg-Marquardt, as described above.
        starts: number of starts; by default 3, or with a time limit one for each thread if that is more; 10
            if the network was chosen and an iteration costs almost nothing.
        swarm_share: see above.
        stages: the lengths of the stages above, and when the method changes.
    """

    name: ClassVar[str] = "hybrid"
    descends: ClassVar[bool] = False
    finds_noise: ClassVar[bool] = True
    iterations: int | None = None
    patience: int = 1_000_000  # the stages' own patience holds
    swarm: ProjectedPSO = field(default_factory=lambda: ProjectedPSO(iterations=20, ridge=RIDGE))
    polish: LM | LBFGS | None = None
    starts: int | None = None
    swarm_share: float = 0.25
    stages: Stages = field(default_factory=Stages)
    _choice_share: ClassVar[float] = 0.5  # of the budget, to choose a network (0.25: 1.8; 0.8: 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("starts", self.starts, 1, optional=True)
        require_number("swarm_share", self.swarm_share, "between 0 and 1", lambda x: 0 < x < 1)

    def runs_at_once(self, objective: Trainable) -> int:
        if not isinstance(self._polish(objective), LM):
            return 0
        return self.starts or self._usual_starts(objective, chosen=False)

    def prepare(self) -> None:
        self.swarm.prepare()
        (self.polish or LM()).prepare()  # covers L-BFGS too, whose imports are short

    def train(
        self, objective: Trainable, start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        candidates = objective.candidates
        networks = [c for c in candidates if c.hidden_size or not (is_linear(c) or len(candidates) > 1)]
        polynomials = polynomials_by_score(candidates) or polynomials_by_continuation(candidates, monitor)
        if polynomials and monitor.resume() is None:
            report(polynomials, monitor)
        if not monitor.status and (not networks or are_exact(polynomials)):
            monitor.finish("converged")
        if monitor.status:
            return
        self._train_network(networks, start, rng, monitor)
        if polynomials:
            keep_better(polynomials, monitor, candidates)

    def _train_network(
        self, networks: Sequence[Trainable], start: Array | None, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        objective, polish = networks[0], self._polish(networks[0])
        if start is not None:
            self._go_on(polish, objective, start, rng, monitor)
        elif len(networks) > 1:
            self._choose_and_minimise(networks, rng, monitor)
        elif isinstance(polish, LM):
            self._minimise(objective, rng, monitor)
        else:
            whole = self if self._has_budget else replace(self, evaluations=part(polish.iterations, 1.0))
            thetas = whole._search_starts([objective], rng, monitor, 1, {})
            if thetas:
                self._descend(polish, objective, thetas[0], rng, monitor)

    def _go_on(
        self, polish: LM | LBFGS, net: Trainable, start: Array, rng: np.random.Generator, monitor: Monitor
    ) -> None:
        if isinstance(polish, LBFGS):
            self._descend(polish, net, start, rng, monitor)
        else:
            with monitor.limits(polish, network=net.number):
                polish.train(net, start, rng, monitor)

    def _descend(
        self,
        polish: LBFGS,
        net: Trainable,
        theta: Array,
        rng: np.random.Generator,
        monitor: Monitor,
        optima: Sequence[Optimum] = (),
    ) -> None:
        """Run L-BFGS to the end; then estimate noise and prior there, for error bars."""
        with monitor.limits(polish, monitor.budget.seconds_left, (self.swarm_share, 1.0), net.number):
            polish.train(net, theta, rng, monitor)
        if monitor.best is not None and monitor.found.network == net.number and self._can_estimate(net):
            run = LMRun.from_fit(net, monitor.best)
            run.estimate()
            monitor.found.posterior = run.posterior([run], optima)

    def _can_estimate(self, net: Trainable) -> bool:
        """Return whether noise and prior can be estimated by normal equations in reasonable time."""
        most = _ESTIMATE_TIMED if self.seconds is not None else _ESTIMATE_UNTIMED
        return net.can_linearise and net.size <= MOST_WEIGHTS and cost(net) <= most

    def _minimise(self, net: Trainable, rng: np.random.Generator, monitor: Monitor) -> None:
        """Minimise from all starts with the only network."""
        starts = min(self.starts or self._usual_starts(net, chosen=False), self._affordable)
        noises = [NOISES[number % len(NOISES)] for number in range(starts)]
        self._minimise_from([net] * starts, noises, Choice(), rng, monitor, starts, {})

    def _choose_and_minimise(
        self, candidates: Sequence[Trainable], rng: np.random.Generator, monitor: Monitor
    ) -> None:
        """Choose among the small networks, then among the larger ones; then train the chosen one."""
        most, (first, variants) = self.stages.small, without_variants(candidates)
        small = [candidate for candidate in first if is_small(candidate, most)]
        larger = sorted((r for r in first if not is_small(r, most)), key=lambda r: (r.layers, r.size))
        starts = min(self.starts or self._usual_starts(first[0], chosen=True), self._affordable)
        pairs = list(product(small, _BOTH if self._affordable >= 2 * len(first) else NOISES[:1]))
        swarms = starts + len(pairs) - 1
        chosen = self._choose(pairs, candidates, rng, monitor, swarms)
        chosen = chosen and self._grow(chosen, small, larger, rng, monitor)
        if chosen is None or chosen.winner is None:
            return
        winner, net = chosen.winner, chosen.winner.objective
        before = chosen.state() | {"tried": len(larger)}
        if not is_small(net, most):
            self._continue(chosen, before, rng, monitor)
            return
        starts = min(starts, self.starts or self._usual_starts(net, chosen=True))
        order = [winner.noise, *(noise for noise in NOISES if noise != winner.noise)]
        noises = [order[number % len(order)] for number in range(1, starts)]
        objectives = [candidates[number] for number in chosen.shared_out(len(noises), variants)]
        self._minimise_from(objectives, noises, chosen, rng, monitor, swarms, before)

    def _minimise_from(
        self,
        objectives: Sequence[Trainable],
        noises: Sequence[float],
        chosen: "Choice",
        rng: np.random.Generator,
        monitor: Monitor,
        swarms: int,
        before: State,
    ) -> None:
        """Minimise from a swarm's result for each of `objectives`, together with the choice's winner."""
        thetas = self._search_starts(objectives, rng, monitor, swarms, before)
        if len(thetas) < len(objectives):
            return
        leading = [] if chosen.winner is None else [chosen.winner]
        begun = zip(objectives, thetas, noises, strict=True)
        runs = leading + [LMRun(objective, theta, noise) for objective, theta, noise in begun]
        ahead = leading[0].clock if leading else 0.0
        halvings, alone = [ahead + clock for clock in self.stages.starts_halved], ahead + ALONE
        limits, span = self._levenberg_marquardt(), (self._choice_share if leading else 0.0, 1.0)
        with monitor.limits(limits, monitor.budget.seconds_left, span):
            successive_halving(runs, monitor, halvings, chosen.optima, alone=alone, cold=self.stages.cold)

    def _continue(self, chosen: "Choice", before: State, rng: np.random.Generator, monitor: Monitor) -> None:
        """Continue to train a large network that L-BFGS has trained so far."""
        assert chosen.winner is not None
        net = chosen.winner.objective
        monitor.checkpoint(partial(dict, before))
        polish = self._polish(net)
        if isinstance(polish, LBFGS):
            self._descend(polish, net, chosen.winner.theta, rng, monitor, chosen.optima)
            return
        iterations = int(np.clip(_CONTINUED / cost(net), 2 * STALE, self.stages.lm))
        limits = replace(polish, iterations=None if self._has_budget else iterations)
        with monitor.limits(limits, monitor.budget.seconds_left, (self._choice_share, 1.0), net.number):
            successive_halving([chosen.winner], monitor, optima=chosen.optima, cold=self.stages.cold)

    def _usual_starts(self, net: Trainable, chosen: bool) -> int:
        if chosen and is_cheap(net):
            # With seven instead of ten, 8 of 200 fits ended at more than three times the median error.
            return 1 + 3 * len(NOISES)
        # One start per thread only with a time limit: otherwise the model would depend on the machine.
        return len(NOISES) if self.seconds is None else max(len(NOISES), net.threads)

    def _choose(
        self,
        pairs: Sequence[tuple[Trainable, float]],
        candidates: Sequence[Trainable],
        rng: np.random.Generator,
        monitor: Monitor,
        swarms: int,
    ) -> "Choice | None":
        """Return the choice among the small networks, new or saved; None if training ended."""
        saved = monitor.resume() or {}
        if "candidate" in saved:
            return Choice.restored(saved, candidates)
        if not pairs:
            return Choice()
        thetas = self._search_starts([candidate for candidate, _ in pairs], rng, monitor, swarms, {})
        if len(thetas) < len(pairs):
            return None
        share = _share(self._levenberg_marquardt(), self, self._choice_share)
        with monitor.limits(share, share.seconds, (self.swarm_share, self._choice_share)):
            begun = zip(pairs, thetas, strict=True)
            runs = [LMRun(candidate, theta, noise) for (candidate, noise), theta in begun]
            stages = self.stages
            left = successive_halving(runs, monitor, stages.halvings, end=stages.chosen, cold=stages.cold)
            chosen = Choice.of(*left)
        return None if monitor.status else chosen

    def _grow(
        self,
        chosen: "Choice",
        small: Sequence[Trainable],
        larger: Sequence[Trainable],
        rng: np.random.Generator,
        monitor: Monitor,
    ) -> "Choice | None":
        """Return the choice after trying larger networks; None if training ended.

        They are sorted by layers and size. For each number of layers, networks are tried from about the size
        of the best so far until one fits as well but is not better, or two in a row are not better, since one
        may have had a bad start. None is tried if the chosen network is much smaller than the largest one
        that took part in the successive halving.
        """
        saved = monitor.resume() or {}
        tried, layers, missed = (whole(saved, name) if name in saved else 0 for name in _GROWN)
        if not tried and chosen.winner and 2 * len(chosen.winner.theta) < max(r.size for r in small):
            return chosen
        while tried < len(larger) and (chosen.winner is None or monitor.budget.fraction < self._choice_share):
            net, best = larger[tried], chosen.winner
            layers, missed = net.layers, missed if net.layers == layers else 0
            if missed == _MISSES or (best is not None and net.size < _AS_LARGE * len(best.theta)):
                tried += 1
                continue
            before = chosen.state() | dict(zip(_GROWN, (tried, layers, missed), strict=True))
            monitor.checkpoint(partial(dict, before))
            limits = _share(judging(net, self.stages), self, _SCREENED_SHARE)
            with monitor.limits(limits, limits.seconds, (self.swarm_share, self._choice_share), net.number):
                theta = limits.descend(net, solved_start(net, rng), rng, monitor)
            if monitor.status:
                return None
            run = LMRun.from_fit(net, theta)
            monitor.found.enter([(net.number, -np.inf)], begun=True)
            if best is None or run.criterion > best.criterion:
                chosen, missed = chosen.beaten_by(run), 0
            else:
                # If it fits as well as the best, the data do not support more weights.
                missed = _MISSES if run.loss <= _AS_WELL * best.loss else missed + 1
            tried += 1
        return chosen

    def _polish(self, objective: Trainable) -> LM | LBFGS:
        """Return the trainer after the swarms for this objective, with its limits."""
        if self.polish is not None:
            return self.polish
        if objective.can_linearise and objective.size <= MOST_WEIGHTS and cost(objective) <= self.stages.dear:
            return self._levenberg_marquardt()
        return polishing(objective, self.stages, limited=self._has_budget)

    def _levenberg_marquardt(self) -> LM:
        """Return Levenberg-Marquardt with its limits."""
        if isinstance(self.polish, LM):
            return self.polish
        return LM(iterations=None if self._has_budget else self.stages.lm)

    def _search_starts(
        self,
        objectives: Sequence[Trainable],
        rng: np.random.Generator,
        monitor: Monitor,
        swarms: int,
        before: State,
    ) -> list[Array]:
        """Return the best weights of a swarm for each of `objectives`; fewer if training ended.

        `swarms` is the total number of swarms. `before` is added to the checkpoints.
        """
        swarm = self._swarm(objectives[0], swarms) if objectives else self.swarm
        saved = monitor.resume() or {}
        mine = saved if [saved.get(key) for key in _PLACE] == [before.get(key) for key in _PLACE] else {}
        done = whole(mine, "flown", 0, len(objectives)) if mine else 0
        thetas = [array(mine, f"theta {number}", (objectives[number].size,)) for number in range(done)]
        for number in range(len(thetas), len(objectives)):
            monitor.checkpoint(partial(_state, thetas, before))
            span = (self.swarm_share * number / swarms, self.swarm_share * (number + 1) / swarms)
            with monitor.limits(swarm, span=span, network=objectives[number].number):
                best = swarm.search(objectives[number], None, rng, monitor)
            if monitor.status:
                return []
            thetas.append(objectives[number].initial(rng) if best is None else best)
        monitor.checkpoint(partial(_state, thetas, before))
        return thetas

    @property
    def _affordable(self) -> int:
        """The number of one-iteration swarms that their share of the budget allows, at least 1."""
        swarms = [
            part(limit, self.swarm_share / particles)
            for limit, particles in ((self.iterations, 1), (self.evaluations, self.swarm.particles))
            if limit is not None
        ]
        return min((count for count in swarms if count is not None), default=1 << 30)

    @property
    def _has_budget(self) -> bool:
        return (self.iterations, self.seconds, self.evaluations) != (None, None, None)

    def _swarm(self, objective: Trainable, starts: int) -> Swarm:
        """Return one start's swarm with its share of the budget."""
        swarm: Swarm = self.swarm
        if not objective.can_project_start:
            common = {f.name: getattr(swarm, f.name) for f in fields(Swarm)}
            swarm = PSO(**common)
        share = self.swarm_share / starts
        limits: dict[str, Any] = {
            "iterations": lesser(swarm.iterations, part(self.iterations, share)),
            "evaluations": lesser(swarm.evaluations, part(self.evaluations, share)),
            "seconds": lesser(swarm.seconds, self.seconds and self.seconds * share),
        }
        return replace(swarm, **limits)


def _state(thetas: Sequence[Array], before: State) -> State:
    return before | {"flown": len(thetas)} | {f"theta {n}": theta for n, theta in enumerate(thetas)}


def _share(polish: P, whole: "Hybrid", share: float) -> P:
    """Return the polish with a share of the whole budget."""
    return replace(
        polish,
        iterations=lesser(polish.iterations, part(whole.iterations, share)),
        evaluations=lesser(polish.evaluations, part(whole.evaluations, share)),
        seconds=lesser(polish.seconds, whole.seconds and whole.seconds * share),
    )
