"""What the system's memory allocator is asked for."""

from contextlib import suppress
from functools import cache

import numpy as np

_LARGE = 8 << 20  # bytes: several times the largest arrays of most climbs


@cache
def keep_freed_memory() -> None:
    """Have the C library keep up to 16 MB of freed memory a thread, rather than give it back to the system.

    Arrays of a megabyte are made and dropped in each step of a climb, and the system fills their pages with
    zeros each time, which takes a third of the climb. glibc gives back what is freed at the end of its heap
    beyond twice the largest block of the system's own that was ever freed (mallopt(3), M_MMAP_THRESHOLD):
    one that nobody has written to costs nothing.
    """
    with suppress(MemoryError):
        np.empty(_LARGE, np.uint8)
