"""Activation functions: f, f', f'' and f''' of each, and the table of them.

The functions of an `Activation` write into `out`, so that the inner loops allocate nothing. f' is given z and
a = f(z), f'' is given s = f'(z) as well, and f''' also c = f''(z), because most derivatives are cheap in
terms of a, s and c.

A new built-in activation is one `BuiltIn` more in the table, with its scalar functions for the kernels in
`swarmnet.objective.kernels.scalars`. Its formulas are text that means the same in Python and in JavaScript:
from it come the exported Python module and ONNX graph, and the report's script. They may use numbers such as
1.0, z, a and s, + - * / and >, and exp, expm1, log1p, sin, cos, tanh, abs, max and
gate(z) = 1 / (1 + exp(-z)). For gelu there are the normal distribution(z), its density(z) and
moment(z) = z density(z); Python and ONNX, which take no f'', do without the density.

`swarmnet.testing.check_activation` checks derivatives.
"""

import re
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
    """One activation: value(z, out), slope(z, a, out), curvature(z, a, s, out), third(z, a, s, c, out).

    Args:
        name: what it is called in files and options.
        value: writes a = f(z).
        slope: writes s = f'(z), may use a.
        curvature: writes f''(z), may use a and s.
        init: "glorot", "he" or "lecun": the variance of the initial weights of the layer it closes.
        smooth: False where f'' misses part of f (ReLU): partial derivatives are then fitted by
            the slopes alone, and the place of the kinks gets no gradient from them.
        in_place: slope, curvature and third never read z, so that a may overwrite it.
        third: writes f'''(z), may use a, s and c. Only fits to second derivatives need it.
    """

    name: str
    value: Callable[[Array, Array], object]
    slope: Callable[[Array, Array, Array], object]
    curvature: Callable[[Array, Array, Array, Array], object]
    init: str = "glorot"
    smooth: bool = True
    in_place: bool = False
    third: Callable[[Array, Array, Array, Array, Array], object] | None = None

    @property
    def built_in(self) -> bool:
        """Whether it is in the table, so that its name stands for it."""
        return TABLE.get(self.name) is self

    def __reduce__(self) -> tuple[Any, ...]:
        # A built-in one travels by name, so that it stays the same object wherever it is unpickled.
        if self.built_in:
            return activation, (self.name,)
        return Activation, tuple(getattr(self, field.name) for field in fields(Activation))


@dataclass(frozen=True, kw_only=True)
class BuiltIn(Activation):
    """One of the table.

    Args:
        formulas: f, f' and f'' of z, a and s, as the module's docstring describes them.
        written: the same as one would check them by hand, and f''', of z, A, S and C.
        onnx_slope: f' for ONNX, where `formulas` would keep few digits of float32's or need what ONNX does
            not have; it may use rest(z) = 1 - gate(z), to all digits.
    """

    formulas: tuple[str, str, str]
    written: tuple[str, str, str, str]
    onnx_slope: str


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


def _sigmoid_third(z: Array, a: Array, s: Array, c: Array, out: Array) -> None:
    np.multiply(s, -6.0, out=out)
    out += 1.0
    out *= s


def _tanh_slope(z: Array, a: Array, out: Array) -> None:
    np.multiply(a, a, out)
    np.subtract(1.0, out, out)


def _tanh_curvature(z: Array, a: Array, s: Array, out: Array) -> None:
    np.multiply(a, s, out)
    out *= -2.0


def _tanh_third(z: Array, a: Array, s: Array, c: Array, out: Array) -> None:
    np.multiply(s, -6.0, out=out)
    out += 4.0
    out *= s


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


def _softplus_third(z: Array, a: Array, s: Array, c: Array, out: Array) -> None:
    np.multiply(s, -2.0, out=out)
    out += 1.0
    out *= c


def _gate(z: Array) -> Array:
    gate = np.empty_like(z)
    _sigmoid(z, gate)
    return gate


def _silu(z: Array, out: Array) -> None:
    np.multiply(z, _gate(z), out=out)


def _silu_slope(z: Array, a: Array, out: Array) -> None:
    # g + z g (1 - g), with g = sigmoid(z)
    _sigmoid(z, out)
    rest = np.subtract(1.0, out)
    rest *= a
    out += rest


def _silu_curvature(z: Array, a: Array, s: Array, out: Array) -> None:
    # g (1 - g) (2 + z (1 - 2 g)), with g = sigmoid(z)
    gate = _gate(z)
    np.multiply(gate, -2.0, out=out)
    out += 1.0
    out *= z
    out += 2.0
    out *= gate
    np.subtract(1.0, gate, out=gate)
    out *= gate


def _silu_third(z: Array, a: Array, s: Array, c: Array, out: Array) -> None:
    # q (3 (1 - 2 g) + z (1 - 6 q)), with g = sigmoid(z) and q = g (1 - g)
    gate = _gate(z)
    _sigmoid_slope(z, gate, out)
    rest = np.multiply(out, -6.0)
    rest += 1.0
    rest *= z
    rest += 3.0 * (1.0 - 2.0 * gate)
    out *= rest


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


