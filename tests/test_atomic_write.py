"""Files that are there whole or not at all."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from swarmnet import SwarmnetError
from swarmnet.atomic_write import held, refuse_unwritable, write_atomically

fcntl = pytest.importorskip("fcntl", reason="locks as Unix has them")


def test_files_have_the_permissions_of_any_file(tmp_path):
    path = tmp_path / "m.txt"
    write_atomically(path, "a")
    (tmp_path / "plain").write_text("a")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    path.chmod(0o640)
    write_atomically(path, "b")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_whether_a_path_can_be_written_is_found_out_without_touching_it(tmp_path):
    refuse_unwritable(tmp_path / "m.json")
    assert os.listdir(tmp_path) == []
    with pytest.raises(SwarmnetError, match="it is a folder"):
        refuse_unwritable(tmp_path)
    with pytest.raises(SwarmnetError, match="there is no folder"):
        refuse_unwritable(tmp_path / "no" / "m.json")


def test_streams_are_written_to_and_never_replaced(tmp_path):
    code = (
        "from swarmnet.atomic_write import write_atomically; print('and', end=' ');"
        "write_atomically('/dev/stdout', 'this '); print('after', end='')"
    )
    out = tmp_path / "out"
    with open(out, "w") as file:
        file.write("before ")
        file.flush()
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert out.read_text() == "before and this after"
    write_atomically(os.devnull, "text")
    assert not os.path.isfile(os.devnull)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def left_behind(path, monkeypatch):
    """What is left where a process is killed that writes the file."""

    def killed(source, target):
        raise OSError(5, "killed")

    before = set(os.listdir(path.parent))
    with monkeypatch.context() as patch, pytest.raises(SwarmnetError):
        patch.setattr(os, "replace", killed)
        patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
        write_atomically(path, "half")
    (name,) = set(os.listdir(path.parent)) - before
    return path.with_name(name)


NEIGHBOURS = {
    "a FIFO": os.mkfifo,
    "a file": lambda path: path.write_text("mine"),
    "a folder": lambda path: path.mkdir(),
    "a link to a file": lambda path: path.symlink_to("treasure"),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to a FIFO": lambda path: (os.mkfifo(path.with_name("fifo")), path.symlink_to("fifo")),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a hard link": lambda path: os.link(path.with_name("treasure"), path),
    "a socket": lambda path: bound(path),
}


def bound(path):
    with socket.socket(socket.AF_UNIX) as listener:
        before = os.getcwd()
        os.chdir(path.parent)  # the names of sockets must be short
        try:
            listener.bind(path.name)
        finally:
            os.chdir(before)


@pytest.fixture(params=NEIGHBOURS)
def neighbour(request, tmp_path):
    """What makes something of another's in the folder, by a name."""
    (tmp_path / "treasure").write_text("treasure")
    return NEIGHBOURS[request.param]


def seen(folder):
    """What is in a folder, without opening any of it."""
    return {
        name: (info.st_mode, info.st_ino, info.st_size, info.st_mtime_ns)
        for name in os.listdir(folder)
        for info in [os.lstat(folder / name)]
    }


@pytest.mark.parametrize(
    "name", [".m.json.x.partial", ".m.json.0123abcd.partial", ".m.json.0123456789abcdef.partial"]
)
def test_what_others_have_beside_a_file_is_left_alone(tmp_path, neighbour, name):
    neighbour(tmp_path / name)
    before = seen(tmp_path)
    with ended_in(10):
        refuse_unwritable(tmp_path / "m.json")
        write_atomically(tmp_path / "m.json", "whole")
    after = seen(tmp_path)
    assert after.pop("m.json")
    assert after == before
    assert (tmp_path / "treasure").read_text() == "treasure"


