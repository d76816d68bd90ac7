"""The networks to train: the requested one, or several from which hybrid chooses."""

from collections.abc import Sequence

from swarmnet.data.column_names import listed
from swarmnet.data.dataset import Dataset
from swarmnet.errors import SwarmnetError
from swarmnet.fitting.options import FitOptions
from swarmnet.fitting.polynomials import polynomials, trend_for
from swarmnet.network.activations import LINEAR, Activation, activation
from swarmnet.network.network import Network
from swarmnet.objective.objective import output_is_solvable
from swarmnet.objective.value_losses import value_loss
from swarmnet.trainers import LBFGS, Hybrid
from swarmnet.trainers.lm_run import multiplications
from swarmnet.trainers.network_choice import SMALL_COST

# The three layers halve the error on the robot arm of benchmarks/. Test errors of hybrid, degree 0, two seeds
# each of water_enthalpy, smooth2d and two_outputs in datasets/, are 2.3 times as large with single layers,
# 1.3 with half the widths, and 0.82 with twice the widths, for 1.2 times as many and longer evaluations.
_SMALL = ((8,), (16,), (32,), (8, 8), (16, 16), (24, 24), (12, 12, 12))
_LARGE = ((64,), (128,), (32, 32), (48, 48), (64, 64), (24, 24, 24))  # where entries are many; chosen
_LONG = 1e9  # entries times weights; only bounds time: an iteration of L-BFGS takes about a second
# Smallest number of entries per weight of networks with long iterations. Of four fits, one has 1.5 times
# the test error with 1, and one 147 times with 4; the others are the same. They were two seeds of hybrid,
# degree 0, trained on water_enthalpy_test and smooth2d_test in datasets/ and tested on water_enthalpy and
# smooth2d. Networks counted as large from 3e6 multiplications, so that there were some.
_ENTRIES_A_WEIGHT = 2
# Degree of the trend of networks that are chosen for the data. Of seeds 0 and 1 on benchmarks/accuracy, it
# was better than none on water-flow, and as good on basket and robot-arm; degrees 2 and 3 were not better.
_AUTOMATIC_DEGREE = 1
# Of two equal layers, for trainers that do not choose. Mean test errors of lm, three seeds each of
# water_enthalpy, smooth2d and two_outputs, are the same with every width from 3 to 32. They are 3.5 times as
# large if weights are at most half as many as entries, and 1.6 times (standard error a factor of 1.8) if they
# may be twice as many.
_WIDTHS = (3, 4, 6, 8, 12, 16, 24, 32)


def candidates_for(data: Dataset, options: FitOptions, given: Network | None = None) -> list[Network]:
    """Return the networks to train on `data`: the given one, the one of the options, or hybrid's candidates.

    Raises:
        SwarmnetError: the network is not possible, or the trainer cannot train it.
    """
    net = network_for(data, options) if given is None else given
    chooses = given is None and not options.widths and _may_choose(options)
    refuse_unsolvable(options, net)
    refuse_quantities(data, options)
    nets = default_networks(data, options) if chooses and options.widths is None else []
    estimates = options.derivative_weight is None or options.l2 is None
    if chooses and estimates and options.degree == "auto" and net.activations[-1] is LINEAR:
        nets += polynomials(data, options)
    return nets or [net]


def _may_choose(options: FitOptions) -> bool:
    """Return whether the trainer can choose among networks."""
    trainer = options.configured_trainer
    return isinstance(trainer, Hybrid) and not isinstance(trainer.polish, LBFGS) and options.loss == "squared"


def refuse_unsolvable(options: FitOptions, net: Network) -> None:
    """Refuse a trainer that needs the squared loss or a linear output layer if the fit has another one.

    Raises:
        SwarmnetError: the trainer is refused.
    """
    trainer, loss = options.configured_trainer, options.loss
    if trainer.needs_squares and loss != "squared":
        raise SwarmnetError(f"{trainer.name} needs the squared loss: use another trainer")
    if trainer.solves_output and not output_is_solvable(net, value_loss(loss)):
        raise SwarmnetError(
            f"{trainer.name} solves for a linear output layer with the squared loss: use another trainer, "
            "such as pso or hybrid, or a linear output"
        )


def refuse_quantities(data: Dataset, options: FitOptions) -> None:
    """Refuse a trainer that solves for the output layer if formulas of the data are not linear in it.

    Raises:
        SwarmnetError: the trainer is refused.
    """
    trainer = options.configured_trainer
    seen = zip(data.quantities, data.statistics.Q.count, strict=True)
    bent = [quantity.name for quantity, count in seen if count and not quantity.is_linear]
    if trainer.solves_output and bent:
        raise SwarmnetError(
            f"{trainer.name} solves for a linear output layer, for which {listed(bent)} must be linear in "
            "values and derivatives: use another trainer, such as pso or hybrid"
        )


def default_networks(data: Dataset, options: FitOptions) -> list[Network]:
    """Return networks of one to three hidden layers from which hybrid chooses.

    A network with long Levenberg-Marquardt iterations is included only if it has few weights for the entries.
    """
    activations = options.activation
    layers = None if isinstance(activations, str | Activation) else len(activations)
    nets: list[Network] = []
    entries = data.n_entries
    for widths in (*_SMALL, *_LARGE):
        if layers in (None, len(widths) + 1):
            net = network_for(data, options, widths)
            is_short = multiplications(entries, net.size) <= SMALL_COST
            is_possible = net.size <= entries / _ENTRIES_A_WEIGHT and entries * net.size <= _LONG
            if (is_short and widths in _SMALL) or (is_possible and not is_short):
                nets.append(net)
    plain = [Network(net.sizes, net.activations) for net in nets if net.trend is not None]
    return nets + (plain if options.degree == "auto" else [])


def network_for(data: Dataset, options: FitOptions, widths: Sequence[int] | None = None) -> Network:
    """Return the network for `data` with hidden layers of these widths.

    They are the requested ones by default or, if none are requested, two of equal width.

    Raises:
        SwarmnetError: there are too many weights, or the activations do not match the layers.
    """
    widths = options.widths if widths is None else widths
    widths = _automatic(data) if widths is None else widths
    plain = Network((data.d, *widths, data.k), activations_for(options, len(widths)))
    degree = options.degree
    if degree == "auto":
        chosen = options.widths is None and _may_choose(options) and plain.activations[-1] is LINEAR
        degree = _AUTOMATIC_DEGREE if chosen else 0
    trend = trend_for(data, int(degree), options, least=1 if widths else 2) if degree else None
    return plain if trend is None else Network(plain.sizes, plain.activations, trend)


def activations_for(options: FitOptions, hidden: int) -> list[Activation]:
    """Return the activations of so many hidden layers, as far as the options name them, and of the output."""
    given = options.activation
    if isinstance(given, str | Activation):
        given = [given] * hidden + ["sigmoid" if options.loss == "cross-entropy" else "linear"]
    return [activation(name) for name in given]


def _automatic(data: Dataset) -> tuple[int, int]:
    """Return two equal layers, with the largest of `_WIDTHS` for which entries are as many as weights."""

    def weights(h: int) -> int:
        return (data.d + 1) * h + (h + 1) * h + (h + 1) * data.k

    fitting = [h for h in _WIDTHS if weights(h) <= data.n_entries]
    width = fitting[-1] if fitting else _WIDTHS[0]
    return width, width
