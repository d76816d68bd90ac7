"""The number of significant digits with which numbers are shown."""

from math import ceil, isfinite, log10

_MOST = 17  # digits that identify every double
_ALONE = 10  # digits for a range of a single number
_FEW = 4


def for_range(low: float, high: float, least: int = _FEW) -> int:
    """Return the digits that show where numbers lie between `low` and `high`."""
    span, size = abs(high - low), max(abs(low), abs(high))
    if not (isfinite(span) and size > 0):
        return least
    needed = _ALONE if span == 0 else least + ceil(log10(size) - log10(span))
    return _between(needed, least)


def for_offset(offset: float, scale: float, least: int = _FEW) -> int:
    """Return the digits that distinguish numbers within about `scale` of `offset`."""
    return for_range(offset - scale, offset + scale, least)


def share(r2: float, digits: int = _FEW) -> str:
    """Return R2 or a cosine, in `digits` digits or as many as distinguish it from 1: 0.9999968, not 1."""
    if not 0.99 < r2 < 1.0:
        return f"{r2:.{digits}g}"
    return f"{r2:.{_between(ceil(-log10(1.0 - r2)) + 1, digits)}f}"


def ends(low: float, high: float, least: int = 6) -> tuple[str, str]:
    """Return both ends of a range as texts, with enough digits to distinguish them."""
    digits = for_range(low, high, least)
    return f"{low:.{digits}g}", f"{high:.{digits}g}"


def _between(digits: int, least: int) -> int:
    return min(max(digits, least), _MOST)
