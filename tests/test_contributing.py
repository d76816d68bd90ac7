"""CONTRIBUTING.md: the files, modules and layers that it names are there."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.test_layers import LAYERS

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
COMMANDS = "".join(body for kind, body in BLOCKS if kind == "console")
NAMED = [*re.findall(r"`([^`]+)`", PROSE), *COMMANDS.split()]
MADE = re.compile(r"\.venv/|docs/_build")  # by the commands
PATH = re.compile(r"[\w./-]+(/[\w.-]*|\.(py|md))")
PATHS = {word for word in NAMED if PATH.fullmatch(word) and not MADE.match(word)}
MODULES = set(re.findall(r"python3? -m ([\w.]+)", TEXT)) - {"venv"}


def test_some_are_named():
    assert len(PATHS) > 30 and len(MODULES) > 3


@pytest.mark.parametrize("path", sorted(PATHS))
def test_paths_exist(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("module", sorted(MODULES - {"sphinx", "build", "twine"}))  # tests need none of these
def test_modules_exist(module):
    assert find_spec(module)


def test_the_picture_is_of_the_layers():
    (picture,) = (body for kind, body in BLOCKS if kind == "text")
    rows = [row for row in picture.splitlines() if row.strip(" │")]
    assert len(rows) == len(LAYERS)
    for row, layer in zip(rows, LAYERS, strict=True):
        assert re.split(r" {2,}|$", row)[0] == (layer or "swarmnet")
