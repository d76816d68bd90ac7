"""The arguments of SwarmNetRegressor.fit as MixedData: which column is which."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import _check_sample_weight

from swarmnet.data.column_names import SECOND_DERIVATIVE, listed, sigma_name
from swarmnet.data.data_frames import is_frame, pd
from swarmnet.data.definitions import Define, as_definitions
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.name_matching import Tables, is_counted
from swarmnet.errors import SwarmnetError

Array = NDArray[Any]


def with_names(X: Any) -> Any:
    """A table as scikit-learn sees its names, which takes no others than strings for names."""
    if not is_frame(X) or is_counted(X) or any(isinstance(label, str) for label in X.columns):
        return X
    return X.set_axis([str(label) for label in X.columns], axis=1)


def mixed(
    points: Array,
    tables: Tables,
    inputs: tuple[str, ...],
    define: Define | None = None,
    outputs: tuple[str, ...] | None = None,
) -> tuple[MixedData, bool]:
    """What scikit-learn's users pass, as MixedData, and whether they speak of one output without an axis.

    Without `outputs`, the outputs are named as y's columns are; with them, data are given to a model, and
    need not have a column for each definition.
    """
    n, formulas = len(points), as_definitions(define)
    second = any(SECOND_DERIVATIVE.fullmatch(name) for name in tables.names("dydx") or ())
    if second or (formulas and (outputs is None or tables.selected("dydx", None) is not None)):
        return _by_formulas(points, tables, inputs, formulas, outputs)
    Y = _targets("y", tables.selected("y", None), n)
    slopes = _targets("dydx", tables.selected("dydx", None), n)
    if Y is None and slopes is None:
        raise SwarmnetError("SwarmNetRegressor requires y to be passed, but the target y is None")
    names, one = named_outputs(tables, inputs, Y, slopes)
    if outputs is not None:
        Y = in_the_models_order(Y, names, outputs, tables.names("y") is not None)
        names = outputs
    J, J_sigma = (partials(what, tables, points.shape, inputs, names) for what in ("dydx", "dydx_sigma"))
    if J is None and J_sigma is not None:
        raise SwarmnetError("dydx_sigma are the standard deviations of dydx: give dydx, too")
    weights = _weights(tables, points)
    Y_sigma = _targets("y_sigma", tables.placed("y_sigma", names), n)
    return MixedData(points, Y, J, like_values(Y_sigma, Y), J_sigma, inputs, names, weights), one


def _by_formulas(
    points: Array,
    tables: Tables,
    inputs: tuple[str, ...],
    define: dict[str, str],
    outputs: tuple[str, ...] | None,
) -> tuple[MixedData, bool]:
    """As `mixed`, with columns of dydx that are read by their definitions."""
    n, own = len(points), tables.names("dydx")
    slopes = _targets("dydx", tables.selected("dydx", None), n)
    if own is None or slopes is None:
        raise SwarmnetError("define= is for columns of dydx with names: give dydx as a table")
    Y = _targets("y", tables.selected("y", None), n)
    names, one = named_outputs(tables, inputs, Y, slopes)
    if outputs is not None:
        Y, names = in_the_models_order(Y, names, outputs, tables.names("y") is not None), outputs
    columns = dict(zip(inputs, points.T, strict=True))
    if Y is not None:
        columns |= zip(names, Y.reshape(n, -1).T, strict=True)
    if taken := [name for name in own if name in columns]:
        raise SwarmnetError(f"dydx has the column {listed(taken)}, which is in X or y: rename one")
    columns |= zip(own, slopes.reshape(n, -1).T, strict=True)
    Y_sigma = like_values(_targets("y_sigma", tables.placed("y_sigma", names), n), Y)
    if Y_sigma is not None:
        columns |= zip(map(sigma_name, names), Y_sigma.reshape(n, -1).T, strict=True)
    J_sigma = _targets("dydx_sigma", tables.placed("dydx_sigma", own), n)
    if J_sigma is not None:
        columns |= zip(map(sigma_name, own), J_sigma.reshape(n, -1).T, strict=True)
    if outputs is not None:
        columns |= {name: np.full(n, np.nan) for name in define if name not in columns}
    known = None if Y is None and outputs is None else names
    data = MixedData.from_frame(pd.DataFrame(columns), inputs, known, define=define)
    return replace(data, weights=_weights(tables, points)), one if Y is not None else data.k == 1


def _weights(tables: Tables, points: Array) -> Array | None:
    weights = tables.selected("sample_weight", None)
    if weights is None:
        return None
    checked: Array = _check_sample_weight(weights, points, dtype=np.float64)
    return checked


def _targets(name: str, targets: Any, n: int) -> Array | None:
    """As doubles; NaN is allowed, infinity is not."""
    if targets is None:
        return None
    checked: Array = check_array(
        targets,
        dtype=np.float64,
        ensure_2d=False,
        allow_nd=name.startswith("dydx"),
        ensure_all_finite="allow-nan",
        input_name=name,
    )
    check_consistent_length(range(n), checked)
    return checked


def named_outputs(
    tables: Tables, inputs: tuple[str, ...], Y: Array | None, slopes: Array | None
) -> tuple[tuple[str, ...], bool]:
    """The outputs' names, and whether there is one without an axis.

    Names are those of y's columns, or else of what dydx are the partials of, where that leaves no choice.
    """
    own = tables.names("y")
    if own is None and (Y is None or Y.ndim == 1):
        own = tables.numerators("dydx", inputs)
    if Y is not None:
        one = Y.ndim == 1
        k = 1 if one else Y.shape[1]
    elif slopes is not None and slopes.ndim > 2:
        one, k = False, slopes.shape[1]
    else:
        k = len(own) if own else 1
        one = k == 1
    if own is None or len(own) != k:
        own = ["y"] if k == 1 else [f"y{o + 1}" for o in range(k)]
    while set(own) & set(inputs):
        own = [f"{name}_" for name in own]
    return tuple(own), one


def in_the_models_order(
    Y: Array | None, names: tuple[str, ...], outputs: tuple[str, ...], named: bool
) -> Array | None:
    """The columns of y that were trained on, by name if they have any."""
    if Y is None:
        return None
    if len(names) != len(outputs):
        raise SwarmnetError(f"there are {len(names)} outputs, where the model has {len(outputs)}")
    if not named or len(outputs) == 1:
        return Y
    if set(names) != set(outputs):
        raise SwarmnetError(
            f"the columns of y are {listed(names)}, where the model's outputs are {listed(outputs)}: "
            "rename them, or pass y.to_numpy()"
        )
    return Y[:, [names.index(name) for name in outputs]]


def like_values(sigma: Array | None, Y: Array | None) -> Array | None:
    """Standard deviations in the shape of the values Y."""
    if sigma is None:
        return None
    if Y is None:
        raise SwarmnetError("y_sigma are the standard deviations of y: give y, too")
    if sigma.size != Y.size:
        raise SwarmnetError(f"y_sigma must be {Y.shape} like y, not {sigma.shape}")
    return sigma.reshape(Y.shape)


def partials(
    what: str, tables: Tables, shape: tuple[int, ...], inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> Array | None:
    """(n, k, d)."""
    found = _targets(what, tables.partials(what, inputs, outputs), shape[0])
    wanted = (shape[0], len(outputs), shape[1])
    if found is None:
        return None
    if found.shape != wanted and (len(outputs) > 1 or found.shape != shape):
        layout = shape if len(outputs) == 1 else wanted
        raise SwarmnetError(f"{what} must be {layout}, its rows and inputs those of X, not {found.shape}")
    return found.reshape(wanted)


def with_counts(data: MixedData) -> MixedData:
    """The same data, if their weights may be counts; relative weights divided by their average.

    No row counts less than once, so weights of less than 1 on average are relative, as scikit-learn's users
    know them. Taken for counts, they would say that next to nothing was observed.
    """
    if data.weights is None:
        return data
    relative = data.weights / data.weights.max()
    average = relative[(data.entries_per_row > 0) & (relative > 0)].mean()
    if average * data.weights.max() >= 1.0:
        return data
    return replace(data, weights=relative / average)
