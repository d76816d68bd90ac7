"""What the columns that `define=` names hold: a number times a value or a partial derivative."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from swarmnet.data.column_names import is_made, listed, shortened
from swarmnet.data.formulas import FUNCTIONS, Call, Formula, Known, Name, Number, Operation, Partial, parse
from swarmnet.errors import SwarmnetError, suggestion

Define = Mapping[str, str]  # column name -> formula

_UNARY: dict[str, Callable[[float], float]] = {
    "-": operator.neg,
    **{name: getattr(math, name) for name in FUNCTIONS},
}
_BINARY: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": math.pow,
}
_ALLOWED = "for now, a formula must be a number times one value or one first derivative"


@dataclass(frozen=True)
class Meaning:
    """A column that holds `factor` times the value of `output` or, if `input` is given, times its partial."""

    factor: float
    output: str
    input: str | None


def as_definitions(define: Define | None) -> dict[str, str]:
    """Return the definitions, checked to map names to texts.

    Raises:
        SwarmnetError: it is no such mapping.
    """
    if define is None:
        return {}
    if not isinstance(define, Mapping) or not all(
        isinstance(name, str) and isinstance(formula, str) for name, formula in define.items()
    ):
        raise SwarmnetError("define= must map column names to formulas, as in {'Fx': '-dE/dx'}")
    return {name.strip(): formula for name, formula in define.items()}


def meanings_of(
    define: Mapping[str, str], present: Collection[str], inputs: Collection[str], outputs: Collection[str]
) -> dict[str, Meaning]:
    """Return the meaning of each defined column or target that is `present`.

    Args:
        define: formulas; each may use the names defined before it.
        present: the columns of a wide table, or the targets of a long one.
        inputs: names of columns that may be inputs.
        outputs: names that may be outputs. The outputs of derivatives in formulas need not be among them.

    Raises:
        SwarmnetError: a formula is not valid, means something else, or belongs to no column and no formula.
    """
    known = Known(inputs, outputs, define)
    trees: dict[str, Formula] = {}
    for name, formula in define.items():
        try:
            trees[name] = parse(formula, known)
        except SwarmnetError as error:
            raise SwarmnetError(f"define= (--define) of {shortened(name)}: {error}") from None
    sloped = [output for tree in trees.values() for output in _differentiated(tree)]
    terms = _Terms(dict.fromkeys([*outputs, *sloped]))
    for name, tree in trees.items():
        try:
            terms.add(name, tree)
        except SwarmnetError as error:
            what = f"{shortened(name)} as {shortened(define[name])}"
            raise SwarmnetError(f"define= (--define) of {what}: {error}") from None
    for name in define:
        if name not in present and name not in terms.used:
            raise SwarmnetError(
                f"define= (--define) names {name!r}, which is no column or target: "
                f"{suggestion(name, present)}there are {listed(list(present))}"
            )
    return {name: meaning for name, meaning in terms.meanings.items() if name in present}


def refuse_taken_names(define: Collection[str], inputs: Collection[str], outputs: Collection[str]) -> None:
    """Refuse definitions of names that mean something by themselves.

    Raises:
        SwarmnetError: a name is an input, an output, or a derivative or standard deviation of these.
    """
    for name in define:
        if name in inputs or name in outputs or is_made(name, inputs, outputs):
            raise SwarmnetError(
                f"define= (--define) of {shortened(name)}: this name has a meaning already, as an input, an "
                "output, a derivative or a standard deviation: rename the column"
            )


class _Terms:
    """The meanings of formulas, which are added in their order."""

    def __init__(self, outputs: Collection[str]) -> None:
        self._outputs = outputs
        self._own = ""
        self.meanings: dict[str, Meaning] = {}
        self.used: set[str] = set()

    def add(self, name: str, tree: Formula) -> None:
        """Add the meaning of a formula."""
        self._own = name
        try:
            found = self._term(tree)
        except SwarmnetError:
            raise
        except (ArithmeticError, ValueError) as error:  # as 1/0 and log(-1)
            raise SwarmnetError(f"its factor is no finite number: {error}") from None
        if isinstance(found, float):
            raise SwarmnetError(f"it is only a number: {_ALLOWED}")
        if found.factor == 0 or not math.isfinite(found.factor):
            raise SwarmnetError(f"its factor is {found.factor:g}: it must be finite and not 0")
        self.meanings[name] = found

    def _term(self, node: Formula) -> float | Meaning:
        match node:
            case Number():
                return node.value
            case Name():
                return self._named(node)
            case Partial():
                if len(node.inputs) == 1:
                    return Meaning(1.0, node.output, node.inputs[0])
                raise _too_much(node)
            case Call():
                argument = self._term(node.argument)
                if isinstance(argument, float):
                    return _UNARY[node.function](argument)
                if node.function == "-":
                    return replace(argument, factor=-argument.factor)
                raise _too_much(node)
            case Operation():
                return _combined(node, self._term(node.left), self._term(node.right))

    def _named(self, node: Name) -> Meaning:
        name = node.name
        if name == self._own:
            raise SwarmnetError(f"it uses {name!r}, its own name: rename the column")
        if name in self.meanings:
            self.used.add(name)
            return self.meanings[name]
        if name in self._outputs:
            return Meaning(1.0, name, None)
        known = [*self._outputs, *self.meanings]
        raise SwarmnetError(
            f"unknown name {name!r}: {suggestion(name, known)}the names are {listed(known)}, and outputs= "
            "(--outputs) and earlier definitions can add others"
        )


def _combined(node: Operation, left: float | Meaning, right: float | Meaning) -> float | Meaning:
    if isinstance(left, float) and isinstance(right, float):
        return _BINARY[node.operator](left, right)
    if node.operator == "*" and isinstance(left, float):
        left, right = right, left
    if isinstance(left, Meaning) and isinstance(right, float) and node.operator in ("*", "/"):
        return replace(left, factor=_BINARY[node.operator](left.factor, right))
    raise _too_much(node)


def _too_much(node: Formula) -> SwarmnetError:
    return SwarmnetError(f"{shortened(node.part)} is too much: {_ALLOWED}")


def _differentiated(node: Formula) -> Iterator[str]:
    """Yield the outputs of the derivatives in a formula."""
    match node:
        case Partial():
            yield node.output
        case Call():
            yield from _differentiated(node.argument)
        case Operation():
            yield from _differentiated(node.left)
            yield from _differentiated(node.right)
