"""Inputs and outputs of which a network takes the natural logarithms, and the chain rule in both directions.

With u = ln x of such an input and v = ln y of such an output, and u = x, v = y for the others:

    dy/dx = y' v_u u',    d2y/dxdz = y' u' w' (v_uw + [ln y] v_u v_w - [x = z, ln x] v_u),

where y' = dy/dv is y = exp(v) or 1, and u' = du/dx is 1/x = exp(-u) or 1, and w' likewise.

Data are transformed row by row. A first derivative of y = exp(v) in a row with y's value is divided by it,
and so is a derivative of v. In the other rows it is the quantity exp(v) v_u u'. Other quantities are the same
formulas of the data's numbers, written in u, v and their derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import derivative_name
from swarmnet.data.dataset import Dataset
from swarmnet.data.file_data import FileData
from swarmnet.data.formulas import Call, Formula, Name, Operation, Partial
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.quantities import Quantity
from swarmnet.errors import SwarmnetError, unknown

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Logarithms:
    """For each of d inputs and k outputs, whether the network takes its logarithm."""

    inputs: tuple[bool, ...]
    outputs: tuple[bool, ...]

    @classmethod
    def of(cls, names: Sequence[str], inputs: Sequence[str], outputs: Sequence[str]) -> Logarithms:
        """Return the logarithms of these names.

        Raises:
            SwarmnetError: a name is no input and no output.
        """
        for name in names:
            if name not in (*inputs, *outputs):
                raise unknown("input or output in log", name, (*inputs, *outputs))
        return cls(*(tuple(name in names for name in own) for own in (inputs, outputs)))

    def __bool__(self) -> bool:
        """Return whether there is a logarithm."""
        return any(self.inputs + self.outputs)

    def labels(self, inputs: Sequence[str], outputs: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the names of the network's inputs and outputs, such as log(p)."""
        inner, outer = (
            [f"log({name})" if log else name for name, log in zip(names, logs, strict=True)]
            for names, logs in ((inputs, self.inputs), (outputs, self.outputs))
        )
        return inner, outer

    def reordered(self, inputs: Sequence[int], outputs: Sequence[int]) -> Logarithms:
        """Return the same for inputs and outputs in another order."""
        return Logarithms(
            tuple(self.inputs[j] for j in inputs),
            tuple(self.outputs[o] for o in outputs),
        )

    def of_inputs(self, X: Array) -> Array:
        """Return the network's inputs for X (n, d)."""
        return np.where(self.inputs, np.log(np.where(self.inputs, X, 1.0)), X)

    def inputs_of(self, logs: Array) -> Array:
        """Return X (n, d) for the network's inputs."""
        return np.where(self.inputs, np.exp(np.where(self.inputs, logs, 0.0)), logs)

    def outputs_of(self, logs: Array) -> Array:
        """Return Y (n, k) for the network's outputs."""
        return np.where(self.outputs, np.exp(np.where(self.outputs, logs, 0.0)), logs)

    def factors(self, X: Array, Y: Array) -> tuple[Array, Array]:
        """Return u' (n, d) at X (n, d) and y' (n, k) where the outputs are Y (n, k)."""
        return 1.0 / np.where(self.inputs, X, 1.0), np.where(self.outputs, Y, 1.0)

    def jacobian(self, J: Array, X: Array, Y: Array) -> Array:
        """Return dY/dX (n, k, d) at X for the partials J (n, k, d) of the network's outputs."""
        u, y = self.factors(X, Y)
        return J * u[:, None, :] * y[:, :, None]

    def hessian(self, H: Array, J: Array, X: Array, Y: Array) -> Array:
        """Return the second derivatives of Y (n, k, d, d) for H (n, k, d, d) and J (n, k, d)."""
        u, y = self.factors(X, Y)
        bends = H + np.array(self.outputs)[:, None, None] * J[:, :, :, None] * J[:, :, None, :]
        bends -= np.diag(np.array(self.inputs, float)) * J[:, :, :, None]
        return bends * u[:, None, :, None] * u[:, None, None, :] * y[:, :, None, None]

    def refuse_inputs(self, X: Array, names: Sequence[str]) -> None:
        """Refuse points X (n, d) of which an input has no logarithm.

        Raises:
            SwarmnetError: an input is 0 or negative; the message says in which row.
        """
        for name, log, numbers in zip(names, self.inputs, X.T, strict=True):
            if log:
                _refuse(name, numbers, numbers <= 0, "this model needs positive ones")

    def refuse_data(self, data: MixedData, where: Callable[[int, str], str] | None = None) -> None:
        """Refuse data of which an input or an observed value has no logarithm; rows of weight 0 do not count.

        Args:
            data: the rows.
            where: returns the name of a cell for messages, from its row and column.

        Raises:
            SwarmnetError: a number is 0 or negative; the message says in which row.
        """
        counts, numbers = data.row_weights > 0, np.concatenate([data.X, data.Y], axis=1)
        names, logs = (*data.inputs, *data.outputs), (*self.inputs, *self.outputs)
        for name, log, column in zip(names, logs, numbers.T, strict=True):
            if log:
                advice = f"correct or remove it, or leave {name!r} out of log"
                _refuse(name, column, counts & (column <= 0), advice, where)

    def checked(self, data: Dataset) -> Dataset:
        """Return the data, which `refuse_data` checks now or, if they are in files, when they are read."""
        if not self:
            return data
        if isinstance(data, FileData):
            return data.checked(self.refuse_data)
        assert data.in_memory is not None
        self.refuse_data(data.in_memory)
        return data

    def data(self, data: Dataset) -> Dataset:
        """Return the data of the network, whose inputs and outputs keep their names."""
        if not self:
            return data
        if isinstance(data, FileData):
            return data.with_quantities(self.rows, self._quantities(data))
        assert data.in_memory is not None
        return self.rows(data.in_memory)

    def rows(self, data: MixedData) -> MixedData:
        """Return rows of the network's data.

        The standard deviation of ln y is that of y divided by y. That of dy/dx divided by y contains that of
        y, if both are known.
        """
        with np.errstate(all="ignore"):
            u, y = self.factors(data.X, data.Y)
            Y = np.where(self.outputs, np.log(np.where(self.outputs, data.Y, 1.0)), data.Y)
            J = data.J / u[:, None, :] / y[:, :, None]
            Y_sigma = None if data.Y_sigma is None else data.Y_sigma / y
            J_sigma = None if data.J_sigma is None else data.J_sigma / u[:, None, :] / y[:, :, None]
            if Y_sigma is not None and J_sigma is not None:
                of_value = np.where(self.outputs, np.nan_to_num(Y_sigma), 0.0)[:, :, None]
                J_sigma = np.hypot(J_sigma, J * of_value)
        outputs = np.flatnonzero(self.outputs)
        alone = np.isnan(data.Y[:, outputs, None])
        J_given, Q_given = (
            np.full_like(target, np.nan) if sigma is None else sigma
            for target, sigma in ((data.J, data.J_sigma), (data.Q, data.Q_sigma))
        )
        slopes, slopes_sigma = (
            np.where(alone, given[:, outputs], np.nan).reshape(data.n, -1) for given in (data.J, J_given)
        )
        return replace(
            data,
            X=self.of_inputs(data.X),
            Y=Y,
            J=J,
            Y_sigma=Y_sigma,
            J_sigma=J_sigma,
            Q=np.concatenate([data.Q, slopes], axis=1),
            Q_sigma=np.concatenate([Q_given, slopes_sigma], axis=1),
            quantities=self._quantities(data),
            units={},
        )

    def quantity(self, quantity: Quantity) -> Quantity:
        """Return a quantity of the data's numbers as one of the network's, with the same values."""
        inputs, outputs = quantity.inputs, quantity.outputs
        logs = _Names(
            frozenset(name for name, log in zip(inputs, self.inputs, strict=True) if log),
            frozenset(name for name, log in zip(outputs, self.outputs, strict=True) if log),
        )
        return Quantity.of(quantity.name, logs.rewritten(quantity.tree), inputs, outputs)

    def _quantities(self, data: Dataset) -> tuple[Quantity, ...]:
        """Return the quantities of the network's data."""
        pairs = product(np.flatnonzero(self.outputs).tolist(), range(data.d))
        slopes = [partial_of(data.inputs, data.outputs, o, j) for o, j in pairs]
        return tuple(map(self.quantity, (*data.quantities, *slopes)))


