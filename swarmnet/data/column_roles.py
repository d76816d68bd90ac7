"""Which columns of a table are inputs, outputs, partial derivatives and standard deviations."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from swarmnet.data.column_names import (
    NUMBER,
    SIGMA,
    Entry,
    Pair,
    as_list,
    listed,
    parse_derivative,
    read_derivative,
    shortened,
)
from swarmnet.data.defined_columns import DefinedColumns, second_derivatives
from swarmnet.data.definitions import Define, as_definitions, refuse_taken_names
from swarmnet.data.look_alikes import LookAlikes, looks_like, refuse_look_alikes, second_output, with_unit
from swarmnet.data.quantities import Quantity
from swarmnet.errors import SwarmnetError, suggestion

_INPUT_LIKE = re.compile(r"x(_?\d+)?")
_OUTPUT_LIKE = re.compile(r"y(_?\d+)?")


# Names


@dataclass(frozen=True)
class Roles:
    """The roles of the columns of a table.

    The keys of `entries` are column names in a wide table and targets in a long table. The keys of `sigmas`
    are column names; a long table has none. The cells of some entries, and their standard deviations, are
    those of the entry times a factor; `factors` has the same keys. An entry that is one of the `quantities`
    is its number among them. `define` are the formulas as they were given.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    entries: dict[str, Entry | int]
    sigmas: dict[str, Entry | int]
    ignored: tuple[str, ...]
    factors: dict[str, float]
    quantities: tuple[Quantity, ...] = ()
    define: dict[str, str] = field(default_factory=dict)


class TargetError(SwarmnetError):
    """A mistake in one target of a long table; the caller adds the line in which the target first stands."""

    def __init__(self, target: str, message: str) -> None:
        super().__init__(f"target {shortened(target)} {message}")
        self.target = target


def is_long(
    columns: Sequence[str],
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
) -> bool:
    """Return whether a table is long: it has the columns `target` and `value`, and neither holds data."""
    claimed = {*(as_list(inputs) or ()), *(as_list(outputs) or ())}
    return {"target", "value"} <= set(columns) - claimed


def roles_of(
    columns: Sequence[str],
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    define: Define | None = None,
) -> Roles:
    """Decide the role of each column of a wide table.

    `inputs` and `outputs` decide first; then the derivative columns and formulas (numerators are outputs,
    denominators inputs); then the names x, x1, x_2... and y, y1, y_2... Nothing is guessed: a column without
    a role is ignored if both `inputs` and `outputs` are given and it does not look like a derivative, and
    otherwise an error.

    Raises:
        SwarmnetError: the role of a column is undecided, or it would have two.
    """
    given_in, given_out, formulas = as_list(inputs), as_list(outputs), as_definitions(define)
    claimed = {*(given_in or ()), *(given_out or ())}
    free = [c for c in columns if c not in claimed and c not in formulas]
    sigmas = [c for c in free if SIGMA.fullmatch(c)]
    slopes = [c for c in free if not SIGMA.fullmatch(c) and parse_derivative(c)]
    plain = [c for c in columns if c not in {*sigmas, *slopes, *formulas}]
    refuse_taken_names(formulas, claimed, ())
    _refuse_bad_choice("inputs", given_in, plain, "column")
    known_in, known_out = dict.fromkeys(plain), dict.fromkeys([*plain, *(given_out or ())])
    bends = second_derivatives(slopes, known_in, known_out)
    pairs: dict[str, Pair] = {c: _read_pair(c, known_in, known_out) for c in slopes if c not in bends}
    if given_out is None and (found := second_output(pairs, plain, given_in or ())):
        raise SwarmnetError(f"column {found[0]!r} {found[1]}")
    known_out.update(dict.fromkeys(out for out, _ in pairs.values()))
    named = DefinedColumns.of(formulas, columns, known_in, known_out, bends)
    pairs |= named.pairs
    numerators = [out for c in slopes for out, _ in parse_derivative(c)]
    derived = [out for out, _ in (*named.pairs.values(), *named.derivatives)]
    _refuse_bad_choice("outputs", given_out, [*plain, *numerators, *derived], "column")
    in_names, out_names = _decide(plain, [*pairs.values(), *named.derivatives], given_in, given_out)
    refuse_taken_names(formulas, in_names, out_names)
    entries: dict[str, Entry | int] = {**_wide_entries(plain, pairs, in_names, out_names)}
    quantities = named.quantities(in_names, out_names, plain)
    entries |= {quantity.name: number for number, quantity in enumerate(quantities)}
    refuse_look_alikes([c for c in plain if c not in entries], in_names, out_names, pairs.values())
    owned = _wide_sigmas(sigmas, columns, entries, in_names)
    used = {*in_names, *entries, *owned}
    ignored = tuple(c for c in columns if c not in used)
    return Roles(
        tuple(in_names), tuple(out_names), entries, owned, ignored, named.factors, quantities, formulas
    )


