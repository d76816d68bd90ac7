"""pandas imported on first use, and conversion of other libraries' tables to pandas.

To import pandas takes longer than NumPy and swarmnet together, and training on arrays, predicting and --help
do not need it. For type checkers `pd` is pandas itself. Modules with `pd.DataFrame` in annotations must not
evaluate their annotations.
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

# Attributes that classes of tables and columns have in any library, and classes of arrays do not have
_SIGNS = ("to_pandas", "toPandas", "__dataframe__", "__arrow_c_stream__", "columns", "column_names")
_INDEX_OF_PANDAS = "__index_level_"  # prefix with which pandas writes an index without a name


def is_frame(what: object) -> TypeIs[pd.DataFrame]:
    """Return whether `what` is a DataFrame, without importing pandas: if it is not loaded, there is none."""
    return "pandas" in sys.modules and isinstance(what, pd.DataFrame)


def is_pandas(what: object) -> TypeIs[pd.DataFrame | pd.Series[Any]]:
    """Return whether `what` is a pandas DataFrame or Series."""
    return "pandas" in sys.modules and isinstance(what, pd.DataFrame | pd.Series)


def as_pandas(name: str, what: object) -> pd.DataFrame | pd.Series[Any] | None:
    """Convert a table or a column, of pandas or another library, to a DataFrame or a Series.

    A structured array is a table. The result is None for arrays, lists and other objects without names.

    Args:
        name: the name of the table in error messages.
        what: any object.

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
            except Exception as error:  # any error of the library, or a missing dependency of it
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
        return table.to_pandas(ignore_metadata=True)  # pyarrow: keep index columns too
    except TypeError:
        return table.to_pandas()


def _interchanged(table: Any) -> Any:
    with warnings.catch_warnings(action="ignore"):  # deprecated in pandas 3.1; some tables have only it
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
