"""The same model with its inputs and outputs in another order."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.model.error_bars import permuted
from swarmnet.model.fitted_model import FittedModel
from swarmnet.network.network import Network


def reordered(model: FittedModel, inputs: Sequence[str], outputs: Sequence[str]) -> FittedModel:
    """Return the model with its inputs and outputs in the order of these names.

    Only the rows of the first layer's W, the columns of the last layer's W and b, and the trend's inputs and
    coefficients are reordered. So predictions stay the same, except for rounding in sums over inputs.
    """
    if (model.inputs, model.outputs) == (tuple(inputs), tuple(outputs)):
        return model
    j = [model.inputs.index(name) for name in inputs]
    o = [model.outputs.index(name) for name in outputs]
    order = _weights(model.net, j, o)
    return replace(
        model,
        net=_network(model.net, j),
        theta=model.theta[order],
        scaling=model.scaling.reordered(j, o),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        spread=None if model.spread is None else permuted(model.spread, order),
        others=tuple(
            replace(fit, net=_network(fit.net, j), theta=fit.theta[_weights(fit.net, j, o)])
            for fit in model.others
        ),
        points=None if model.points is None else model.points.reordered(j),
    )


def _network(net: Network, inputs: list[int]) -> Network:
    if net.trend is None:
        return net
    return Network(net.sizes, net.activations, net.trend.reordered(inputs))


def _weights(net: Network, inputs: list[int], outputs: list[int]) -> NDArray[np.intp]:
    """Return (p,): for each weight in the new order, its position in the old one."""
    places = np.arange(float(net.size))
    layers: list[Any] = net.unflatten(places)
    W, b = layers[0]
    layers[0] = W[inputs], b
    W, b = layers[-1]
    layers[-1] = W[:, outputs], b[outputs]
    return net.flatten(layers, net.coefficients(places)[:, outputs]).astype(np.intp)
