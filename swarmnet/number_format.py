"""How many significant digits of a number are shown where not all are."""

from math import ceil, isfinite, log10

_MOST = 17  # digits, which tell a double from every other
_ALONE = 10  # digits of a range's only number
_FEW = 4


def for_range(low: float, high: float, least: int = _FEW) -> int:
    """Digits with which numbers from `low` to `high` show where in that range they lie."""
    span, size = abs(high - low), max(abs(low), abs(high))
    if not (isfinite(span) and size > 0):
        return least
    needed = _ALONE if span == 0 else least + ceil(log10(size) - log10(span))
    return _between(needed, least)


def for_offset(offset: float, scale: float, least: int = _FEW) -> int:
    """Digits with which numbers that lie about `scale` around `offset` can be told from each other."""
    return for_range(offset - scale, offset + scale, least)


def share(r2: float, digits: int = _FEW) -> str:
    """An R2 in so many digits, or in as many as tell it from 1: 0.9999968, not 1."""
    if not 0.99 < r2 < 1.0:
        return f"{r2:.{digits}g}"
    return f"{r2:.{_between(ceil(-log10(1.0 - r2)) + 1, digits)}f}"


def ends(low: float, high: float, least: int = 6) -> tuple[str, str]:
    """Both ends of a range, with as many digits as tell them apart."""
    digits = for_range(low, high, least)
    return f"{low:.{digits}g}", f"{high:.{digits}g}"


def _between(digits: int, least: int) -> int:
    return min(max(digits, least), _MOST)
