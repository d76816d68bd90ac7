"""What several test modules share: a fixed seed, and an independent reference for derivatives."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from tests.activation_formulas import FORMULAS

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


@pytest.fixture
def loud() -> Iterator[None]:
    """Any overflow or invalid operation is an error, wherever it happens on this thread."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield


class JaxReference:
    """A network in a few lines of JAX, which knows nothing of the package's own formulas."""

    def __init__(self, jax: Any) -> None:
        self.jax = jax
        in_jax = SimpleNamespace(**vars(jax.numpy), erf=jax.scipy.special.erf)
        self.functions = {name: partial(f, in_jax) for name, (f, _) in FORMULAS.items()}

    def forward(self, names: Sequence[str], layers: Sequence[tuple[Any, Any]], x: Any) -> Any:
        """(k,) outputs of one row (d,), `layers` being [(W, b), ...]."""
        for name, (W, b) in zip(names, layers, strict=True):
            x = self.functions[name](x @ W + b)
        return x

    def derivatives(self, names: Sequence[str]) -> Callable[[Any, Any], tuple[Any, Any, Any]]:
        """A compiled function of (layers, X (n, d)): Y (n, k), J (n, k, d) and H (n, k, d, d)."""
        jax = self.jax

        def all_three(layers: Any, X: Any) -> tuple[Any, Any, Any]:
            def one(x: Any) -> Any:
                return self.forward(names, layers, x)

            jacobian = jax.jacfwd(one)
            return jax.vmap(one)(X), jax.vmap(jacobian)(X), jax.vmap(jax.jacfwd(jacobian))(X)

        compiled: Callable[[Any, Any], tuple[Any, Any, Any]] = jax.jit(all_three)
        return compiled

    def gradients(self, net: Any) -> Callable[[Any, Any], Any]:
        """A compiled function of (theta, X): Y and J, and then their gradients (n, k, p) and (n, k, d, p)."""
        jax, names = self.jax, [act.name for act in net.activations]
        shapes = list(zip(net.sizes[:-1], net.sizes[1:], strict=True))

        def both(theta: Any, x: Any) -> tuple[Any, Any]:
            layers, start = [], 0
            for fan_in, fan_out in shapes:
                stop = start + fan_in * fan_out
                W, b = theta[start:stop].reshape(fan_in, fan_out), theta[stop : stop + fan_out]
                layers.append((W, b))
                start = stop + fan_out

            def one(point: Any) -> Any:
                return self.forward(names, layers, point)

            return one(x), jax.jacfwd(one)(x)

        def all_four(theta: Any, X: Any) -> Any:
            def rows(function: Any) -> Any:
                return jax.vmap(function, (None, 0))(theta, X)

            return *rows(both), *rows(jax.jacfwd(both))

        compiled: Callable[[Any, Any], Any] = jax.jit(all_four)
        return compiled


@pytest.fixture(scope="session")
def reference() -> JaxReference:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")  # compiling is all that takes time
        jax = pytest.importorskip("jax")
        jax.config.update("jax_enable_x64", True)
        jax.devices()  # which reads the flags
    return JaxReference(jax)
