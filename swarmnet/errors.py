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
    by_case = {known_name.lower(): known_name for known_name in names}
    near = get_close_matches(str(name).lower(), by_case, n=1)
    hint = f"did you mean {by_case[near[0]]!r}? " if near else ""
    return SwarmnetError(f"unknown {what} {str(name)!r}: {hint}choose one of {', '.join(names)}")
