"""Names of files, globs and lists of them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from swarmnet.data.column_names import listed
from swarmnet.errors import SwarmnetError

FilePath = str | os.PathLike[str]
FilePaths = FilePath | Sequence[FilePath]


def files_of(path: FilePaths) -> list[Path]:
    """Return the files of a name, a glob or a list of both, in the given order; a glob's are sorted.

    Raises:
        SwarmnetError: nothing matches a glob, a file is named twice, or the list is empty.
    """
    if isinstance(path, str | os.PathLike):
        return _matching(path)
    files = [file for part in path for file in _matching(part)]
    if not files:
        raise SwarmnetError("the list of files is empty: name at least one")
    for number, file in enumerate(files):
        if file in files[:number]:
            raise SwarmnetError(f"{file}: this file is named twice: name it once")
    return files


def name_of(path: FilePaths) -> str:
    """Return the name, in messages, of a file, a glob or a list of both."""
    return str(path) if isinstance(path, str | os.PathLike) else listed([str(part) for part in path])


def _matching(path: FilePath) -> list[Path]:
    name = os.fspath(path)
    with readable(name):
        if not any(character in name for character in "*?[") or Path(name).exists():
            return [Path(name)]
        found = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
        files = [file for file in found if not file.is_dir()]
    if not files:
        raise SwarmnetError(f"{name}: no file matches: check the folder and the pattern")
    return files


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn an error of the operating system about a file into a SwarmnetError of one line."""
    try:
        yield
    except FileNotFoundError:
        raise SwarmnetError(f"{name}: there is no such file: check its name and folder") from None
    except IsADirectoryError:
        raise SwarmnetError(
            f"{name}: this is a folder: name a file in it, or a glob such as {name}/*.csv"
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise SwarmnetError(f"{name}: the file cannot be read: {reason}") from None
