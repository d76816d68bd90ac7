"""The version, for the package, the command line and model files."""

__version__ = "0.2.0"
