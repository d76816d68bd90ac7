"""Errors and warnings about data, given the network and the result of training."""

from swarmnet.data.statistics import Statistics
from swarmnet.errors import SwarmnetError, warn_user
from swarmnet.network.network import Network
from swarmnet.trainers import TrainResult

_FEW_COUNTS = 0.5  # mean weight below which weights are probably relative, not counts; chosen, for a warning


def refuse_nothing_to_learn(known: Statistics, derivative_weight: float | None) -> None:
    """Refuse data without values if derivatives have no weight.

    Raises:
        SwarmnetError: the data have no values, and `derivative_weight` is 0.
    """
    if derivative_weight == 0 and not known.n_values:
        raise SwarmnetError("there are no values, and with derivative_weight 0 nothing else to learn from")


def warn_of_kinks(known: Statistics, net: Network) -> None:
    """Warn if derivatives are trained with activations that have no second derivative."""
    kinked = sorted({act.name for act in net.activations if not act.smooth})
    if kinked and known.n_entries > known.n_values:
        warn_user(
            f"{', '.join(kinked)} has no second derivative: derivative targets move its slopes but not "
            "the places of its kinks; a smooth activation such as tanh fits derivatives better"
        )


def warn_of_weights(known: Statistics, result: TrainResult) -> None:
    """Warn if row weights are so small that the evidence takes many rows for few observations."""
    if result.posterior is None:
        return
    count, weight = known.rows.count[0], known.rows.weight[0]
    if weight / count < _FEW_COUNTS:
        warn_user(
            f"the weights count {count:.0f} rows as {weight:.3g}, from which "
            "little can be learnt: a weight is how often its row counts; divide relative ones by their mean"
        )
