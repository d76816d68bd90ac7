"""Which networks are trained: the one asked for, or several for hybrid to choose from."""

from collections.abc import Sequence

from swarmnet.data.dataset import Dataset
from swarmnet.errors import SwarmnetError
from swarmnet.fitting.options import Activations, FitOptions
from swarmnet.network.activations import Activation
from swarmnet.network.network import Network
from swarmnet.objective.objective import output_is_solvable
from swarmnet.objective.value_losses import value_loss
from swarmnet.trainers import LBFGS, Hybrid
from swarmnet.trainers.climb import multiplications
from swarmnet.trainers.network_choice import RACED

_LADDER = ((8,), (16,), (32,), (8, 8), (16, 16), (24, 24), (12, 12, 12))
_LARGE = ((64,), (128,), (32, 32), (48, 48), (64, 64), (24, 24, 24))  # where entries are many
_LONG = 1e9  # entries times weights: a second or so for an iteration of L-BFGS
_ENTRIES_A_WEIGHT = 2  # fewest in networks of which an iteration is longer
_WIDTHS = (3, 4, 6, 8, 12, 16, 24, 32)


def candidates_for(data: Dataset, options: FitOptions) -> list[Network]:
    """The networks to train on `data`: one, or those among which hybrid chooses.

    Raises:
        SwarmnetError: a network that cannot be, or that the trainer cannot train.
    """
    net, trainer = network_for(data, options), options.configured_trainer
    refuse_unsolvable(options, net)
    chooses = isinstance(trainer, Hybrid) and not isinstance(trainer.polish, LBFGS)
    if chooses and options.widths is None and options.loss == "squared":
        return ladder(data, options.activation) or [net]
    return [net]


def refuse_unsolvable(options: FitOptions, net: Network) -> None:
    """Refuse a trainer that needs the squared loss, or a linear output, where there is none.

    Raises:
        SwarmnetError: there is none.
    """
    trainer, loss = options.configured_trainer, options.loss
    if trainer.needs_squares and loss != "squared":
        raise SwarmnetError(f"{trainer.name} needs the squared loss: use another trainer")
    if trainer.solves_output and not output_is_solvable(net, value_loss(loss)):
        raise SwarmnetError(
            f"{trainer.name} solves for a linear output layer with the squared loss: use another trainer, "
            "such as pso or hybrid, or a linear output"
        )


def network_for(data: Dataset, options: FitOptions) -> Network:
    """The network for `data`: its inputs, the hidden layers asked for or two of equal width, its outputs.

    Raises:
        SwarmnetError: too many weights, or activations that do not go with the layers.
    """
    widths = _automatic(data) if options.widths is None else options.widths
    return _network(data, widths, options.activation, options.loss)


def ladder(data: Dataset, activations: Activations) -> list[Network]:
    """Networks of one to three hidden layers for hybrid to choose from.

    Those of which an iteration of Levenberg-Marquardt takes long must have few weights for the entries.
    """
    layers = None if isinstance(activations, str | Activation) else len(activations)
    nets: list[Network] = []
    entries = data.n_entries
    for widths in (*_LADDER, *_LARGE):
        if layers in (None, len(widths) + 1):
            net = _network(data, widths, activations)
            is_short = multiplications(entries, net.size) <= RACED
            is_possible = net.size <= entries / _ENTRIES_A_WEIGHT and entries * net.size <= _LONG
            if (is_short and widths in _LADDER) or (is_possible and not is_short):
                nets.append(net)
    return nets


def _network(
    data: Dataset, widths: Sequence[int], activations: Activations, loss: str = "squared"
) -> Network:
    if isinstance(activations, str | Activation):
        last = "sigmoid" if loss == "cross-entropy" else "linear"
        activations = [activations] * len(widths) + [last]
    return Network((data.d, *widths, data.k), activations)


def _automatic(data: Dataset) -> tuple[int, int]:
    """Two equal layers, the widest of a ladder that has no more weights than there are entries."""

    def weights(h: int) -> int:
        return (data.d + 1) * h + (h + 1) * h + (h + 1) * data.k

    fitting = [h for h in _WIDTHS if weights(h) <= data.n_entries]
    width = fitting[-1] if fitting else _WIDTHS[0]
    return width, width
