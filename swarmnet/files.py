"""Writing files: whole or not at all, and known to be possible before a long run.

A file is written under a hidden name beside its own, and renamed once it is whole. While that goes on, the
hidden file is locked; the lock of a process that was killed dies with it, and so the next write of the same
file knows what was left behind, and removes it. Where there are no such locks (Windows, some network drives)
it is left alone.
"""

import glob
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swarmnet.errors import SwarmnetError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PARTIAL = ".partial"


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file that is there whole or not at all; a file of that name stays as it was on failure.

    Text is written as UTF-8. Of several that write it at once, the last to end wins.

    Raises:
        SwarmnetError: it cannot be written.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        if is_stream(path):
            _write_stream(path, data)
            return
        target = Path(os.path.realpath(path))
        with _beside(target) as name:
            with open(name, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                os.chmod(name, target.stat().st_mode & 0o777)
            os.replace(name, target)
    except OSError as error:
        raise SwarmnetError(f"{path}: cannot write: {error.strerror}") from None


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """The name of a new file in the target's folder, locked for us; gone in the end, unless renamed."""
    _remove_leftovers(target)
    descriptor, name = _locked_beside(target)
    if fcntl is None:
        os.close(descriptor)  # Windows renames no open file
    try:
        yield name
    finally:
        name.unlink(missing_ok=True)  # Ctrl-C may come when it has its new name already
        if fcntl is not None:
            os.close(descriptor)


def _locked_beside(target: Path) -> tuple[int, Path]:
    # The system takes the user's umask off; to ask for it is to set it, which other threads would notice.
    mode = 0o600 if target.exists() else 0o666
    while True:
        name = target.with_name(f".{target.name}.{secrets.token_hex(4)}{_PARTIAL}")
        try:
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            continue
        if _lock(descriptor) is not False and os.fstat(descriptor).st_nlink:
            return descriptor, name
        os.close(descriptor)  # another process took it for a leftover before it was locked


def _remove_leftovers(target: Path) -> None:
    """Remove what a killed process left of an earlier write of this file."""
    for name in glob.glob(f".{glob.escape(target.name)}.*{_PARTIAL}", root_dir=target.parent):
        left = target.parent / name
        try:
            descriptor = os.open(left, os.O_RDONLY)
        except OSError:  # it is gone by now, or is another user's
            continue
        try:
            if _lock(descriptor):
                left.unlink(missing_ok=True)
        except OSError:  # not ours to remove
            pass
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock an open file until it is closed: whether that was free, and None where the system has no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextmanager
def held(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep others from holding `path` meanwhile, by a hidden lock file beside it.

    A lock file that a killed process left behind hinders nobody. Where the system has no locks, none is held.

    Raises:
        SwarmnetError: another process, or another thread of this one, holds it.
    """
    if fcntl is None:
        yield
        return
    try:
        target = Path(os.path.realpath(path))
        name = target.with_name(f".{target.name}.lock")
        descriptor = _opened_lock(name)
    except OSError as error:
        raise SwarmnetError(f"{path}: cannot lock: {error.strerror}") from None
    if descriptor is None:
        raise SwarmnetError(
            f"{path}: another run is keeping its state in this file: let it end, or name another file"
        )
    try:
        yield
    finally:
        name.unlink(missing_ok=True)
        os.close(descriptor)


def _opened_lock(name: Path) -> int | None:
    """The lock file, open and locked; None where another has it."""
    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        if _lock(descriptor) is False:
            os.close(descriptor)
            return None
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # its last holder removed it just now


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


def refuse_unwritable(path: str | os.PathLike[str]) -> None:
    """Find out before a long run, and without touching the file, whether `path` can be written.

    Raises:
        SwarmnetError: it cannot.
    """
    try:
        target = Path(os.path.realpath(path))  # fails where the working folder is gone
        if target.is_dir():
            raise SwarmnetError(f"{path}: cannot write: it is a folder; name a file in it")
        if not target.parent.is_dir():
            raise SwarmnetError(f"{path}: cannot write: there is no folder {target.parent}; make it first")
        if is_stream(path):
            return
        with _beside(target):
            pass
    except OSError as error:
        raise SwarmnetError(f"{path}: cannot write: {error.strerror}") from None
