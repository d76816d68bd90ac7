"""Network: the layout of theta, its initial values, and the network's value, Jacobian and Hessian.

A network is independent of data and loss. theta holds, layer by layer, W row-major (fan_in, fan_out), then b
(fan_out,), and last the coefficients of the trend (terms, k). Every method takes theta (p,), or a swarm
(s, p); the result then has a leading axis of particles.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swarmnet.errors import SwarmnetError
from swarmnet.network.activations import LINEAR, Activation, activation
from swarmnet.network.propagation import Layer, Passes
from swarmnet.network.trend import Trend

Array = NDArray[Any]
Layers = list[tuple[Array, Array]]

_MOST_WEIGHTS = 10**8  # of a network; they take 0.8 GB, and training takes many times that
_MOST_NUMBERS = 5 * 10**8  # weights of a swarm; they take 4 GB
_ROWS = 2048  # rows times particles computed at a time, so that the arrays of a pass stay in the cache
_VARIANCE: dict[str, Callable[[int, int], float]] = {
    "glorot": lambda fan_in, fan_out: 2.0 / (fan_in + fan_out),  # Glorot and Bengio 2010, eq. 16
    "he": lambda fan_in, fan_out: 2.0 / fan_in,  # He et al. 2015, eq. 10
    "lecun": lambda fan_in, fan_out: 1.0 / fan_in,  # LeCun et al. 1998, section 4.6
}


class Network:
    """A fully connected feed-forward network, to whose outputs a polynomial trend may be added.

    Args:
        sizes: units of each layer, inputs first and outputs last.
        activations: one name or `swarmnet.Activation` for all hidden layers, with a linear output layer; or
            one for each layer (hidden layers and output).
        trend: the polynomial terms; they need a linear output layer.

    Raises:
        SwarmnetError: a size is not a positive whole number, an activation is unknown or missing, or the
            trend does not fit.

    Example:
        >>> net = Network((2, 3, 1), "sigmoid")
        >>> net.size
        13
        >>> net.jacobian(np.ones(net.size), [[1.0, 1.0]]).shape
        (1, 1, 2)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activations: str | Activation | Sequence[str | Activation] = "tanh",
        trend: Trend | None = None,
    ) -> None:
        self.sizes, self.trend = _whole_sizes(sizes), trend
        count = len(self.sizes) - 1
        if isinstance(activations, str | Activation):
            named: list[str | Activation] = [activations] * (count - 1) + [LINEAR]
        else:
            named = list(activations)
        if len(named) != count:
            raise SwarmnetError(
                f"{len(named)} activations for {count} layers: give one name for the hidden layers, "
                "or one for each layer with the output layer last"
            )
        self.activations = tuple(activation(name) for name in named)
        if trend is not None and len(trend.centre) != self.d:
            raise SwarmnetError(f"a trend of {len(trend.centre)} inputs for a network of {self.d}")
        if trend is not None and self.activations[-1] is not LINEAR:
            raise SwarmnetError("a trend needs a linear output layer")
        self.layers = self._lay_out()
        self.size = self.layers[-1].stop
        if self.size > _MOST_WEIGHTS:
            raise SwarmnetError(f"{self.size:,} weights are too many: {_MOST_WEIGHTS:,} are the most")

    def _lay_out(self) -> tuple[Layer, ...]:
        layers, start = list[Layer](), 0
        for fan_in, fan_out, act in zip(self.sizes[:-1], self.sizes[1:], self.activations, strict=True):
            is_last = len(layers) == len(self.sizes) - 2
            layers.append(Layer(start, fan_in, fan_out, act, self.terms if is_last else 0))
            start = layers[-1].stop
        return tuple(layers)

    @classmethod
    def from_layers(
        cls,
        layers: Sequence[tuple[ArrayLike, ArrayLike]],
        activations: str | Activation | Sequence[str | Activation] = "tanh",
    ) -> tuple["Network", Array]:
        """Return the network with the given weights, and its theta.

        Args:
            layers: for each layer W (fan_in, fan_out) and b (fan_out,).
        """
        arrays = [(np.atleast_2d(np.asarray(W, float)), np.asarray(b, float)) for W, b in layers]
        if not arrays:
            raise SwarmnetError("a network needs at least one layer of weights")
        net = cls([arrays[0][0].shape[0], *(W.shape[1] for W, _ in arrays)], activations)
        return net, net.flatten(arrays)

    def __repr__(self) -> str:
        names = ", ".join(a.name for a in self.activations)
        trend = "" if self.trend is None else f", trend of degree {self.trend.degree}"
        return f"Network({'-'.join(map(str, self.sizes))}, {names}{trend}, {self.size} weights)"

    @property
    def d(self) -> int:
        """Number of inputs."""
        return self.sizes[0]

    @property
    def k(self) -> int:
        """Number of outputs."""
        return self.sizes[-1]

    @property
    def architecture(self) -> str:
        """The layers' sizes and the trend in words, such as "2-16-1 + degree 3"."""
        sizes = "-".join(map(str, self.sizes))
        return sizes if self.trend is None else f"{sizes} + degree {self.trend.degree}"

    @property
    def terms(self) -> int:
        """Number of the trend's terms."""
        return 0 if self.trend is None else len(self.trend)

    def need_third(self) -> None:
        """Refuse activations without f''', which the gradients of second derivatives by theta contain.

        Raises:
            SwarmnetError: an `Activation` has no `third`.
        """
        for record in self.activations:
            if record.third is None:
                raise SwarmnetError(
                    f"the activation {record.name!r} has no third derivative, which fits to second "
                    "derivatives need: give Activation(..., third=...), a function of z, a, s, c and out"
                )

    @property
    def weight_groups(self) -> Array:
        """Return the group of each weight, (p,).

        The W of a layer are one, and so are its b. Then follows one for each degree of the trend's terms.
        """
        group = np.zeros(self.size, int)
        for index, layer in enumerate(self.layers):
            block = layer.weights(group)
            block[:-1], block[-1] = 2 * index, 2 * index + 1
        if self.trend is not None:
            _, degree = np.unique(self.trend.degrees, return_inverse=True)
            self.layers[-1].coefficients(group)[...] = (2 * len(self.layers) + degree)[:, None]
        return group

    def init(self, rng: np.random.Generator, particles: int | None = None) -> Array:
        """Return random initial weights: theta (p,), or (particles, p).

        W is normal with the variance for the layer's activation (Glorot, He or LeCun). Hidden biases are
        normal with variance 1/4, so that the units of a layer are nonlinear at different places: with inputs
        of unit variance, a narrow layer then covers the whole input range from the start. Output biases are
        0. The trend's coefficients are normal with variance 1 / terms.

        Raises:
            SwarmnetError: the swarm would take several gigabytes.
        """
        if (particles or 1) * self.size > _MOST_NUMBERS:
            raise SwarmnetError(
                f"{particles:,} particles of {self.size:,} weights are too many: "
                f"{_MOST_NUMBERS:,} weights in all are the most"
            )
        lead = () if particles is None else (particles,)
        theta = np.zeros((*lead, self.size))
        for layer in self.layers:
            block = layer.weights(theta)
            variance = _VARIANCE[layer.activation.init](layer.fan_in, layer.fan_out)
            shape = (*lead, layer.fan_in, layer.fan_out)
            block[..., :-1, :] = rng.normal(0.0, np.sqrt(variance), shape)
            if layer is not self.layers[-1]:
                block[..., -1, :] = rng.normal(0.0, 0.5, (*lead, layer.fan_out))
            if layer.terms:
                shape = (*lead, layer.terms, layer.fan_out)
                layer.coefficients(theta)[...] = rng.normal(0.0, layer.terms**-0.5, shape)
        return theta

    def flatten(
        self, layers: Sequence[tuple[ArrayLike, ArrayLike]], coefficients: ArrayLike | None = None
    ) -> Array:
        """Return theta (p,), or (s, p) for a swarm, from [(W, b), ...]: the inverse of `unflatten`.

        Args:
            layers: W (..., fan_in, fan_out) and b (..., fan_out) of each layer.
            coefficients: of the trend (..., terms, k).

        Raises:
            SwarmnetError: the shapes are not this network's.
        """
        if len(layers) != len(self.layers):
            raise SwarmnetError(f"{len(layers)} layers of weights for {len(self.layers)} layers")
        parts = []
        for number, (layer, (W, b)) in enumerate(zip(self.layers, layers, strict=True), start=1):
            weights, bias = np.asarray(W, float), np.asarray(b, float)
            lead = bias.shape[:-1]
            wanted = (*lead, layer.fan_in, layer.fan_out), (*lead, layer.fan_out)
            if (weights.shape, bias.shape) != wanted or len(lead) > 1:
                raise SwarmnetError(
                    f"layer {number} needs W {(layer.fan_in, layer.fan_out)} and b {(layer.fan_out,)}, "
                    f"not {weights.shape} and {bias.shape}"
                )
            parts += [weights.reshape(*lead, -1), bias]
        if self.trend is not None:
            trend = np.asarray([[]] if coefficients is None else coefficients, float)
            if trend.shape[-2:] != (self.terms, self.k):
                raise SwarmnetError(f"the trend needs coefficients {(self.terms, self.k)}, not {trend.shape}")
            parts.append(trend.reshape(*trend.shape[:-2], -1))
        if len({part.shape[:-1] for part in parts}) > 1:
            raise SwarmnetError("the layers' weights are of different numbers of particles")
        return np.concatenate(parts, axis=-1)

    def unflatten(self, theta: ArrayLike) -> Layers:
        """Return [(W, b), ...] as views of theta: W (..., fan_in, fan_out) and b (..., fan_out)."""
        blocks = [layer.weights(self._theta(theta)) for layer in self.layers]
        return [(block[..., :-1, :], block[..., -1, :]) for block in blocks]

    def coefficients(self, theta: ArrayLike) -> Array:
        """Return the trend's coefficients as a view of theta: (..., terms, k)."""
        return self.layers[-1].coefficients(self._theta(theta))

    def passes(self, theta: Array, inputs: Array, order: int = 0) -> Passes:
        """Return the passes at inputs (d, rows), with derivatives of the activations up to `order`."""
        return Passes(self.layers, theta, inputs, order, self.trend)

    def forward(self, theta: ArrayLike, X: ArrayLike) -> Array:
        """Return the outputs (n, k), or (s, n, k) for a swarm, at X (n, d)."""
        weights, points = self._theta(theta), self._points(X)
        out = np.empty((*weights.shape[:-1], len(points), self.k))
        for out_tile, passes in self._passes(weights, points, out, 0):
            out_tile[...] = passes.A[-1].swapaxes(-1, -2)
        return out

    def jacobian(self, theta: ArrayLike, X: ArrayLike) -> Array:
        """Return J (n, k, d), J[i, o, j] = dY_o/dx_j at row i, or (s, n, k, d) for a swarm."""
        weights, points = self._theta(theta), self._points(X)
        out = np.empty((*weights.shape[:-1], len(points), self.k, self.d))
        for out_tile, passes in self._passes(weights, points, out, 1):
            if self.k <= self.d:
                for o in range(self.k):
                    out_tile[..., o, :] = passes.pullback(unit(self.k, o))[0].swapaxes(-1, -2)
            else:
                for j in range(self.d):
                    out_tile[..., j] = passes.tangent(unit(self.d, j))[0][-1].swapaxes(-1, -2)
        return out

    def pullback(self, theta: ArrayLike, X: ArrayLike, V: ArrayLike) -> Array:
        """Return the gradient (n, d), or (s, n, d), of V . Y with respect to X, for V (n, k)."""
        weights, points = self._theta(theta), self._points(X)
        cotangents = np.asarray(V, dtype=np.float64)
        if cotangents.shape != (len(points), self.k):
            raise SwarmnetError(f"V must be ({len(points)}, {self.k}), not {cotangents.shape}")
        passes = self.passes(weights, points.T, 1)
        return np.asarray(passes.pullback(cotangents.T)[0].swapaxes(-1, -2))

    def hessian(self, theta: ArrayLike, X: ArrayLike) -> Array:
        """Return H (n, k, d, d), H[i, o, j, m] = d2Y_o/dx_j dx_m at row i, or (s, n, k, d, d) for a swarm.

        H_o = sum over layers l and units u of (dY_o/dA_lu) f''(z_lu) grad z_lu grad z_lu^T. This takes one
        tangent pass per input and one pullback per output, instead of d^2 second derivatives in each layer.
        """
        weights, points = self._theta(theta), self._points(X)
        out = np.zeros((*weights.shape[:-1], len(points), self.k, self.d, self.d))
        for out_tile, passes in self._passes(weights, points, out, 2):
            tangents = [passes.tangent(unit(self.d, j))[1] for j in range(self.d)]
            for o in range(self.k):
                G = passes.pullback(unit(self.k, o))
                for index, C in enumerate(passes.C):
                    _add_outer(G[index + 1] * C, [U[index] for U in tangents], out_tile[..., o, :, :])
            if self.trend is not None:
                out_tile += passes.trend_hessian(self.trend)
        return out

    def _passes(self, theta: Array, points: Array, out: Array, order: int) -> Iterator[tuple[Array, Passes]]:
        """Yield views of out with the passes for their particles and rows, in blocks of bounded memory."""
        step = max(64, _ROWS // (1 + order * (self.d if order > 1 else 1)))
        for start in range(0, len(points), step):
            rows = slice(start, start + step)
            inputs = np.ascontiguousarray(points[rows].T)
            if theta.ndim == 1:
                yield out[rows], self.passes(theta, inputs, order)
                continue
            block = max(1, _ROWS // inputs.shape[1])
            for first in range(0, len(theta), block):
                particles = slice(first, first + block)
                yield out[particles, rows], self.passes(theta[particles], inputs, order)

    def _theta(self, theta: ArrayLike) -> Array:
        weights = np.asarray(theta, dtype=np.float64)
        if weights.ndim not in (1, 2) or weights.shape[-1] != self.size:
            raise SwarmnetError(
                f"theta must be ({self.size},) or (particles, {self.size}) for {self!r}, not {weights.shape}"
            )
        return weights

    def _points(self, X: ArrayLike) -> Array:
        points = np.asarray(X, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.d:
            raise SwarmnetError(f"X must be (rows, {self.d}), not {points.shape}")
        return points


def unit(size: int, number: int) -> Array:
    """Return (size, 1): the direction along one input, or the cotangent of one output."""
    direction = np.zeros((size, 1))
    direction[number] = 1.0
    return direction


def _add_outer(bend: Array, U: Sequence[Array], out: Array) -> None:
    """Add the sum over units of bend U_j U_m to out (..., rows, d, d)."""
    for j, first in enumerate(U):
        weighted = bend * first
        for m, second in enumerate(U[: j + 1]):
            term = (weighted * second).sum(axis=-2)
            out[..., j, m] += term
            if m != j:
                out[..., m, j] += term


def _whole_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    try:
        whole = tuple(int(size) for size in sizes)
        same = all(w == s for w, s in zip(whole, sizes, strict=True))
    except (TypeError, ValueError, OverflowError):
        whole, same = (), False
    if not same or len(whole) < 2 or min(whole) < 1:
        raise SwarmnetError(
            f"layer sizes must be two or more positive whole numbers, inputs first, not {sizes!r}"
        )
    return whole
