"""FittedModel: a trained network with its scaling. It answers values and derivatives in the data's units."""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swarmnet.atomic_write import write_atomically
from swarmnet.data.column_names import (
    derivative_name,
    listed,
    refuse_dangerous_name,
    refuse_same_names,
    second_derivative_name,
    sigma_name,
    two_columns,
)
from swarmnet.data.data_frames import as_pandas, is_frame, pd
from swarmnet.data.mixed_data import MixedData, as_numbers
from swarmnet.data.readers import read_query
from swarmnet.errors import SwarmnetError
from swarmnet.model import point_queries as queries
from swarmnet.model.error_bars import OtherFit, jacobian_deviations, value_deviations, widened
from swarmnet.model.training_record import no_error_bars, with_ranges_mended
from swarmnet.network.network import Network
from swarmnet.scaling import Scaling

Array = NDArray[Any]

_FORMAT, _VERSION = "swarmnet-model", 2
_BYTES = {1: "<f4", 2: "<f8"}  # of the numbers that error bars are made of, in each version of the format
_HISTORY = ("iteration", "evaluations", "seconds", "loss", "validation_loss", "stage")


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A trained network; X may be an array (n, d), or a table whose columns are matched by name.

    A table is a pandas DataFrame, or one of pyarrow, Polars, Dask and others.

    Args:
        net: the network, in scaled units.
        theta: (p,) its weights.
        scaling: between the data's units and the network's.
        inputs: d names.
        outputs: k names.
        training: how it was trained, and on what: for people, and JSON-able.
        history: one row an iteration: iteration, evaluations, seconds, loss, validation_loss, and as stage
            the trainer at work, of which hybrid has several. Past 20,000 iterations every second row is left
            out, past 40,000 three of four, and so on; the last one and the best are always there.
        spread: packed root of the weights' covariance, see `model.error_bars`; None without error bars.
        others: where training came to from other starts and with other networks; they widen the error bars.
    """

    net: Network
    theta: Array
    scaling: Scaling
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    training: dict[str, Any] = field(default_factory=dict)
    history: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(_HISTORY)))
    spread: NDArray[np.float64] | None = None
    others: tuple[OtherFit, ...] = ()

    def __repr__(self) -> str:
        return f"FittedModel({', '.join(self.inputs)} -> {', '.join(self.outputs)}, {self.net!r})"

    @overload
    def predict(self, X: ArrayLike | pd.DataFrame, return_std: Literal[False] = False) -> Array: ...
    @overload
    def predict(self, X: ArrayLike | pd.DataFrame, return_std: bool) -> Any: ...
    def predict(self, X: ArrayLike | pd.DataFrame, return_std: bool = False) -> Any:
        """Values (n, k); with `return_std` also their standard deviations (n, k).

        The deviation is that of the function, without the noise of a measurement: what the data and the
        estimated noise leave undecided about the weights (Laplace's approximation, MacKay 1992).

        Raises:
            SwarmnetError: missing columns, inputs that are missing or infinite, or too far away for a finite
                answer; or error bars of a model that was not trained by Bayesian regularisation.
        """
        with _no_overflow():
            points = self._scaled(X)
            best = queries.outputs(self.net, self.theta, points)
            values = _finite(self.scaling.unscale_Y(best))
            if not return_std:
                return values
            own = value_deviations(self.net, self.theta, self._known_spread(), points)
            answers = [queries.outputs(other.net, other.theta, points) for other in self.others]
            std = widened(own, best, self.others, answers)
            return values, _finite(std * self.scaling.y_scale)

    @overload
    def jacobian(self, X: ArrayLike | pd.DataFrame, return_std: Literal[False] = False) -> Array: ...
    @overload
    def jacobian(self, X: ArrayLike | pd.DataFrame, return_std: bool) -> Any: ...
    def jacobian(self, X: ArrayLike | pd.DataFrame, return_std: bool = False) -> Any:
        """Partials (n, k, d): [i, o, j] is dY_o/dx_j at row i; with `return_std` also their deviations.

        Raises as `predict` does.
        """
        with _no_overflow():
            points = self._scaled(X)
            best = queries.jacobian(self.net, self.theta, points)
            partials = _finite(self.scaling.unscale_J(best))
            if not return_std:
                return partials
            own = jacobian_deviations(self.net, self.theta, self._known_spread(), points)
            answers = [queries.jacobian(other.net, other.theta, points) for other in self.others]
            std = widened(own, best, self.others, answers)
            return partials, _finite(self.scaling.unscale_J(std))

    def _known_spread(self) -> NDArray[np.float64]:
        if self.spread is None:
            usual = "train it by hybrid or lm, derivative_weight or l2 left open"
            raise SwarmnetError(f"this model has no error bars: {no_error_bars(self.training) or usual}")
        return self.spread

    def hessian(self, X: ArrayLike | pd.DataFrame) -> Array:
        """Second derivatives (n, k, d, d): [i, o, j, m] is d2Y_o/dx_j dx_m. Raises as `predict` does."""
        with _no_overflow():
            found = queries.hessian(self.net, self.theta, self._scaled(X))
            return _finite(self.scaling.unscale_H(found))

    def table(
        self,
        X: ArrayLike | pd.DataFrame,
        jacobian: bool = False,
        hessian: bool = False,
        std: bool = False,
    ) -> pd.DataFrame:
        """Inputs, values and, if asked for, derivatives side by side: T, p, h, dh/dT, d2h/dT2, d2h/dTdp.

        With `std` the error bars of values and first derivatives follow them: sigma(h), sigma(dh/dT).
        """
        points = self._points(X)
        columns: dict[str, Array] = {name: points[:, j] for j, name in enumerate(self.inputs)}
        Y, Y_std = self.predict(points, return_std=True) if std else (self.predict(points), None)
        columns |= {name: Y[:, o] for o, name in enumerate(self.outputs)}
        if Y_std is not None:
            columns |= {sigma_name(name): Y_std[:, o] for o, name in enumerate(self.outputs)}
        if jacobian:
            J, J_std = self.jacobian(points, return_std=True) if std else (self.jacobian(points), None)
            names = {
                derivative_name(out, into): (o, j)
                for o, out in enumerate(self.outputs)
                for j, into in enumerate(self.inputs)
            }
            columns |= {name: J[:, o, j] for name, (o, j) in names.items()}
            if J_std is not None:
                columns |= {sigma_name(name): J_std[:, o, j] for name, (o, j) in names.items()}
        if hessian:
            H = self.hessian(points)
            for o, out in enumerate(self.outputs):
                for j, first in enumerate(self.inputs):
                    for m in range(j, len(self.inputs)):
                        name = second_derivative_name(out, first, self.inputs[m])
                        if name in columns:
                            raise two_columns(name)
                        columns[name] = H[:, o, j, m]
        return pd.DataFrame(columns)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as JSON; the file is there whole or not at all, and the weights bit for bit.

        Raises:
            SwarmnetError: the path cannot be written, or an activation is not one of swarmnet's own.
        """
        self._refuse_own_activations("saved")
        document = {
            "format": _FORMAT,
            "version": _VERSION,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            **network_record(self.net),
            "scaling": {name: getattr(self.scaling, name).tolist() for name in _SCALES},
            "theta": self.theta.tolist(),
            "spread": None
            if self.spread is None
            else b64encode(self.spread.astype(_BYTES[_VERSION]).tobytes()).decode(),
            "others": [
                network_record(other.net) | {"theta": other.theta.tolist(), "share": other.share}
                for other in self.others
            ],
            "training": self.training,
            "history": {name: _nulls(self.history[name]) for name in self.history},
        }
        write_atomically(path, json.dumps(document, allow_nan=False) + "\n")

    def to_onnx(self, path: str | os.PathLike[str], dtype: str = "float64") -> None:
        """Write the model as an ONNX graph, for onnxruntime and other tools; the file is whole or not there.

        The graph takes `X` (n, d), for any n, and gives `values` (n, k) and `jacobian` (n, k, d), all in the
        data's units and in `dtype`, "float64" or "float32". Its metadata name the columns. Error bars and
        second derivatives stay behind. In float32 numbers are rounded to 6e-8 of their size; a warning names
        inputs and outputs that this costs more than a fifty-thousandth of their spread.

        Raises:
            SwarmnetError: onnx is not installed (`pip install ".[onnx]"`), the path cannot be written,
                another dtype, numbers that float32 cannot hold, or an activation that is not swarmnet's own.
        """
        from swarmnet.export import onnx_model  # noqa: PLC0415  # it imports this module

        self._refuse_own_activations("exported")
        write_atomically(path, onnx_model(self, dtype))

    def to_python(self, path: str | os.PathLike[str] | None = None) -> str:
        """The model as the source of a Python module that needs no other, and which `path` keeps if given.

        Its predict(x) takes one point, d numbers, and gives k numbers; its jacobian(x) gives k lists of d
        partial derivatives, all in the data's units.

        Raises:
            SwarmnetError: the path cannot be written, or an activation is not one of swarmnet's own.
        """
        from swarmnet.export import python_module  # noqa: PLC0415  # it imports this module

        self._refuse_own_activations("exported")
        source = python_module(self)
        if path is not None:
            write_atomically(path, source)
        return source

    def report(self, path: str | os.PathLike[str], data: MixedData | None = None) -> None:
        """Write what is to be seen of the model as one HTML file, with a profiler.

        Args:
            path: where to write, such as "report.html".
            data: to measure errors on, and to draw beside the curves.

        Raises:
            SwarmnetError: jinja2 or matplotlib is missing, data with other columns, or a path that cannot be
                written.
        """
        from swarmnet.report.writer import write_model_report  # noqa: PLC0415  # at the edge, and an extra

        write_model_report(self, path, data)

    def _refuse_own_activations(self, done: str) -> None:
        for act in self.net.activations:
            if not act.built_in:
                raise SwarmnetError(f"a model with your own activation {act.name!r} cannot be {done}")

    def _points(self, X: ArrayLike | pd.DataFrame) -> Array:
        table = as_pandas("X", X)
        if is_frame(table):
            return read_query(table, self.inputs)[0]
        points = as_numbers("X", X)
        if points.ndim != 2 or points.shape[1] != len(self.inputs):
            raise SwarmnetError(
                f"X must be (rows, {len(self.inputs)}) with columns {', '.join(self.inputs)}, "
                f"not {points.shape}"
            )
        if not np.isfinite(points).all():
            row = int(np.argwhere(~np.isfinite(points))[0][0])
            raise SwarmnetError(f"X has an input that is missing or infinite in row {row}")
        return points

    def _scaled(self, X: ArrayLike | pd.DataFrame) -> Array:
        return self.scaling.scale_X(self._points(X))


def _no_overflow() -> np.errstate:
    """No warnings by the way: `_finite` looks at what comes out."""
    return np.errstate(all="ignore")


def _finite(answer: Array) -> Array:
    """The answer, where it is one: rows first."""
    if not np.isfinite(answer).all():
        row = int(np.argwhere(~np.isfinite(answer))[0][0])
        raise SwarmnetError(
            f"the answer in row {row} is not finite: its inputs are too far from those trained on"
        )
    return answer


_SCALES = ("x_offset", "x_scale", "y_offset", "y_scale")


def load(path: str | os.PathLike[str]) -> FittedModel:
    """Read a model that `FittedModel.save` wrote.

    Raises:
        SwarmnetError: no such file, not a swarmnet model, truncated, damaged, or written by a later version.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise SwarmnetError(f"{path}: cannot read the model: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SwarmnetError(f"{path}: not a swarmnet model: not a text file") from None
    try:
        document = json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise SwarmnetError(
            f"{path}: not a swarmnet model, or cut short: it is not valid JSON; save it again"
        ) from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise SwarmnetError(f"{path}: not a swarmnet model")
    if document.get("version") not in [*_BYTES]:
        raise SwarmnetError(
            f"{path}: model version {document.get('version')!r}, this swarmnet reads up to {_VERSION}: "
            "use the swarmnet that wrote it, or a newer one"
        )
    try:
        return _built(document)
    except SwarmnetError as error:
        raise SwarmnetError(f"{path}: damaged model: {error}") from None
    except KeyError as error:
        raise SwarmnetError(f"{path}: damaged model: it has no {error}") from None
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        reason = listed(str(error).splitlines()[:1])
        raise SwarmnetError(f"{path}: damaged model: {reason}") from None


def _built(document: dict[str, Any]) -> FittedModel:
    net, theta = _network(document)
    scaling = Scaling(*(_vector(document["scaling"][name]) for name in _SCALES))
    inputs, outputs = _names(document, "inputs"), _names(document, "outputs")
    if len({*inputs, *outputs}) < len(inputs) + len(outputs):
        raise SwarmnetError("two of its names are the same")
    refuse_same_names(inputs, outputs)
    widths = [len(v) for v in (scaling.x_offset, scaling.x_scale, inputs)]
    heights = [len(v) for v in (scaling.y_offset, scaling.y_scale, outputs)]
    if set(widths) != {net.d} or set(heights) != {net.k}:
        raise SwarmnetError("names, scaling and layer sizes do not fit together")
    if min(scaling.x_scale.min(), scaling.y_scale.min()) <= 0:
        raise SwarmnetError("a scale is not positive")
    history = pd.DataFrame(
        {k: _words(v) if k == "stage" else _floats(v) for k, v in document["history"].items()}
    )
    for name in ("iteration", "evaluations"):
        if name in history:
            if not (history[name].abs() < 2.0**53).all():
                raise SwarmnetError(f"its history has other numbers than counts in {name!r}")
            history[name] = history[name].astype(np.int64)
    training = document["training"]
    if not isinstance(training, dict) or _is_deeper(training, 10):
        raise SwarmnetError("its training record is not a table")
    # Neither lone surrogates nor numbers that are infinite as doubles
    json.dumps([training, list(document["history"])], ensure_ascii=False, allow_nan=False).encode()
    if document["version"] == 1:
        training = with_ranges_mended(training, inputs, scaling)
    spread = _spread(document.get("spread"), net.size, _BYTES[document["version"]])
    others = tuple(_other(net, record) for record in document.get("others", ()))
    return FittedModel(net, theta, scaling, inputs, outputs, training, history, spread, others)


def network_record(net: Network) -> dict[str, Any]:
    """A network as model files and reports have it; its weights come besides."""
    return {"sizes": list(net.sizes), "activations": [act.name for act in net.activations]}


def _network(record: dict[str, Any]) -> tuple[Network, Array]:
    """The network of a record, and its weights."""
    theta = np.array(record["theta"], dtype=np.float64)
    if sum(_weights(record["sizes"])) != theta.size or theta.ndim != 1:
        raise SwarmnetError(f"it has {theta.size} weights, which do not fit its layer sizes")
    net = Network(record["sizes"], record["activations"])
    if not np.isfinite(theta).all():
        raise SwarmnetError("a weight is missing or infinite")
    return net, theta


def _other(net: Network, record: dict[str, Any]) -> OtherFit:
    other, theta = _network(record)
    share = float(record["share"])
    if (other.d, other.k) != (net.d, net.k) or not 0 <= share <= 1:
        raise SwarmnetError("what widens its error bars does not fit its network")
    return OtherFit(other, theta, share)


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether it nests more than so many levels."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels == 0 or any(_is_deeper(part, levels - 1) for part in parts)


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _names(document: dict[str, Any], what: str) -> tuple[str, ...]:
    names = document[what]
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise SwarmnetError(f"its {what} are not names")
    for name in names:
        refuse_dangerous_name(what.removesuffix("s"), name)
    return tuple(names)


def _spread(text: Any, size: int, numbers: str) -> NDArray[np.float64] | None:
    if text is None:
        return None
    spread = np.frombuffer(b64decode(text, validate=True), dtype=numbers).astype(np.float64)
    if len(spread) != size * (size + 1) // 2 or not np.isfinite(spread).all():
        raise SwarmnetError("what its error bars are made of does not fit its weights")
    return spread


def _weights(sizes: Sequence[Any]) -> list[int]:
    """Weights a layer, from sizes that may be anything: checked before any memory is asked for."""
    if not all(isinstance(size, int) for size in sizes):
        raise SwarmnetError("its layer sizes are not whole numbers")
    return [(a + 1) * b for a, b in zip(sizes[:-1], sizes[1:], strict=True)]


def _vector(values: Any) -> NDArray[np.float64]:
    vector = np.array(values, dtype=np.float64)
    if vector.ndim != 1 or not np.isfinite(vector).all():
        raise SwarmnetError("its scaling is missing a number")
    return vector


def _nulls(column: pd.Series[Any]) -> list[Any]:
    return [None if isinstance(v, float) and not np.isfinite(v) else v for v in column.tolist()]


def _words(column: Sequence[Any]) -> list[str]:
    if not all(isinstance(word, str) and word.isprintable() for word in column):
        raise SwarmnetError("a stage of its history has no name")
    return list(column)


def _floats(column: Sequence[Any]) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else v for v in column], dtype=np.float64)
