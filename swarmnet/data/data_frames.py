"""pandas, imported when something of it is first asked for, and tables of other libraries as it has them.

pandas takes longer to import than NumPy and swarmnet together. Who trains on arrays, asks a network or looks
at a command's help does without. For type checkers `pd` is pandas itself. Modules that name `pd.DataFrame` in
an annotation leave annotations unevaluated.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from swarmnet.errors import SwarmnetError, printable

__all__ = ["as_pandas", "is_frame", "is_pandas", "pd"]

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

# What a class of tables or of their columns has, in whichever library, and a class of arrays has not
_SIGNS = ("to_pandas", "toPandas", "__dataframe__", "__arrow_c_stream__", "columns", "column_names")
_INDEX_OF_PANDAS = "__index_level_"  # how pandas calls an index without a name where it writes one


def is_frame(what: object) -> TypeIs[pd.DataFrame]:
    """Whether it is a DataFrame. Where pandas is not loaded there is none, and asking does not load it."""
    return "pandas" in sys.modules and isinstance(what, pd.DataFrame)


def is_pandas(what: object) -> TypeIs[pd.DataFrame | pd.Series[Any]]:
    """Whether it is a DataFrame or a Series."""
    return "pandas" in sys.modules and isinstance(what, pd.DataFrame | pd.Series)


def as_pandas(name: str, what: object) -> pd.DataFrame | pd.Series[Any] | None:
    """A table or a column of one, of pandas or of another library, as a DataFrame or a Series.

    A structured array is a table. None for arrays, lists and whatever else has no names.

    Args:
        name: how errors call it.
        what: anything.

    Raises:
        SwarmnetError: it is a table that cannot be converted.
    """
    if is_pandas(what):
        return what
    if isinstance(what, np.ndarray):
        names = what.dtype.names
        return pd.DataFrame({field: what[field] for field in names}) if names and what.ndim == 1 else None
    if not any(hasattr(type(what), sign) for sign in _SIGNS):
        return None
    reason = "it gives no DataFrame"
    for sign, convert in _WAYS.items():
        if hasattr(type(what), sign):
            try:
                found = convert(what)
            except Exception as error:  # another library's, or that it lacks a third one: try the next way
                reason = (str(error) or type(error).__name__).splitlines()[0]
                continue
            if is_frame(found):
                unnamed = [str(column).startswith(_INDEX_OF_PANDAS) for column in found.columns]
                return found.loc[:, ~np.array(unnamed, dtype=bool)]
            if is_pandas(found):
                return found
    raise SwarmnetError(
        f"{name}: this {type(what).__name__} cannot be read as a table: {printable(reason)}: "
        "make a pandas DataFrame or an array of it"
    )


def _to_pandas(table: Any) -> Any:
    try:
        return table.to_pandas(ignore_metadata=True)  # pyarrow: all columns, what pandas made an index too
    except TypeError:
        return table.to_pandas()


def _interchanged(table: Any) -> Any:
    with warnings.catch_warnings(action="ignore"):  # pandas 3.1 deprecates it; some tables have nothing else
        return pd.api.interchange.from_dataframe(table)


def _column_by_column(table: Any) -> Any:
    names = table.column_names if hasattr(table, "column_names") else list(table.columns)
    return pd.DataFrame({name: np.asarray(table[name]) for name in names})


_WAYS: dict[str, Callable[[Any], Any]] = {
    "to_pandas": _to_pandas,
    "toPandas": lambda table: table.toPandas(),
    "compute": lambda table: table.compute(),
    "__arrow_c_stream__": lambda table: importlib.import_module("pyarrow").table(table).to_pandas(),
    "__dataframe__": _interchanged,
    "column_names": _column_by_column,
    "columns": _column_by_column,
}
