"""Reading the fields of a model's training record, which in a model file may be missing or of any type."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from swarmnet.data.canonical_order import by_name
from swarmnet.errors import SwarmnetError
from swarmnet.objective.value_losses import LOSSES
from swarmnet.scaling import KINDS, Scaling

Record = Mapping[str, Any]

UNKNOWN = "unknown"
_NEVER = 1_000_000  # a patience of so many iterations ends no run
_SHOWN = 6  # models that were tried in a line for people

MEANINGS = {
    "swarmnet": "version that trained the model",
    "trainer": "the optimiser",
    "settings": "of the optimiser; the reference of the trainers describes them",
    "seed": "of the random numbers",
    "rows": "training rows",
    "values": "observed numbers of outputs",
    "derivatives": "observed numbers of derivatives",
    "input_ranges": "lowest and highest number of each input in the training rows",
    "sigma": "mean size of the standard deviations that were given, in each column's unit",
    "define": "formulas of column names",
    "log": "inputs and outputs of which the network takes the logarithm",
    "require": "constraints, each with its largest violation, where that is, and on what share of the box",
    "scaling": "of inputs and outputs before training",
    "loss_function": "how errors of values count",
    "derivative_weight": "how much derivatives count beside values; estimated: found from the data",
    "l2": "penalty for large weights; estimated: found from the data",
    "noise": "estimated standard deviation of the measurement errors, in each column's unit",
    "noise_distribution": "student: large errors are commoner than in a normal distribution (Student's t, "
    "of which the noise above is the scale)",
    "degrees_of_freedom": "of Student's t: the fewer, the commoner are large errors",
    "outliers": "rows of entries that count less than a tenth, for each column; row 0 is the first",
    "prior": "usual size of the weights that training assumes, estimated from the data: W and b of each "
    "layer, and terms of each degree",
    "derivative_balance": "the derivative_weight that the estimated noise amounts to",
    "chi2_per_entry": "mean of (error / given sigma) squared: 1 where the model meets the sigmas",
    "log_evidence": "how well the model explains the data, with its freedom counted against it: the "
    "logarithm of their probability; compares models of the same data, and higher is better",
    "candidates": "networks that were tried, the best first; the left-out error is that of predictions of "
    "entries left out, relative to the size of their column",
    "no_error_bars": "why the model has none",
    "zero_at": "where outputs without observed values are set to 0",
    "audit": "what the data say about each observed column, see the table",
    "status": "why training ended, in a word",
    "message": "why training ended",
    "loss": "mean square of the errors, relative to the size or sigma of their column",
    "evaluations": "how often the loss of all rows was computed",
    "seconds": "how long training took",
}


def number(value: object) -> float | None:
    """Return a finite number as a float, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def two_numbers(value: object) -> tuple[float, float] | None:
    """Return two finite numbers, such as the ends of a range; None for anything else."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    first, second = map(number, value)
    return None if first is None or second is None else (first, second)


def text(record: Record, name: str) -> str:
    """Return a text or a whole number of the record as text, or `UNKNOWN`."""
    value = record.get(name)
    known = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value) if known else UNKNOWN


def input_range(record: Record, name: str) -> tuple[float, float] | None:
    """Return (low, high) of an input in the training rows, or None if unknown."""
    ranges = record.get("input_ranges")
    ends = ranges.get(name) if isinstance(ranges, Mapping) else None
    pair = two_numbers(ends)
    return None if pair is None or pair[0] > pair[1] else pair


def with_ranges_mended(record: dict[str, Any], inputs: Sequence[str], units: Scaling) -> dict[str, Any]:
    """Return the record with each input's range under its own name.

    Version 0.1.0 wrote the ranges in the order of the sorted names as if they were in the data's order.
    Ranges are moved only if one cannot be its input's, and if all are possible after the move.
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
    """Return whether each range contains its input's offset, and is wide enough for its scale."""
    for (low, high), offset, scale in zip(ranges, units.x_offset, units.x_scale, strict=True):
        half = high / 2 - low / 2
        slack = 1e-9 * max(abs(low), abs(high))
        if not low - slack <= offset <= high + slack or (half > 0 and scale > half + slack):
            return False
    return True


def loss_function(record: Record) -> str:
    """Return the loss of the values; "squared" if the record has none."""
    name = record.get("loss_function", "squared")
    if not isinstance(name, str) or name not in LOSSES:
        raise _odd("loss_function", name, f"one of {', '.join(LOSSES)}")
    return name


