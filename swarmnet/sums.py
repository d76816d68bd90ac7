"""What one tile adds to each of the sums over rows that an `Objective` takes."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swarmnet import blas
from swarmnet.activations import LINEAR
from swarmnet.losses import ValueLoss, product, weighted_squares
from swarmnet.network import unit_cotangent
from swarmnet.propagation import Propagation
from swarmnet.tapes import TapedPropagation
from swarmnet.tiles import Along, EntryWeights, Tile, long_runs, parts

Array = NDArray[Any]

_FEW, _MANY = 256, 512  # entries that are worth NumPy calls of their own, and as many as there may be,
_GRADIENTS = 1 << 17  # or more if their gradients are no more numbers


def tile_loss(passes: Propagation, tile: Tile, value_loss: ValueLoss) -> Array:
    """Each particle's weighted squares, (s,), in a buffer."""
    passes.forward(tile.X, order=1 if tile.has_partials else 0)
    total = _zeros(passes, "loss", passes.lead)
    if tile.Y is not None:
        passes.do(np.add, total, value_loss.cost(passes, tile.Y, tile.Y_weight), total)
    for slopes, target, weight in _slopes(passes, tile):
        _add_squares(passes, slopes, target, weight, total)
    return total


def _slopes(passes: Propagation, tile: Tile) -> Iterator[tuple[Array, Array, Array]]:
    """Partials (..., k or d, rows) after a forward pass, with target and weight; the next overwrites them."""
    for along in tile.along:
        yield passes.slope(along.direction), along.target, along.weight
    if tile.J is not None and tile.J_weight is not None:
        for o in tile.J_outputs:
            slopes = passes.pullback(unit_cotangent(tile.J.shape[0], o))[0]
            yield slopes, tile.J[o], tile.J_weight[o]


def _add_squares(passes: Propagation, predicted: Array, target: Array, weight: Array, total: Array) -> None:
    """Add each particle's weighted squares to total (s,); target and weight are (k or d, rows)."""
    shape = (*predicted.shape[:-1], target.shape[-1])
    residual = passes.do(np.subtract, predicted, target, passes.buffer("residual", shape))
    passes.do(np.add, total, weighted_squares(passes, residual, weight), total)


def tile_gradient(passes: Propagation, tile: Tile, value_loss: ValueLoss) -> tuple[list[Array], Array]:
    """The weighted squares in parts, each (), and half the gradient (p,) of their sum, in buffers."""
    passes.forward(tile.X, order=2 if tile.has_partials else 1)
    if tile.Y is None:
        costs, z_bar = [], _zeros(passes, "z_bar", tile.Y_weight.shape)
    else:
        cost, z_bar = value_loss.cost_and_cotangent(passes, tile.Y, tile.Y_weight)
        costs = [cost]
    more, tangents = (_along_cotangents if tile.J is None else _pulled_cotangents)(passes, tile)
    gradient = passes.buffer("gradient", (passes.layers[-1].stop,))
    passes.backward(z_bar, tangents, gradient)
    return costs + more, gradient


class Residuals(NamedTuple):
    """Some of a tile's entries, one in each column."""

    gradient: Array  # (p, entries) of each residual, float64, in a buffer
    residual: Array  # (entries,), float64
    group: Array  # (entries,) see tiles.Groups


_VALUE = -1  # in place of an input


class _Entries(NamedTuple):
    """Entries of a tile; each array is (entries,)."""

    row: Array
    output: Array
    input: Array  # along which it is a partial, or _VALUE
    target: Array
    weight: Array  # 1 / sigma^2 times its row's weight
    group: Array

    def calls(self, most: int) -> "Iterator[_Entries]":
        """Parts of at most so many entries: of partials along one input, if there are enough of them."""
        edges = np.flatnonzero(np.diff(self.input)) + 1
        for run in long_runs(edges, len(self.row), _FEW):
            for part in parts(run.stop - run.start, most):
                here = slice(run.start + part.start, run.start + part.stop)
                yield _Entries._make(array[here] for array in self)


