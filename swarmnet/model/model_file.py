"""Writing and reading model files in JSON, with checks of their content."""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import listed, refuse_dangerous_name, refuse_same_names
from swarmnet.data.data_frames import pd
from swarmnet.data.logarithms import Logarithms
from swarmnet.data.units import refuse_unprintable
from swarmnet.errors import SwarmnetError
from swarmnet.model.error_bars import OtherFit
from swarmnet.model.training_record import number, with_ranges_mended
from swarmnet.model.training_region import TrainingPoints
from swarmnet.network.network import Network
from swarmnet.network.trend import Trend
from swarmnet.scaling import Scaling

Array = NDArray[Any]

_FORMAT = "swarmnet-model"
_PLAIN, _VERSION = 2, 3  # of files without a trend and logarithms, and of others; 0.1 has 1
_BYTES = {1: "<f4", 2: "<f8", 3: "<f8"}  # number format of the error bars in each version of the file format
HISTORY = ("iteration", "evaluations", "seconds", "loss", "validation_loss", "stage")
_SCALES = ("x_offset", "x_scale", "y_offset", "y_scale")


def written(model: Mapping[str, Any]) -> str:
    """Return the text of a model file, with every bit, from the fields of `FittedModel` by name."""
    spread: Array | None = model["spread"]
    nets = [model["net"], *(other.net for other in model["others"])]
    plain = all(net.trend is None for net in nets) and model["scaling"].logs is None
    version = _PLAIN if plain else _VERSION
    document = {
        "format": _FORMAT,
        "version": version,
        "inputs": list(model["inputs"]),
        "outputs": list(model["outputs"]),
        **network_record(model["net"]),
        "scaling": scaling_record(model["scaling"]),
        "theta": model["theta"].tolist(),
        "spread": None if spread is None else b64encode(spread.astype(_BYTES[version]).tobytes()).decode(),
        "others": [
            network_record(other.net) | {"theta": other.theta.tolist(), "share": other.share}
            for other in model["others"]
        ],
        "points": None if model["points"] is None else _points_record(model["points"]),
        **({"units": model["units"]} if model["units"] else {}),
        "training": model["training"],
        "history": {name: _nulls(column) for name, column in model["history"].items()},
    }
    return json.dumps(document, allow_nan=False) + "\n"


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the fields of `FittedModel` by name, from a file that `FittedModel.save` wrote."""
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


def _built(document: dict[str, Any]) -> dict[str, Any]:
    net, theta = _network(document)
    scales = document["scaling"]
    vectors = {name: _vector(scales[name]) for name in _SCALES}
    scaling = Scaling(**vectors, logs=_logarithms(scales.get("log")))
    inputs, outputs = _names(document, "inputs"), _names(document, "outputs")
    if len({*inputs, *outputs}) < len(inputs) + len(outputs):
        raise SwarmnetError("two of its names are the same")
    refuse_same_names(inputs, outputs)
    logs = scaling.logs or Logarithms((False,) * len(inputs), (False,) * len(outputs))
    widths = [len(v) for v in (scaling.x_offset, scaling.x_scale, inputs, logs.inputs)]
    heights = [len(v) for v in (scaling.y_offset, scaling.y_scale, outputs, logs.outputs)]
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
    # Refuse lone surrogates and numbers that are infinite as doubles.
    json.dumps([training, list(document["history"])], ensure_ascii=False, allow_nan=False).encode()
    if document["version"] == 1:
        training = with_ranges_mended(training, inputs, scaling)
    return {
        "net": net,
        "theta": theta,
        "scaling": scaling,
        "inputs": inputs,
        "outputs": outputs,
        "training": training,
        "history": history,
        "spread": _spread(document.get("spread"), net.size, _BYTES[document["version"]]),
        "others": tuple(_other(net, record) for record in document.get("others", ())),
        "points": _points(document.get("points"), net.d),
        "units": _units(document.get("units", {})),
    }


def network_record(net: Network) -> dict[str, Any]:
    """Return a network's record for model files and reports, without its weights."""
    record = {"sizes": list(net.sizes), "activations": [act.name for act in net.activations]}
    if net.trend is not None:
        fields = ("powers", "centre", "half")
        record["trend"] = {name: getattr(net.trend, name).tolist() for name in fields}
    return record


