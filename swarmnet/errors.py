"""What swarmnet raises and warns when the mistake is the user's: one readable line, nothing else."""

from collections.abc import Iterable
from difflib import get_close_matches


class SwarmnetError(ValueError):
    """Bad data, a bad file or a bad option. The message says where, what is wrong and what to do."""


class SwarmnetWarning(UserWarning):
    """Legitimate input with a consequence that the user should know."""


def unknown(what: str, name: object, known: Iterable[str]) -> SwarmnetError:
    """The error for a name that is not in a table, with the nearest known name suggested."""
    names = list(known)
    near = get_close_matches(str(name), names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return SwarmnetError(f"unknown {what} {str(name)!r}: {hint}choose one of {', '.join(names)}")
