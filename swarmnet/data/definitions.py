"""What the columns that `define=` names hold.

A number times one value or one first derivative is an entry like those of plain columns, and is learnt as
fast. Any other formula is a quantity, see `swarmnet.data.quantities`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from swarmnet.data.column_names import is_made, listed, shortened
from swarmnet.data.formulas import (
    FUNCTIONS,
    Call,
    Formula,
    Known,
    Name,
    Number,
    Operation,
    Partial,
    parse,
    quoted,
)
from swarmnet.data.quantities import Quantity, inlined, leaves
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
) -> dict[str, Meaning | Formula]:
    """Return the meaning of each defined column or target that is `present`.

    A formula that is no number times one entry is its own meaning, with earlier definitions put in.

    Args:
        define: formulas; each may use the names defined before it.
        present: the columns of a wide table, or the targets of a long one.
        inputs: names of columns that may be inputs.
        outputs: names that may be outputs. The outputs of derivatives in formulas need not be among them.

    Raises:
        SwarmnetError: a formula is not valid, or belongs to no column and no formula.
    """
    known = Known(inputs, outputs, define)
    trees: dict[str, Formula] = {}
    for name, formula in define.items():
        try:
            trees[name] = parse(formula, known)
        except SwarmnetError as error:
            raise SwarmnetError(f"define= (--define) of {shortened(name)}: {error}") from None
    sloped = [n.output for tree in trees.values() for n in leaves(tree) if isinstance(n, Partial)]
    terms = _Terms(Known(inputs, dict.fromkeys([*outputs, *sloped])))
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


def quantity_of(
    formula: str, define: Mapping[str, str], inputs: Sequence[str], outputs: Sequence[str]
) -> Quantity:
    """Return the quantity of a formula, which may use the defined names, but not those of columns left out.

    Raises:
        SwarmnetError: the formula is not valid.
    """
    return Quantity.of(formula, tree_of(formula, define, inputs, outputs), inputs, outputs)


def tree_of(
    formula: str, define: Mapping[str, str], inputs: Collection[str], outputs: Collection[str]
) -> Formula:
    """Return the tree of a formula, with the formulas of the defined names in their places.

    Raises:
        SwarmnetError: the formula is not valid.
    """
    known = Known(inputs, outputs, define)
    trees: dict[str, Formula] = {}
    for name, text in define.items():
        with suppress(SwarmnetError):  # it has a name that is neither an input nor an output
            trees[name] = inlined(parse(text, known), trees)
    return inlined(parse(formula, known), trees)


def quantities_of(define: object, inputs: Sequence[str], outputs: Sequence[str]) -> list[Quantity]:
    """Return the quantities of the definitions in a model's record, without those of columns left out.

    A record may hold anything: there are none if it holds something else.
    """
    found: list[Quantity] = []
    with suppress(SwarmnetError):
        formulas = as_definitions(define)  # type: ignore[arg-type]  # it checks
        for name in formulas:
            with suppress(SwarmnetError):
                tree = tree_of(quoted(name), formulas, inputs, outputs)
                found.append(Quantity.of(name, tree, inputs, outputs))
    return found


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

    def __init__(self, known: Known) -> None:
        self._known = known
        self._trees: dict[str, Formula] = {}
        self.meanings: dict[str, Meaning | Formula] = {}
        self.used: set[str] = set()

    def add(self, name: str, tree: Formula) -> None:
        """Add the meaning of a formula."""
        for node in leaves(tree):
            self._refuse_unknown(name, node)
        whole = inlined(tree, self._trees)
        try:
            found = self._term(whole)
        except (ArithmeticError, ValueError) as error:  # as 1/0 and log(-1)
            raise SwarmnetError(f"its factor is no finite number: {error}") from None
        if isinstance(found, float):
            raise SwarmnetError("it is only a number: it needs an output, or a derivative of one")
        if found is not None and (found.factor == 0 or not math.isfinite(found.factor)):
            raise SwarmnetError(f"its factor is {found.factor:g}: it must be finite and not 0")
        self._trees[name] = whole
        self.meanings[name] = whole if found is None else found

    def _refuse_unknown(self, own: str, node: Formula) -> None:
        if not isinstance(node, Name):
            return
        if node.name == own:
            raise SwarmnetError(f"it uses {own!r}, its own name: rename the column")
        if node.name in self._trees:
            self.used.add(node.name)
        elif node.name not in self._known.outputs and node.name not in self._known.inputs:
            known = list(dict.fromkeys([*self._known.outputs, *self._known.inputs, *self._trees]))
            raise SwarmnetError(
                f"unknown name {node.name!r}: {suggestion(node.name, known)}the names are {listed(known)}, "
                "and outputs= (--outputs) and earlier definitions can add others"
            )

    def _term(self, node: Formula) -> float | Meaning | None:
        """Return a number, or a number times one entry; None for any other formula."""
        match node:
            case Number():
                return node.value
            case Name():
                return Meaning(1.0, node.name, None) if node.name in self._known.outputs else None
            case Partial():
                return Meaning(1.0, node.output, node.inputs[0]) if len(node.inputs) == 1 else None
            case Call():
                argument = self._term(node.argument)
                if isinstance(argument, float):
                    return _UNARY[node.function](argument)
                if argument is None or node.function != "-":
                    return None
                return replace(argument, factor=-argument.factor)
            case Operation():
                return _combined(node.operator, self._term(node.left), self._term(node.right))


def _combined(
    operator: str, left: float | Meaning | None, right: float | Meaning | None
) -> float | Meaning | None:
    if isinstance(left, float) and isinstance(right, float):
        return _BINARY[operator](left, right)
    if operator == "*" and isinstance(left, float):
        left, right = right, left
    if isinstance(left, Meaning) and isinstance(right, float) and operator in ("*", "/"):
        return replace(left, factor=_BINARY[operator](left.factor, right))
    return None
