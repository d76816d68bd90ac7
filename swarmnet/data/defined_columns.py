"""What the columns or targets hold whose names are defined by formulas, or are second derivatives."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from swarmnet.data.column_names import Pair
from swarmnet.data.definitions import Meaning, meanings_of
from swarmnet.data.formulas import Formula, Name, Partial, second_derivative
from swarmnet.data.quantities import Quantity, leaves
from swarmnet.errors import SwarmnetError


class ColumnError(SwarmnetError):
    """A mistake in what one column or target holds."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"column {name!r} {reason}")
        self.name, self.reason = name, reason


@dataclass(frozen=True)
class DefinedColumns:
    """What defined columns or targets hold.

    Args:
        pairs: output and input of those that hold a number times one entry.
        factors: the number.
        trees: the formulas of the others.
    """

    pairs: dict[str, Pair]
    factors: dict[str, float]
    trees: dict[str, Formula]

    @classmethod
    def of(
        cls,
        formulas: Mapping[str, str],
        present: Sequence[str],
        inputs: Collection[str],
        outputs: Collection[str],
        second: Mapping[str, Formula],
    ) -> DefinedColumns:
        """Return what defined names hold, with the names of second derivatives."""
        meanings = meanings_of(formulas, present, inputs, outputs)
        plain = {name: m for name, m in meanings.items() if isinstance(m, Meaning)}
        return cls(
            {name: (meaning.output, meaning.input) for name, meaning in plain.items()},
            {name: meaning.factor for name, meaning in plain.items()},
            {**second, **{name: m for name, m in meanings.items() if not isinstance(m, Meaning)}},
        )

    @property
    def derivatives(self) -> list[Pair]:
        """Output and input of the derivatives in the other formulas."""
        partials = [n for tree in self.trees.values() for n in leaves(tree) if isinstance(n, Partial)]
        return [(node.output, into) for node in partials for into in node.inputs]

    def quantities(
        self, inputs: Sequence[str], outputs: Sequence[str], left_out: Collection[str]
    ) -> tuple[Quantity, ...]:
        """Return the other formulas, without those that need a name in `left_out` that has no role.

        Raises:
            ColumnError: a formula has an unknown name, or no output.
        """
        unused = set(left_out) - {*inputs, *outputs}
        found = []
        for name, tree in self.trees.items():
            if unused.isdisjoint(_names(tree)):
                try:
                    found.append(Quantity.of(name, tree, inputs, outputs))
                except SwarmnetError as error:
                    raise ColumnError(name, f"as a formula: {error}") from None
        return tuple(found)


def _names(tree: Formula) -> set[str]:
    """Return the names of inputs and outputs in a formula."""
    found: set[str] = set()
    for node in leaves(tree):
        if isinstance(node, Name):
            found.add(node.name)
        elif isinstance(node, Partial):
            found.update((node.output, *node.inputs))
    return found


def second_derivatives(
    names: Sequence[str], inputs: Collection[str], outputs: Collection[str]
) -> dict[str, Formula]:
    """Return those of the names that are second derivatives.

    Raises:
        ColumnError: a name can be read as more than one.
    """
    found: dict[str, Formula] = {}
    for name in names:
        try:
            partial = second_derivative(name, inputs, outputs)
        except SwarmnetError as error:
            raise ColumnError(name, str(error)) from None
        if partial is not None:
            found[name] = partial
    return found
