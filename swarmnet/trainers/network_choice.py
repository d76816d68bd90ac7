"""The choice of a network by successive halving, and which networks take part in it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from swarmnet.trainers.checkpoint import State, whole
from swarmnet.trainers.lm_run import MOST_WEIGHTS, LMRun, Optimum, cost
from swarmnet.trainers.protocols import Trainable

# Multiplications of an iteration of Levenberg-Marquardt up to which networks take part in the successive
# halving. It only bounds time: two cores do 2e10 to 4e10 a second, so that an iteration takes about 0.02 s.
SMALL_COST = 5e8


@dataclass(frozen=True)
class Choice:
    """The outcome of the successive halving of networks, if there was one.

    Args:
        winner: the best.
        optima: the results of the others that were kept to the end; they are part of the error bars. Those
            given up earlier are not part of them: they had not converged.
        second: the number of the best network other than the winner's, even if it was given up early.
    """

    winner: LMRun | None = None
    optima: Sequence[Optimum] = ()
    second: int | None = None

    @classmethod
    def of(cls, runs: Sequence[LMRun], given_up: Sequence[Optimum]) -> "Choice":
        """Return the choice from the remaining runs, best first, and those given up, last first."""
        winner, *others = runs
        optima = [run.optimum for run in others]
        own = winner.objective.number
        second = next((optimum.network for optimum in [*optima, *given_up] if optimum.network != own), None)
        return cls(winner, optima, second)

    def shared_out(self, starts: int, variants: Mapping[int, int]) -> list[int]:
        """Return the number of the network of each further start: the winner's, then the second-best one's.

        The second-best network may only have had a bad start. It gets half of them; if it was given up early,
        one is enough. Every second start has the variant of its network, see `without_variants`.
        """
        assert self.winner is not None
        numbers = [self.winner.objective.number] * starts
        if self.second is not None:
            was_kept = any(optimum.network == self.second for optimum in self.optima)
            others = starts // 2 if was_kept else min(1, starts // 2)
            numbers[starts - others :] = [self.second] * others
        numbers[1::2] = [variants.get(number, number) for number in numbers[1::2]]
        return numbers

    def beaten_by(self, run: LMRun) -> "Choice":
        """Return the choice with `run` as the winner."""
        before = [] if self.winner is None else [self.winner.optimum]
        return Choice(run, [*before, *self.optima], self.second)

    def state(self) -> State:
        """Return the state for `restored`."""
        if self.winner is None:
            return {}
        state: State = {"candidate": self.winner.objective.number, "rivals": len(self.optima)}
        state["second"] = -1 if self.second is None else self.second
        state |= {f"winner/{name}": value for name, value in self.winner.state().items()}
        for n, optimum in enumerate(self.optima):
            state |= {f"rival {n}/{name}": value for name, value in asdict(optimum).items()}
        return state

    @classmethod
    def restored(cls, state: State, candidates: Sequence[Trainable]) -> "Choice":
        """Return the choice of a saved state.

        Raises:
            DamagedState: it cannot come from these candidates.
        """

        def part(name: str) -> State:
            return {key.removeprefix(name): x for key, x in state.items() if key.startswith(name)}

        candidate = candidates[whole(state, "candidate", 0, len(candidates) - 1)]
        sizes = dict(enumerate(candidate.size for candidate in candidates))
        winner = LMRun.restored(candidate, LMRun.checked(candidate, part("winner/")))
        optima = [Optimum.checked(part(f"rival {n}/"), sizes) for n in range(whole(state, "rivals"))]
        second = whole(state, "second", -1, len(candidates) - 1)
        return cls(winner, optima, None if second < 0 else second)


def without_variants(candidates: Sequence[Trainable]) -> tuple[list[Trainable], dict[int, int]]:
    """Return candidates without variants, and the number of the variant of those that have one.

    A variant is a later candidate with the same hidden layers, recognised by the numbers of layers and of
    hidden weights, but another trend. It takes no part in the choice: if networks with a linear trend and
    without one all take part, fits take 1.2 times as long, with 1.4 times the errors (geometric means of 7
    problems of benchmarks/accuracy).
    """
    first: dict[tuple[int, int], Trainable] = {}
    variants: dict[int, int] = {}
    for candidate in candidates:
        known = first.setdefault((candidate.layers, candidate.hidden_size), candidate)
        if known is not candidate:
            variants[known.number] = candidate.number
    return list(first.values()), variants


def is_small(objective: Trainable, most: float) -> bool:
    """Return whether Levenberg-Marquardt is possible, with at most so many multiplications per iteration."""
    return objective.can_linearise and objective.size <= MOST_WEIGHTS and cost(objective) <= most
