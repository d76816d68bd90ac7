"""The outcome of a race of networks, and which networks can race."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from swarmnet.trainers.checkpoint import State, whole
from swarmnet.trainers.climb import MOST_WEIGHTS, Climb, Rival, cost
from swarmnet.trainers.protocols import Trainable

# Multiplications of an iteration of Levenberg-Marquardt, of which two cores make some 2e10 to 4e10 a second:
RACED = 5e8  # up to which networks race


@dataclass(frozen=True)
class Choice:
    """The outcome of a race of networks, if there was one: the winner, and where its rivals came to.

    They include those given up early: where networks of several sizes do almost as well, how far they lie
    apart says more of the error than each one's own posterior, which takes its network for the truth.
    """

    winner: Climb | None = None
    rivals: Sequence[Rival] = ()

    def beaten_by(self, climb: Climb) -> "Choice":
        """The choice with that winner."""
        return Choice(climb, [*([] if self.winner is None else [self.winner.rival]), *self.rivals])

    def runner_up(self, candidates: Sequence[Trainable]) -> Trainable | None:
        """The best of the rivals' networks that is not the winner's."""
        own = self.winner.objective.number if self.winner else 0
        return next((candidates[rival.network] for rival in self.rivals if rival.network != own), None)

    def state(self) -> State:
        """What `restored` takes."""
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
    """Whether an iteration is so short that its network can race with others."""
    return objective.can_linearise and objective.size <= MOST_WEIGHTS and cost(objective) <= RACED
