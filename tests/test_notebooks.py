"""The notebooks run without an error or a warning, and are stored with the outputs of their code.

The tests run less of each (`shortened`), so they do not compare numbers, but the kinds of outputs, the
headings of tables, and a hash of the code.
"""

import re
import runpy
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

import swarmnet
from tests.shortened import shorter

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
if not all(find_spec(name) for name in ("nbclient", "ipykernel", "matplotlib")):
    pytest.skip("notebooks need nbclient, ipykernel and matplotlib", allow_module_level=True)

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::DeprecationWarning:{module}")
    for module in ("jupyter_client", "jupyter_core", "nbclient", "nbformat", "tornado", "zmq")
]
each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def fonts() -> None:
    """Matplotlib's list of fonts, about which it writes to stderr when it has to make it."""
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the notebooks with the datasets beside it, away from the user's own settings."""
    for name in ("notebooks", "datasets"):
        copytree(ROOT / name, tmp_path / name)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own draws into the notebook
    return tmp_path / "notebooks"


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) == 7


@each_notebook
@pytest.mark.usefixtures("fonts")
def test_runs_without_errors_or_warnings(notebook: Path, folder: Path) -> None:
    document = read(folder / notebook.name)
    for cell in code_cells(document):
        cell.source = shorter(cell.source)
    client = nbclient.NotebookClient(
        document, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    stored = read(ROOT / "notebooks" / notebook.name)
    for ran, shown in zip(code_cells(document), code_cells(stored), strict=True):
        assert [form(output) for output in ran.outputs] == [form(output) for output in shown.outputs]
    outputs = [output for cell in code_cells(document) for output in cell.outputs]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)


@each_notebook
def test_is_stored_with_the_outputs_of_its_code(notebook: Path) -> None:
    document = read(notebook)
    nbformat.validate(document)
    assert set(document.metadata) == {"kernelspec", "swarmnet"}
    assert document.metadata.kernelspec.name == "python3"
    refresh = runpy.run_path(str(ROOT / "notebooks" / "refresh.py"))
    advice = f"run python notebooks/refresh.py notebooks/{notebook.name}"
    assert document.metadata.swarmnet.code == refresh["code_hash"](document), advice
    assert notebook.stat().st_size < 300_000
    for cell in code_cells(document):
        assert cell.execution_count is None and cell.metadata == {}
    assert document.cells[0].cell_type == "markdown" and "?" in document.cells[0].source.splitlines()[0]


def form(output: Any) -> tuple[str, ...]:
    """Return what two runs have in common: the kind of an output, and a table's columns."""
    if output.output_type == "stream":
        return ("text", output.name)
    if "image/png" in output.data:
        return ("picture",)
    if "text/html" not in output.data:
        return ("value",)
    heading = output.data["text/html"].partition("</thead>")[0]
    return ("table", *re.findall(r"<th[^>]*>([^<]*)</th>", heading))


@pytest.mark.usefixtures("fonts")
def test_picture_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "water.png"
    script = ROOT / "notebooks" / "make_picture.py"
    short = ["--seconds", "0.1", "--repeats", "2", "--output", str(picture)]
    monkeypatch.setattr(sys, "argv", [str(script), *short])
    monkeypatch.setattr(swarmnet, "fit", partial(swarmnet.fit, iterations=100))
    runpy.run_path(str(script), run_name="__main__")
    assert capfd.readouterr() == ("", "")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 150_000


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(document: Any) -> list[Any]:
    return [cell for cell in document.cells if cell.cell_type == "code"]