def long_roles_of(
    columns: Sequence[str],
    targets: Sequence[str],
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    define: Define | None = None,
) -> Roles:
    """Decide the role of each column and of each distinct target of a long table.

    Inputs are those in `inputs`; if None, the denominators of the derivative targets and formulas, and x,
    x1, x_2... Outputs are those in `outputs`; if None and there are derivative targets or formulas, their
    numerators and y, y1, y_2...; else y, y1, y_2... or the only target. A column without a role is ignored if
    `inputs` is given, and otherwise an error.

    Raises:
        SwarmnetError: a column is undecided, or a name is both input and output.
        TargetError: a target is neither an output nor a partial.
    """
    given_in, given_out, formulas = as_list(inputs), as_list(outputs), as_definitions(define)
    free = [t for t in targets if t not in (given_out or ()) and t not in formulas]
    slopes = {t for t in free if parse_derivative(t)}
    plain = [t for t in targets if t not in slopes and t not in formulas]
    # `sigma` is the standard deviation unless inputs= names it
    reserved = {"target", "value", "sigma"} - set(given_in or ())
    points = [c for c in columns if c not in reserved]
    _refuse_bad_choice("inputs", given_in, columns, "column")
    _refuse_numbers(plain)
    known_in, known_out = dict.fromkeys(points), dict.fromkeys([*plain, *(given_out or ())])
    bends = second_derivatives([t for t in targets if t in slopes], known_in, known_out)
    first = [t for t in targets if t in slopes and t not in bends]
    pairs: dict[str, Pair] = {t: _read_target(t, known_in, known_out) for t in first}
    if given_out is None and (found := second_output(pairs, plain, ())):
        raise TargetError(*found)
    known_out.update(dict.fromkeys(out for out, _ in pairs.values()))
    named = DefinedColumns.of(formulas, targets, known_in, known_out, bends)
    pairs |= named.pairs
    derived = [*pairs.values(), *named.derivatives]
    numerators = [out for out, _ in derived]
    _refuse_bad_choice("outputs", given_out, [*plain, *numerators], "target")
    in_names = given_in or _long_inputs(points, derived)
    out_names = given_out or _long_outputs(plain, numerators)
    _refuse_both(in_names, out_names)
    refuse_taken_names(formulas, in_names, out_names)
    quantities = named.quantities(in_names, out_names, ())
    others = [t for t in targets if t not in named.trees]
    entries: dict[str, Entry | int] = {**_long_entries(others, pairs, in_names, out_names)}
    entries |= {quantity.name: number for number, quantity in enumerate(quantities)}
    ignored = tuple(c for c in points if c not in in_names)
    return Roles(tuple(in_names), tuple(out_names), entries, {}, ignored, named.factors, quantities, formulas)


def _refuse_bad_choice(option: str, given: list[str] | None, known: Sequence[str], what: str) -> None:
    if given is None:
        return
    if not given:
        raise SwarmnetError(f"{option}= names no {what}: give at least one, or leave it out")
    there, seen = set(known), set()
    for name in given:
        if name in seen:
            raise SwarmnetError(f"{option}= names {name!r} twice: name it once")
        seen.add(name)
        if name not in there:
            raise SwarmnetError(
                f"{option}= names {name!r}, which is no {what}: {suggestion(name, known)}"
                f"the {what}s are {listed(list(dict.fromkeys(known)))}"
            )


