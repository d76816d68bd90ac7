"""Writing files: whole or not at all, and known to be possible before a long run.

A file is written under a hidden name beside its own, and renamed once it is whole. While that goes on, the
hidden file is locked; the lock of a process that was killed dies with it, and so the next write of the same
file knows what was left behind, and removes it. Where there are no such locks (Windows, some network drives)
it is left alone.

Others may write to the same folder. So what is made there is opened exclusively, under a name that nobody
knows beforehand, and neither links nor FIFOs are followed or waited for. What was left behind is recognised
by a checksum in its name, and by its owner.
"""

import hashlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from swarmnet.errors import SwarmnetError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PARTIAL = ".partial"
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL  # which fails where there is anything of that name, even a link
_THERE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file that is there whole or not at all; a file of that name stays as it was on failure.

    Text is written as UTF-8. Of several that write it at once, the last to end wins.

    Raises:
        SwarmnetError: it cannot be written.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        if is_stream(path):
            _write_stream(path, data)
            return
        target = Path(os.path.realpath(path))
        with _beside(target) as (name, file):
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if target.exists():
                mode = target.stat().st_mode & 0o777
                os.chmod(file.fileno() if os.chmod in os.supports_fd else name, mode)
            if fcntl is None:
                file.close()  # Windows renames no open file
            os.replace(name, target)
    except OSError as error:
        raise SwarmnetError(f"{path}: cannot write: {error.strerror}") from None


@contextmanager
def _beside(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A new file in the target's folder, locked for us; gone in the end, unless renamed."""
    _remove_leftovers(target)
    name, file = _locked_beside(target)
    try:
        yield name, file
    finally:
        try:
            file.close()
        finally:
            name.unlink(missing_ok=True)  # Ctrl-C may come when it has its new name already


def _locked_beside(target: Path) -> tuple[Path, BinaryIO]:
    # The system takes the user's umask off; to ask for it is to set it, which other threads would notice.
    mode = 0o600 if target.exists() else 0o666
    while True:
        drawn = secrets.token_hex(4)
        name = target.with_name(f".{target.name}.{drawn}{_checksum(drawn, target)}{_PARTIAL}")
        try:
            descriptor = os.open(name, _NEW | getattr(os, "O_BINARY", 0), mode)
        except FileExistsError:
            continue
        if _lock(descriptor) is not False and os.fstat(descriptor).st_nlink:
            return name, os.fdopen(descriptor, "wb")
        os.close(descriptor)  # another process took it for a leftover before it was locked


def _checksum(drawn: str, target: Path) -> str:
    """By which our names are told from those that others give their files."""
    return hashlib.sha256(os.fsencode(f"swarmnet {drawn} {target.name}")).hexdigest()[:8]


def _remove_leftovers(target: Path) -> None:
    """Remove what a killed process left of an earlier write of this file."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.([0-9a-f]{{8}})([0-9a-f]{{8}}){re.escape(_PARTIAL)}")
    with suppress(OSError):  # a folder whose files are not ours to see
        for name in os.listdir(target.parent):
            match = pattern.fullmatch(name)
            if match and match[2] == _checksum(match[1], target):
                with suppress(OSError):  # it is gone by now, or not ours to remove
                    _remove_unlocked(target.with_name(name))


def _remove_unlocked(left: Path) -> None:
    """Remove a file of this user's that nobody writes to any more."""
    if fcntl is None or not _is_own(os.lstat(left)):
        return
    descriptor = os.open(left, os.O_RDONLY | _THERE)
    try:
        if _is_own(os.fstat(descriptor)) and _lock(descriptor):
            left.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _is_own(file: os.stat_result) -> bool:
    """Whether it is a file, with no other name, of this user's."""
    return stat.S_ISREG(file.st_mode) and file.st_nlink == 1 and file.st_uid == os.geteuid()


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
        with suppress(OSError):  # it is gone, or in a folder where nothing may be removed any more
            if os.path.samestat(os.lstat(name), os.fstat(descriptor)):
                name.unlink()
        os.close(descriptor)


def _opened_lock(name: Path) -> int | None:
    """The lock file, open and locked; None where another has it.

    Raises:
        SwarmnetError: what has its name is no lock file.
    """
    while True:
        descriptor = _made_or_there(name)
        if descriptor is None:
            continue
        if not _is_lock(os.fstat(descriptor)):
            os.close(descriptor)
            raise _no_lock(name)
        if _lock(descriptor) is False:
            os.close(descriptor)
            return None
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)


def _made_or_there(name: Path) -> int | None:
    """The lock file, open; None where its last holder removes it just now."""
    with suppress(FileExistsError):
        return os.open(name, _NEW, 0o666)
    with suppress(FileNotFoundError):
        if _is_lock(os.lstat(name)):
            return os.open(name, os.O_RDWR | _THERE)
        raise _no_lock(name)
    return None


def _is_lock(file: os.stat_result) -> bool:
    return stat.S_ISREG(file.st_mode) and file.st_size == 0


def _no_lock(name: Path) -> SwarmnetError:
    return SwarmnetError(
        f"{name}: cannot lock: this is no lock file of swarmnet's, which would be empty: rename it, or name "
        "another file for the state"
    )


_DESCRIPTOR = re.compile(r"/dev/(?:std(?P<name>out|err)|fd/(?P<fd>\d{1,9}))|/proc/self/fd/(?P<own>\d{1,9})")


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
