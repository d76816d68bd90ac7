"""The result of a race of networks (successive halving), and which networks can race."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from swarmnet.trainers.checkpoint import State, whole
from swarmnet.trainers.climb import MOST_WEIGHTS, Climb, Rival, cost
from swarmnet.trainers.protocols import Trainable

# Multiplications of an iteration of Levenberg-Marquardt; two cores do some 2e10 to 4e10 a second.
RACED = 5e8  # up to which networks race


@dataclass(frozen=True)
class Choice:
    """The outcome of a race of networks, if there was one.

    Args:
        winner: the best.
        rivals: the results of the others that raced to the end; they are part of the error bars. Those given
            up earlier are not part of them: they had not converged.
        second: the number of the best network other than the winner's, even if it was given up early.
    """

    winner: Climb | None = None
    rivals: Sequence[Rival] = ()
    second: int | None = None

    @classmethod
    def of(cls, climbs: Sequence[Climb], given_up: Sequence[Rival]) -> "Choice":
        """Return the choice from the remaining climbs, best first, and those given up, last first."""
        winner, *others = climbs
        rivals = [climb.rival for climb in others]
        own = winner.objective.number
        second = next((rival.network for rival in [*rivals, *given_up] if rival.network != own), None)
        return cls(winner, rivals, second)

    def shared_out(self, starts: int) -> list[int]:
        """Return the number of the network of each further start: the winner's, then the second-best one's.

        The second-best network may only have had a bad start. It gets half of them; if it was given up early,
        one is enough.
        """
        assert self.winner is not None
        own = [self.winner.objective.number] * starts
        if self.second is None:
            return own
        raced = any(rival.network == self.second for rival in self.rivals)
        others = starts // 2 if raced else min(1, starts // 2)
        return own[others:] + [self.second] * others

    def beaten_by(self, climb: Climb) -> "Choice":
        """Return the choice with `climb` as the winner."""
        before = [] if self.winner is None else [self.winner.rival]
        return Choice(climb, [*before, *self.rivals], self.second)

    def state(self) -> State:
        """Return the state for `restored`."""
        if self.winner is None:
            return {}
        state: State = {"candidate": self.winner.objective.number, "rivals": len(self.rivals)}
        state["second"] = -1 if self.second is None else self.second
        state |= {f"winner/{name}": value for name, value in self.winner.state().items()}
        for n, rival in enumerate(self.rivals):
            state |= {f"rival {n}/{name}": value for name, value in asdict(rival).items()}
        return state

    @classmethod
    def restored(cls, state: State, candidates: Sequence[Trainable]) -> "Choice":
        def part(name: str) -> State:
            return {key.removeprefix(name): x for key, x in state.items() if key.startswith(name)}

        candidate = candidates[whole(state, "candidate", 0, len(candidates) - 1)]
        sizes = dict(enumerate(candidate.size for candidate in candidates))
        winner = Climb.restored(candidate, Climb.checked(candidate, part("winner/")))
        rivals = [Rival.checked(part(f"rival {n}/"), sizes) for n in range(whole(state, "rivals"))]
        second = whole(state, "second", -1, len(candidates) - 1)
        return cls(winner, rivals, None if second < 0 else second)


def is_raced(objective: Trainable, most: float) -> bool:
    """Return whether an iteration of at most so many multiplications is possible, for a race with others."""
    return objective.can_linearise and objective.size <= MOST_WEIGHTS and cost(objective) <= most
