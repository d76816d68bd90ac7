"""Quantities: formulas of inputs, values, and first and second partial derivatives, at many points.

A formula is evaluated with its derivatives by forward accumulation. Its *arguments* are the values and
partial derivatives of outputs that it contains; with respect to these the derivatives are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import listed
from swarmnet.data.formulas import Call, Formula, Name, Number, Operation, Partial
from swarmnet.errors import SwarmnetError, suggestion

Array = NDArray[Any]
_MOST_NODES = 400  # of a formula; only bounds the stack: each takes at most one call
_LOG_OF_NONE = float(np.log(np.finfo(float).eps))  # what the extended logarithm is at most where u <= 0
Argument = tuple[int, tuple[int, ...]]  # output, and the inputs of the derivative, in ascending order


@dataclass(frozen=True)
class Dual:
    """Numbers (n,), or one number, with their derivatives by each argument on which they depend."""

    value: Array
    slopes: Mapping[int, Array]

    def chain(self, value: Array, slope: Array) -> Dual:
        """Return a function of these numbers, from its value and its derivative there."""
        return Dual(value, {a: slope * s for a, s in self.slopes.items()})

    def __add__(self, other: Dual) -> Dual:
        slopes = dict(self.slopes)
        for a, s in other.slopes.items():
            slopes[a] = slopes[a] + s if a in slopes else s
        return Dual(self.value + other.value, slopes)

    def __mul__(self, other: Dual) -> Dual:
        value = self.value * other.value
        return Dual(value, (self.chain(value, other.value) + other.chain(value, self.value)).slopes)


# f and f' of each function but sqrt, from its argument and its value
_FUNCTIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "-": (np.negative, lambda u, f: -np.ones_like(f)),
    "exp": (np.exp, lambda u, f: f),
    "log": (np.log, lambda u, f: 1.0 / u),
    "sin": (np.sin, lambda u, f: np.cos(u)),
    "cos": (np.cos, lambda u, f: -np.sin(u)),
    "tan": (np.tan, lambda u, f: 1.0 + f * f),
    "tanh": (np.tanh, lambda u, f: 1.0 - f * f),
}


@dataclass(frozen=True, eq=False)
class _Point:
    """Where a formula is evaluated, in its own units: x (n, d) and arguments (arguments, n)."""

    x: Array
    arguments: Array
    extended: bool


@dataclass(frozen=True, eq=False)
class Quantity:
    """A formula, bound to the order of some inputs and outputs.

    Args:
        name: of its column.
        tree: the formula; its names are inputs and outputs.
        inputs: names of the columns of X.
        outputs: names of the outputs.
        x_offset: (d,) X is in other units than the formula: it means x_offset + x_scale X.
        x_scale: (d,) see there.
        offset: (arguments,) the same for the arguments.
        scale: (arguments,) the same for the arguments.
        unit: by which the formula's values are divided.
    """

    name: str
    tree: Formula
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    x_offset: Array
    x_scale: Array
    offset: Array
    scale: Array
    unit: float = 1.0

    @classmethod
    def of(cls, name: str, tree: Formula, inputs: Sequence[str], outputs: Sequence[str]) -> Quantity:
        """Return the quantity in the units of the formula.

        Raises:
            SwarmnetError: the formula has an unknown name, or no value and no derivative of an output.
        """
        _refuse_unknown(tree, inputs, outputs)
        d = len(inputs)
        none = np.zeros(0)
        found = cls(name, tree, tuple(inputs), tuple(outputs), np.zeros(d), np.ones(d), none, none)
        count = len(found.arguments)
        if count == 0:
            raise SwarmnetError("it has no output and no derivative of one")
        return replace(found, offset=np.zeros(count), scale=np.ones(count))

    def reordered(self, inputs: Sequence[str], outputs: Sequence[str]) -> Quantity:
        """Return the same quantity for inputs and outputs in another order."""
        return Quantity.of(self.name, self.tree, inputs, outputs)

    def rescaled(
        self, x_offset: Array, x_scale: Array, y_offset: Array, y_scale: Array, unit: float
    ) -> Quantity:
        """Return the quantity for inputs (x - x_offset) / x_scale and outputs (y - y_offset) / y_scale."""
        scale = [y_scale[o] / np.prod(x_scale[list(along)]) for o, along in self.arguments]
        offset = [0.0 if along else y_offset[o] for o, along in self.arguments]
        return replace(
            self,
            x_offset=x_offset,
            x_scale=x_scale,
            offset=np.array(offset),
            scale=np.array(scale),
            unit=unit,
        )

    @cached_property
    def arguments(self) -> tuple[Argument, ...]:
        """The values and partial derivatives in the formula: values first, then by order of derivative."""
        found = dict.fromkeys(self._argument(node) for node in leaves(self.tree) if self._is_argument(node))
        return tuple(sorted(found, key=lambda argument: len(argument[1])))

    @property
    def order(self) -> int:
        """The highest order of its derivatives."""
        return max(len(along) for _, along in self.arguments)

    @property
    def is_partial(self) -> bool:
        """Whether the formula is a derivative as it is."""
        return isinstance(self.tree, Partial)

    @cached_property
    def is_linear(self) -> bool:
        """Whether the formula is linear in its arguments, with factors that may depend on the inputs."""
        return self._degree(self.tree) <= 1

    def _degree(self, node: Formula) -> int:
        """Return the degree in the arguments: 0, 1, or 2 for all that are not linear."""
        match node:
            case Name() | Partial():
                return int(self._is_argument(node))
            case Call():
                inner = self._degree(node.argument)
                return inner if inner == 0 or node.function == "-" else 2
            case Operation():
                left, right = self._degree(node.left), self._degree(node.right)
                if node.operator in "+-":
                    return max(left, right)
                if node.operator == "*":
                    return min(left + right, 2)
                return 2 if right or (left and node.operator == "**") else left
        return 0

    def evaluate(self, X: Array, arguments: Array, extended: bool = False) -> tuple[Array, Array]:
        """Return its values (n,), and their derivatives by the arguments (arguments, n).

        They are not finite where the formula is not defined.

        Args:
            X: (n, d) points.
            arguments: (arguments, n) the arguments there.
            extended: whether roots of negative numbers are minus the roots of their sizes, and logarithms of
                other than positive numbers are very small. Training begins with networks for which a formula
                is often not defined; so extended, its residuals lead on.
        """
        given = self.offset[:, None] + self.scale[:, None] * arguments
        with np.errstate(all="ignore"):
            at = _Point(self.x_offset + self.x_scale * X, given, extended)
            found = self._value(self.tree, at)
            slopes = np.zeros_like(given)
            for number, slope in found.slopes.items():
                slopes[number] = slope * self.scale[number] / self.unit
            return found.value / self.unit, slopes

    def _value(self, node: Formula, at: _Point) -> Dual:
        match node:
            case Number():
                return Dual(np.asarray(node.value), {})
            case Name() | Partial():
                number = self.number_of(node)
                if number is None:
                    assert isinstance(node, Name)
                    return Dual(at.x[:, self.inputs.index(node.name)], {})
                return Dual(at.arguments[number], {number: np.ones_like(at.arguments[number])})
            case Call():
                u = self._value(node.argument, at)
                if node.function == "sqrt":
                    return _power(u, Dual(np.asarray(0.5), {}), at.extended)
                if node.function == "log" and at.extended:
                    return _extended_log(u)
                f, slope = _FUNCTIONS[node.function]
                value = f(u.value)
                return u.chain(value, slope(u.value, value))
            case Operation():
                left, right = self._value(node.left, at), self._value(node.right, at)
                if node.operator == "**":
                    return _power(left, right, at.extended)
                return _combined(node.operator, left, right)

    def number_of(self, node: Name | Partial) -> int | None:
        """Return the number of a node among the arguments; None if it is an input."""
        return self.arguments.index(self._argument(node)) if self._is_argument(node) else None

    def _is_argument(self, node: Formula) -> bool:
        return isinstance(node, Partial) or (isinstance(node, Name) and node.name in self.outputs)

    def _argument(self, node: Formula) -> Argument:
        if isinstance(node, Name):
            return self.outputs.index(node.name), ()
        assert isinstance(node, Partial)
        return self.outputs.index(node.output), tuple(sorted(map(self.inputs.index, node.inputs)))


def leaves(node: Formula) -> Iterator[Formula]:
    """Yield the numbers, names and partial derivatives of a formula, from left to right."""
    match node:
        case Call():
            yield from leaves(node.argument)
        case Operation():
            yield from leaves(node.left)
            yield from leaves(node.right)
        case _:
            yield node


def inlined(node: Formula, definitions: Mapping[str, Formula]) -> Formula:
    """Return a formula with the formulas of earlier definitions in the place of their names.

    Raises:
        SwarmnetError: it becomes too long.
    """
    found = _inlined(node, definitions)
    stack, count = [found], 0
    while stack:
        count += 1
        if count > _MOST_NODES:
            raise SwarmnetError(
                f"with earlier definitions in it, it has more than {_MOST_NODES} names, numbers and operators"
            )
        match stack.pop():
            case Call(argument=argument):
                stack.append(argument)
            case Operation(left=left, right=right):
                stack += [left, right]
    return found


def _inlined(node: Formula, definitions: Mapping[str, Formula]) -> Formula:
    match node:
        case Name():
            return definitions.get(node.name, node)
        case Call():
            return replace(node, argument=_inlined(node.argument, definitions))
        case Operation():
            left, right = (_inlined(side, definitions) for side in (node.left, node.right))
            return replace(node, left=left, right=right)
        case _:
            return node


def _combined(operator: str, left: Dual, right: Dual) -> Dual:
    if operator == "+":
        return left + right
    if operator == "-":
        return left + right.chain(-right.value, -np.ones_like(right.value))
    if operator == "*":
        return left * right
    inverse = 1.0 / right.value
    return left * right.chain(inverse, -inverse * inverse)


def _power(base: Dual, exponent: Dual, extended: bool) -> Dual:
    if extended and not exponent.slopes and np.all(exponent.value % 1.0 != 0.0):
        size = np.abs(base.value)
        value = np.sign(base.value) * np.power(size, exponent.value)
        return base.chain(value, exponent.value * np.power(size, exponent.value - 1.0))
    value = np.power(base.value, exponent.value)
    # exponent base^(exponent - 1), also at base 0; the exponent's derivative needs a positive base
    found = base.chain(value, exponent.value * np.power(base.value, exponent.value - 1.0))
    if not exponent.slopes:
        return found
    slope = value * np.log(base.value)
    return Dual(value, (found + exponent.chain(value, slope)).slopes)


def _extended_log(u: Dual) -> Dual:
    """Return the logarithm, and where u <= 0 log(2^-52) - log(1 - u).

    This rises with u, and is below what may have been observed, so that residuals lead to positive u.
    """
    positive = u.value > 0.0
    value = np.where(positive, np.log(u.value), _LOG_OF_NONE - np.log1p(-u.value))
    return u.chain(value, 1.0 / np.where(positive, u.value, 1.0 - u.value))


def _refuse_unknown(tree: Formula, inputs: Collection[str], outputs: Collection[str]) -> None:
    for node in leaves(tree):
        used: list[tuple[str, Collection[str], str]] = []
        if isinstance(node, Name):
            used = [(node.name, [*inputs, *outputs], "input or output")]
        elif isinstance(node, Partial):
            used = [(node.output, outputs, "output"), *((into, inputs, "input") for into in node.inputs)]
        for name, known, what in used:
            if name not in known:
                raise SwarmnetError(
                    f"{name!r} is no {what}: {suggestion(name, known)}there are {listed(list(known))}"
                )
