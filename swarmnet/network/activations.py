"""Activation functions: f, f' and f'' of each, and the table of them.

Each function writes into `out`, so that the inner loops allocate nothing. f' is given z and a = f(z), f'' is
given s = f'(z) as well, because most derivatives are cheap in terms of a and s.

A new activation is one `Activation` more; `swarmnet.testing.check_activation` checks its derivatives.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.errors import unknown

Array = NDArray[Any]

_FLAT = 40.0  # where the normal density has come to 0


@dataclass(frozen=True)
class Activation:
    """One activation: value(z, out), slope(z, a, out), curvature(z, a, s, out).

    Args:
        name: what it is called in files and options.
        value: writes a = f(z).
        slope: writes s = f'(z), may use a.
        curvature: writes f''(z), may use a and s.
        init: "glorot", "he" or "lecun": the variance of the initial weights of the layer it closes.
        smooth: False where f'' misses part of f (ReLU): partial derivatives are then fitted by
            the slopes alone, and the place of the kinks gets no gradient from them.
        in_place: slope and curvature never read z, so that a may overwrite it.
    """

    name: str
    value: Callable[[Array, Array], object]
    slope: Callable[[Array, Array, Array], object]
    curvature: Callable[[Array, Array, Array, Array], object]
    init: str = "glorot"
    smooth: bool = True
    in_place: bool = False

    @property
    def built_in(self) -> bool:
        """Whether it is in the table, so that its name stands for it."""
        return TABLE.get(self.name) is self

    def __reduce__(self) -> tuple[Any, ...]:
        # A built-in one travels by name, so that it stays the same object wherever it is unpickled.
        if self.built_in:
            return activation, (self.name,)
        return Activation, tuple(getattr(self, field.name) for field in fields(self))


def _sigmoid(z: Array, out: Array) -> None:
    # 1 / (1 + exp(-z)) keeps full relative precision in both tails; exp may overflow to inf, then 1/inf = 0.
    with np.errstate(over="ignore"):
        np.negative(z, out=out)
        np.exp(out, out=out)
    out += 1.0
    np.reciprocal(out, out=out)


def _sigmoid_slope(z: Array, a: Array, out: Array) -> None:
    np.multiply(a, a, out)
    np.subtract(a, out, out)


def _sigmoid_curvature(z: Array, a: Array, s: Array, out: Array) -> None:
    np.multiply(a, -2.0, out=out)
    out += 1.0
    out *= s


def _tanh_slope(z: Array, a: Array, out: Array) -> None:
    np.multiply(a, a, out)
    np.subtract(1.0, out, out)


def _tanh_curvature(z: Array, a: Array, s: Array, out: Array) -> None:
    np.multiply(a, s, out)
    out *= -2.0


def _softplus(z: Array, out: Array) -> None:
    # log(1 + exp(z)) = max(z, 0) + log1p(exp(-|z|)) does not overflow.
    positive = np.maximum(z, 0.0)
    np.abs(z, out=out)
    np.negative(out, out=out)
    np.exp(out, out=out)
    np.log1p(out, out=out)
    out += positive


def _softplus_slope(z: Array, a: Array, out: Array) -> None:
    # sigmoid(z) = 1 - exp(-softplus(z))
    np.negative(a, out=out)
    np.expm1(out, out=out)
    np.negative(out, out=out)


def _softplus_curvature(z: Array, a: Array, s: Array, out: Array) -> None:
    # sigmoid(z) (1 - sigmoid(z)), and 1 - sigmoid(z) = exp(-softplus(z))
    np.negative(a, out=out)
    np.exp(out, out=out)
    out *= s


def _sine_curvature(z: Array, a: Array, s: Array, out: Array) -> None:
    np.negative(a, out=out)


def _silu(z: Array, out: Array) -> None:
    gate = np.empty_like(z)
    _sigmoid(z, gate)
    np.multiply(z, gate, out=out)


def _silu_slope(z: Array, a: Array, out: Array) -> None:
    # g + z g (1 - g), with g = sigmoid(z)
    _sigmoid(z, out)
    rest = np.subtract(1.0, out)
    rest *= a
    out += rest


def _silu_curvature(z: Array, a: Array, s: Array, out: Array) -> None:
    # g (1 - g) (2 + z (1 - 2 g)), with g = sigmoid(z)
    gate = np.empty_like(z)
    _sigmoid(z, gate)
    np.multiply(gate, -2.0, out=out)
    out += 1.0
    out *= z
    out += 2.0
    out *= gate
    np.subtract(1.0, gate, out=gate)
    out *= gate


def _normal_distribution(z: Array) -> Array:
    from scipy.special import ndtr  # noqa: PLC0415  # a tenth of a second to import

    distribution: Array = ndtr(z)
    return distribution


def _normal_density(z: Array) -> Array:
    density = np.multiply(z, z)
    density *= -0.5
    np.exp(density, out=density)
    density *= 1.0 / np.sqrt(2.0 * np.pi)
    return density


def _gelu(z: Array, out: Array) -> None:
    # The exact form z Phi(z) of Hendrycks and Gimpel (2016), Phi being the normal distribution.
    np.multiply(z, _normal_distribution(z), out=out)


def _gelu_slope(z: Array, a: Array, out: Array) -> None:
    np.multiply(z, _normal_density(z), out=out)
    out += _normal_distribution(z)


def _gelu_curvature(z: Array, a: Array, s: Array, out: Array) -> None:
    # phi(z) (2 - z^2), which is 0 long before z^2 overflows
    np.clip(z, -_FLAT, _FLAT, out=out)
    np.multiply(out, out, out=out)
    np.subtract(2.0, out, out=out)
    out *= _normal_density(z)


TABLE: dict[str, Activation] = {
    record.name: record
    for record in (
        Activation("sigmoid", _sigmoid, _sigmoid_slope, _sigmoid_curvature, in_place=True),
        Activation(
            "tanh",
            np.tanh,
            _tanh_slope,
            _tanh_curvature,
            in_place=True,
        ),
        Activation("softplus", _softplus, _softplus_slope, _softplus_curvature, "he", in_place=True),
        Activation(
            "sine",
            lambda z, out: np.sin(z, out=out),
            lambda z, a, out: np.cos(z, out=out),
            _sine_curvature,
            "lecun",
        ),
        Activation("silu", _silu, _silu_slope, _silu_curvature, "he"),
        Activation("gelu", _gelu, _gelu_slope, _gelu_curvature, "he"),
        Activation(
            "relu",
            lambda z, out: np.maximum(z, 0.0, out=out),
            lambda z, a, out: np.greater(a, 0.0, out=out, casting="unsafe"),
            lambda z, a, s, out: out.fill(0.0),
            "he",
            smooth=False,
            in_place=True,
        ),
        Activation(
            "linear",
            lambda z, out: None if out is z else np.copyto(out, z),
            lambda z, a, out: out.fill(1.0),
            lambda z, a, s, out: out.fill(0.0),
            "lecun",
            in_place=True,
        ),
    )
}
LINEAR = TABLE["linear"]


def activation(name: str | Activation) -> Activation:
    """Look an activation up by name; a record of your own is taken as it is.

    Raises:
        SwarmnetError: no such name.
    """
    if isinstance(name, Activation):
        return name
    try:
        return TABLE[str(name).lower()]
    except KeyError:
        raise unknown("activation", name, TABLE) from None
