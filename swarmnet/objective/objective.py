"""Objective: the mixed loss of a network on MixedData, and the sums over rows that trainers need.

    loss = mean over value entries of ((y - target) / sigma)^2
         + derivative_weight * mean over derivative entries of ((dy/dx - target) / sigma)^2
         + l2 * |W|^2

with sigma 1 where none is given, and means weighted by the row weights. `RowSums` objects compute the sums
over rows, wherever these are. This module makes losses, gradients and normal equations from the sums.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from swarmnet.data.dataset import Dataset, is_dataset
from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.floating_point import far_out, float_type
from swarmnet.linalg import mirror
from swarmnet.network.activations import LINEAR
from swarmnet.network.network import Network
from swarmnet.objective.noise_groups import EntryWeights, Groups
from swarmnet.objective.row_source import Batch, RowSums, Source, Terms
from swarmnet.objective.row_sums import HeldRows
from swarmnet.objective.value_losses import CROSS_ENTROPY, LOSSES, SQUARED, value_loss
from swarmnet.objective.variable_projection import LinearSystems
from swarmnet.threads import one_blas_thread

Array = NDArray[Any]

# Default. Test errors of lbfgs in 12 fits of datasets/ are x 0.95 with 0, 1.2 with 1e-6 and 2.7 with 1e-4.
L2 = 1e-8
# Fewest linear entries of an output that is solved for beside nonlinear formulas. Median errors of 3 fits
# against swarms over all weights: with one x 1 to 8, with three x 0.2 to 1.06, with eight x 0.2 to 0.6.
_LINEAR_ENTRIES = 3


class Objective:
    """The mixed loss over theta. The data are used as they are, without scaling.

    Args:
        net: the network.
        data: MixedData with as many inputs and outputs as the network.
        loss: "squared", or "cross-entropy" for values (sigmoid outputs, targets from 0 to 1).
        derivative_weight: weight of the derivatives' mean relative to the values' mean; None means 1, and
            that a trainer may estimate it.
        l2: weight of the sum of squares of all W and of the trend's coefficients (not b); None means 1e-8,
            and that a trainer may estimate it.
        dtype: "float64", or "float32" to evaluate swarms faster and less exactly.
        threads: number of threads; by default all that the process may use.
        measured: the same rows with only those sigmas that are measurements, not scales; `data` by default.

    Raises:
        SwarmnetError: the network and the data do not fit, or an argument is out of range.
    """

    def __init__(
        self,
        net: Network,
        data: MixedData | Source,
        *,
        loss: str = "squared",
        derivative_weight: float | None = 1.0,
        l2: float | None = 0.0,
        dtype: DTypeLike = "float64",
        threads: int | None = None,
        measured: MixedData | None = None,
    ) -> None:
        self.net, self.l2 = net, _at_least_0("l2", L2 if l2 is None else l2)
        self.estimates_l2, self.estimates_balance = l2 is None, derivative_weight is None
        self._value_loss = value_loss(loss)
        known = data.data if isinstance(data, Source) else data
        _refuse_misfit(net, known, loss)
        derivative_weight = _at_least_0(
            "derivative_weight", 1.0 if derivative_weight is None else derivative_weight
        )
        self.balance = derivative_weight
        values, partials = known.total_weights
        self._weights = EntryWeights(1.0 / (values or 1.0), derivative_weight / (partials or 1.0))
        self._dtype = float_type(dtype)
        quantities = data.preparation.quantities(known) if isinstance(data, Source) else known.quantities
        bent = [q for q, quantity in enumerate(quantities) if not quantity.is_linear]
        self._bent = float(known.statistics.Q.count[bent].sum()) if bent else 0.0
        self._linear = known.n_entries - self._bent
        if any(quantity.order == 2 for quantity in quantities):
            net.need_third()
        terms = Terms(net, self._value_loss, self._weights, self._dtype, quantities)
        self._rows: RowSums
        if isinstance(data, Source):
            self._rows = data.rows(terms, threads)
        else:
            self._rows = HeldRows.of(terms, data, measured or data, threads)
        self.n_rows = self._rows.n
        self.groups = Groups(net.k, net.d, self._rows.group_sums)
        self._candidates: Sequence[Objective] = ()
        self.number = 0  # among the candidates
        self._is_weight = _weight_mask(net)

    @property
    def candidates(self) -> "Sequence[Objective]":
        """Objectives of the candidate networks for the same data, including this one."""
        # Not stored, because a reference cycle would keep its rows in memory
        return self._candidates or (self,)

    @candidates.setter
    def candidates(self, candidates: "Sequence[Objective]") -> None:
        self._candidates = candidates
        for number, candidate in enumerate(candidates):
            candidate.number = number

    @property
    def size(self) -> int:
        """The number of weights in theta, p."""
        return self.net.size

    @property
    def layers(self) -> int:
        """The number of layers."""
        return len(self.net.layers)

    @property
    def hidden_size(self) -> int:
        """How many of theta's first weights belong to hidden layers, before the output layer."""
        return self.net.layers[-1].start

    @property
    def threads(self) -> int:
        """The number of threads that share the work."""
        return self._rows.threads

    def single_threaded(self) -> "Objective":
        """Return the same objective on one thread, for use at the same time as this one."""
        single = copy.copy(self)
        single._rows = self._rows.single_threaded()
        return single

    @property
    def unit_precision(self) -> Array:
        """(groups,) factor of each group's sum of squares in the loss."""
        return np.where(self.groups.is_partial, self._weights.partial, self._weights.value)

    @property
    def weight_groups(self) -> Array:
        """Return the number of each weight's prior, (p,), see `Network.weight_groups`."""
        return self.net.weight_groups

    @property
    def penalised(self) -> Array:
        """(p,) 1 for weights in W and in the trend, 0 for those in b."""
        return self._is_weight

    @property
    def can_linearise(self) -> bool:
        """Whether residuals and their gradients are available, as they are for the squared loss."""
        return self._value_loss == SQUARED

    @property
    def can_project(self) -> bool:
        """Whether `projected` gives the best output layer: a linear one, the squared loss and entries."""
        return output_is_solvable(self.net, self._value_loss) and not self._bent

    @property
    def can_project_start(self) -> bool:
        """Whether `projected` is available: enough entries are linear in the output layer to begin with."""
        enough = not self._bent or self._linear >= _LINEAR_ENTRIES * self.net.k
        return output_is_solvable(self.net, self._value_loss) and enough

    def initial(self, rng: np.random.Generator, particles: int | None = None) -> Array:
        """Return random weights from the network's initialiser: (p,), or (particles, p)."""
        return self.net.init(rng, particles)

    def loss(self, swarm: ArrayLike) -> Array:
        """Return the loss of each particle: (s,) for a swarm (s, p), a scalar for theta (p,)."""
        theta = self._weight_array(np.atleast_2d(swarm), ("particles", self.size))
        (total,) = self._rows.total(HeldRows.losses, theta)
        with far_out():
            total += self.l2 * self._square_weights(theta)
        total[~np.isfinite(theta).all(1)] = np.nan  # tanh(inf) is 1, but an infinite weight must not win
        return total if np.ndim(swarm) == 2 else total[0]

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield minibatches of at most `size` rows for `loss_and_gradient`: all rows once, shuffled."""
        return self._rows.batches(size, rng)

    def loss_and_gradient(self, theta: ArrayLike, rows: Batch | None = None) -> tuple[float, Array]:
        """Return the loss at theta (p,) and its gradient (p,).

        With `rows`, a minibatch: the sums over those rows times n / len(rows), whose expectation over random
        rows is the full loss. l2 is not scaled.
        """
        weights = self._weight_array(theta, (self.size,))
        if rows is not None and np.asarray(rows).dtype == bool:
            rows = np.flatnonzero(rows)
        (total,) = self._some(rows).total(HeldRows.gradient, weights)
        with far_out():
            if rows is not None:
                total *= self.n_rows / len(rows)
            penalised = weights * self._is_weight
            # Not a dot product: for many weights BLAS would use all its threads.
            loss = float(total[0] + self.l2 * np.add.reduce(penalised * penalised))
            return loss, 2.0 * (total[1:] + self.l2 * penalised)

    @one_blas_thread()
    def normal_equations(self, theta: ArrayLike) -> tuple[float, Array, Array]:
        """Return the loss at theta (p,) as a sum of squared residuals r'r, with J'r (p,) and J'J (p, p).

        J holds each residual's gradient; only some entries' gradients are in memory at a time. The loss's
        gradient is 2 J'r, and 2 J'J is its Gauss-Newton Hessian. l2 counts as a residual sqrt(l2) w of each
        weight.

        Raises:
            SwarmnetError: the loss is not squared.
        """
        unit = self.unit_precision
        squares, Jr, JJ = self.gauss_newton(theta, unit)
        penalised = np.asarray(theta, dtype=np.float64) * self._is_weight
        JJ[np.diag_indices(self.size)] += self.l2 * self._is_weight
        loss = float(unit @ squares + self.l2 * (penalised @ penalised))
        return loss, Jr + self.l2 * penalised, JJ

    def gauss_newton(
        self, theta: ArrayLike, precision: Array, rows: Batch | None = None
    ) -> tuple[Array, Array, Array]:
        """Return sums over the residuals r = (prediction - target) / sigma by groups (see `groups`).

        Args:
            theta: (p,) weights.
            precision: (groups,) factor of each group's squared residuals in J'r and J'J.
            rows: indices of the rows; all rows by default.

        Returns:
            each group's sum of squares (groups,), without precision; J'r (p,) and J'J (p, p), with precision.

        Raises:
            SwarmnetError: the loss is not squared.
        """
        weights = self._residual_weights(theta)
        squares, Jr, JJ = self._some(rows).total(HeldRows.normal, weights, precision)
        mirror(JJ)
        return squares, Jr, JJ

    def leverages(self, theta: ArrayLike, precision: Array, factor: Array) -> Array:
        """Return each group's number of effective parameters (groups,): the sum of precision j' A^-1 j.

        Args:
            theta: (p,) weights.
            precision: (groups,) as in `gauss_newton`.
            factor: (p, p) lower Cholesky factor of A.
        """
        weights = self._residual_weights(theta)
        return self._rows.total(HeldRows.leverages, weights, precision, np.asfortranarray(factor))[0]

    def bends(self, theta: ArrayLike, step: Array, precision: Array) -> Array:
        """Return J'r'' (p,), with r'' the second derivatives of the residuals along a step from theta.

        Args:
            theta: (p,) weights.
            step: (p,).
            precision: (groups,) as in `gauss_newton`.
        """
        return self._rows.total(HeldRows.bends, self._residual_weights(theta), step, precision)[0]

    def residual_jacobian(
        self, theta: ArrayLike, precision: Array | None = None
    ) -> tuple[Array, Array, Array]:
        """Return all residuals (entries,), gradients (entries, p) and groups (entries,), for few entries.

        Residuals and gradients are multiplied by the root of their group's precision (groups,), 1 by default.

        Raises:
            SwarmnetError: the loss is not squared.
        """
        factors = np.ones(len(self.groups.count)) if precision is None else precision
        r, J, group = self._rows.joined(HeldRows.residuals, self._residual_weights(theta), factors)
        return r, J, group

    def group_squares(self, theta: ArrayLike) -> Array:
        """Return each group's sum of squared residuals (groups,).

        Raises:
            SwarmnetError: the loss is not squared.
        """
        return self._rows.total(HeldRows.squares, self._residual_weights(theta))[0]

    def _some(self, rows: Batch | None) -> RowSums:
        if rows is None:
            return self._rows
        if len(rows) == 0:
            raise SwarmnetError("a minibatch needs at least one of the rows")
        return self._rows.some(rows)

    def _residual_weights(self, theta: ArrayLike) -> Array:
        if not self.can_linearise:
            raise SwarmnetError("normal equations need the squared loss: use another trainer")
        return self._weight_array(theta, (self.size,), np.float64)

    @one_blas_thread()
    def projected(self, hidden_swarm: ArrayLike, ridge: float = 1e-9) -> tuple[Array, Array]:
        """Return the best linear output layer for each particle's hidden layers, and the loss there.

        Values and partials are linear in the output layer's weights w. So the best w solves
        (G + r I) w = g with the Gram sums G of the last hidden activations, or of their derivatives
        (Golub and Pereyra 1973; for values and derivatives in one system, Balasundaram and Kapil 2011).
        Formulas that are not linear in values and derivatives count in the loss, but not for w.

        Args:
            hidden_swarm: (s, hidden_size) weights of the hidden layers.
            ridge: r relative to the mean of G's diagonal; it bounds w if G is nearly singular.

        Returns:
            (s,) losses, equal to `loss` except for rounding, and (s, p - hidden_size) output weights.

        Raises:
            SwarmnetError: the output layer is not linear, or the loss is not squared, or too few entries
                are linear in values and derivatives.
        """
        if not self.can_project_start:
            raise SwarmnetError(
                "only a linear output layer with the squared loss and linear formulas can be solved for: "
                "use another trainer, or a linear output"
            )
        hidden = self._weight_array(hidden_swarm, ("particles", self.hidden_size))
        theta = np.zeros((len(hidden), self.size), self._dtype)
        theta[:, : self.hidden_size] = hidden
        units, grams = self.net.sizes[-2] + 1 + self.net.terms, 1 if self._rows.one_gram else self.net.k
        sums, squares = self._rows.total(HeldRows.grams, theta, grams)
        systems = LinearSystems.of_sums(sums, squares, self.net.k, units)
        with far_out():
            if len(self.groups.quantities):
                systems = systems.joined().plus(*self._rows.total(HeldRows.quantity_grams, theta))
            output, loss = systems.solved(self.l2, self._is_weight[self.hidden_size :], ridge)
            if self._bent:
                theta[:, self.hidden_size :] = output
                loss = np.nan_to_num(self.loss(theta), nan=np.inf)
            else:
                loss += self.l2 * self._square_weights(theta)
        loss[~np.isfinite(theta).all(1)] = np.inf
        return loss, output

    def _square_weights(self, theta: Array) -> Array:
        if self.l2 == 0.0:
            return np.zeros(len(theta))
        penalised = theta * self._is_weight
        squares: Array = np.einsum("sp,sp->s", penalised, penalised, dtype=np.float64)
        return squares

    def _weight_array(
        self, weights: ArrayLike, shape: tuple[int | str, ...], dtype: DTypeLike | None = None
    ) -> Array:
        """Return `weights` in the dtype of the sums; a text in `shape` stands for any length."""
        if (
            isinstance(weights, np.ndarray)
            and weights.dtype == (dtype or self._dtype)
            and weights.flags.carray
        ):
            array = weights
        else:
            with far_out():  # float32 has a smaller range
                # Read-only arrays would compile the kernels again.
                array = np.require(weights, dtype or self._dtype, ["C", "W"])
        if np.ndim(weights) != len(shape) or array.shape[-1] != shape[-1]:
            wanted = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
            raise SwarmnetError(f"the weights must be {wanted} for {self.net!r}, not {np.shape(weights)}")
        return array


def output_is_solvable(net: Network, loss: int) -> bool:
    """Return whether the best output layer solves a linear problem: it is linear, and the loss squared."""
    return net.activations[-1] is LINEAR and loss == SQUARED


def _weight_mask(net: Network) -> Array:
    mask = np.zeros(net.size)
    for layer in net.layers:
        layer.weights(mask)[:-1] = 1.0
    net.layers[-1].coefficients(mask)[...] = 1.0
    return mask


def _at_least_0(name: str, value: float) -> float:
    if not (np.isfinite(value) and value >= 0):
        raise SwarmnetError(f"{name} must be a number of 0 or more, not {value}")
    return float(value)


def _refuse_misfit(net: Network, data: Dataset, loss: str) -> None:
    if not is_dataset(data):
        raise SwarmnetError(
            f"data must be MixedData, not {type(data).__name__!r}: MixedData.from_frame takes tables"
        )
    if (net.d, net.k) != (data.d, data.k):
        raise SwarmnetError(f"{net!r} has {net.d} inputs and {net.k} outputs, the data {data.d} and {data.k}")
    if LOSSES[loss] == CROSS_ENTROPY:
        if net.activations[-1].name != "sigmoid":
            raise SwarmnetError("cross-entropy needs sigmoid outputs: give the output layer 'sigmoid'")
        if (data.statistics.Y.low < 0).any() or (data.statistics.Y.high > 1).any():
            raise SwarmnetError("cross-entropy needs targets from 0 to 1: use the squared loss")
