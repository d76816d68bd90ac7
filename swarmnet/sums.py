"""What one tile adds to each of the sums over rows that an `Objective` takes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.activations import LINEAR
from swarmnet.losses import ValueLoss, weighted_squares
from swarmnet.network import unit_cotangent
from swarmnet.propagation import Propagation
from swarmnet.tiles import Tile

Array = NDArray[Any]


def tile_loss(passes: Propagation, tile: Tile, value_loss: ValueLoss) -> Any:
    """Each particle's weighted squares, (s,)."""
    passes.forward(tile.X, order=1 if tile.has_partials else 0)
    total: Any = 0.0
    if tile.Y is not None:
        total = value_loss.cost(passes, tile.Y, tile.Y_weight)
    for along in tile.along:
        slope = passes.slope(along.direction)
        residual = np.subtract(slope, along.target, out=passes.buffer("residual", slope.shape))
        total = total + weighted_squares(residual, along.weight)
    if tile.J is not None and tile.J_weight is not None:
        for o in tile.J_outputs:
            slopes = passes.pullback(unit_cotangent(tile.J.shape[0], o))[0]
            shape = (*slopes.shape[:-1], tile.rows)
            residual = np.subtract(slopes, tile.J[o], out=passes.buffer("residual", shape))
            total = total + weighted_squares(residual, tile.J_weight[o])
    return total


def tile_gradient(passes: Propagation, tile: Tile, value_loss: ValueLoss, gradient: Array) -> float:
    """Write the gradient (p,) of the weighted squares; returns their sum."""
    passes.forward(tile.X, order=2 if tile.has_partials else 1)
    if tile.Y is None:
        cost, z_bar = 0.0, _zeros(passes, "z_bar", tile.Y_weight.shape)
    else:
        cost, z_bar = value_loss.cost_and_cotangent(passes, tile.Y, tile.Y_weight)
    more, tangents = _along_cotangents(passes, tile)
    if tile.J is not None:
        more, tangents = _pulled_cotangents(passes, tile)
    passes.backward(z_bar, tangents, gradient)
    return cost + more


def add_normal(passes: Propagation, tile: Tile, JJ: Array, Jr: Array) -> float:
    """Add J J^T of the residuals' gradients J (p, entries) to JJ's upper half, and J r to Jr.

    JJ is (p, p) in Fortran order. Returns the sum of the residuals' squares. J is never larger than a row
    an entry of the tile's rows: of each row one entry at a time.
    """
    passes.forward(tile.X, order=2 if tile.has_partials else 1)
    cost = 0.0
    slopes = passes.S[-1] if passes.layers[-1].activation is not LINEAR else None
    if tile.Y is not None:
        for root in _one_entry_a_row(tile.Y_weight):
            z_bar = root if slopes is None else root * slopes
            residual = ((passes.A[-1] - tile.Y) * root).sum(0)
            cost += _add_entries(passes, z_bar.copy(), [], residual, JJ, Jr)
    for direction, target, weight in _partials(tile):
        tangent = passes.tangent(direction)
        for root in _one_entry_a_row(weight):
            z_bar = _zeros(passes, "z_bar", root.shape)
            residual = ((tangent.output - target) * root).sum(0)
            cost += _add_entries(passes, z_bar, [(tangent, root.copy())], residual, JJ, Jr)
    return cost


def _one_entry_a_row(weight: Array) -> Iterator[Array]:
    """Square roots of weights (k, rows), taken apart so that each part has one output a row at most."""
    count = np.cumsum(weight > 0, axis=0)
    for nth in range(1, int(count[-1].max(initial=0)) + 1):
        yield np.sqrt(np.where((weight > 0) & (count == nth), weight, 0.0))


def _add_entries(
    passes: Propagation, z_bar: Array, tangents: list[Any], residual: Array, JJ: Array, Jr: Array
) -> float:
    from scipy.linalg import get_blas_funcs  # noqa: PLC0415  # a tenth of a second to import

    J = passes.buffer("J", (len(Jr), len(residual)))
    passes.backward_rows(z_bar, tangents, J)
    syrk = get_blas_funcs("syrk", (J,))
    syrk(1.0, J.T, beta=1.0, c=JJ, trans=1, overwrite_c=1)
    Jr += J @ residual
    return float(residual @ residual)


def _partials(tile: Tile) -> list[tuple[Array | int, Array, Array]]:
    """Direction, target (k, rows) and weight (k, rows) of each tangent pass that gives every partial."""
    if tile.J is None or tile.J_weight is None:
        return [(a.direction, a.target, a.weight) for a in tile.along]
    weighted = [j for j in range(tile.J.shape[1]) if tile.J_weight[:, j].any()]
    return [(j, tile.J[:, j], tile.J_weight[:, j]) for j in weighted]


