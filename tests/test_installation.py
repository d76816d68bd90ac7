"""What is built and installed, and by which name: `swarmnet` on PyPI is another project."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import swarmnet
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


# What is installed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without network."""
    backend = pytest.importorskip("hatchling.build")
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return folder / backend.build_wheel(str(folder))


def installed(wheel, folder):
    """Unpack the wheel, and return how to run a Python that finds only this swarmnet, in another folder."""
    zipfile.ZipFile(wheel).extractall(folder / "site")
    environment = os.environ | {"PYTHONPATH": str(folder / "site"), "NUMBA_DISABLE_JIT": "1"}

    def run(*arguments):
        command = [sys.executable, "-W", "error", *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    return run


def test_the_wheel_says_what_it_is(wheel):
    archive = zipfile.ZipFile(wheel)
    own = f"swarmnet_surrogate-{swarmnet.__version__}"
    told = archive.read(f"{own}.dist-info/METADATA").decode()
    lines = told.splitlines()
    assert {f"Version: {swarmnet.__version__}", "Name: swarmnet-surrogate"} <= set(lines)
    assert "Classifier: Development Status :: 4 - Beta" in lines
    assert (
        "swarmnet = swarmnet.cli.commands:main" in archive.read(f"{own}.dist-info/entry_points.txt").decode()
    )
    names = set(archive.namelist())
    assert {f"{own}.dist-info/licenses/LICENSE", "swarmnet/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests", "datasets", "docs", "benchmarks"))]


def test_a_wheel_without_the_clone_has_the_data_of_the_examples(wheel, tmp_path):
    run = installed(wheel, tmp_path)
    written = run("-m", "swarmnet", "datasets")
    assert written.returncode == 0, written.stderr
    clone = {file.name for file in (ROOT / "datasets").iterdir() if file.is_file()}
    found = {file.name: file.read_bytes() for file in (tmp_path / "datasets").iterdir()}
    assert set(found) == clone
    assert all(content == (ROOT / "datasets" / name).read_bytes() for name, content in found.items())
    where = run("-c", "import swarmnet; print(swarmnet.__file__)")
    assert where.stdout.strip() == str(tmp_path / "site" / "swarmnet" / "__init__.py")
    line = run("-m", "swarmnet", "inspect", "datasets/xor.csv")
    assert (line.returncode, line.stdout.splitlines()[1][:8]) == (0, "x1,input")


def test_the_sdist_has_what_its_tests_need(tmp_path, monkeypatch):
    backend = pytest.importorskip("hatchling.build")
    monkeypatch.chdir(ROOT)
    with tarfile.open(tmp_path / backend.build_sdist(str(tmp_path))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    files = {
        "CITATION.cff",
        "CHANGELOG.md",
        "datasets/xor.csv",
        "docs/index.md",
        "tests/kept/model-1-mixed.json",
    }
    assert files <= names
    assert not [name for name in names if "__pycache__" in name or "_build" in name]


def test_the_citation_is_of_this_version():
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    holder = (ROOT / "LICENSE").read_text(encoding="utf-8").splitlines()[2].split(" ", 3)[3]
    assert {f"version: {swarmnet.__version__}", "license: MIT", f"  - name: {holder}"} <= set(lines)
