"""Opens the model of a command, and says so where models and data were given in each other's place."""

import os
from collections.abc import Sequence
from pathlib import Path

from swarmnet.errors import SwarmnetError
from swarmnet.model.fitted_model import FittedModel, load

_BEGINS = 200  # bytes of a model file in which its format stands


def loaded(model: Path, data: Sequence[str] | None = None) -> FittedModel:
    """Return the model of a command that also reads `data`.

    Raises:
        SwarmnetError: it is no model, or the data are one.
    """
    for file in filter(holds_model, data or ()):
        if not holds_model(model):
            raise SwarmnetError(f"{file} is the model, and {model} is not: name the model first")
        refuse_model([file])
    if os.path.isfile(model) and _beginning(model)[:1] not in (b"", b"{"):
        raise SwarmnetError(f"{model}: this is not a swarmnet model: name a file that train has written")
    return load(model)


def refuse_model(data: Sequence[str]) -> None:
    """Refuse a model as the data of a command that reads no model.

    Raises:
        SwarmnetError: the file is a model.
    """
    for file in filter(holds_model, data):
        raise SwarmnetError(f"{file}: this is a model, where data are needed: name a CSV or Parquet file")


def holds_model(file: str | Path) -> bool:
    """Return whether a file is a model, whatever its name; a pipe, which can be read only once, is not."""
    return os.path.isfile(file) and b'"swarmnet-model"' in _beginning(file)


def _beginning(file: str | Path) -> bytes:
    try:
        with open(file, "rb") as opened:
            return opened.read(_BEGINS).lstrip()
    except OSError:
        return b""
