"""The same sums by naive NumPy, JAX and torch.func, as their users would write them.

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
from swarmnet import MixedData, Network

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


def naive_loss(net: Network, data: MixedData, swarm: np.ndarray) -> Timed:
    """Every particle in turn, the full Jacobian of every row by einsum, NaN left out at the end."""

    def one(theta: np.ndarray) -> float:
        a, D = data.X, np.broadcast_to(np.eye(data.d), (data.n, data.d, data.d))
        layers = net.unflatten(theta)
        for W, b in layers[:-1]:
            a = np.tanh(a @ W + b)
            D = np.einsum("njd,nj->njd", np.einsum("nid,ij->njd", D, W), 1 - a * a)
        W, b = layers[-1]
        loss = np.nanmean((a @ W + b - data.Y) ** 2)
        if data.n_derivatives:
            loss += np.nanmean((np.einsum("nid,ij->njd", D, W) - data.J) ** 2)
        return float(loss)

    return lambda: [one(theta) for theta in swarm]


def naive_gradient_cost(net: Network, data: MixedData, swarm: np.ndarray) -> Timed:
    """The least that forward differences cost: one loss, once a weight; measured on a few weights."""
    return naive_loss(net, data, swarm[:1])


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

    def gradient(self, theta: np.ndarray) -> Timed:
        t = jnp.asarray(theta.astype(self.dtype))
        both = jax.jit(jax.value_and_grad(self._loss))
        return lambda: both(t)[1].block_until_ready()

    def normal_equations(self, theta: np.ndarray) -> Timed:
        t = jnp.asarray(theta.astype(self.dtype))

        def residuals(theta: Any) -> Any:
            value, partial = self._residuals(theta)
            return jnp.concatenate([value.ravel(), partial.ravel()])

        @jax.jit
        def normal(theta: Any) -> Any:
            J = jax.jacfwd(residuals)(theta)
            return J.T @ J, J.T @ residuals(theta)

        return lambda: normal(t)[0].block_until_ready()

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
    """torch.func: vmap over the particles, and grad."""

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

    def loss(self, swarm: np.ndarray) -> Timed:
        S = torch.from_numpy(swarm).to(self.arrays["X"].dtype)
        over_swarm = torch.func.vmap(self._loss)

        def timed() -> Any:
            with torch.no_grad():
                return over_swarm(S)

        return timed

    def gradient(self, theta: np.ndarray) -> Timed:
        t = torch.from_numpy(theta).to(self.arrays["X"].dtype)
        both = torch.func.grad_and_value(self._loss)
        return lambda: both(t)
