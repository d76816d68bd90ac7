"""Saving a model, to a temporary file if the given path fails."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from swarmnet.errors import SwarmnetError

if TYPE_CHECKING:
    from swarmnet.model.fitted_model import FittedModel


def save(model: "FittedModel", output: Path) -> None:
    """Save a model; if that fails, save it in a temporary folder, so that no training is lost."""
    try:
        model.save(output)
    except SwarmnetError as error:
        try:
            path = Path(tempfile.mkdtemp(prefix="swarmnet-"), output.name)
            model.save(path)
        except (SwarmnetError, OSError):
            raise error from None
        raise SwarmnetError(f"{error}; the model was saved as {path}") from None
