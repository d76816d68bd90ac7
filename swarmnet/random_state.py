"""Importing other packages on demand without their side effects."""

import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def same_random_state() -> Iterator[None]:
    """Restore Python's random state at the end: Rich, which scikit-learn imports, draws from it on import."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
