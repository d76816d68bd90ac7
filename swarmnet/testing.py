"""Checks of derivatives against finite differences, for activations, networks and objectives.

Each check returns the largest relative error that it found. If an error exceeds `rtol`, it raises
AssertionError with the worst entry. The numeric derivative is a sixth-order central difference, computed with
several steps. For each entry, the step is chosen where the results of two neighbouring steps agree best:
large steps have a truncation error, small ones a rounding error, and the best step differs between entries.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swarmnet.network.activations import Activation, activation
from swarmnet.network.network import Network

__all__ = ["check_activation", "check_gradient", "check_hessian", "check_jacobian"]

Array = NDArray[Any]

_STENCIL = ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))  # f'(0) = sum of c (f(jh) - f(-jh)) / h + O(h^6)
_STEPS = 0.25 / 4.0 ** np.arange(11)  # the smallest ones fit between the kinks of a ReLU
_SMALL = 1e-3  # errors of entries below this share of the largest are relative to that share
_ROUNDING = 1e-7  # the same for derivatives below this share of the function's size
_FAR = 700.0  # largest |z| of a unit in a swarm: exp(z) does not overflow yet
_SYMBOLS = ("f", "f'", "f''", "f'''")  # of the functions of an activation
_FUNCTIONS = ("value", "slope", "curvature", "third")
_MOST = 200  # maximum number of directions along which a gradient is checked


class Differentiable(Protocol):
    """The protocol that `check_gradient` needs; `swarmnet.Objective` implements it."""

    def loss(self, swarm: ArrayLike) -> Array:
        """Return the losses (s,) of a swarm (s, p)."""

    def loss_and_gradient(
        self, theta: ArrayLike, rows: NDArray[np.intp] | None = None
    ) -> tuple[float, Array]:
        """Return the loss at theta (p,) and its gradient (p,), of all rows or of a minibatch."""


def check_activation(
    record: str | Activation, *, rtol: float = 1e-7, kinks: Sequence[float] = (0.0,)
) -> float:
    """Check f', f'' and, where it is given, f''' of an activation, and the properties its record declares.

    Each is compared with differences of the one before, for z from -8 to 8. The check also makes sure that
    the functions change no argument but `out`, that all are finite and give no warning at z = -700 and 700,
    and that the derivatives of a record with `in_place` do not read z.

    Args:
        record: an activation, or its name in the table.
        rtol: the largest relative error that passes.
        kinks: points where f' jumps; a record with `smooth=False` is not checked near them.

    Returns:
        The largest relative error.

    Raises:
        AssertionError: a derivative is wrong or a property does not hold; the message says where and by how
            much.
        SwarmnetError: the name is not in the table.

    Example:
        >>> cube = Activation(
        ...     "cube",
        ...     value=lambda z, out: np.power(z, 3, out=out),
        ...     slope=lambda z, a, out: np.multiply(3 * z, z, out=out),
        ...     curvature=lambda z, a, s, out: np.multiply(z, 6.0, out=out),
        ...     third=lambda z, a, s, c, out: out.fill(6.0),
        ... )
        >>> check_activation(cube) < 1e-7
        True
    """
    record = activation(record)
    z = np.linspace(-8.0, 8.0, 321)
    if not record.smooth:
        away = np.abs(z[:, None] - np.asarray(kinks, dtype=np.float64)).min(1) > 1e-3
        z = z[away]
    _check_far(record)
    _check_only_reads(record, z)
    if record.in_place:
        _check_in_place(record, z)
    parts = _evaluate(record, z)

    def along(order: int, h: float) -> Array:
        return _evaluate(record, z + h)[order]

    return max(
        _compare(
            f"{record.name}: {_SYMBOLS[order]} at z",
            parts[order],
            *_difference(partial(along, order - 1)),
            rtol,
            labels=z,
        )
        for order in range(1, len(parts))
    )


def check_jacobian(net: Network, theta: ArrayLike, X: ArrayLike, *, rtol: float = 1e-7) -> float:
    """Check `net.jacobian` against differences of `net.forward`.

    Args:
        net: the network.
        theta: (p,) weights, or (s, p) a swarm's.
        X: (n, d) points.
        rtol: the largest relative error that passes.

    Returns:
        The largest relative error.

    Raises:
        AssertionError: an entry is wrong; the message names it as jacobian[row, output, input].
        SwarmnetError: theta or X does not fit the network.

    Example:
        >>> net = Network((2, 5, 1), "tanh")
        >>> theta = net.init(np.random.default_rng(0))
        >>> check_jacobian(net, theta, [[0.1, -0.4], [1.5, 0.3]]) < 1e-7
        True
    """
    return _check_along_inputs("jacobian", net.forward, net.jacobian(theta, X), theta, X, rtol)


def check_hessian(net: Network, theta: ArrayLike, X: ArrayLike, *, rtol: float = 1e-7) -> float:
    """Check `net.hessian` against differences of `net.jacobian`, which `check_jacobian` checks.

    Arguments, result and errors are those of `check_jacobian`; the message names an entry as
    hessian[row, output, input, input].

    Example:
        >>> net = Network((2, 5, 1), "tanh")
        >>> theta = net.init(np.random.default_rng(0))
        >>> check_hessian(net, theta, [[0.1, -0.4], [1.5, 0.3]]) < 1e-7
        True
    """
    return _check_along_inputs("hessian", net.jacobian, net.hessian(theta, X), theta, X, rtol)


def check_gradient(
    objective: Differentiable,
    theta: ArrayLike,
    rows: NDArray[np.intp] | None = None,
    *,
    rtol: float = 1e-6,
    rng: np.random.Generator | None = None,
) -> float:
    """Check the gradient of a loss against differences of the loss, of all rows or of a minibatch.

    Every weight is checked. For more than 200 weights, 200 random directions are checked instead.

    Args:
        objective: an `Objective` in float64, or an object with the same `loss` and `loss_and_gradient`.
        theta: (p,) weights.
        rows: indices of a minibatch's rows; all rows by default.
        rtol: the largest relative error that passes.
        rng: generator of the random directions; by default they are the same in each call.

    Returns:
        The largest relative error.

    Raises:
        AssertionError: the gradient is wrong, or `loss` and `loss_and_gradient` return different losses;
            the message names the weight or the direction.

    Example:
        >>> from swarmnet.data.mixed_data import MixedData
        >>> from swarmnet.objective.objective import Objective
        >>> data = MixedData([[0.0], [1.0]], Y=[[1.0], [np.nan]], J=[[[np.nan]], [[2.0]]])
        >>> objective = Objective(Network((1, 3, 1)), data, l2=0.1)
        >>> check_gradient(objective, objective.initial(np.random.default_rng(0))) < 1e-6
        True
    """
    weights = np.asarray(theta, dtype=np.float64)
    loss, gradient = objective.loss_and_gradient(weights, rows)
    if np.shape(gradient) != weights.shape:
        raise AssertionError(f"the gradient is {np.shape(gradient)}, theta {weights.shape}")
    every = weights.size <= _MOST
    directions = np.eye(weights.size) if every else _directions(weights.size, rng)

    def along(h: float) -> Array:
        swarm = weights + h * directions
        if rows is None:
            return np.asarray(objective.loss(swarm), dtype=np.float64)
        return np.array([objective.loss_and_gradient(particle, rows)[0] for particle in swarm])

    _compare("loss of swarm", np.full(1, loss), along(0.0)[:1], abs(loss), rtol)
    what = "gradient" if every else "gradient along random direction"
    return _compare(what, directions @ gradient, *_difference(along), rtol)


def _check_along_inputs(
    what: str,
    function: Callable[[ArrayLike, Array], Array],
    analytic: Array,
    theta: ArrayLike,
    X: ArrayLike,
    rtol: float,
) -> float:
    """Compare the last axis of `analytic` with differences of `function` along each input."""
    points = np.asarray(X, dtype=np.float64)
    columns, sizes = [], []

    def along(step: Array, h: float) -> Array:
        return function(theta, points + h * step)

    for unit in np.eye(points.shape[1]):
        # Steps are relative to the size of a large input, so that rounding does not hide them.
        scale = max(1.0, float(np.abs(points @ unit).max(initial=0.0)))
        numeric, size = _difference(partial(along, scale * unit))
        columns.append(numeric / scale)
        sizes.append(size / scale)
    return _compare(what, analytic, np.stack(columns, axis=-1), max(sizes), rtol)


def _difference(function: Callable[[float], Array]) -> tuple[Array, float]:
    """Return the derivative of `function` at 0 for each entry, and the size of the function itself."""
    quotients = np.array([_quotient(function, float(step)) for step in _STEPS])
    size = _largest(function(0.0))
    # Results of small steps may agree by chance, because rounding leaves them few digits.
    rounding = np.finfo(np.float64).eps * size / _STEPS[1:]
    with np.errstate(invalid="ignore"):  # inf - inf
        doubt = np.abs(np.diff(quotients, axis=0).T) + rounding
    best = np.argmin(np.where(np.isnan(doubt), np.inf, doubt), axis=-1).T
    numeric = np.take_along_axis(quotients[1:], best[None], axis=0)[0]
    return numeric, size


def _quotient(function: Callable[[float], Array], step: float) -> Array:
    with np.errstate(invalid="ignore"):  # inf - inf: a non-finite result is reported as an error
        terms = [c * (function(j * step) - function(-j * step)) for j, c in _STENCIL]
    return np.asarray(sum(terms) / step)


def _largest(array: Array) -> float:
    """Return the largest magnitude of finite entries; others must not hide which entry is wrong."""
    return float(np.abs(array).max(where=np.isfinite(array), initial=0.0))


def _compare(
    what: str, analytic: Array, numeric: Array, size: float, rtol: float, labels: Array | None = None
) -> float:
    """Return the largest error, relative to its entry or, for a small entry, to `floor`."""
    if analytic.shape != numeric.shape:
        raise AssertionError(f"{what}: the shape is {analytic.shape}, not {numeric.shape}")
    if numeric.size == 0:
        return 0.0
    floor = max(_SMALL * _largest(numeric), _ROUNDING * size)
    scale = np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), floor)
    with np.errstate(invalid="ignore"):  # inf / inf
        error = np.abs(analytic - numeric) / np.where(scale == 0, 1.0, scale)
    error = np.where(np.isnan(error), np.inf, error)
    worst = np.unravel_index(int(np.argmax(error)), error.shape)
    if error[worst] > rtol:
        at = ", ".join(map(str, worst)) if labels is None else f"{labels[worst]:.6g}"
        raise AssertionError(
            f"{what}[{at}]: analytic {analytic[worst]:.12g}, numeric {numeric[worst]:.12g}, "
            f"relative error {error[worst]:.3g} where {rtol:.3g} is allowed"
        )
    return float(error[worst])


def _directions(p: int, rng: np.random.Generator | None) -> Array:
    """Return (_MOST, p) random directions of unit length."""
    directions = (rng or np.random.default_rng(0)).normal(size=(_MOST, p))
    return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))


def _evaluate(record: Activation, z: Array) -> list[Array]:
    """Return f, f', f'' and, where it is given, f''' at z."""
    parts = list[Array]()
    for name in _FUNCTIONS[: 3 if record.third is None else 4]:
        out = np.empty_like(z)
        getattr(record, name)(z, *parts, out)
        parts.append(out)
    return parts


def _check_far(record: Activation) -> None:
    where = f"at z = -{_FAR:g} or {_FAR:g}"
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            far = _evaluate(record, np.array([-_FAR, _FAR]))
    except FloatingPointError as error:
        raise AssertionError(f"{record.name}: {error} {where}") from None
    for name, values in zip(_SYMBOLS, far, strict=False):
        if not np.isfinite(values).all():
            raise AssertionError(f"{record.name}: {name} is not finite {where}")


def _check_only_reads(record: Activation, z: Array) -> None:
    """The functions share their arguments, so none may change what the next one reads."""
    parts = _evaluate(record, z)
    for order, name in enumerate(_FUNCTIONS[: len(parts)]):
        arguments = [z, *parts[:order]]
        copies = [argument.copy() for argument in arguments]
        getattr(record, name)(*copies, np.empty_like(z))
        if not all(map(np.array_equal, copies, arguments)):
            raise AssertionError(f"{record.name}: {name} changes an argument other than out")


def _check_in_place(record: Activation, z: Array) -> None:
    """With `in_place`, a overwrites z: `value` must allow that, and the others must not read z."""
    parts, over = _evaluate(record, z), z.copy()
    record.value(over, over)
    for order, name in enumerate(_FUNCTIONS[: len(parts)]):
        found = over if order == 0 else np.empty_like(z)
        if order > 0:
            getattr(record, name)(np.full_like(z, np.nan), *parts[:order], found)
        if not np.array_equal(found, parts[order]):
            raise AssertionError(f"{record.name}: in_place is set, but {name} needs z")
