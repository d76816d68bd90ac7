"""Each activation's f and f' written out once more, apart from the package; and one of a user's own.

They are given NumPy or jax.numpy, with erf besides. As functions of NumPy's complex numbers they are analytic
on either side of a kink, and have derivatives by complex steps.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.special import erf, ndtr

from swarmnet import Activation

Array = np.ndarray[Any, Any]


def _density(z: Array) -> Array:
    return np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)


# What the text of a record's formulas may use
_NAMES = {name: getattr(np, name) for name in ("exp", "expm1", "log1p", "sin", "cos", "tanh", "abs")} | {
    "max": np.maximum,
    "gate": lambda z: 1.0 / (1.0 + np.exp(-z)),
    "distribution": ndtr,
    "density": _density,
    "moment": lambda z: z * _density(z),
}


def by_formula(formula: str) -> Callable[..., None]:
    """The NumPy function of the text of a formula."""

    def write(*arrays: Array) -> None:
        np.copyto(arrays[-1], eval(formula, _NAMES, dict(zip("zas", arrays[:-1], strict=False))))

    return write


IN_NUMPY = SimpleNamespace(**vars(np), erf=erf)


def sigmoid(m: Any, z: Any) -> Any:
    return 0.5 * (1.0 + m.tanh(0.5 * z))


def normal(m: Any, z: Any) -> Any:
    return 0.5 * (1.0 + m.erf(z / np.sqrt(2.0)))


def density(m: Any, z: Any) -> Any:
    return m.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)


FORMULAS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "sigmoid": (sigmoid, lambda m, z: sigmoid(m, z) * (1.0 - sigmoid(m, z))),
    "tanh": (lambda m, z: m.tanh(z), lambda m, z: 1.0 - m.tanh(z) ** 2),
    "softplus": (lambda m, z: m.log1p(m.exp(z)), sigmoid),
    "sine": (lambda m, z: m.sin(z), lambda m, z: m.cos(z)),
    "silu": (
        lambda m, z: z * sigmoid(m, z),
        lambda m, z: sigmoid(m, z) * (1.0 + z * (1.0 - sigmoid(m, z))),
    ),
    "gelu": (lambda m, z: z * normal(m, z), lambda m, z: normal(m, z) + z * density(m, z)),
    "relu": (lambda m, z: z * (z.real > 0), lambda m, z: (z.real > 0) + 0j),
    "linear": (lambda m, z: z, lambda m, z: m.ones_like(z)),
}


def softsign(z: Array, out: Array) -> None:
    out[...] = z / (1.0 + np.abs(z))


def softsign_slope(z: Array, a: Array, out: Array) -> None:
    out[...] = (1.0 + np.abs(z)) ** -2.0


def softsign_curvature(z: Array, a: Array, s: Array, out: Array) -> None:
    out[...] = -2.0 * np.sign(z) * (1.0 + np.abs(z)) ** -3.0


OWN = Activation("softsign", softsign, softsign_slope, softsign_curvature)
