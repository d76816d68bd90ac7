"""The name to install it by: `swarmnet` on PyPI is another project, which nobody must be told to install."""

import re
import tomllib
from pathlib import Path

import pytest

from swarmnet.errors import install_hint

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OTHER_PROJECT = re.compile(
    r"""(?:\binstall|uv add|uvx|pipx run)(?:[ \t]+-\S+)*[ \t]+["']?swarmnet\b"""
    r"""|swarmnet(?:-surrogate)?\[[a-z]+(?:,[a-z]+)*\]"""
)
HINT = re.compile(r'pip install "\.\[([a-z,]+)\]"|install_hint\(\W(\w+)\W\)')
KINDS = {".py", ".ipynb", ".md", ".html", ".js", ".yaml", ""}
FOLDERS = [ROOT / name for name in ("swarmnet", "docs", "benchmarks", "notebooks", "datasets", ".ci")]
FILES = [*ROOT.glob("*.md"), *(file for folder in FOLDERS for file in folder.rglob("*"))]
TEXTS = {
    file: file.read_text(encoding="utf-8")
    for file in FILES
    if file.is_file() and file.suffix in KINDS and not {"_build", "__pycache__"} & set(file.parts)
}


def test_nobody_is_told_to_install_another_project():
    assert len(TEXTS) > 100
    told = {file: found[0] for file, text in TEXTS.items() if (found := OTHER_PROJECT.search(text))}
    assert told == {}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('pip install "swarmnet[plots]"', True),
        ("pip install swarmnet", True),
        ("pip install --upgrade -q 'swarmnet'", True),
        ("uv add swarmnet", True),
        ("the extra swarmnet[dask]", True),
        ("pip install swarmnet-surrogate", True),  # there is none on PyPI
        (install_hint("plots"), False),
        (".venv/bin/pip install --quiet . && .venv/bin/swarmnet train", False),
    ],
)
def test_what_installs_another_project_is_found(text, wrong):
    assert (OTHER_PROJECT.search(text) is not None) == wrong


def test_the_extras_are_those_of_the_distribution():
    extras = PROJECT["optional-dependencies"]
    assert PROJECT["name"] == "swarmnet-surrogate"
    own = [needed for extra in extras.values() for needed in extra if needed.startswith("swarmnet")]
    assert own and all(needed.startswith("swarmnet-surrogate[") for needed in own)
    told = {name for text in TEXTS.values() for pair in HINT.findall(text) for name in pair if name}
    assert len(told) > 5
    assert {extra for names in told for extra in names.split(",")} <= set(extras)
