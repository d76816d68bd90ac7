"""Run notebooks and store their outputs, which a forge shows: python notebooks/refresh.py [NOTEBOOK ...]

By default all are run, which takes some minutes. The metadata keep a hash of the code, so that the tests can
tell outputs of other code.
"""

import hashlib
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
_PARTS = (
    "image/png",
    "text/plain",
    "text/html",
)  # of an output that are kept, the picture alone if there is one


def code_hash(document: Any) -> str:
    """Return a hash of the code of all cells."""
    sources = [cell.source for cell in document.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()


def refresh(path: Path) -> None:
    """Run a notebook in its folder, and save it with its outputs."""
    document = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        document, timeout=600, kernel_name="python3", resources=resources, record_timing=False
    ).execute()
    for cell in document.cells:
        if cell.cell_type == "code":
            cell.execution_count = None
            for output in cell.outputs:
                _strip(output)
    document.metadata.pop("language_info", None)
    document.metadata["swarmnet"] = {"code": code_hash(document)}
    nbformat.write(document, path)


def _strip(output: Any) -> None:
    """Drop counts, and texts beside a picture, which change with every run."""
    if "execution_count" in output:
        output.execution_count = None
    if "data" in output:
        kept = _PARTS[:1] if "image/png" in output.data else _PARTS
        output.data = {part: output.data[part] for part in kept if part in output.data}


if __name__ == "__main__":
    for given in map(Path, sys.argv[1:] or sorted(map(str, FOLDER.glob("*.ipynb")))):
        refresh(given)
        print(f"{given}: {given.stat().st_size // 1000} kB")
