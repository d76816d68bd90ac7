"""Errors and warnings about mistakes of the user, each with a message of one readable line."""

import sys
import warnings
from collections.abc import Iterable
from difflib import get_close_matches


class SwarmnetError(ValueError):
    """Wrong data, file or option. The message says where the mistake is, what is wrong and what to do."""


class WorkersLost(SwarmnetError):
    """The Dask scheduler or all workers are lost; the run can continue on new workers."""


class SwarmnetWarning(UserWarning):
    """Valid input with a consequence that the user should know."""


def warn_user(message: str, category: type[Warning] = SwarmnetWarning) -> None:
    """Warn at the line that called swarmnet: the first outside of it, however many calls are between."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "swarmnet":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def unknown(what: str, name: object, known: Iterable[str]) -> SwarmnetError:
    """Return the error for a name that is not in a table; it suggests the nearest known name."""
    names = list(known)
    hint = suggestion(str(name), names)
    return SwarmnetError(f"unknown {what} {str(name)!r}: {hint}choose one of {', '.join(names)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'h'? `` for the known name nearest to `name` (any case), or an empty string."""
    names = list(known)
    by_case = {known_name.lower(): known_name for known_name in names}
    near = [by_case[name.lower()]] if name.lower() in by_case else get_close_matches(name, names, n=1)
    if not near:
        near = [by_case[match] for match in get_close_matches(name.lower(), by_case, n=1)]
    return f"did you mean {near[0]!r}? " if near else ""


def printable(text: str) -> str:
    """Return the text with control characters escaped, so that file content cannot control the terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def install_hint(extra: str) -> str:
    """Return how to install an optional dependency; on PyPI, the name swarmnet is another project's."""
    return f'pip install ".[{extra}]" in a clone of swarmnet'


def unsendable() -> SwarmnetError:
    """Return the error for an object that cannot be pickled and sent to other processes."""
    return SwarmnetError(
        "a trainer or an activation cannot be sent to other processes: its functions must not hold what "
        "cannot be pickled, such as a lock or an open file"
    )
