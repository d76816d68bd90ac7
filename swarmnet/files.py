"""Writing files: whole or not at all, and known to be possible before a long run."""

import os
import re
import sys
import tempfile
from pathlib import Path

from swarmnet.errors import SwarmnetError


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file that is there whole or not at all; a file of that name stays as it was on failure.

    Text is written as UTF-8.

    Raises:
        SwarmnetError: it cannot be written.
    """
    target = Path(os.path.realpath(path))
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        if is_stream(path):
            _write_stream(path, data)
            return
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, _mode(target))
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)  # Ctrl-C may come when it has its new name already
            raise
    except OSError as error:
        raise SwarmnetError(f"{path}: cannot write: {error.strerror}") from None


_DESCRIPTOR = re.compile(r"/dev/(?:std(?P<name>out|err)|fd/(?P<fd>\d+))|/proc/self/fd/(?P<own>\d+)")


def _write_stream(path: str | os.PathLike[str], data: bytes) -> None:
    """Write where the stream stands: opened anew, /dev/stdout would begin at the start of a file."""
    match = _DESCRIPTOR.fullmatch(os.path.abspath(path))
    if match is None:
        with open(path, "ab") as stream:
            stream.write(data)
        return
    sys.stdout.flush()
    sys.stderr.flush()
    number = match["fd"] or match["own"] or {"out": "1", "err": "2"}[match["name"]]
    with os.fdopen(os.dup(int(number)), "wb") as stream:
        stream.write(data)


def is_stream(path: str | os.PathLike[str]) -> bool:
    """A terminal, a pipe, /dev/null, or /dev/stdout whatever that leads to: nothing to be replaced."""
    named = _DESCRIPTOR.fullmatch(os.path.abspath(path))
    return named is not None or (os.path.exists(path) and not os.path.isfile(path))


def _mode(target: Path) -> int:
    """The permissions of the file that is replaced, or those of a new file."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def refuse_unwritable(path: str | os.PathLike[str]) -> None:
    """Find out before a long run, and without touching the file, whether `path` can be written.

    Raises:
        SwarmnetError: it cannot.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise SwarmnetError(f"{path}: cannot write: it is a folder; name a file in it")
    if not target.parent.is_dir():
        raise SwarmnetError(f"{path}: cannot write: there is no folder {target.parent}; make it first")
    if is_stream(path):
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(descriptor)
        os.unlink(name)
    except OSError as error:
        raise SwarmnetError(f"{path}: cannot write: {error.strerror}") from None