@pytest.mark.parametrize("what", ["a FIFO", "a link"])
def test_what_has_the_name_of_a_leftover_and_is_none_is_left_alone(tmp_path, monkeypatch, what):
    left = left_behind(tmp_path / "m.json", monkeypatch)
    left.rename(tmp_path / "other")
    os.mkfifo(left) if what == "a FIFO" else left.symlink_to("other")
    before = seen(tmp_path)
    with ended_in(10):
        write_atomically(tmp_path / "m.json", "whole")
    after = seen(tmp_path)
    assert after.pop("m.json")
    assert after == before


def test_what_has_the_name_of_a_lock_and_is_none_is_refused_and_left_alone(tmp_path, neighbour):
    neighbour(tmp_path / ".run.ckpt.lock")
    before = seen(tmp_path)
    words = r"\.run\.ckpt\.lock: cannot lock: this is no lock file of swarmnet's"
    with ended_in(10), pytest.raises(SwarmnetError, match=words), held(tmp_path / "run.ckpt"):
        pass
    assert seen(tmp_path) == before


def test_a_lock_file_that_another_has_put_in_its_place_is_left_alone(tmp_path):
    lock = tmp_path / ".run.ckpt.lock"
    with held(tmp_path / "run.ckpt"):
        lock.unlink()
        lock.write_text("another's")
    assert lock.read_text() == "another's"


def test_nothing_is_written_by_way_of_a_link_put_in_the_hidden_files_place(tmp_path, monkeypatch):
    (tmp_path / "treasure").write_text("treasure")
    fsync = os.fsync

    def swapped(descriptor):
        (hidden,) = tmp_path.glob(".m.json.*")
        hidden.unlink()
        hidden.symlink_to("treasure")
        return fsync(descriptor)

    (tmp_path / "m.json").write_text("old")
    monkeypatch.setattr(os, "fsync", swapped)
    before = os.stat(tmp_path / "treasure")
    write_atomically(tmp_path / "m.json", "new")
    after = os.stat(tmp_path / "treasure")
    assert (tmp_path / "treasure").read_text() == "treasure"
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


@pytest.mark.parametrize("path", ["/dev/fd/99999999999999999999", "/dev/fd/987654321"])
def test_a_descriptor_that_is_none_is_one_line(path):
    with pytest.raises(SwarmnetError, match="cannot write: "):
        write_atomically(path, "text")


def test_a_name_that_is_no_text_is_written_out(tmp_path):
    write_atomically(tmp_path / "m.txt", os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "m.txt").read_text() == "caf\\udce9"


@contextlib.contextmanager
def ended_in(seconds):
    """Fail rather than hang."""

    def late(*_):
        raise AssertionError("it waits for another")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path, monkeypatch):
    path = tmp_path / "m.txt"
    left, busy = left_behind(path, monkeypatch), left_behind(path, monkeypatch)
    assert left.exists() and busy.exists()
    with open(busy) as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        write_atomically(path, "whole")
    assert sorted(os.listdir(tmp_path)) == [busy.name, "m.txt"]


def test_a_path_is_held_by_one_alone(tmp_path):
    path = tmp_path / "run.ckpt"
    with held(path):
        with pytest.raises(SwarmnetError, match="another run is keeping its state in this file"), held(path):
            pass
        assert os.listdir(tmp_path) == [".run.ckpt.lock"]
    with held(path):  # it is free again
        pass
    assert os.listdir(tmp_path) == []


def test_a_lock_that_a_killed_process_left_hinders_nobody(tmp_path):
    (tmp_path / ".run.ckpt.lock").touch()
    with held(tmp_path / "run.ckpt"):
        pass
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_made_is_said_in_one_line(tmp_path):
    path = tmp_path / ("m" * 300)  # longer than a name may be
    with pytest.raises(SwarmnetError, match="cannot write: File name too long"):
        write_atomically(path, "text")
    with pytest.raises(SwarmnetError, match="cannot write: File name too long"):
        refuse_unwritable(path)
    with pytest.raises(SwarmnetError, match="cannot lock: File name too long"), held(path):
        pass
