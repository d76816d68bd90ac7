"""The same sums by JAX and torch.func, as their users would write them.

Rows with a value go through a forward pass, rows with one partial through one Jacobian-vector product along
their input, rows with all partials through one vector-Jacobian product an output.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.problems import Shape
from swarmnet import MixedData

jax.config.update("jax_enable_x64", True)

Timed = Callable[[], Any]


class Rows:
    """The rows of each kind, as dense arrays of one dtype."""

    def __init__(self, data: MixedData, kind: str, dtype: str) -> None:
        values = np.isfinite(data.Y).all(1)
        single = ~values
        self.kind, self.n_values = kind, data.n_values
        self.n_partials = max(1, data.n_derivatives)
        self.X, self.Y = data.X[values].astype(dtype), data.Y[values].astype(dtype)
        self.J = data.J[values].astype(dtype)
        self.Xs = data.X[single].astype(dtype)
        row, output, into = np.nonzero(np.isfinite(data.J[single]))
        self.V = np.zeros_like(self.Xs)
        self.V[row, into] = 1.0
        self.output = output
        self.T = data.J[single][row, output, into].astype(dtype)


class Jax:
    """jit of vmap and of lax.map over the particles; compiled before it is timed."""

    def __init__(self, shape: Shape, data: MixedData, dtype: str) -> None:
        self.rows = Rows(data, shape.kind, dtype)
        self.arrays = {
            name: jnp.asarray(getattr(self.rows, name)) for name in ("X", "Y", "J", "Xs", "V", "T")
        }
        self.output = jnp.asarray(self.rows.output)
        self.sizes = shape.sizes
        self.dtype = dtype

    def _hidden(self, theta: Any, X: Any) -> Any:
        start, a = 0, X
        for fan_in, fan_out in zip(self.sizes[:-2], self.sizes[1:-1], strict=True):
            W = theta[start : start + fan_in * fan_out].reshape(fan_in, fan_out)
            start += fan_in * fan_out
            a = jnp.tanh(a @ W + theta[start : start + fan_out])
            start += fan_out
        return a

    def _forward(self, theta: Any, X: Any) -> Any:
        h, k = self.sizes[-2:]
        start = len(theta) - (h + 1) * k
        W, b = theta[start : start + h * k].reshape(h, k), theta[start + h * k :]
        return self._hidden(theta, X) @ W + b

    def _residuals(self, theta: Any) -> tuple[Any, Any]:
        r, A = self.rows, self.arrays
        if r.kind == "full":
            y, pull = jax.vjp(lambda X: self._forward(theta, X), A["X"])
            units = jnp.eye(self.sizes[-1], dtype=self.dtype)
            J = jnp.stack([pull(jnp.broadcast_to(e, y.shape))[0] for e in units], axis=1)
            return y - A["Y"], J - A["J"]
        y = self._forward(theta, A["X"])
        if r.kind == "values":
            return y - A["Y"], jnp.zeros(0, self.dtype)
        _, slope = jax.jvp(lambda X: self._forward(theta, X), (A["Xs"],), (A["V"],))
        return y - A["Y"], slope[jnp.arange(len(slope)), self.output] - A["T"]

    def _loss(self, theta: Any) -> Any:
        value, partial = self._residuals(theta)
        return jnp.sum(value**2) / self.rows.n_values + jnp.sum(partial**2) / self.rows.n_partials

    def loss(self, swarm: np.ndarray) -> dict[str, Timed]:
        S = jnp.asarray(swarm.astype(self.dtype))
        vmap = jax.jit(jax.vmap(self._loss))
        one_by_one = jax.jit(lambda S: jax.lax.map(self._loss, S))
        return {
            "vmap": lambda: vmap(S).block_until_ready(),
            "map": lambda: one_by_one(S).block_until_ready(),
        }

    def gradient(self, theta: np.ndarray) -> dict[str, Timed]:
        t = jnp.asarray(theta.astype(self.dtype))
        both = jax.jit(jax.value_and_grad(self._loss))
        return {"value_and_grad": lambda: both(t)[1].block_until_ready()}

    def normal_equations(self, theta: np.ndarray) -> dict[str, Timed]:
        """The Jacobian by reverse mode row by row: forward mode would go through the rows once a weight."""
        t = jnp.asarray(theta.astype(self.dtype))

        @jax.jit
        def normal(theta: Any) -> Any:
            r, J = self._joined(theta), self._row_jacobians(theta)
            return J.T @ J, J.T @ r

        return {"jacrev": lambda: normal(t)[0].block_until_ready()}

    def _joined(self, theta: Any) -> Any:
        """All residuals, those of one row side by side."""
        value, partial = self._residuals(theta)
        if self.rows.kind == "full":
            return jnp.concatenate([value, partial.reshape(len(value), -1)], axis=1).ravel()
        return jnp.concatenate([value.ravel(), partial])

    def _row_jacobians(self, theta: Any) -> Any:
        """The residuals' Jacobian, in the order of `_joined`."""

        def value(theta: Any, x: Any) -> Any:
            return self._forward(theta, x)

        def full(theta: Any, x: Any) -> Any:
            y, pull = jax.vjp(lambda X: self._forward(theta, X), x)
            return jnp.concatenate([y, jax.vmap(pull)(jnp.eye(len(y), dtype=y.dtype))[0].ravel()])

        def slope(theta: Any, x: Any, v: Any, output: Any) -> Any:
            return jax.jvp(lambda X: self._forward(theta, X), (x,), (v,))[1][output]

        A, p = self.arrays, len(theta)
        rows = full if self.rows.kind == "full" else value
        J = jax.vmap(jax.jacrev(rows), (None, 0))(theta, A["X"]).reshape(-1, p)
        if self.rows.kind != "single":
            return J
        slopes = jax.vmap(jax.grad(slope), (None, 0, 0, 0))(theta, A["Xs"], A["V"], self.output)
        return jnp.concatenate([J, slopes])

    def projected(self, swarm: np.ndarray) -> dict[str, Timed]:
        S = jnp.asarray(swarm.astype(self.dtype))
        r, A = self.rows, self.arrays

        def ones_below(a: Any) -> Any:
            return jnp.concatenate([a, jnp.ones((len(a), 1), a.dtype)], axis=1)

        def one(theta: Any) -> Any:
            phi = ones_below(self._hidden(theta, A["X"]))
            G, g = phi.T @ phi / r.n_values, phi.T @ A["Y"] / r.n_values
            if r.kind == "single":
                _, D = jax.jvp(lambda X: self._hidden(theta, X), (A["Xs"],), (A["V"],))
                D = jnp.concatenate([D, jnp.zeros((len(D), 1), D.dtype)], axis=1)
                picked = jax.nn.one_hot(self.output, self.sizes[-1], dtype=D.dtype)
                G = G + D.T @ D / r.n_partials
                g = g + D.T @ (picked * A["T"][:, None]) / r.n_partials
            if r.kind == "full":
                for j in range(self.sizes[0]):
                    V = jnp.zeros_like(A["X"]).at[:, j].set(1.0)
                    _, D = jax.jvp(lambda X: self._hidden(theta, X), (A["X"],), (V,))
                    D = jnp.concatenate([D, jnp.zeros((len(D), 1), D.dtype)], axis=1)
                    G = G + D.T @ D / r.n_partials
                    g = g + D.T @ A["J"][:, :, j] / r.n_partials
            return jnp.linalg.solve(G + 1e-6 * jnp.eye(len(G), dtype=G.dtype), g)

        vmap = jax.jit(jax.vmap(one))
        one_by_one = jax.jit(lambda S: jax.lax.map(one, S))
        return {
            "vmap": lambda: vmap(S).block_until_ready(),
            "map": lambda: one_by_one(S).block_until_ready(),
        }