def partial_of(inputs: Sequence[str], outputs: Sequence[str], output: int, input: int) -> Quantity:
    """Return a first derivative as a quantity."""
    name = derivative_name(outputs[output], inputs[input])
    return Quantity.of(name, Partial(outputs[output], (inputs[input],), name), inputs, outputs)


@dataclass(frozen=True)
class _Names:
    """The names of inputs and outputs that stand for their logarithms in a rewritten formula."""

    inputs: frozenset[str]
    outputs: frozenset[str]

    def rewritten(self, node: Formula) -> Formula:
        """Return a formula of the same value, in which names and derivatives are those of the network."""
        match node:
            case Name(name):
                return _exp(name) if name in self.inputs | self.outputs else node
            case Partial():
                return self._partial(node)
            case Call():
                return replace(node, argument=self.rewritten(node.argument))
            case Operation():
                return replace(node, left=self.rewritten(node.left), right=self.rewritten(node.right))
            case _:
                return node

    def _partial(self, node: Partial) -> Formula:
        first = [Partial(node.output, (into,), node.part) for into in node.inputs]
        found: Formula = node
        if len(first) == 2 and node.output in self.outputs:
            found = _operation("+", found, _operation("*", *first))
        if len(first) == 2 and first[0] == first[1] and node.inputs[0] in self.inputs:
            found = _operation("-", found, first[0])
        if node.output in self.outputs:
            found = _operation("*", _exp(node.output), found)
        below = [_exp(into) for into in node.inputs if into in self.inputs]
        return reduce(lambda above, one: _operation("/", above, one), below, found)


def _exp(name: str) -> Formula:
    return Call("exp", Name(name, name), f"exp({name})")


def _operation(operator: str, left: Formula, right: Formula) -> Formula:
    return Operation(operator, left, right, f"({left.part} {operator} {right.part})")


def _refuse(
    name: str,
    numbers: Array,
    bad: NDArray[np.bool_],
    advice: str,
    where: Callable[[int, str], str] | None = None,
) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        found = f"{name!r} is {numbers[row]:g}"
        found = f"{found} in row {row}" if where is None else f"{where(row, name)}: {found}"
        raise SwarmnetError(f"{found}: its logarithm does not exist: {advice}")
