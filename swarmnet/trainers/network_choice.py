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
    """The result of a race of networks, if there was one: the winner, and the results of its rivals.

    Rivals include networks that were given up early. If networks of several sizes do almost equally well,
    the spread among them is a better measure of error than each posterior, which assumes its own network.
    """

    winner: Climb | None = None
    rivals: Sequence[Rival] = ()

    def beaten_by(self, climb: Climb) -> "Choice":
        """Return the choice with `climb` as the winner."""
        return Choice(climb, [*([] if self.winner is None else [self.winner.rival]), *self.rivals])

    def runner_up(self, candidates: Sequence[Trainable]) -> Trainable | None:
        """Return the best rival's network that is not the winner's."""
        own = self.winner.objective.number if self.winner else 0
        return next((candidates[rival.network] for rival in self.rivals if rival.network != own), None)

    def state(self) -> State:
        """Return the state for `restored`."""
        if self.winner is None:
            return {}
        state: State = {"candidate": self.winner.objective.number, "rivals": len(self.rivals)}
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
        return cls(winner, [Rival.checked(part(f"rival {n}/"), sizes) for n in range(whole(state, "rivals"))])


def is_raced(objective: Trainable) -> bool:
    """Return whether an iteration is so short that the network can race with others."""
    return objective.can_linearise and objective.size <= MOST_WEIGHTS and cost(objective) <= RACED