def scaling_record(scaling: Scaling) -> dict[str, Any]:
    """Return a scaling's record for model files and reports."""
    record = {name: getattr(scaling, name).tolist() for name in _SCALES}
    if scaling.logs is not None:
        record["log"] = {"inputs": list(scaling.logs.inputs), "outputs": list(scaling.logs.outputs)}
    return record


def _network(record: dict[str, Any]) -> tuple[Network, Array]:
    """Return the network of a record, and its weights."""
    theta, sizes = np.array(record["theta"], dtype=np.float64), record["sizes"]
    trend = record.get("trend")
    terms = 0 if trend is None else len(trend["powers"])
    if _weights(sizes, terms) != theta.size or theta.ndim != 1:
        raise SwarmnetError(f"it has {theta.size} weights, which do not fit its layer sizes")
    net = Network(sizes, record["activations"], None if trend is None else _trend(trend))
    if not np.isfinite(theta).all():
        raise SwarmnetError("a weight is missing or infinite")
    return net, theta


def _trend(record: dict[str, Any]) -> Trend:
    powers = record["powers"]
    if not all(isinstance(power, int) for term in powers for power in term):
        raise SwarmnetError("the powers of its trend are not whole numbers")
    return Trend(np.array(powers), _vector(record["centre"]), _vector(record["half"]))


def _other(net: Network, record: dict[str, Any]) -> OtherFit:
    other, theta = _network(record)
    share = float(record["share"])
    if (other.d, other.k) != (net.d, net.k) or not 0 <= share <= 1:
        raise SwarmnetError("what widens its error bars does not fit its network")
    return OtherFit(other, theta, share)


def _points_record(points: TrainingPoints) -> dict[str, Any]:
    return {"X": points.X.tolist(), "unit": points.unit.tolist(), "reach": points.reach}


def _points(record: Any, d: int) -> TrainingPoints | None:
    if record is None:
        return None
    X, unit = np.array(record["X"], dtype=np.float64), np.array(record["unit"], dtype=np.float64)
    reach = number(record["reach"])
    fits = X.ndim == 2 and X.shape[1:] == unit.shape == (d,) and len(X) > 0
    if not fits or reach is None or not (np.isfinite(X).all() and np.isfinite(unit).all()):
        raise SwarmnetError("its training points do not fit its inputs")
    if reach < 0 or (unit < 0).any():
        raise SwarmnetError("a distance of its training points is negative")
    return TrainingPoints(X, unit, reach)


def _units(record: Any) -> dict[str, str]:
    for name, unit in record.items():
        refuse_dangerous_name("column", name)
        refuse_unprintable(name, unit)
    return dict(record)


def _is_deeper(value: Any, levels: int) -> bool:
    """Return whether the value is nested more than so many levels deep."""
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


def _weights(sizes: Sequence[Any], terms: int) -> int:
    """Return the number of weights, with the trend's; sizes are checked before memory is allocated."""
    if not all(isinstance(size, int) for size in sizes):
        raise SwarmnetError("its layer sizes are not whole numbers")
    layers = [(a + 1) * b for a, b in zip(sizes[:-1], sizes[1:], strict=True)]
    return sum(layers) + terms * sizes[-1] if layers else 0


def _logarithms(record: Any) -> Logarithms | None:
    if record is None:
        return None
    logs = Logarithms(tuple(record["inputs"]), tuple(record["outputs"]))
    if not all(isinstance(log, bool) for log in logs.inputs + logs.outputs):
        raise SwarmnetError("the logarithms of its scaling are not true or false")
    return logs


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
