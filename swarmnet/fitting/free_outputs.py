"""Outputs with derivatives but no values: the data do not determine their constants, so they are fixed."""

from dataclasses import replace

import numpy as np

from swarmnet.data.canonical_order import mean_point
from swarmnet.data.column_names import listed
from swarmnet.data.dataset import Dataset
from swarmnet.errors import warn_user
from swarmnet.model.error_bars import OtherFit, pinned
from swarmnet.model.fitted_model import FittedModel
from swarmnet.network.activations import LINEAR


def warn_of_free_outputs(data: Dataset) -> None:
    """Warn of each output without a value, and say where it is set to 0."""
    for name in _free(data):
        at = zip(data.inputs, mean_point(data), strict=True)
        warn_user(
            f"no value of {name} was observed: its constant is free, and is pinned so that {name} is 0 "
            f"at the mean of the inputs, {listed([f'{into} = {x:.6g}' for into, x in at])}"
        )


def with_pinned_outputs(model: FittedModel, data: Dataset) -> FittedModel:
    """Shift outputs without values so that they are 0 at the mean of the inputs."""
    free = data.statistics.Y.count == 0
    if not free.any():
        return model
    centre = mean_point(data)[None]
    offset = np.where(free, model.scaling.y_offset - model.predict(centre)[0], model.scaling.y_offset)
    at = {name: float(x) for name, x in zip(model.inputs, centre[0], strict=True)}
    shifted = replace(
        model,
        scaling=replace(model.scaling, y_offset=offset),
        training=model.training | {"zero_at": dict.fromkeys(_free(data), at)},
    )
    if model.spread is None or model.net.activations[-1] is not LINEAR:
        return shifted
    # The constant is a convention, so its error bar is 0 at the centre. The other fits have other constants:
    # their output biases are shifted so that all fits are equal at the centre.
    scaled = model.scaling.scale_X(centre)
    spread = pinned(model.net, model.theta, model.spread, scaled, np.flatnonzero(free))
    best = model.net.forward(model.theta, scaled)[0]

    def met(other: OtherFit) -> OtherFit:
        theta = other.theta.copy()
        theta[other.net.layers[-1].bias] -= np.where(free, other.net.forward(theta, scaled)[0] - best, 0.0)
        return replace(other, theta=theta)

    return replace(shifted, spread=spread, others=tuple(met(other) for other in model.others))


def _free(data: Dataset) -> list[str]:
    """Return the names of outputs without a value."""
    seen = data.statistics.Y.count > 0
    return [name for name, has in zip(data.outputs, seen, strict=True) if not has]
