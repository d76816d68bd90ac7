"""Errors and warnings about data, given the network and the result of training."""

from swarmnet.data.file_data import FileData
from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError, warn_user
from swarmnet.network.network import Network
from swarmnet.trainers import TrainResult

_FEW_COUNTS = 0.5  # mean weight below which weights are probably relative, not counts; only for a warning


def refuse_nothing_to_learn(data: MixedData | FileData, derivative_weight: float | None) -> None:
    """Refuse data without values if derivatives have no weight.

    Raises:
        SwarmnetError: the data have no values, and `derivative_weight` is 0.
    """
    if derivative_weight == 0 and not data.statistics.Y.count.any():
        raise SwarmnetError("there are no values, and with derivative_weight 0 nothing else to learn from")


def warn_of_kinks(data: MixedData | FileData, net: Network) -> None:
    """Warn if derivatives are trained with activations that have no second derivative."""
    kinked = sorted({act.name for act in net.activations if not act.smooth})
    if kinked and data.n_derivatives:
        warn_user(
            f"{', '.join(kinked)} has no second derivative: derivative targets move its slopes but not "
            "the places of its kinks; a smooth activation such as tanh fits derivatives better"
        )


def warn_of_weights(data: MixedData | FileData, result: TrainResult) -> None:
    """Warn if row weights are so small that the evidence takes many rows for few observations."""
    if result.posterior is None or not isinstance(data, MixedData) or data.weights is None:
        return
    counted = data.weights[(data.weights > 0) & (data.entries_per_row > 0)]
    if counted.mean() < _FEW_COUNTS:
        warn_user(
            f"the weights count {len(counted)} rows as {counted.mean() * len(counted):.3g}, from which "
            "little can be learnt: a weight is how often its row counts; divide relative ones by their mean"
        )
