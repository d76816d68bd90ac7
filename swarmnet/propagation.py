"""The passes through a network that everything else is made of, on a tile of rows, with reused buffers.

Arrays are (units, rows), with a particle axis in front where `theta` has one: the rows are contiguous, so
that slopes broadcast along them at full speed, and W stacked on b, which is how theta stores a layer,
multiplies the activations with a row of ones below them in a single matrix product.

For layer l with weights W, b and activation f, and A_0 = x:

    forward    z_l = W^T A_(l-1) + b,   A_l = f(z_l),   S_l = f'(z_l)
    tangent    U_l = W^T T_(l-1),       T_l = S_l U_l       (T_0 = v: T_L is the derivative along v)
    pullback   G_(l-1) = W (S_l G_l)                        (G_L = v: G_0 is the gradient of v . y)
    backward   of a loss with cotangents T'_l of the tangents and A'_l of the activations:
               U'_l = S_l T'_l,   z'_l = S_l A'_l + f''(z_l) U_l T'_l,
               W' = A_(l-1) z'_l^T + T_(l-1) U'_l^T,   A'_(l-1) = W z'_l,   T'_(l-1) = W U'_l

The last is double backpropagation (Drucker and Le Cun 1992) for one directional derivative instead of all of
them: for residuals c of the partials, sum_j c_j dy/dx_j is the derivative along c.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from swarmnet.activations import LINEAR, Activation
from swarmnet.detours import DETOURS, Calls, Detour

Array = NDArray[Any]


@dataclass(frozen=True)
class Layer:
    """Where a layer's weights lie in theta: W and b are theta[start:stop], (fan_in + 1, fan_out)."""

    start: int
    stop: int
    fan_in: int
    fan_out: int
    activation: Activation

    def weights(self, theta: Array) -> Array:
        """W stacked on b, a view of theta (p,) or (s, p): (..., fan_in + 1, fan_out)."""
        block = theta[..., self.start : self.stop]
        return block.reshape(*block.shape[:-1], self.fan_in + 1, self.fan_out)


def flat(array: Array) -> Array:
    """A view of an array as one row: what copied it here would not copy it again from a tape."""
    if not array.flags.c_contiguous:
        raise ValueError("only a contiguous array is one row")
    return array.reshape(-1)


@dataclass
class Tangent:
    """What a tangent pass leaves behind for the backward pass: T_1..T_L and U_1..U_L."""

    direction: Array | int  # T_0, or the input along which it is a unit vector
    T: list[Array]
    U: list[Array]

    @property
    def output(self) -> Array:
        """(..., k, rows) the outputs' derivative along the direction."""
        return self.T[-1]


