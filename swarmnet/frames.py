"""pandas, imported when something of it is first asked for: it takes longer than NumPy and swarmnet together.

Who trains on arrays, asks a network or looks at a command's help does without. For type checkers `pd` is
pandas itself. Modules that name `pd.DataFrame` in an annotation leave annotations unevaluated.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

__all__ = ["is_frame", "pd"]

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import TypeIs
else:

    class _Pandas:
        def __getattr__(self, name: str) -> Any:
            found = getattr(importlib.import_module("pandas"), name)
            setattr(self, name, found)
            return found

    pd = _Pandas()


def is_frame(what: object) -> TypeIs[pd.DataFrame]:
    """Whether it is a DataFrame. Where pandas is not loaded there is none, and asking does not load it."""
    return "pandas" in sys.modules and isinstance(what, pd.DataFrame)
