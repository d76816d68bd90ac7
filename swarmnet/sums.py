"""What one tile adds to each of the sums over rows that an `Objective` takes."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swarmnet import blas
from swarmnet.activations import LINEAR
from swarmnet.losses import ValueLoss, weighted_squares
from swarmnet.network import unit_cotangent
from swarmnet.propagation import Propagation
from swarmnet.tiles import Along, EntryWeights, Tile

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


class ResidualRow(NamedTuple):
    """Entries of a tile, one of each row at most; those without one have residual and gradient 0."""

    gradient: Array  # (p, rows) of each residual, in a buffer
    residual: Array  # (rows,)
    group: Array  # (rows,) see tiles.Groups
    seen: Array  # (rows,) whether it has one


def residual_rows(passes: Propagation, tile: Tile, unit: EntryWeights) -> Iterator[ResidualRow]:
    """The residuals (prediction - target) / sigma of all entries, with their gradients.

    `unit` are the factors that the tile's weights hold besides 1 / sigma^2. The gradients are never more than
    a row of theta's an entry of the tile's rows: of each row one entry at a time.
    """
    passes.forward(tile.X, order=2 if tile.has_partials else 1)
    slopes = passes.S[-1] if passes.layers[-1].activation is not LINEAR else None
    rows = np.arange(tile.rows)
    if tile.Y is not None and unit.value > 0:
        for root, output in _one_entry_a_row(tile.Y_weight, unit.value):
            z_bar = root.copy() if slopes is None else root * slopes
            residual = ((passes.A[-1] - tile.Y) * root).sum(0)
            J = _residual_gradients(passes, z_bar, [])
            yield ResidualRow(J, residual, tile.Y_group[output, rows], np.asarray((root > 0).any(0)))
    if unit.partial == 0:
        return
    for partial in _partials(tile):
        tangent = passes.tangent(partial.direction)
        for root, output in _one_entry_a_row(partial.weight, unit.partial):
            z_bar = _zeros(passes, "z_bar", root.shape)
            residual = ((tangent.output - partial.target) * root).sum(0)
            J = _residual_gradients(passes, z_bar, [(tangent, root.copy())])
            yield ResidualRow(J, residual, partial.group[output, rows], np.asarray((root > 0).any(0)))


def _one_entry_a_row(weight: Array, unit: float) -> Iterator[tuple[Array, Array]]:
    """Square roots of weight / unit, (k, rows), in parts with one output a row at most, and which (rows,)."""
    count = np.cumsum(weight > 0, axis=0)
    for nth in range(1, int(count[-1].max(initial=0)) + 1):
        root = np.sqrt(np.where((weight > 0) & (count == nth), weight / unit, 0.0))
        yield root, root.argmax(0)


def _residual_gradients(passes: Propagation, z_bar: Array, tangents: list[Any]) -> Array:
    J = passes.buffer("J", (passes.layers[-1].stop, z_bar.shape[-1]))
    passes.backward_rows(z_bar, tangents, J)
    return J


def add_normal(
    passes: Propagation,
    tile: Tile,
    unit: EntryWeights,
    precision: Array,
    sums: tuple[Array, Array, Array],
) -> None:
    """Add each group's squares, and precision-weighted J r and J J^T, to (groups,), (p,) and (p, p).

    J J^T is added to the upper half only, in Fortran order.
    """
    squares, Jr, JJ = sums
    root = np.sqrt(precision).astype(passes.dtype)
    for J, residual, group, _ in residual_rows(passes, tile, unit):
        squares += np.bincount(group, residual * residual, len(squares))
        scale = root[group]
        J *= scale
        blas.add_gram(J, JJ)
        Jr += J @ (residual * scale)


def add_squares(passes: Propagation, tile: Tile, unit: EntryWeights, total: Array) -> None:
    """Add each group's squared residuals to total (groups,)."""
    passes.forward(tile.X, order=1 if tile.has_partials else 0)
    if tile.Y is not None and unit.value > 0:
        squares = (passes.A[-1] - tile.Y) ** 2 * (tile.Y_weight / unit.value)
        total += np.bincount(tile.Y_group.ravel(), squares.ravel(), len(total))
    if unit.partial == 0:
        return
    for along in _partials(tile):
        squares = (passes.tangent(along.direction).output - along.target) ** 2
        squares *= along.weight / unit.partial
        total += np.bincount(along.group.ravel(), squares.ravel(), len(total))


def add_leverage(
    passes: Propagation, tile: Tile, unit: EntryWeights, precision: Array, factor: Array, total: Array
) -> None:
    """Add to each group's total its residuals' precision-weighted j^T (L L^T)^-1 j, `factor` being L."""
    for J, _, group, _ in residual_rows(passes, tile, unit):
        V = blas.divide(factor, J.astype(factor.dtype, copy=False))
        total += precision * np.bincount(group, np.einsum("pr,pr->r", V, V), len(total))


def _partials(tile: Tile) -> tuple[Along, ...]:
    """The tangent passes that give every partial."""
    if tile.J is None or tile.J_weight is None or tile.J_group is None:
        return tile.along
    weighted = [j for j in range(tile.J.shape[1]) if tile.J_weight[:, j].any()]
    return tuple(Along(j, tile.J[:, j], tile.J_weight[:, j], tile.J_group[:, j]) for j in weighted)


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
    for along in _partials(tile):
        shape = (*features.shape[:-2], units - 1, tile.rows)
        slopes = _hidden_slopes(passes, along.direction, hidden, shape)
        _add_weighted(slopes, along.target, along.weight, (G[..., :-1, :-1], g[:, :-1], squares))


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
