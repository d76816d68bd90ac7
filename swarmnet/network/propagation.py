"""Passes through a network in plain NumPy: the reference for the compiled kernels.

For layer l with weights W, b and activation f, and A_0 = x:

    forward    z_l = W^T A_(l-1) + b,   A_l = f(z_l),   S_l = f'(z_l),   C_l = f''(z_l)
    tangent    U_l = W^T T_(l-1),       T_l = S_l U_l       (T_0 = v: T_L is the derivative along v)
    pullback   G_(l-1) = W (S_l G_l)                        (G_L = v: G_0 is the gradient of v . y)
    backward   of an output's derivative along v, from its cotangents T'_l of the tangents and A'_l of the
               activations: U'_l = S_l T'_l,   z'_l = S_l A'_l + C_l U_l T'_l,
               W' = A_(l-1) z'_l^T + T_(l-1) U'_l^T,   b' = z'_l,   A'_(l-1) = W z'_l,   T'_(l-1) = W U'_l

The backward pass is double backpropagation (Drucker and Le Cun 1992). For an output itself, T' = 0 and A'_L
is its cotangent. Arrays are (units, rows), with a leading axis of particles if theta has one.

A trend adds C^T phi(x) to the outputs, with phi in `trend` and coefficients C (terms, outputs).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.network.activations import Activation
from swarmnet.network.trend import Trend

Array = NDArray[Any]


@dataclass(frozen=True)
class Layer:
    """The position of a layer's weights in theta.

    theta[start:stop] is W (fan_in, fan_out), b (fan_out,) and, in the last layer, the coefficients of the
    trend (terms, fan_out).
    """

    start: int
    fan_in: int
    fan_out: int
    activation: Activation
    terms: int = 0

    @property
    def stop(self) -> int:
        """The end of the weights in theta."""
        return self.start + (self.fan_in + 1 + self.terms) * self.fan_out

    @property
    def bias(self) -> slice:
        """The position of b in theta."""
        first = self.start + self.fan_in * self.fan_out
        return slice(first, first + self.fan_out)

    def weights(self, theta: Array) -> Array:
        """Return W stacked on b as a view of theta (p,) or (s, p): (..., fan_in + 1, fan_out)."""
        return self._all(theta)[..., : self.fan_in + 1, :]

    def coefficients(self, theta: Array) -> Array:
        """Return the trend's coefficients as a view of theta (p,) or (s, p): (..., terms, fan_out)."""
        return self._all(theta)[..., self.fan_in + 1 :, :]

    def _all(self, theta: Array) -> Array:
        block = theta[..., self.start : self.stop]
        return block.reshape(*block.shape[:-1], self.fan_in + 1 + self.terms, self.fan_out)


class Passes:
    """A forward pass, whose results the tangent and backward passes use.

    Args:
        layers: the network's layers.
        theta: (p,), or (s, p) for a swarm.
        inputs: (d, rows).
        order: highest derivative of the activations that is computed: 0, 1 or 2.
        trend: the terms that are added to the outputs.

    Attributes:
        A: the inputs and each layer's activations; S and C: each layer's f'(z) and f''(z).
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        theta: Array,
        inputs: Array,
        order: int = 0,
        trend: Trend | None = None,
    ) -> None:
        self._W = [layer.weights(theta)[..., :-1, :] for layer in layers]
        self.A, self.S, self.C = [inputs], list[Array](), list[Array]()
        for layer, W in zip(layers, self._W, strict=True):
            z = W.swapaxes(-1, -2) @ self.A[-1]
            z += layer.weights(theta)[..., -1, :, None]
            a = np.empty_like(z)
            layer.activation.value(z.copy(), a)
            self.A.append(a)
            if order >= 1:
                self.S.append(np.empty_like(z))
                layer.activation.slope(z, a, self.S[-1])
            if order >= 2:
                self.C.append(np.empty_like(z))
                layer.activation.curvature(z, a, self.S[-1], self.C[-1])
        self._trend = None if trend is None else trend.jets(inputs, min(order, 1))
        if self._trend is not None:
            self._coefficients = layers[-1].coefficients(theta)
            self.A[-1] += self._coefficients.swapaxes(-1, -2) @ self._trend[0]

    def tangent(self, direction: Array) -> tuple[list[Array], list[Array]]:
        """Return T_1 to T_L and U_1 to U_L along a direction (d, rows) or (d, 1)."""
        T, U = [direction], list[Array]()
        for W, S in zip(self._W, self.S, strict=True):
            U.append(W.swapaxes(-1, -2) @ T[-1])
            T.append(S * U[-1])
        if self._trend is not None:
            T[-1] = T[-1] + self._coefficients.swapaxes(-1, -2) @ self._along(direction)
        return T[1:], U

    def _along(self, direction: Array) -> Array:
        """Return the derivatives (terms, rows) of the trend's terms along a direction (d, rows) or (d, 1)."""
        assert self._trend is not None
        return np.asarray((self._trend[1] * direction).sum(1))

    def pullback(self, cotangent: Array) -> list[Array]:
        """Return G_0 (..., d, rows) to G_L for a cotangent (k, rows) or (k, 1)."""
        G = [cotangent]
        for W, S in zip(reversed(self._W), reversed(self.S), strict=True):
            G.append(W @ (S * G[-1]))
        if self._trend is not None:
            terms = self._coefficients @ np.broadcast_to(cotangent, self.A[-1].shape[-2:])
            G[-1] = G[-1] + np.einsum("...tr,tdr->...dr", terms, self._trend[1])
        return G[::-1]

    def trend_hessian(self, trend: Trend) -> Array:
        """Return the trend's part of the outputs' Hessians, (..., rows, k, d, d)."""
        bends = trend.jets(self.A[0], 2)[2]
        return np.asarray(np.einsum("...to,tijn->...noij", self._coefficients, bends))

    def weight_gradients(self, output: int, direction: Array | None = None) -> Array:
        """Return (p, rows): the gradient by theta of an output, or of its derivative along a direction."""
        rows, layers = self.A[0].shape[-1], len(self._W)
        A_bar, T_bar = np.zeros((2, *self.A[-1].shape))
        if direction is None:
            T, U = [np.zeros_like(a) for a in self.A], [np.zeros_like(a) for a in self.A[1:]]
            A_bar[output] = 1.0
        else:
            T, U = self.tangent(direction)
            T = [np.broadcast_to(direction, self.A[0].shape), *T]
            T_bar[output] = 1.0
        blocks: list[Array] = []
        for layer in reversed(range(layers)):
            z_bar = self.S[layer] * A_bar + self.C[layer] * U[layer] * T_bar
            U_bar = self.S[layer] * T_bar
            W_bar = self.A[layer][:, None] * z_bar + T[layer][:, None] * U_bar
            blocks[:0] = [W_bar.reshape(-1, rows), z_bar]
            A_bar, T_bar = self._W[layer] @ z_bar, self._W[layer] @ U_bar
        if self._trend is not None:
            of_terms = np.zeros((len(self._trend[0]), *self.A[-1].shape))
            of_terms[:, output] = self._trend[0] if direction is None else self._along(direction)
            blocks.append(of_terms.reshape(-1, rows))
        return np.ascontiguousarray(np.concatenate(blocks))