def _read_pair(name: str, inputs: Collection[str], outputs: Collection[str]) -> tuple[str, str]:
    """Read a derivative column as (output, input); the input must be a column of the table."""
    try:
        return read_derivative(name, inputs, outputs)
    except SwarmnetError as error:
        raise SwarmnetError(f"column {name!r} {with_unit(name, inputs, outputs) or error}") from None


def _read_target(name: str, inputs: Collection[str], outputs: Collection[str]) -> tuple[str, str]:
    try:
        return read_derivative(name, inputs, outputs)
    except SwarmnetError as error:
        raise TargetError(name, with_unit(name, inputs, outputs) or str(error)) from None


def _decide(
    plain: Sequence[str],
    held: Sequence[Pair],
    given_in: list[str] | None,
    given_out: list[str] | None,
) -> tuple[list[str], list[str]]:
    """Split the `plain` columns into inputs and outputs; the other columns hold or contain `held`."""
    # Dicts serve as ordered sets
    numerators = dict.fromkeys(out for out, _ in held)
    denominators = dict.fromkeys(into for _, into in held if into is not None)
    asked_out = dict.fromkeys(given_out or numerators)
    inputs, outputs = given_in, given_out
    if inputs is None:
        free = [n for n in plain if given_out is None or n not in asked_out]
        inputs = [n for n in free if _is_input(n, numerators, denominators)]
    taken = set(inputs)
    if outputs is None:
        likely = [n for n in plain if n in numerators or _OUTPUT_LIKE.fullmatch(n)]
        outputs = [n for n in dict.fromkeys([*likely, *numerators]) if n not in taken]
    if given_in is None or given_out is None:
        for name in given_in or denominators:
            if name in asked_out:
                raise _undecided(name, given_in, given_out)
        placed = taken.union(outputs)
        undecided = [name for name in plain if name not in placed]
        refuse_look_alikes(undecided, inputs, outputs, held)
        if undecided:
            raise _undecided(undecided[0], given_in, given_out)
    _refuse_both(inputs, outputs)
    if not inputs:
        raise SwarmnetError("no column is an input: say which with inputs= (--inputs)")
    if not outputs:
        raise SwarmnetError("no column is an output: say which with outputs= (--outputs)")
    return inputs, outputs


def _is_input(name: str, numerators: Collection[str], denominators: Collection[str]) -> bool:
    return name in denominators or (name not in numerators and bool(_INPUT_LIKE.fullmatch(name)))


def _undecided(name: str, given_in: list[str] | None, given_out: list[str] | None) -> SwarmnetError:
    missing = [o for o, given in (("inputs", given_in), ("outputs", given_out)) if given is None]
    options = " and ".join(f"{option}=" for option in missing)
    flags = ", ".join(f"--{option}" for option in missing)
    return SwarmnetError(
        f"column {name!r} could be an input or an output: say which with {options} ({flags})"
    )


def _refuse_both(inputs: Collection[str], outputs: Collection[str]) -> None:
    taken = set(outputs)
    for name in inputs:
        if name in taken:
            raise SwarmnetError(
                f"{name!r} is both an input and an output: correct inputs= and outputs= (--inputs, --outputs)"
            )


