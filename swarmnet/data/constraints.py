"""Constraints: what `require=` names, such as ``dh/dT >= 0`` or ``dh/dp <= 1e-3``.

A constraint is a quantity that must not be negative: the difference of its two sides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from swarmnet.data.column_names import shortened
from swarmnet.data.definitions import tree_of
from swarmnet.data.formulas import Operation
from swarmnet.data.quantities import Quantity
from swarmnet.errors import SwarmnetError

Require = str | Sequence[str]  # constraints

# A name in back quotes may contain a sign
_SIGN = re.compile(r"`[^`]*`|(?P<sign>[<>]=?|=+)")
_TRIES = 8  # random arguments at which the sum of two sides must be the same number; chosen
_ROUNDING = 1e-9  # of that sum


@dataclass(frozen=True, eq=False)
class Constraint:
    """A requirement on the model.

    Args:
        text: as given.
        quantity: must be 0 or more.
    """

    text: str
    quantity: Quantity


def as_requirements(require: Require | None) -> tuple[str, ...]:
    """Return the texts of constraints, checked to be texts; a single one may be given alone.

    Raises:
        SwarmnetError: it is no text and no sequence of texts.
    """
    texts = [require] if isinstance(require, str) else require
    if texts is None:
        return ()
    if not isinstance(texts, Sequence | np.ndarray) or not all(isinstance(text, str) for text in texts):
        raise SwarmnetError("require must be constraints such as ('dh/dT >= 0', 'h <= 5')")
    return tuple(text.strip() for text in texts)


def constraints_of(
    require: Sequence[str], define: Mapping[str, str], inputs: Sequence[str], outputs: Sequence[str]
) -> list[Constraint]:
    """Return the constraints of some texts, which may use the defined names.

    Raises:
        SwarmnetError: a text is no constraint, or two of them contradict each other for all numbers.
    """
    found: list[Constraint] = []
    for text in require:
        try:
            found.append(_constraint(text, define, inputs, outputs))
        except SwarmnetError as error:
            raise SwarmnetError(f"require= (--require) of {shortened(text)}: {error}") from None
    for one, other in combinations(found, 2):
        if _contradict(one.quantity, other.quantity):
            raise SwarmnetError(
                f"require= (--require): {shortened(one.text)} and {shortened(other.text)} contradict each "
                "other: leave one of them out"
            )
    return found


def _constraint(
    text: str, define: Mapping[str, str], inputs: Sequence[str], outputs: Sequence[str]
) -> Constraint:
    signs = [match for match in _SIGN.finditer(text) if match["sign"]]
    if not signs:
        raise SwarmnetError("expected '>=' or '<=' between two formulas, as in 'dh/dT >= 0'")
    sign = signs[0]
    if sign["sign"].startswith("="):
        raise SwarmnetError(f"column {sign.start() + 1}: expected '>=' or '<=', not {sign['sign']!r}")
    if len(signs) > 1:
        raise SwarmnetError(
            f"column {signs[1].start() + 1}: a second sign, {signs[1]['sign']!r}: give two constraints"
        )
    parts = text[: sign.start()], text[sign.end() :]
    sides = [tree_of(side.strip(), define, inputs, outputs) for side in parts]
    upper, lower = sides if sign["sign"].startswith(">") else reversed(sides)
    difference = Operation("-", upper, lower, text)
    return Constraint(text, Quantity.of(text, difference, inputs, outputs))


def _contradict(one: Quantity, other: Quantity) -> bool:
    """Return whether the sum of both is the same negative number for any arguments."""
    rng = np.random.default_rng(0)
    X = rng.uniform(1.0, 2.0, (_TRIES, len(one.inputs)))
    numbers = {argument: rng.uniform(1.0, 2.0, _TRIES) for argument in (*one.arguments, *other.arguments)}
    total = sum(
        quantity.evaluate(X, np.array([numbers[argument] for argument in quantity.arguments]))[0]
        for quantity in (one, other)
    )
    return bool(np.max(total) < 0 and np.ptp(total) <= _ROUNDING * np.abs(total).max())
