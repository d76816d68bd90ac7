"""Training that goes on from an earlier model: which models are possible."""

from collections.abc import Iterator
from typing import Any

from swarmnet.data.column_names import listed
from swarmnet.data.dataset import Dataset
from swarmnet.errors import SwarmnetError
from swarmnet.fitting.candidates import activations_for
from swarmnet.fitting.options import FitOptions
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.reordering import reordered

_WAY_OUT = "set warm_start=False to begin anew"


def checked_start(start: FittedModel, data: Dataset, options: FitOptions) -> FittedModel:
    """Return the model in the order of the data's columns.

    Raises:
        SwarmnetError: the model has other columns, or is not what the options ask for.
    """
    for what, own, names in (("inputs", start.inputs, data.inputs), ("outputs", start.outputs, data.outputs)):
        if set(own) != set(names):
            raise SwarmnetError(
                f"warm_start=True goes on from the last fit, whose {what} are {listed(own)}, not "
                f"{listed(names)}: {_WAY_OUT}"
            )
    for name, had, wanted in _settings(start, options):
        if had != wanted:
            raise SwarmnetError(
                f"warm_start=True goes on from the last fit, which has {name}={had!r}, not {wanted!r}: "
                f"{_WAY_OUT}"
            )
    return reordered(start, data.inputs, data.outputs)


def _settings(start: FittedModel, options: FitOptions) -> Iterator[tuple[str, Any, Any]]:
    """Yield settings that cannot change, with what the model has and what the options ask for."""
    net, training = start.net, start.training
    widths = net.sizes[1:-1]
    yield "hidden", widths, widths if options.widths is None else options.widths
    wanted = activations_for(options, len(widths))
    yield "activation", [act.name for act in net.activations], [act.name for act in wanted]
    if options.degree != "auto":
        least = 1 if widths else 2  # a network without hidden layers is linear
        degree = int(options.degree)
        yield "degree", 0 if net.trend is None else net.trend.degree, degree if degree >= least else 0
    yield "log", sorted(training.get("log", ())), sorted(options.log_names)
    yield "scaling", training["scaling"], options.scaling
    yield "loss", training["loss_function"], options.loss
