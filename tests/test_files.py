"""Files that are there whole or not at all."""

import os
import stat
import subprocess
import sys

import pytest

from swarmnet import SwarmnetError
from swarmnet.files import held, refuse_unwritable, write_atomically

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
        "from swarmnet.files import write_atomically; print('and', end=' ');"
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


def test_what_a_killed_process_left_is_removed_and_what_another_writes_is_not(tmp_path):
    left, busy = tmp_path / ".m.txt.left.partial", tmp_path / ".m.txt.busy.partial"
    left.write_text("half")
    with open(busy, "w") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        write_atomically(tmp_path / "m.txt", "whole")
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
