"""Modules that need an extra have no doctests where it is not installed."""

from importlib.util import find_spec

_DASK = ["swarmnet/cluster.py", "swarmnet/copies.py", "swarmnet/distributed.py"]

collect_ignore = [] if find_spec("distributed") else _DASK
