"""Imports run down one list of layers, at the top of files and inside functions, and nowhere in a circle."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "swarmnet"

# From the bottom up: a module imports from its own layer, without a circle, and from those above it here.
LAYERS = (
    "version errors floating_point number_format random_state interrupts atomic_write linalg threads",
    "data",
    "scaling",
    "network",
    "objective",
    "trainers",
    "distributed",
    "model",
    "fitting",
    "comparison suggestion estimator_data estimator testing",
    "explanation export plots report",
    "writers",
    "",  # swarmnet itself: the public names
    "cli __main__",
)
FLOOR = {name: number for number, layer in enumerate(LAYERS) for name in layer.split(" ")}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), ast.parse(path.read_text())


TREES = dict(modules())


def imported(tree):
    """The modules of the package that a module imports anywhere, and at which line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "swarmnet":
            source = node.module.removeprefix("swarmnet").removeprefix(".")
            for alias in node.names:
                name = f"{source}.{alias.name}".removeprefix(".")
                yield (name if name in TREES else source), node.lineno
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "swarmnet":
                    yield alias.name.removeprefix("swarmnet").removeprefix("."), node.lineno


IMPORTS = {name: set(imported(tree)) for name, tree in TREES.items()}


def test_every_module_has_a_layer():
    assert {name.split(".")[0] for name in TREES} == set(FLOOR)


@pytest.mark.parametrize("name", TREES)
def test_imports_run_down_the_layers(name):
    own = FLOOR[name.split(".")[0]]
    up = [f"{other} (line {line})" for other, line in IMPORTS[name] if FLOOR[other.split(".")[0]] > own]
    assert not up


def test_no_imports_run_in_a_circle():
    left = {name: {other for other, _ in found if other != name} for name, found in IMPORTS.items()}
    while free := [name for name, found in left.items() if not found & left.keys()]:
        for name in free:
            del left[name]
    assert not left