class Propagation:
    """Passes over one tile at a time; every array handed out is overwritten by the next pass of its kind.

    Whatever they compute, they compute by `do`, so that it can be done again (see `tapes`).
    """

    def __init__(
        self, layers: Sequence[Layer], dtype: DTypeLike = np.float64, absolute: bool = False
    ) -> None:
        """`absolute` allows faster values without the relative precision of small ones."""
        self.layers = tuple(layers)
        self.dtype = np.dtype(dtype)
        self._detours = [self._detour(layer, absolute) for layer in self.layers]
        self.tape: Calls | None = None  # where the calls are written down, if they are
        self.moves = 0  # how often a buffer has moved to larger memory
        self._memory: dict[object, Array] = {}
        self._views: dict[object, dict[tuple[int, ...], Array]] = {}
        self.lead: tuple[int, ...] = ()  # (s,) where a swarm is loaded
        self._theta: Array | None = None
        self.W: list[Array] = []  # each layer's W stacked on b
        self._W: list[Array] = []  # without b
        self.A: list[Array] = []
        self.Z: list[Array] = []
        self.S: list[Array] = []
        self.C: list[Array] = []

    def _detour(self, layer: Layer, absolute: bool) -> Detour | None:
        act = layer.activation
        reads_z = not act.in_place or layer is self.layers[-1]
        if reads_z or not act.built_in:
            return None
        detour = DETOURS.get((act.name, self.dtype.name))
        return detour if detour is not None and (absolute or detour.is_relative) else None

    def buffer(self, name: object, shape: tuple[int, ...], dtype: DTypeLike | None = None) -> Array:
        """A scratch array of that shape, the same memory for the same name, which goes with one dtype."""
        views = self._views.get(name)
        if views is None:
            views = self._views[name] = {}
        view = views.get(shape)
        if view is None:
            size = math.prod(shape)
            memory = self._memory.get(name)
            if memory is None or memory.size < size:
                self.moves += 1  # before it does: Ctrl-C may come in between
                views.clear()
                memory = self._memory[name] = np.empty(size, dtype or self.dtype)
            view = views[shape] = memory[:size].reshape(shape)
        return view

    def do(self, call: Callable[..., object], *arguments: Any) -> Any:
        """Make a call that computes nothing but what it writes into buffers; returns its last argument.

        As a rule that is the buffer, as NumPy's functions take it and activations do.
        """
        call(*arguments)
        if self.tape is not None:
            self.tape.append((call, arguments))
        return arguments[-1]

    def load(self, theta: Array) -> None:
        """Copy the weights of theta, (p,) or (s, p)."""
        own = self.buffer("theta", theta.shape)
        np.copyto(own, theta)
        if self._theta is own:  # the views of it serve again
            return
        self._theta = None  # until all views are there: Ctrl-C may come in between
        self.lead = theta.shape[:-1]
        self.W = [layer.weights(own) for layer in self.layers]
        self._W = [W[..., :-1, :] for W in self.W]
        self._theta = own

    def forward(self, inputs: Array, order: int = 0, layers: int | None = None) -> Array:
        """Run `inputs`, (d + 1, rows) with ones in the last row, through the first `layers` layers (all).

        `order` says how many derivatives of the activations to keep for the passes that follow:
        1 for tangents and pullbacks, 2 for the backward pass through them.

        Returns:
            (..., k, rows) outputs, or the activations with a row of ones below when layers stop short.
        """
        count = len(self.layers) if layers is None else layers
        self.A, self.Z, self.S, self.C = [inputs], [], [], []
        for index, layer in enumerate(self.layers[:count]):
            self._forward_layer(index, layer, order, ones=index + 1 < len(self.layers))
        return self.A[-1]

    def _forward_layer(self, index: int, layer: Layer, order: int, ones: bool) -> None:
        rows, units, act = self.A[0].shape[-1], layer.fan_out, layer.activation
        lead = self.lead
        stacked = self.buffer(("A", index), (*lead, units + ones, rows))
        a = stacked[..., :units, :]
        z = a if act.in_place and ones else self.buffer(("Z", index), a.shape)
        W, values = self.W[index], [(act.value, (z, a))]
        detour = self._detours[index]
        if detour is not None and a.size >= detour.least:
            W = self.do(np.multiply, W, detour.scale, self.buffer(("scaled", index), W.shape))
            scratch = [self.buffer(("scratch", n), a.shape) for n in range(detour.scratch)]
            if scratch:  # which are contiguous, and so z must be: calls are quicker then
                z = self.buffer("z", a.shape)
            values = detour.calls(z, *scratch, a)
        self.do(np.matmul, W.swapaxes(-1, -2), self.A[-1], z)
        for call, arguments in values:
            self.do(call, *arguments)
        if ones:
            self.do(stacked[..., units, :].fill, 1.0)
        self.A.append(stacked)
        self.Z.append(z)
        if order >= 1 and act is not LINEAR:
            s = self.buffer(("S", index), (*lead, units, rows))
            self.do(act.slope, z, a, s)
            self.S.append(s)
            if order >= 2:
                c = self.buffer(("C", index), (*lead, units, rows))
                self.do(act.curvature, z, a, s, c)
                self.C.append(c)
                return
        elif order >= 1:
            self.S.append(z)  # never read: a linear layer has slope 1
        self.C.append(z)  # never read: no curvature was asked for, or it is 0

    def tangent(self, direction: Array | int, name: object = 0, layers: int | None = None) -> Tangent:
        """The derivative along `direction`: (d, rows), or an input's index for a partial derivative."""
        count = len(self.layers) if layers is None else layers
        rows = self.A[0].shape[-1]
        T: list[Array] = []
        U: list[Array] = []
        for index, layer in enumerate(self.layers[:count]):
            shape = (*self.lead, layer.fan_out, rows)
            W = self.W[index]
            if index == 0 and isinstance(direction, int):
                u = W[..., direction, :, None]
                if layer.activation is LINEAR:
                    u = np.broadcast_to(u, shape)
            else:
                out = self.buffer(("U", name, index), shape)
                u = self.do(np.matmul, W[..., :-1, :].swapaxes(-1, -2), T[-1] if T else direction, out)
            U.append(u)
            if layer.activation is LINEAR:
                T.append(u)
            else:
                T.append(self.do(np.multiply, self.S[index], u, self.buffer(("T", name, index), shape)))
        return Tangent(direction, T, U)

    def slope(self, direction: Array | int, layers: int | None = None) -> Array:
        """What `tangent` ends with, (..., units, rows): cheaper, but no backward pass can follow."""
        layers = len(self.layers) if layers is None else layers
        rows = self.A[0].shape[-1]
        T, column = None if isinstance(direction, int) else direction, None
        for index, layer in enumerate(self.layers[:layers]):
            W, first = self._W[index], T is None
            if T is None:
                T = W[..., direction, :, None]  # one column for all rows
            else:
                if column is not None:
                    W = self.do(np.multiply, W, column, self.buffer(("WT", index), W.shape))
                    column = None
                shape = (*self.lead, layer.fan_out, T.shape[-1])
                T = self.do(np.matmul, W.swapaxes(-1, -2), T, self.buffer(("U", "slope", index), shape))
            if layer.activation is LINEAR:
                continue
            if T.shape[-1] == rows and not first:
                self.do(np.multiply, T, self.S[index], T)
            elif index + 1 < layers and self.layers[index + 1].fan_out < rows:
                T, column = self.S[index], T  # into the next layer's weights, which are fewer than T
            else:
                S = self.S[index]
                T = self.do(np.multiply, S, T, self.buffer(("T", "slope", index), S.shape))
        assert T is not None
        return T if T.shape[-1] == rows else np.broadcast_to(T, (*T.shape[:-1], rows))

    def pullback(self, cotangent: Array, name: object = 0) -> list[Array]:
        """Pull `cotangent`, (k, rows) with or without the particle axis, back to the inputs.

        A cotangent (k, 1) serves all rows; it stays one column as long as the layers are linear.

        Returns:
            [G_0 (..., d, rows), G_1, ..., G_L]: the gradient with respect to each layer's activations.
        """
        G = [cotangent]
        rows = self.A[0].shape[-1]
        for index in reversed(range(len(self.layers))):
            layer = self.layers[index]
            W, g = self._W[index], G[-1]
            if layer.activation is not LINEAR:
                S = self.S[index]
                if g.shape[-1] < rows and layer.fan_in < rows:  # cheaper into the weights than into S
                    W = self.do(np.multiply, W, g.swapaxes(-1, -2), self.buffer(("WG", name), W.shape))
                    g = S
                else:
                    g = self.do(np.multiply, S, g, self.buffer(("SG", name), S.shape))
            out = self.buffer(("G", name, index), (*self.lead, layer.fan_in, g.shape[-1]))
            G.append(self.do(np.matmul, W, g, out))
        return G[::-1]

    def backward(self, z_bar: Array, tangents: Sequence[tuple[Tangent, Array]], gradient: Array) -> None:
        """Write the gradient of a loss with respect to theta, (..., p), after forward(order=2).

        Args:
            z_bar: (..., k, rows) its gradient with respect to the outputs' z_L, overwritten.
            tangents: each tangent pass with the loss's gradient with respect to its output, overwritten.
            gradient: where to write.
        """
        for index, z_l, u_bars in self._backward_layers(z_bar, tangents):
            g = self.layers[index].weights(gradient)
            self.do(np.matmul, self.A[index], z_l.swapaxes(-1, -2), g)
            for (tangent, _), u_bar in zip(tangents, u_bars, strict=True):
                if index == 0 and isinstance(tangent.direction, int):
                    to = g[..., tangent.direction, :]
                    term = self.do(np.add.reduce, u_bar, -1, None, self.buffer("term", to.shape))
                else:
                    T, to = tangent.T[index - 1] if index > 0 else tangent.direction, g[..., :-1, :]
                    term = self.do(np.matmul, T, u_bar.swapaxes(-1, -2), self.buffer("term", to.shape))
                self.do(np.add, to, term, to)

    def backward_rows(
        self, z_bar: Array, tangents: Sequence[tuple[Tangent, Array]], gradients: Array
    ) -> None:
        """Like `backward`, for one theta, with each row's own gradient: `gradients` is (p, rows)."""
        for index, z_l, u_bars in self._backward_layers(z_bar, tangents):
            layer = self.layers[index]
            g = gradients[layer.start : layer.stop].reshape(layer.fan_in + 1, layer.fan_out, -1)
            self.do(np.multiply, self.A[index][:, None], z_l, g)
            for (tangent, _), u_bar in zip(tangents, u_bars, strict=True):
                if index == 0 and isinstance(tangent.direction, int):
                    to, term = g[tangent.direction], u_bar
                else:
                    T, to = tangent.T[index - 1] if index > 0 else tangent.direction, g[:-1]
                    term = self.do(np.multiply, T[:, None], u_bar, self.buffer("term", to.shape))  # type: ignore[index]
                self.do(np.add, to, term, to)

    def _backward_layers(
        self, z_bar: Array, tangents: Sequence[tuple[Tangent, Array]]
    ) -> Iterator[tuple[int, Array, list[Array]]]:
        """Each layer's index with z'_l and the U'_l, the last layer first."""
        t_bars = [bar for _, bar in tangents]
        for index in reversed(range(len(self.layers))):
            layer, W = self.layers[index], self._W[index]
            if layer.activation is not LINEAR:
                if index < len(self.layers) - 1:
                    self.do(np.multiply, z_bar, self.S[index], z_bar)
                for (tangent, _), t_bar in zip(tangents, t_bars, strict=True):
                    bent = self.do(np.multiply, self.C[index], t_bar, self.buffer("bent", t_bar.shape))
                    self.do(np.multiply, bent, tangent.U[index], bent)
                    self.do(np.add, z_bar, bent, z_bar)
                    self.do(np.multiply, t_bar, self.S[index], t_bar)
            yield index, z_bar, t_bars
            if index > 0:
                shape = (*self.lead, layer.fan_in, z_bar.shape[-1])
                product = (
                    np.multiply if layer.fan_out == 1 else np.matmul
                )  # matmul takes no BLAS for one column
                z_bar = self.do(product, W, z_bar, self.buffer(("z_bar", index), shape))
                t_bars = [
                    self.do(product, W, bar, self.buffer(("t_bar", q, index), shape))
                    for q, bar in enumerate(t_bars)
                ]
