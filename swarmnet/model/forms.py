"""Other forms of a model or a comparison: graphs, source code, reports.

What makes them imports the model, and is registered here when `swarmnet` is imported: the model imports none.
"""

from collections.abc import Callable
from typing import Any

FORMS: dict[str, Callable[..., Any]] = {}
