"""The command swarmnet datasets."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from swarmnet.atomic_write import write_atomically
from swarmnet.cli import console
from swarmnet.errors import SwarmnetError

_CLONE = Path(__file__).parents[2] / "datasets"  # an installation in place has no copy of its own


def datasets(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")] = Path("datasets"),
) -> None:
    """The data of all examples in the documentation, written to a folder; its README.md describes them."""
    installed = files("swarmnet").joinpath("datasets")
    source = installed if installed.is_dir() else _CLONE
    contents = {file.name: file.read_bytes() for file in source.iterdir() if file.is_file()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        changed = [name for name in sorted(contents) if _is_other(folder / name, contents[name])]
    except OSError as error:
        raise SwarmnetError(f"{folder}: {error.strerror}: give another folder") from error
    if changed:
        raise SwarmnetError(f"{folder / changed[0]}: there is another file of this name: give another folder")
    for name, content in contents.items():
        write_atomically(folder / name, content)
    console.note(f"{folder}: {len(contents)} files, of which README.md describes the others")


def _is_other(path: Path, content: bytes) -> bool:
    return path.exists() and path.read_bytes() != content
