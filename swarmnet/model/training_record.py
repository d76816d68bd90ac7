"""What a model's training record says, field by field: a model file may hold anything there, or nothing."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from swarmnet.data.canonical_order import by_name
from swarmnet.errors import SwarmnetError
from swarmnet.objective.value_losses import LOSSES
from swarmnet.scaling import KINDS, Scaling

Record = Mapping[str, Any]

UNKNOWN = "unknown"


def number(value: object) -> float | None:
    """A finite number as a float, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if isfinite(found) else None


def two_numbers(value: object) -> tuple[float, float] | None:
    """Two finite numbers, such as the ends of a range, None for anything else."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    first, second = map(number, value)
    return None if first is None or second is None else (first, second)


def text(record: Record, name: str) -> str:
    """A word or a whole number of the record, else `UNKNOWN`."""
    value = record.get(name)
    known = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value) if known else UNKNOWN


def input_range(record: Record, name: str) -> tuple[float, float] | None:
    """(low, high) of an input among the rows trained on, None where they are not known."""
    ranges = record.get("input_ranges")
    ends = ranges.get(name) if isinstance(ranges, Mapping) else None
    pair = two_numbers(ends)
    return None if pair is None or pair[0] > pair[1] else pair


def with_ranges_mended(record: dict[str, Any], inputs: Sequence[str], units: Scaling) -> dict[str, Any]:
    """The record, with the ranges at the inputs that they belong to.

    Version 0.1.0 told the ranges in the order of the inputs' names as if they were in the data's order. A
    range is moved only where it cannot be that of its input, and all are right once they are moved.
    """
    told = [input_range(record, name) for name in inputs]
    known = [pair for pair in told if pair is not None]
    if len(known) < len(told) or _fit(known, units):
        return record
    moved = dict(zip(by_name(inputs), known, strict=True))
    if not _fit([moved[name] for name in inputs], units):
        return record
    return record | {"input_ranges": {name: list(moved[name]) for name in inputs}}


def _fit(ranges: Sequence[tuple[float, float]], units: Scaling) -> bool:
    """Whether each range holds its input's mean, or middle, and as much about it as the input deviates."""
    for (low, high), offset, scale in zip(ranges, units.x_offset, units.x_scale, strict=True):
        half = high / 2 - low / 2
        slack = 1e-9 * max(abs(low), abs(high))
        if not low - slack <= offset <= high + slack or (half > 0 and scale > half + slack):
            return False
    return True


def loss_function(record: Record) -> str:
    """The loss of the values; the squared one where the record has none.

    Raises:
        SwarmnetError: it has another.
    """
    name = record.get("loss_function", "squared")
    if not isinstance(name, str) or name not in LOSSES:
        raise _odd("loss_function", name, f"one of {', '.join(LOSSES)}")
    return name


def derivative_weight(record: Record) -> float:
    """The derivatives' weight against the values; 1 where the record has none.

    Raises:
        SwarmnetError: it is no number of 0 or more.
    """
    given = record.get("derivative_weight")
    weight = 1.0 if given is None else number(given)
    if weight is None or weight < 0:
        raise _odd("derivative_weight", given, "a number of 0 or more")
    return weight


def no_error_bars(record: Record) -> str:
    """Why a model has none, where its trainer and settings promised them; else empty."""
    why = record.get("no_error_bars")
    return why if isinstance(why, str) and why.isprintable() else ""


def scaling(record: Record) -> str | None:
    """How the data were scaled; None where they were not, or where the record has nothing of it.

    Raises:
        SwarmnetError: it is no kind of scaling.
    """
    kind = record.get("scaling")
    if kind is not None and (not isinstance(kind, str) or kind not in KINDS):
        raise _odd("scaling", kind, f"one of {', '.join(KINDS)}, or null")
    return kind


def for_people(record: Record) -> dict[str, Any]:
    """The record in few digits, without what was not set, and with a word for what was estimated."""
    shown = dict(record)
    if isinstance(record.get("noise"), Mapping):
        shown |= {name: "estimated" for name in ("derivative_weight", "l2") if record.get(name, 0) is None}
    for name in ("noise", "sigma", "prior", "chi2_per_entry"):
        if isinstance(parts := record.get(name), Mapping):
            shown[name] = {key: _in_few_digits(value) for key, value in parts.items()}
    if isinstance(candidates := record.get("candidates"), list):
        shown["candidates"] = "; ".join(map(_candidate, candidates))
    return {name: value for name, value in shown.items() if value is not None and value != {}}


def _in_few_digits(value: object) -> object:
    found = number(value)
    return value if found is None else f"{found:.4g}"


def _candidate(found: object) -> str:
    """A network that was tried: (8, 8) 3 climbs, log evidence 12.3."""
    if not isinstance(found, Mapping) or not isinstance(found.get("hidden"), list):
        return str(found)
    evidence = number(found.get("log_evidence"))
    end = "" if evidence is None else f", log evidence {evidence:.6g}"
    return f"({', '.join(map(str, found['hidden']))}) {found.get('climbs')} climbs{end}"


def _odd(name: str, value: object, wanted: str) -> SwarmnetError:
    shown = repr(value)
    shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
    return SwarmnetError(
        f"the model's training record has {name} {shown}, not {wanted}: train the model again"
    )
