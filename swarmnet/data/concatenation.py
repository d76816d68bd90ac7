"""Rows of several data one after another, with their quantities matched by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from swarmnet.data.column_names import Array, shortened
from swarmnet.data.quantities import Quantity
from swarmnet.data.units import refuse_other_units
from swarmnet.errors import SwarmnetError

Fields = Mapping[str, Any]  # the arguments of MixedData


def concatenated(parts: Sequence[Fields]) -> dict[str, Any]:
    """Return the fields of the rows of all parts, which have the same inputs and outputs.

    Raises:
        SwarmnetError: a quantity or a definition has another formula in another part, or a column another
            unit.
    """
    define: dict[str, str] = {}
    units: dict[str, str] = {}
    quantities: dict[str, Quantity] = {}
    for part in parts:
        for name, formula in part["define"].items():
            if "".join(define.setdefault(name, formula).split()) != "".join(formula.split()):
                raise _two_formulas(name, define[name], formula)
        refuse_other_units("concat", part["units"], units)
        units |= part["units"]
        for quantity in part["quantities"]:
            other = quantities.setdefault(quantity.name, quantity)
            if other.tree != quantity.tree:
                raise _two_formulas(quantity.name, other.tree.part, quantity.tree.part)
    found = {name: np.concatenate([part[name] for part in parts]) for name in ("X", "Y", "J")}
    for name in ("Y", "J"):
        found[f"{name}_sigma"] = np.concatenate([_or(part[f"{name}_sigma"], part[name]) for part in parts])
    found["weights"] = np.concatenate([_or(part["weights"], np.ones(len(part["X"])), 1.0) for part in parts])
    columns = {name: number for number, name in enumerate(quantities)}
    for name in ("Q", "Q_sigma"):
        found[name] = np.concatenate([_placed(part, name, columns) for part in parts])
    shared = {name: parts[0][name] for name in ("inputs", "outputs")}
    return found | shared | {"quantities": tuple(quantities.values()), "define": define, "units": units}


def _or(given: Array | None, like: Array, fill: float = np.nan) -> Array:
    return np.full_like(like, fill) if given is None else given


def _placed(part: Fields, name: str, columns: Mapping[str, int]) -> Array:
    """Return (rows, columns): each quantity's numbers in the column of its name, NaN in the others."""
    found = np.full((len(part["X"]), len(columns)), np.nan)
    if part[name] is not None:
        found[:, [columns[quantity.name] for quantity in part["quantities"]]] = part[name]
    return found


def _two_formulas(name: str, first: str, second: str) -> SwarmnetError:
    return SwarmnetError(
        f"{shortened(name)} is {shortened(first)} in one part and {shortened(second)} in another: "
        "rename one of the columns"
    )