def _gelu_third(z: Array, a: Array, s: Array, c: Array, out: Array) -> None:
    # z phi(z) (z^2 - 4)
    near = np.clip(z, -_FLAT, _FLAT)
    np.multiply(near, near, out=out)
    out -= 4.0
    out *= near
    out *= _normal_density(near)


def _built_in(
    name: str,
    f: str,
    slope: str,
    curvature: str,
    *,
    functions: tuple[Callable[..., object], Callable[..., object], Callable[..., object]],
    third: Callable[..., object],
    written: tuple[str, str, str, str],
    init: str = "glorot",
    smooth: bool = True,
    onnx_slope: str = "",
) -> BuiltIn:
    """A record of the table; `functions` are f, f' and f'' in NumPy, and `third` is f'''."""
    return BuiltIn(
        name,
        *functions,
        init,
        smooth,
        in_place=not re.search(r"\bz\b", f"{slope} {curvature}"),
        third=third,
        formulas=(f, slope, curvature),
        written=written,
        onnx_slope=onnx_slope or slope,
    )


TABLE: dict[str, BuiltIn] = {
    record.name: record
    for record in (
        _built_in(
            "sigmoid",
            "gate(z)",
            "a - a * a",
            "(1.0 - 2.0 * a) * s",
            written=("1 / (1 + exp(-z))", "A * (1 - A)", "S * (1 - 2 * A)", "S * (1 - 6 * S)"),
            functions=(_sigmoid, _sigmoid_slope, _sigmoid_curvature),
            third=_sigmoid_third,
            onnx_slope="a * rest(z)",
        ),
        _built_in(
            "tanh",
            "tanh(z)",
            "1.0 - a * a",
            "-2.0 * a * s",
            written=("tanh(z)", "1 - A^2", "-2 * A * S", "S * (4 - 6 * S)"),
            functions=(np.tanh, _tanh_slope, _tanh_curvature),
            third=_tanh_third,
            onnx_slope="exp(-2.0 * abs(z)) * 4.0 / ((1.0 + exp(-2.0 * abs(z))) * (1.0 + exp(-2.0 * abs(z))))",
        ),
        _built_in(
            "softplus",
            "max(z, 0.0) + log1p(exp(-abs(z)))",  # log(1 + exp(z)), never overflows
            "-expm1(-a)",
            "exp(-a) * s",
            written=("log(1 + exp(z))", "1 / (1 + exp(-z))", "S * (1 - S)", "C * (1 - 2 * S)"),
            functions=(_softplus, _softplus_slope, _softplus_curvature),
            third=_softplus_third,
            init="he",
            onnx_slope="gate(z)",
        ),
        _built_in(
            "sine",
            "sin(z)",
            "cos(z)",
            "-a",
            written=("sin(z)", "cos(z)", "-A", "-S"),
            functions=(
                np.sin,
                lambda z, a, out: np.cos(z, out=out),
                lambda z, a, s, out: np.negative(a, out=out),
            ),
            third=lambda z, a, s, c, out: np.negative(s, out=out),
            init="lecun",
        ),
        _built_in(
            "silu",
            "z * gate(z)",
            "gate(z) + a * (1.0 - gate(z))",
            "gate(z) * (1.0 - gate(z)) * (2.0 + z * (1.0 - 2.0 * gate(z)))",
            written=(
                "z * sigmoid(z)",
                "sigmoid(z) + A * (1 - sigmoid(z))",
                "sigmoid(z) * (1 - sigmoid(z)) * (2 + z * (1 - 2 * sigmoid(z)))",
                "sigmoid(z) * (1 - sigmoid(z)) * "
                "(3 - 6 * sigmoid(z) + z * (1 - 6 * sigmoid(z) * (1 - sigmoid(z))))",
            ),
            functions=(_silu, _silu_slope, _silu_curvature),
            third=_silu_third,
            init="he",
            onnx_slope="gate(z) + a * rest(z)",
        ),
        _built_in(
            "gelu",
            "z * distribution(z)",
            "distribution(z) + moment(z)",
            "(2.0 - z * z) * density(z)",
            written=("z * Phi(z)", "Phi(z) + z * phi(z)", "phi(z) * (2 - z^2)", "z * phi(z) * (z^2 - 4)"),
            functions=(_gelu, _gelu_slope, _gelu_curvature),
            third=_gelu_third,
            init="he",
        ),
        _built_in(
            "relu",
            "max(z, 0.0)",
            "a > 0.0",
            "0.0",
            written=("max(z, 0)", "(z > 0)", "0", "0"),
            functions=(
                lambda z, out: np.maximum(z, 0.0, out=out),
                lambda z, a, out: np.greater(a, 0.0, out=out, casting="unsafe"),
                lambda z, a, s, out: out.fill(0.0),
            ),
            third=lambda z, a, s, c, out: out.fill(0.0),
            init="he",
            smooth=False,
        ),
        _built_in(
            "linear",
            "z",
            "1.0",
            "0.0",
            written=("z", "1", "0", "0"),
            functions=(
                lambda z, out: None if out is z else np.copyto(out, z),
                lambda z, a, out: out.fill(1.0),
                lambda z, a, s, out: out.fill(0.0),
            ),
            third=lambda z, a, s, c, out: out.fill(0.0),
            init="lecun",
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