def _wide_entries(
    plain: Sequence[str],
    pairs: Mapping[str, Pair],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> dict[str, Entry]:
    """Return where each entry column goes; derivatives between columns that the user left out are ignored."""
    o_of = {name: o for o, name in enumerate(outputs)}
    j_of = {name: j for j, name in enumerate(inputs)}
    known = {*plain, *outputs}
    entries: dict[str, Entry] = {n: (o_of[n], None) for n in plain if n in o_of}
    for column, (out, into) in pairs.items():
        if out in o_of and (into is None or into in j_of):
            entries[column] = (o_of[out], None if into is None else j_of[into])
        elif into is None and out in j_of:
            raise SwarmnetError(
                f"define= (--define) of {shortened(column)}: {out!r} is an input, "
                "but a formula needs an output"
            )
        elif out in j_of or into in o_of:
            raise SwarmnetError(
                f"column {column!r} takes {out!r} for an output and {into!r} for an input, but inputs= "
                "and outputs= say otherwise: correct them or remove the column"
            )
        elif out not in known and (formula := LookAlikes(inputs, outputs).formula(column)):
            raise SwarmnetError(f"column {column!r} {looks_like({column: formula})}")
        elif out not in known:
            raise SwarmnetError(
                f"column {column!r} is the derivative of unknown name {out!r}: "
                f"{suggestion(out, outputs)}add it to outputs= (--outputs) or remove the column"
            )
    _refuse_same_entries(entries)
    return entries


def _refuse_same_entries(entries: Mapping[str, Entry]) -> None:
    """Refuse two columns for one entry: a row of a wide table has one place for it."""
    first: dict[Entry, str] = {}
    for column, entry in entries.items():
        other = first.setdefault(entry, column)
        if other != column:
            raise SwarmnetError(
                f"columns {other!r} and {column!r} hold the same value or derivative, which a row has once: "
                "remove one, or write a long table, with a row for each"
            )


def _wide_sigmas(
    sigmas: Sequence[str],
    columns: Sequence[str],
    entries: dict[str, Entry | int],
    inputs: Sequence[str],
) -> dict[str, Entry | int]:
    owned: dict[str, Entry | int] = {}
    others = set(columns).difference(inputs, sigmas)
    for column in sigmas:
        owner = column[len("sigma(") : -1]
        if owner in entries:
            owned[column] = entries[owner]
        elif owner not in others:
            raise SwarmnetError(
                f"column {column!r} belongs to nothing: {suggestion(owner, entries)}"
                f"there is no value or derivative column {owner!r}"
            )
    return owned


def _refuse_numbers(targets: Sequence[str]) -> None:
    """Refuse numbers as targets: the table is then wide, and `target` is one of its data columns."""
    for target in targets:
        if NUMBER.fullmatch(target):
            raise TargetError(
                target,
                "is a number, not a name: if `target` and `value` are data columns of a wide table, "
                "say so with inputs= and outputs= (--inputs, --outputs)",
            )


def _long_inputs(points: Sequence[str], pairs: Sequence[Pair]) -> list[str]:
    numerators = {out for out, _ in pairs}
    denominators = {into for _, into in pairs if into is not None}
    for name in points:
        if not _is_input(name, numerators, denominators):
            raise SwarmnetError(
                f"column {name!r} could be an input or not: say which columns are with inputs= (--inputs)"
            )
    if not points:
        raise SwarmnetError("no column is an input: add the inputs' columns")
    return list(points)


def _long_outputs(plain: Sequence[str], numerators: Sequence[str]) -> list[str]:
    if not numerators and len(set(plain)) == 1:
        return list(plain)  # the only observed quantity
    sloped = set(numerators)
    likely = [t for t in plain if t in sloped or _OUTPUT_LIKE.fullmatch(t)]
    if not likely and not numerators:
        raise SwarmnetError(
            f"nothing says which of the targets {listed(plain)} are outputs: say so with outputs= (--outputs)"
        )
    return list(dict.fromkeys([*likely, *numerators]))


def _long_entries(
    targets: Sequence[str],
    pairs: Mapping[str, Pair],
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    o_of = {name: o for o, name in enumerate(outputs)}  # dicts, because there may be many targets
    j_of = {name: j for j, name in enumerate(inputs)}
    for target in targets:
        out, into = pairs.get(target, (target, None))
        if out not in o_of:
            if formula := LookAlikes(inputs, outputs).formula(target):
                raise TargetError(target, looks_like({target: formula}))
            what = "is no output" if into is None else f"is the derivative of unknown name {out!r}"
            raise TargetError(
                target,
                f"{what}: {suggestion(out, outputs)}the outputs are {listed(outputs)}, "
                "and outputs= (--outputs) can say otherwise",
            )
        if into is not None and into not in j_of:
            raise TargetError(
                target,
                f"is a derivative with respect to {into!r}: the inputs are {listed(inputs)}, "
                "and inputs= (--inputs) can say otherwise",
            )
        entries[target] = (o_of[out], None if into is None else j_of[into])
    return entries