def derivative_weight(record: Record) -> float:
    """Return the weight of derivatives relative to values; 1 if the record has none."""
    given = record.get("derivative_weight")
    weight = 1.0 if given is None else number(given)
    if weight is None or weight < 0:
        raise _odd("derivative_weight", given, "a number of 0 or more")
    return weight


def no_error_bars(record: Record) -> str:
    """Return why a model has no error bars although its trainer and settings provide them, or ""."""
    why = record.get("no_error_bars")
    return why if isinstance(why, str) and why.isprintable() else ""


def without_error_bars(record: Record) -> SwarmnetError:
    """Return the error for a model that has no error bars."""
    usual = "train it by hybrid or lm, derivative_weight or l2 left open"
    return SwarmnetError(f"this model has no error bars: {no_error_bars(record) or usual}")


def scaling(record: Record) -> str | None:
    """Return the kind of scaling; None if the data were not scaled or the record has no entry."""
    kind = record.get("scaling")
    if kind is not None and (not isinstance(kind, str) or kind not in KINDS):
        raise _odd("scaling", kind, f"one of {', '.join(KINDS)}, or null")
    return kind


def for_people(record: Record) -> dict[str, Any]:
    """Return the record for display: few digits, no unset fields, and "estimated" for what was estimated."""
    shown = dict(record)
    if isinstance(record.get("noise"), Mapping):
        shown |= {name: "estimated" for name in ("derivative_weight", "l2") if record.get(name, 0) is None}
    for name in ("noise", "sigma", "prior", "chi2_per_entry"):
        if isinstance(parts := record.get(name), Mapping):
            shown[name] = {key: _in_few_digits(value) for key, value in parts.items()}
    if isinstance(logs := record.get("log"), list):
        shown["log"] = ", ".join(map(str, logs))
    if isinstance(settings := record.get("settings"), Mapping):
        shown["settings"] = _without_limits(settings)
    if tried := candidates(record):
        shown["candidates"] = _in_a_line(tried)
    shown.pop("audit", None)  # a table of its own
    return {name: value for name, value in shown.items() if value is not None and value != {}}


def _without_limits(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trainer's settings without a patience that ends no run."""
    kept = {
        name: value
        for name, value in settings.items()
        if name != "patience" or (number(value) or 0.0) < _NEVER
    }
    return {name: _without_limits(v) if isinstance(v, Mapping) else v for name, v in kept.items()}


def _in_few_digits(value: object) -> object:
    found = number(value)
    return value if found is None else f"{found:.4g}"


def candidates(record: Record) -> list[dict[str, Any]]:
    """Return a row for each model that was tried: those compared by predictions first, the best on top."""
    rows = record.get("candidates")
    tried = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []

    def order(row: Mapping[str, Any]) -> tuple[float, float]:
        error, evidence = number(row.get("left_out_error")), number(row.get("log_evidence"))
        return math.inf if error is None else error, math.inf if evidence is None else -evidence

    return [
        {
            "model": _model(row),
            "terms": number(row.get("terms")),
            "runs": number(row.get("climbs")),
            "log evidence": number(row.get("log_evidence")),
            "left-out error": number(row.get("left_out_error")),
        }
        for row in sorted(tried, key=order)
    ]


def _model(row: Mapping[str, Any]) -> str:
    """Name a network or polynomial that was tried: (8, 8) + degree 1, degree 5, or linear."""
    hidden, degree = row.get("hidden"), number(row.get("degree"))
    if not isinstance(hidden, list):
        return UNKNOWN
    parts = [f"({', '.join(map(str, hidden))})"] if hidden else []
    parts += [] if degree is None else [f"degree {degree:g}"]
    return " + ".join(parts) or "linear"


def _in_a_line(tried: Sequence[Mapping[str, Any]]) -> str:
    """Describe the first few models that were tried: (8, 8) + degree 1: 3 runs, log evidence 12.3."""
    formats = {"terms": "{:g} term{s}", "runs": "{:g} run{s}"}
    formats |= {name: name + " {:.4g}" for name in ("log evidence", "left-out error")}

    def line(row: Mapping[str, Any]) -> str:
        known = [
            how.format(row[name], s="" if row[name] == 1 else "s")
            for name, how in formats.items()
            if row[name] is not None
        ]
        return f"{row['model']}: {', '.join(known)}"

    lines = list(map(line, tried[:_SHOWN]))
    more = len(tried) - len(lines)
    return "; ".join(lines) + (f"; and {more} more" if more else "")


def _odd(name: str, value: object, wanted: str) -> SwarmnetError:
    shown = repr(value)
    shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
    return SwarmnetError(
        f"the model's training record has {name} {shown}, not {wanted}: train the model again"
    )
