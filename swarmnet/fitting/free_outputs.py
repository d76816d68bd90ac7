"""Outputs with derivatives but no values: the data do not determine their constants, so they are fixed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from swarmnet.data.column_names import derivative_name, listed
from swarmnet.data.dataset import Dataset
from swarmnet.errors import SwarmnetError, warn_user
from swarmnet.model.error_bars import OtherFit, pinned
from swarmnet.model.fitted_model import FittedModel
from swarmnet.network.activations import LINEAR


def free_outputs(data: Dataset) -> list[str]:
    """Return the outputs whose constants the data leave free: no value, and no quantity that contains one."""
    told = {o for quantity in data.quantities for o, along in quantity.arguments if not along}
    counts = zip(data.outputs, data.statistics.Y.count, strict=True)
    return [name for o, (name, count) in enumerate(counts) if count == 0 and o not in told]


def refuse_free_logarithms(data: Dataset, log: Sequence[str]) -> None:
    """Refuse a logarithm of an output whose constant the data leave free: no constant makes it positive.

    Raises:
        SwarmnetError: nothing tells the values of such an output.
    """
    for name in free_outputs(data):
        if name in log:
            raise SwarmnetError(
                f"no value of {name} was observed, which its logarithm needs: give one, or leave {name!r} "
                "out of log"
            )


def warn_of_free_slopes(data: Dataset) -> None:
    """Warn of slopes that the data leave free: only second derivatives along an input were observed."""
    known = data.statistics
    partials = known.J.count.reshape(known.k, -1)
    told = {(o, along) for quantity in data.quantities for o, along in quantity.arguments}
    for o, out in enumerate(data.outputs):
        if known.Y.count[o] or (o, ()) in told:
            continue
        bent = {j for output, along in told if output == o and len(along) == 2 for j in along}
        free = [j for j in sorted(bent) if not partials[o, j] and (o, (j,)) not in told]
        for name in (derivative_name(out, data.inputs[j]) for j in free):
            warn_user(
                f"no value of {out} and no {name} was observed, only second derivatives: a constant in "
                f"{name} is free; give one value of {name}, or two of {out}"
            )


def warn_of_free_outputs(free: Sequence[str], centre: Mapping[str, float]) -> None:
    """Warn that these outputs have no value, and say where they are set to 0: at the mean of the inputs."""
    for name in free:
        warn_user(
            f"no value of {name} was observed: its constant is free, and is pinned so that {name} is 0 "
            f"at the mean of the inputs, {listed([f'{into} = {x:.6g}' for into, x in centre.items()])}"
        )


def with_pinned_outputs(model: FittedModel, names: Sequence[str], centre: Mapping[str, float]) -> FittedModel:
    """Shift the outputs with these names so that they are 0 at the mean of the inputs."""
    free, at = np.isin(model.outputs, names), np.array([[*centre.values()]])
    there = replace(model, warns_outside=False).predict(at)[0]  # the mean may be in a gap of the data
    offset = np.where(free, model.scaling.y_offset - there, model.scaling.y_offset)
    shifted = replace(
        model,
        scaling=replace(model.scaling, y_offset=offset),
        training=model.training | {"zero_at": dict.fromkeys(names, centre)},
    )
    if model.spread is None or model.net.activations[-1] is not LINEAR:
        return shifted
    # The constant is a convention, so its error bar is 0 at the centre. The other fits have other constants:
    # their output biases are shifted so that all fits are equal at the centre.
    scaled = model.scaling.scale_X(at)
    spread = pinned(model.net, model.theta, model.spread, scaled, np.flatnonzero(free))
    best = model.net.forward(model.theta, scaled)[0]

    def met(other: OtherFit) -> OtherFit:
        theta = other.theta.copy()
        theta[other.net.layers[-1].bias] -= np.where(free, other.net.forward(theta, scaled)[0] - best, 0.0)
        return replace(other, theta=theta)

    return replace(shifted, spread=spread, others=tuple(met(other) for other in model.others))
