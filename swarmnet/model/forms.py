"""Registry of the output formats of models and comparisons: ONNX graphs, source code, reports.

The modules that write them import the model, and are registered when `swarmnet` is imported. So the model
does not import them.
"""

from collections.abc import Callable
from typing import Any

FORMS: dict[str, Callable[..., Any]] = {}
