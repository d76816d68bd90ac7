"""Modules that need an extra have no doctests where it is not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("distributed") else ["swarmnet/cluster.py", "swarmnet/distributed.py"]
