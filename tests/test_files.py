"""Files that are there whole or not at all."""

import os
import stat
import subprocess
import sys

import pytest

from swarmnet import SwarmnetError
from swarmnet.files import refuse_unwritable, write_atomically


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