def residuals(passes: Propagation, tile: Tile, unit: EntryWeights, scale: Array) -> Iterator[Residuals]:
    """The residuals (prediction - target) / sigma of all entries, with their gradients times `scale`.

    Entries along one input have their rows' forward pass in common if they are many. Few are points of their
    own, all in one, values among them: passes for each cost less than NumPy calls for every input.

    Args:
        passes: whose buffers to use.
        tile: the rows.
        unit: the factors that the tile's weights hold besides 1 / sigma^2.
        scale: (groups,) factor of each group's gradients.
    """
    most = max(_MANY, _GRADIENTS // passes.layers[-1].stop)
    for short in tile.parts(most):
        at = np.empty(0, int)  # the rows that are in the passes
        for part in _calls(list(_entries(short, unit)), most):
            if not np.array_equal(part.row, at):
                at = part.row
                inputs = short.X if len(at) == short.rows and (np.diff(at) == 1).all() else short.X[:, at]
                passes.forward(inputs, order=2 if short.has_partials else 1)
            root = np.sqrt(part.weight)
            predicted, J = _differentiated(passes, part, root * scale[part.group])
            residual = (predicted - part.target) * root
            yield Residuals(_exact(passes, "exact J", J), residual.astype(np.float64, copy=False), part.group)


def _exact(passes: Propagation, name: str, array: Array) -> Array:
    """The array in float64, in a buffer: sums of products of float32 are too coarse to solve systems of."""
    if array.dtype == np.float64:
        return array
    exact = passes.buffer(name, array.shape, np.float64)
    np.copyto(exact, array)
    return exact


def _calls(kinds: Sequence[_Entries], most: int) -> Iterator[_Entries]:
    """What has passes of its own: few entries of all kinds, or at most so many of one."""
    if len(kinds) > 1 and 0 < sum(len(entries.row) for entries in kinds) <= _MANY:
        yield _Entries._make(map(np.concatenate, zip(*kinds, strict=True)))
        return
    for entries in kinds:
        yield from entries.calls(most)


def _entries(tile: Tile, unit: EntryWeights) -> Iterator[_Entries]:
    if tile.Y is not None and unit.value > 0:
        at = output, row = np.nonzero(tile.Y_weight)
        values = np.full(len(row), _VALUE)
        yield _Entries(row, output, values, tile.Y[at], tile.Y_weight[at] / unit.value, tile.Y_group[at])
    if unit.partial == 0:
        return
    if tile.J is not None and tile.J_weight is not None and tile.J_group is not None:
        at = output, along, row = np.nonzero(tile.J_weight)
        weight = tile.J_weight[at] / unit.partial
        yield _Entries(row, output, along, tile.J[at], weight, tile.J_group[at])
        return
    for partial in tile.along:
        at = output, row = np.nonzero(partial.weight)
        direction = partial.direction
        inputs = np.full(len(row), direction) if isinstance(direction, int) else direction.argmax(0)[row]
        weight = partial.weight[at] / unit.partial
        yield _Entries(row, output, inputs, partial.target[at], weight, partial.group[at])


def _differentiated(passes: Propagation, entries: _Entries, scale: Array) -> tuple[Array, Array]:
    """Each entry's prediction (entries,) and its gradient (p, entries) times scale, after a forward pass."""
    at = entries.output, np.arange(len(entries.row))
    layers = passes.layers
    shape = layers[-1].fan_out, len(entries.row)
    is_value = entries.input == _VALUE
    z_bar, tangents = _zeros(passes, "z_bar", shape), []
    z_bar[at] = scale * is_value
    predicted = passes.A[-1][at]
    if not is_value.all():
        tangent = passes.tangent(_direction(passes, entries.input))
        predicted = np.where(is_value, predicted, tangent.output[at])
        t_bar = _zeros(passes, "t_bar", shape)
        t_bar[at] = scale  # a value's tangent is 0, whatever this is
        tangents.append((tangent, t_bar))
    if layers[-1].activation is not LINEAR:
        z_bar *= passes.S[-1]
    J = passes.buffer("J", (layers[-1].stop, shape[1]))
    passes.backward_rows(z_bar, tangents, J)
    return predicted, J


def _direction(passes: Propagation, inputs: Array) -> Array | int:
    """The input if they are all one, or unit vectors (d, entries), 0 for values."""
    if (inputs == inputs[0]).all():
        return int(inputs[0])
    direction = _zeros(passes, "direction", (passes.layers[0].fan_in, len(inputs)))
    partials = np.flatnonzero(inputs != _VALUE)
    direction[inputs[partials], partials] = 1.0
    return direction


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
    scale = np.sqrt(precision).astype(passes.dtype)
    for J, residual, group in residuals(passes, tile, unit, scale):
        squares += np.bincount(group, residual * residual, len(squares))
        blas.add_gram(J, JJ)
        Jr += J @ (residual * scale[group])


def add_squares(passes: TapedPropagation, tile: Tile, unit: EntryWeights, total: Array) -> None:
    """Add each group's squared residuals to total (groups,)."""
    values, partials = unit.value > 0 and tile.Y is not None, unit.partial > 0 and tile.has_partials
    groups = [(tile.Y_group, unit.value)] if values else []
    if partials:
        groups += [(along.group, unit.partial) for along in tile.along]
        groups += [(tile.J_group[o], unit.partial) for o in tile.J_outputs if tile.J_group is not None]
    squares = passes.taped(tile_squares, tile, values, partials)
    for (group, weight), found in zip(groups, squares, strict=True):
        total += np.bincount(group.ravel(), found.ravel(), len(total)) / weight


def tile_squares(passes: Propagation, tile: Tile, values: bool, partials: bool) -> list[Array]:
    """The weighted squares of values (k, rows), along each direction (k, rows), of each J (d, rows)."""
    passes.forward(tile.X, order=1 if partials else 0)
    squares: list[Array] = []

    def add(predicted: Array, target: Array, weight: Array) -> None:
        found = passes.buffer(("squares", len(squares)), target.shape)
        passes.do(np.subtract, predicted, target, found)
        passes.do(np.multiply, found, found, found)
        squares.append(passes.do(np.multiply, found, weight, found))

    if values and tile.Y is not None:
        add(passes.A[-1], tile.Y, tile.Y_weight)
    if partials:
        for found in _slopes(passes, tile):
            add(*found)
    return squares


def add_leverage(
    passes: Propagation, tile: Tile, unit: EntryWeights, precision: Array, factor: Array, total: Array
) -> None:
    """Add to each group's total its residuals' precision-weighted j^T (L L^T)^-1 j, `factor` being L."""
    scale = np.sqrt(precision).astype(passes.dtype)
    for J, _, group in residuals(passes, tile, unit, scale):
        V = blas.divide(factor, J)
        total += np.bincount(group, np.einsum("pe,pe->e", V, V), len(total))


def _partials(tile: Tile) -> tuple[Along, ...]:
    """The tangent passes that give every partial."""
    if tile.J is None or tile.J_weight is None or tile.J_group is None:
        return tile.along
    weighted = [j for j in range(tile.J.shape[1]) if tile.J_weight[:, j].any()]
    return tuple(Along(j, tile.J[:, j], tile.J_weight[:, j], tile.J_group[:, j]) for j in weighted)


def _zeros(passes: Propagation, name: object, shape: tuple[int, ...]) -> Array:
    zeros = passes.buffer(name, shape)
    passes.do(zeros.fill, 0.0)
    return zeros


def _along_cotangents(passes: Propagation, tile: Tile) -> tuple[list[Array], list[Any]]:
    """Costs and cotangents of partials along one input a row; the tangents are the residuals' own."""
    costs, tangents = [], []
    for q, along in enumerate(tile.along):
        tangent = passes.tangent(along.direction, name=q)
        cost, cotangent = _cotangent(passes, tangent.output, along.target, along.weight, q)
        costs.append(cost)
        tangents.append((tangent, cotangent))
    return costs, tangents


def _pulled_cotangents(passes: Propagation, tile: Tile) -> tuple[list[Array], list[Any]]:
    """Costs and cotangents of many partials a row: for each output one tangent along its residuals."""
    assert tile.J is not None and tile.J_weight is not None
    k, costs, tangents = len(tile.J), [], []
    for o in tile.J_outputs:
        slopes = passes.pullback(unit_cotangent(k, o))[0]
        cost, along = _cotangent(passes, slopes, tile.J[o], tile.J_weight[o], o)
        costs.append(cost)
        cotangent = _zeros(passes, ("unit", o), (k, tile.rows))
        passes.do(cotangent[o].fill, 1.0)
        tangents.append((passes.tangent(along, name=o), cotangent))
    return costs, tangents


def _cotangent(
    passes: Propagation, predicted: Array, target: Array, weight: Array, name: int
) -> tuple[Array, Array]:
    """The weighted squares () of residuals and half their gradient with respect to these, in buffers."""
    residual = passes.do(np.subtract, predicted, target, passes.buffer("residual", target.shape))
    cotangent = passes.do(np.multiply, residual, weight, passes.buffer(("cotangent", name), target.shape))
    return product(passes, cotangent, residual, name), cotangent


def add_gram(passes: Propagation, tile: Tile, grams: int, total: Array) -> None:
    """Add the sums of the output layer's least-squares problem, packed as `unpack_gram` reads them."""
    hidden = len(passes.layers) - 1
    features = passes.forward(tile.X, order=1 if tile.has_partials else 0, layers=hidden)
    if features.ndim == 2:  # no hidden layer: the inputs are every particle's features
        features = np.broadcast_to(features, (len(total), *features.shape))
    units, k = features.shape[-2], tile.Y_weight.shape[0]
    G, g, squares = unpack_gram(total, grams, units, k)
    if tile.Y is not None:
        _add_weighted(passes, features, tile.Y, tile.Y_weight, (G, g, squares))
    for along in _partials(tile):
        shape = (*features.shape[:-2], units - 1, tile.rows)
        slopes = _hidden_slopes(passes, along.direction, hidden, shape)
        _add_weighted(passes, slopes, along.target, along.weight, (G[..., :-1, :-1], g[:, :-1], squares))


def _hidden_slopes(passes: Propagation, direction: Array | int, hidden: int, shape: tuple[int, ...]) -> Array:
    """The derivative of the last hidden activations along a direction, (s, h, rows)."""
    if hidden:
        return passes.slope(direction, layers=hidden)
    if isinstance(direction, int):
        unit = np.zeros((shape[-2], 1), passes.dtype)
        unit[direction] = 1.0
        return np.broadcast_to(unit, shape)
    return np.broadcast_to(direction, shape)


def _add_weighted(
    passes: Propagation, features: Array, target: Array, weight: Array, sums: tuple[Array, Array, Array]
) -> None:
    """Add Phi w Phi^T, Phi w t and t w t for features (s, h, rows), targets and weights (k, rows)."""
    G, g, squares = sums
    features = _exact(passes, "features", features)
    target, weight = target.astype(np.float64, copy=False), weight.astype(np.float64, copy=False)
    gram = passes.buffer("gram", (len(G), *G.shape[2:]), np.float64)
    for o in range(G.shape[1]):
        # A matrix times itself turned: NumPy then takes half the product, and copies the other half.
        if (weight[o] == weight[o, 0]).all():
            np.matmul(features, features.swapaxes(-1, -2), gram)
            gram *= weight[o, 0]
        elif weight[o].any():
            scaled = passes.buffer("scaled features", features.shape, np.float64)
            np.multiply(features, np.sqrt(weight[o]), scaled)
            np.matmul(scaled, scaled.swapaxes(-1, -2), gram)
        else:
            continue
        G[:, o] += gram
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
