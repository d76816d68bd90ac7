"""Importing other packages where they are needed, without what they do by the way."""

import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def same_random_state() -> Iterator[None]:
    """Keep Python's random state: Rich, which scikit-learn imports, draws from it when it is imported."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