class Torch:
    """torch.func's gradient."""

    def __init__(self, shape: Shape, data: MixedData, dtype: str) -> None:
        self.rows = Rows(data, shape.kind, dtype)
        self.arrays = {
            name: torch.from_numpy(getattr(self.rows, name)) for name in ("X", "Y", "J", "Xs", "V", "T")
        }
        self.picked = torch.nn.functional.one_hot(torch.from_numpy(self.rows.output), shape.sizes[-1]).to(
            self.arrays["X"].dtype
        )
        self.sizes = shape.sizes

    def _forward(self, theta: Any, X: Any) -> Any:
        start, a = 0, X
        last = len(self.sizes) - 2
        for index, (fan_in, fan_out) in enumerate(zip(self.sizes[:-1], self.sizes[1:], strict=True)):
            W = theta[start : start + fan_in * fan_out].reshape(fan_in, fan_out)
            start += fan_in * fan_out
            z = a @ W + theta[start : start + fan_out]
            start += fan_out
            a = z if index == last else torch.tanh(z)
        return a

    def _loss(self, theta: Any) -> Any:
        r, A = self.rows, self.arrays
        if r.kind == "full":
            y, pull = torch.func.vjp(lambda X: self._forward(theta, X), A["X"])
            units = torch.eye(self.sizes[-1], dtype=A["X"].dtype)
            J = torch.stack([pull(e.expand_as(y))[0] for e in units], dim=1)
            return ((y - A["Y"]) ** 2).sum() / r.n_values + ((J - A["J"]) ** 2).sum() / r.n_partials
        loss = ((self._forward(theta, A["X"]) - A["Y"]) ** 2).sum() / r.n_values
        if r.kind == "values":
            return loss
        _, slope = torch.func.jvp(lambda X: self._forward(theta, X), (A["Xs"],), (A["V"],))
        residual = (slope * self.picked).sum(1) - A["T"]
        return loss + (residual**2).sum() / r.n_partials

    def gradient(self, theta: np.ndarray) -> Timed:
        t = torch.from_numpy(theta).to(self.arrays["X"].dtype)
        both = torch.func.grad_and_value(self._loss)
        return lambda: both(t)
