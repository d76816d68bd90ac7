"""What swarmnet raises and warns when the mistake is the user's: one readable line, nothing else."""

import sys
import warnings
from collections.abc import Iterable
from difflib import get_close_matches


class SwarmnetError(ValueError):
    """Bad data, a bad file or a bad option. The message says where, what is wrong and what to do."""


class WorkersLost(SwarmnetError):
    """The scheduler or every worker is gone: what was under way goes on where there are new ones."""


class SwarmnetWarning(UserWarning):
    """Legitimate input with a consequence that the user should know."""


def warn_user(message: str, category: type[Warning] = SwarmnetWarning) -> None:
    """Warn at the line that called swarmnet: the first outside of it, however many calls are between."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "swarmnet":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def unknown(what: str, name: object, known: Iterable[str]) -> SwarmnetError:
    """The error for a name that is not in a table, with the nearest known name suggested."""
    names = list(known)
    hint = suggestion(str(name), names)
    return SwarmnetError(f"unknown {what} {str(name)!r}: {hint}choose one of {', '.join(names)}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """``did you mean 'h'? `` when `name` is close to a known name, perhaps but for its case, else nothing."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    if not near:
        by_case = {known_name.lower(): known_name for known_name in names}
        near = [by_case[match] for match in get_close_matches(name.lower(), by_case, n=1)]
    return f"did you mean {near[0]!r}? " if near else ""


def printable(text: str) -> str:
    """The text with its control characters written out: a terminal must not obey what a file holds."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def install_hint(extra: str) -> str:
    """How to install an optional dependency; on PyPI, swarmnet is the name of another project."""
    return f'pip install ".[{extra}]" in a clone of swarmnet'


def unsendable() -> SwarmnetError:
    """The error for what other processes cannot be given."""
    return SwarmnetError(
        "a trainer or an activation cannot be sent to other processes: its functions must not hold what "
        "cannot be pickled, such as a lock or an open file"
    )
