"""Write files completely or not at all, and check before a long run that a file can be written.

A file is first written under a hidden temporary name in the same folder, and renamed when it is complete. The
temporary file is locked during the write. When a process is killed, the system frees its lock, so that the
next write of the same file recognises the temporary file as left over and removes it. On systems without such
locks (Windows, some network drives) the left-over file stays.

Other users may write to the same folder. A new file is therefore opened exclusively and under a random name;
links are not followed, and the program does not wait for FIFOs. A left-over file is recognised by the
checksum in its name and by its owner.
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
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL  # opening fails if the name exists, even as a link
_THERE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file completely or not at all; on failure, an existing file of that name is unchanged.

    Text is written as UTF-8. When several processes write the same file, the last to finish wins.

    Raises:
        SwarmnetError: the file cannot be written.
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
                file.close()  # Windows cannot rename an open file
            os.replace(name, target)
    except OSError as error:
        raise SwarmnetError(f"{path}: cannot write: {error.strerror}") from None


@contextmanager
def _beside(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new locked file in the target's folder; it is removed at the end unless it was renamed."""
    _remove_leftovers(target)
    name, file = _locked_beside(target)
    try:
        yield name, file
    finally:
        try:
            file.close()
        finally:
            name.unlink(missing_ok=True)  # Ctrl-C may come after the file was renamed


def _locked_beside(target: Path) -> tuple[Path, BinaryIO]:
    # The system subtracts the umask. Python can read the umask only by setting it, which affects all threads.
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
        os.close(descriptor)  # another process removed it as left over before it was locked


def _checksum(drawn: str, target: Path) -> str:
    """Return the checksum that distinguishes swarmnet's temporary files from other files."""
    return hashlib.sha256(os.fsencode(f"swarmnet {drawn} {target.name}")).hexdigest()[:8]


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary files that killed processes left from earlier writes of this file."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.([0-9a-f]{{8}})([0-9a-f]{{8}}){re.escape(_PARTIAL)}")
    with suppress(OSError):  # the user may not list this folder
        for name in os.listdir(target.parent):
            match = pattern.fullmatch(name)
            if match and match[2] == _checksum(match[1], target):
                with suppress(OSError):  # already removed, or the user may not remove it
                    _remove_unlocked(target.with_name(name))


def _remove_unlocked(left: Path) -> None:
    """Remove a left-over file of this user if no process holds its lock."""
    if fcntl is None or not _is_own(os.lstat(left)):
        return
    descriptor = os.open(left, os.O_RDONLY | _THERE)
    try:
        if _is_own(os.fstat(descriptor)) and _lock(descriptor):
            left.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _is_own(file: os.stat_result) -> bool:
    """Return whether it is a regular file of this user without other hard links."""
    return stat.S_ISREG(file.st_mode) and file.st_nlink == 1 and file.st_uid == os.geteuid()


def _lock(descriptor: int) -> bool | None:
    """Lock an open file until it closes; return whether it was free, or None if the system has no locks."""
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
    """Hold a lock on `path` inside the `with` block, by a hidden lock file in the same folder.

    A lock file left by a killed process does not block. On a system without locks, nothing is locked.

    Raises:
        SwarmnetError: another process, or another thread of this process, holds the lock.
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
        with suppress(OSError):  # already removed, or the user may not remove files here
            if os.path.samestat(os.lstat(name), os.fstat(descriptor)):
                name.unlink()
        os.close(descriptor)


def _opened_lock(name: Path) -> int | None:
    """Open and lock the lock file; return None if another process holds it."""
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
    """Open the lock file, new or existing; return None if its last holder removes it at this moment."""
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
    """Append to the stream at its current position: opening /dev/stdout again would overwrite a file."""
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
    """Return whether `path` is a terminal, a pipe, /dev/null, /dev/stdout...: it cannot be replaced."""
    named = _DESCRIPTOR.fullmatch(os.path.abspath(path))
    return named is not None or (os.path.exists(path) and not os.path.isfile(path))


def refuse_unwritable(path: str | os.PathLike[str]) -> None:
    """Check before a long run whether `path` can be written, without changing the file.

    Raises:
        SwarmnetError: it cannot be written.
    """
    try:
        target = Path(os.path.realpath(path))  # fails if the working folder no longer exists
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