def _zeros(passes: Propagation, name: str, shape: tuple[int, ...]) -> Array:
    zeros = passes.buffer(name, shape)
    zeros.fill(0.0)
    return zeros


def _along_cotangents(passes: Propagation, tile: Tile) -> tuple[float, list[Any]]:
    """Cost and cotangents of partials along one input a row; the tangents are the residuals' own."""
    cost, tangents = 0.0, []
    for q, along in enumerate(tile.along):
        tangent = passes.tangent(along.direction, name=q)
        residual = tangent.output - along.target
        cotangent = residual * along.weight
        cost += float(np.vdot(cotangent, residual))
        cotangent *= 2.0
        tangents.append((tangent, cotangent))
    return cost, tangents


def _pulled_cotangents(passes: Propagation, tile: Tile) -> tuple[float, list[Any]]:
    """Cost and cotangents of many partials a row: for each output one tangent along its residuals."""
    assert tile.J is not None and tile.J_weight is not None
    k, d, rows = tile.J.shape
    cost, tangents = 0.0, []
    for o in tile.J_outputs:
        slopes = passes.pullback(unit_cotangent(k, o))[0]
        residual = np.subtract(slopes, tile.J[o], out=passes.buffer("residual", (d, rows)))
        along = np.multiply(residual, tile.J_weight[o], out=passes.buffer(("along", o), (d, rows)))
        cost += float(np.vdot(along, residual))
        along *= 2.0
        cotangent = np.zeros((k, rows), passes.dtype)
        cotangent[o] = 1.0
        tangents.append((passes.tangent(along, name=o), cotangent))
    return cost, tangents


def add_gram(passes: Propagation, tile: Tile, grams: int, total: Array) -> None:
    """Add the sums of the output layer's least-squares problem, packed as `unpack_gram` reads them."""
    hidden = len(passes.layers) - 1
    features = passes.forward(tile.X, order=1 if tile.has_partials else 0, layers=hidden)
    if features.ndim == 2:  # no hidden layer: the inputs are every particle's features
        features = np.broadcast_to(features, (len(total), *features.shape))
    units, k = features.shape[-2], tile.Y_weight.shape[0]
    G, g, squares = unpack_gram(total, grams, units, k)
    if tile.Y is not None:
        _add_weighted(features, tile.Y, tile.Y_weight, (G, g, squares))
    for direction, target, weight in _partials(tile):
        slopes = _hidden_slopes(passes, direction, hidden, (*features.shape[:-2], units - 1, tile.rows))
        _add_weighted(slopes, target, weight, (G[..., :-1, :-1], g[:, :-1], squares))


def _hidden_slopes(passes: Propagation, direction: Array | int, hidden: int, shape: tuple[int, ...]) -> Array:
    """The derivative of the last hidden activations along a direction, (s, h, rows)."""
    if hidden:
        return passes.slope(direction, layers=hidden)
    if isinstance(direction, int):
        unit = np.zeros((shape[-2], 1), passes.dtype)
        unit[direction] = 1.0
        return np.broadcast_to(unit, shape)
    return np.broadcast_to(direction, shape)


def _add_weighted(features: Array, target: Array, weight: Array, sums: tuple[Array, Array, Array]) -> None:
    """Add Phi w Phi^T, Phi w t and t w t for features (s, h, rows), targets and weights (k, rows)."""
    G, g, squares = sums
    if features.dtype == np.float32:
        # Sums in float32 are too coarse for a least-squares problem: its best particle would be a false one.
        features, target, weight = (a.astype(np.float64) for a in (features, target, weight))
    for o in range(G.shape[1]):
        # A matrix times itself turned: NumPy then takes half the product, and copies the other half.
        if (weight[o] == weight[o, 0]).all():
            G[:, o] += weight[o, 0] * (features @ features.swapaxes(-1, -2))
        elif weight[o].any():
            scaled = features * np.sqrt(weight[o])
            G[:, o] += scaled @ scaled.swapaxes(-1, -2)
    g += features @ (target * weight).T
    squares += np.vdot(target * weight, target)


def unpack_gram(sums: Array, grams: int, units: int, k: int) -> tuple[Array, Array, Array]:
    """Views of (s, ...) sums as G (s, grams, units, units), g (s, units, k) and squares (s,)."""
    first, second = grams * units * units, grams * units * units + units * k
    return (
        sums[:, :first].reshape(-1, grams, units, units),
        sums[:, first:second].reshape(-1, units, k),
        sums[:, second],
    )
