"""Kills, full disks, closed pipes, vanished files: what is there is whole, what went wrong is one line."""

import contextlib
import io
import os
import pty
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

import swarmnet
from swarmnet import MixedData, SwarmnetError, fit
from swarmnet.atomic_write import held, write_atomically
from swarmnet.cli import commands as cli

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits as Unix has them")

HERE = {**os.environ, "PYTHONPATH": str(Path(swarmnet.__file__).parents[1])}
KILLS = Path(__file__).with_name("kills.py")
DATA = MixedData(np.linspace(-1, 1, 12)[:, None], Y=np.linspace(-1, 1, 12) ** 2, inputs="x")
LONG = ("--trainer", "adam", "--hidden", "4", "--seconds", "300")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{x!r},{x * x!r}" for x in np.linspace(-1, 1, 12).tolist()]
    Path("data.csv").write_text("\n".join(["x,y", *rows]) + "\n")
    fit(DATA, (3,), trainer="lbfgs", iterations=5).save("m.json")
    Path("query.csv").write_text("x\n" + "0.5\n" * 20_000)
    return tmp_path


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """A command in this process: exit code and standard error."""

    def called(*arguments):
        monkeypatch.setattr(sys, "argv", ["swarmnet", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, capsys.readouterr().err

    return called


@pytest.fixture
def at_iteration(monkeypatch):
    """Have something done once, when training has come to an iteration."""
    record = swarmnet.trainers.Monitor.record

    def at(number, action):
        def recording(self, *arguments):
            if self.budget.iteration == number:
                monkeypatch.setattr(swarmnet.trainers.Monitor, "record", record)
                action()
            return record(self, *arguments)

        monkeypatch.setattr(swarmnet.trainers.Monitor, "record", recording)

    return at


def send(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.fixture
def unread(monkeypatch):
    """Let a stream of this process lead to a pipe that nobody reads."""
    streams = []

    def to_nowhere(name, buffering):
        read, write = os.pipe()
        os.close(read)
        streams.append(io.TextIOWrapper(os.fdopen(write, "wb", buffering), write_through=buffering == 0))
        monkeypatch.setattr(sys, name, streams[0])

    yield to_nowhere
    streams[0].close()


# SIGKILL


def test_kills_at_random_moments():
    """A few; many by `python tests/kills.py`."""
    done = subprocess.run(
        [sys.executable, str(KILLS), "--moments", "3"],
        capture_output=True,
        text=True,
        check=False,
        env=HERE | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert re.findall(r"(?m)^(\d+) kills", done.stdout)[:3] == ["3", "3", "3"]


def test_what_a_kill_left_behind_is_removed_by_the_next_write(tmp_path):
    code = """
import os, signal, sys
from swarmnet.atomic_write import write_atomically
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
for _ in range(2):
    child = os.fork()
    if child == 0:
        write_atomically(sys.argv[1], "new")
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
"""
    path = tmp_path / "m[1].json"
    path.write_text("old")
    (tmp_path / ".m[1].json.mine").write_text("another's")
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, env=HERE)
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 3  # the second has removed what the first left
    write_atomically(path, "newer")
    assert path.read_text() == "newer"
    assert sorted(os.listdir(tmp_path)) == [".m[1].json.mine", "m[1].json"]


def test_a_file_that_another_is_writing_is_not_taken_for_a_leftover(tmp_path, monkeypatch):
    """Two writers at once: the last to end wins, and both end well."""
    path = tmp_path / "file"
    replace, order = os.replace, []

    def while_another_writes(source, target):
        if not order:
            order.append("outer")
            write_atomically(path, "inner")
            assert path.read_text() == "inner"
        replace(source, target)

    monkeypatch.setattr(os, "replace", while_another_writes)
    write_atomically(path, "outer")
    assert path.read_text() == "outer"
    assert os.listdir(tmp_path) == ["file"]


# Signals


@pytest.fixture(autouse=True)
def signals_as_in_a_terminal():
    """Whoever starts the tests in the background has them ignore SIGINT, and nohup SIGHUP."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_ends_training_with_the_model_so_far(call, at_iteration, name, code):
    at_iteration(9, send(getattr(signal, name)))
    ended, err = call("train", "data.csv", *LONG, "-o", "new.json", "--test-fraction", "0")
    assert ended == code
    assert "interrupted; the best weights so far are kept" in err and "Traceback" not in err
    assert swarmnet.load("new.json").training["status"] == "interrupted"


def test_sigterm_leaves_a_checkpoint_to_go_on_from(call, at_iteration):
    run = ("train", "data.csv", *LONG, "--checkpoint", "run.ckpt", "--checkpoint-every", "0")
    at_iteration(9, send(signal.SIGTERM))
    assert call(*run)[0] == 143
    code, err = call(*run, "--iterations", "20")
    assert (code, "differs in adam's iterations" in err) == (2, True)
    at_iteration(12, send(signal.SIGTERM))
    code, err = call(*run)
    assert (code, err.splitlines()[0]) == (143, "run.ckpt: going on from iteration 9")


def test_sigterm_ends_a_command_that_has_nothing_to_keep(call, monkeypatch):
    monkeypatch.setattr("swarmnet.cli.commands.read", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    assert call("inspect", "data.csv") == (143, "interrupted\n")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_ignored(call, monkeypatch):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert call("inspect", "data.csv")[0] == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_that_follow_the_first_do_not_keep_it_from_saving(call, at_iteration, monkeypatch):
    """As a closed terminal sends SIGHUP twice, and the system SIGTERM a little later."""
    fsync = os.fsync

    def followed(descriptor):
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
        fsync(descriptor)

    run = ("train", "data.csv", *LONG, "-o", "new.json", "--checkpoint", "c", "--checkpoint-every", "0")
    with monkeypatch.context() as patch:
        at_iteration(9, lambda: (patch.setattr(os, "fsync", followed), send(signal.SIGHUP)()))
        code, err = call(*run)
    assert code == 129 and "Traceback" not in err
    assert swarmnet.load("new.json").training["status"] == "interrupted"
    at_iteration(12, send(signal.SIGTERM))
    code, err = call(*run)
    assert (code, err.splitlines()[0]) == (143, "c: going on from iteration 9")
    assert sorted(os.listdir()) == ["c", "data.csv", "m.json", "new.json", "query.csv"]


def test_a_signal_whose_exception_is_dropped_ends_training_all_the_same(call, at_iteration):
    """As Python does where an object is deleted."""

    def dropped():
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)

    at_iteration(9, dropped)
    assert call("train", "data.csv", *LONG[:-1], "5", "-o", "new.json")[0] == 143
    assert swarmnet.load("new.json").training["status"] == "interrupted"


@pytest.mark.parametrize("after", ["seconds", "days"])
def test_ctrl_c_given_again_ends_what_waits_too_long(call, at_iteration, monkeypatch, after):
    save = swarmnet.FittedModel.save

    def slow(self, path):
        now = time.monotonic() + (5.0 if after == "seconds" else 2 * 86400.0)
        with monkeypatch.context() as later:
            later.setattr(time, "monotonic", lambda: now)
            os.kill(os.getpid(), signal.SIGINT)
        save(self, path)

    monkeypatch.setattr(swarmnet.FittedModel, "save", slow)
    at_iteration(9, send(signal.SIGINT))
    code, err = call("train", "data.csv", *LONG, "-o", "new.json")
    assert (code, Path("new.json").exists()) == (130, after == "seconds")
    assert "Traceback" not in err


@pytest.mark.parametrize("moment", ["while it is finished", "while it is saved"])
def test_a_signal_after_training_does_not_lose_the_model(call, monkeypatch, moment):
    came = []

    def signalled(*arguments, **named):
        if not came:
            came.append(signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        return function(*arguments, **named)

    owner, name = (swarmnet.FittedModel, "__init__") if moment == "while it is finished" else (os, "fsync")
    function = getattr(owner, name)
    monkeypatch.setattr(owner, name, signalled)
    short = ("--trainer", "adam", "--hidden", "3", "--iterations", "8")
    code, err = call("train", "data.csv", *short, "-o", "new.json")
    assert (code, err.splitlines()[-1]) == (143, "interrupted")
    assert swarmnet.load("new.json").training["status"] == "iterations"


def bar_seen(terminal):
    seen = b""
    while b"it/s" not in seen:
        seen += os.read(terminal, 65536)


def train_in_the_foreground(*options):
    """A shell's command line that notes who trains, and says with what code that ended."""
    train = shlex.join([sys.executable, "-m", "swarmnet", "train", "data.csv", *LONG, *options])
    return f"sh -c 'echo $$ > who; exec \"$@\"' sh {train}"


# An interactive shell whose terminal is that of its session
IN_A_SESSION = """
import fcntl, os, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
"""


@pytest.mark.parametrize("followed", [None, 0.005])
def test_a_closed_terminal_keeps_model_and_checkpoint(folder, followed):
    """An interactive shell's, while the bar is on; a process manager may send SIGTERM a little later."""
    terminal, end = pty.openpty()
    # Not pty.fork: what other tests have imported may run threads in this process.
    shell = subprocess.Popen(
        [sys.executable, "-c", IN_A_SESSION], stdin=end, stdout=end, stderr=end, env=HERE | {"TERM": "xterm"}
    )
    os.close(end)
    try:
        os.write(terminal, (train_in_the_foreground("-o", "new.json", "--checkpoint", "c") + "\n").encode())
        bar_seen(terminal)
        trains = int(Path("who").read_text())
        time.sleep(0.5)  # until there is something to keep
        os.close(terminal)
        if followed is not None:
            time.sleep(followed)
            os.kill(trains, signal.SIGTERM)
        wait_until(lambda: not is_running(trains))
    finally:
        shell.kill()
        shell.wait()
    assert swarmnet.load("new.json").training["status"] == "interrupted"
    assert sorted(os.listdir()) == ["c", "data.csv", "m.json", "new.json", "query.csv", "who"]


def test_a_terminal_that_closes_without_a_signal_does_not_end_a_training(folder):
    """As under nohup with the bar on."""
    terminal, end = pty.openpty()
    short = ("--trainer", "adam", "--hidden", "3", "--seconds", "1.5", "-o", "new.json")
    command = [sys.executable, "-m", "swarmnet", "train", "data.csv", "--test-fraction", "0.2", *short]
    training = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end, env=HERE, start_new_session=True)
    os.close(end)
    bar_seen(terminal)
    os.close(terminal)
    assert "rmse" in training.communicate(timeout=60)[0].decode()
    assert training.returncode == 0
    assert swarmnet.load("new.json").training["status"] == "seconds"


def is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# Pipes


def test_a_reader_that_has_seen_enough(folder):
    line = f'set -o pipefail; "{sys.executable}" -m swarmnet predict m.json query.csv --jacobian | head -1'
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, env=HERE)
    assert (done.returncode, done.stderr) == (141, "")
    assert done.stdout == "x,y,dy/dx\n"


@pytest.mark.parametrize("buffering", [-1, 0])
@pytest.mark.parametrize("command", ["predict m.json query.csv", "inspect data.csv", "inspect m.json --json"])
def test_a_result_that_nobody_reads(call, unread, command, buffering):
    unread("stdout", buffering)
    assert call(*command.split()) == (141, "")


def test_a_result_is_written_whole_or_is_an_error_without_a_buffer(call, monkeypatch):
    """As under PYTHONUNBUFFERED, on a disk that has room for a part, which is no error by itself."""
    with open("out.csv", "wb", 0) as out, largest_file(1000):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
        code, err = call("predict", "m.json", "query.csv")
    assert (code, err) == (2, "error: cannot write the result: File too large\n")
    assert os.path.getsize("out.csv") == 1000


def test_notes_that_nobody_reads_do_not_end_a_training(call, unread):
    unread("stderr", 0)
    short = ("--trainer", "adam", "--hidden", "3", "--iterations", "30")
    assert call("train", "data.csv", *short, "-o", "new.json")[0] == 0
    swarmnet.load("new.json")


def test_an_error_that_nobody_reads_keeps_its_exit_code(call, unread):
    unread("stderr", 0)
    assert call("inspect", "nothing.csv")[0] == 2


# Disks


@contextlib.contextmanager
def largest_file(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line_and_leaves_the_old_file(folder, call):
    Path("out.csv").write_text("old")
    before = sorted(os.listdir())
    with largest_file(1000):
        code, err = call("predict", "m.json", "query.csv", "-o", "out.csv")
    assert (code, err) == (2, "error: out.csv: cannot write: File too large\n")
    assert Path("out.csv").read_text() == "old"
    assert sorted(os.listdir()) == before


def test_a_full_disk_does_not_end_a_training_with_a_checkpoint(folder, call):
    short = ("--trainer", "adam", "--hidden", "3", "--iterations", "8", "--checkpoint-every", "0")
    with largest_file(10):
        code, err = call("train", "data.csv", *short, "--checkpoint", "run.ckpt", "-o", "new.json")
    lines = err.splitlines()
    assert code == 2
    assert lines[0] == (
        "warning: run.ckpt: cannot write: File too large; training goes on without this checkpoint"
    )
    assert lines[1:] == ["error: new.json: cannot write: File too large"]
    assert sorted(os.listdir()) == ["data.csv", "m.json", "query.csv"]


def test_a_small_disk_that_is_full(folder):
    """On a disk of its own, where the system lets anyone make one."""
    mounted = (
        "mkdir disk && mount -t tmpfs -o size=64k none disk && echo old > disk/out.csv &&"
        f' "{sys.executable}" -m swarmnet predict m.json query.csv -o disk/out.csv;'
        " code=$?; ls -A disk; cat disk/out.csv; exit $code"
    )
    unshare = shutil.which("unshare")
    if (
        unshare is None
        or subprocess.run([unshare, "-Urm", "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("no file systems of one's own here")
    done = subprocess.run(
        [unshare, "-Urm", "bash", "-c", mounted], capture_output=True, text=True, check=False, env=HERE
    )
    if "mount" in done.stderr:
        pytest.skip("no file systems of one's own here")
    assert done.stderr == "error: disk/out.csv: cannot write: No space left on device\n"
    assert (done.returncode, done.stdout) == (2, "out.csv\nold\n")


@pytest.fixture
def read_only():
    """A folder in which this process may write nothing, not even as root."""
    folder = Path(tempfile.mkdtemp(dir=tempfile.gettempdir()))
    (folder / "data.csv").write_text("x,y\n0,1\n1,2\n2,5\n3,7\n4,9\n")
    (folder / "m.json").write_text("old")
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.parametrize("option", ["-o", "--checkpoint"])
def test_a_read_only_folder_is_known_before_training(call, read_only, monkeypatch, option):
    monkeypatch.setattr("swarmnet.fitting.fitting.fitted", lambda *_: pytest.fail("it trained"))
    path = read_only / "m.json"
    code, err = call("train", read_only / "data.csv", option, path, *(("-o", "/dev/null") * (option != "-o")))
    assert (code, err) == (2, f"error: {path}: cannot write: Permission denied\n")
    assert path.read_text() == "old"


def test_a_model_that_took_long_is_saved_elsewhere(folder, call, monkeypatch, at_iteration):
    """The folder of the output vanishes during training."""
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "temporary"))
    Path("temporary").mkdir()
    Path("gone").mkdir()
    at_iteration(2, lambda: shutil.rmtree("gone"))
    code, err = call("train", "data.csv", "--trainer", "adam", "--iterations", "3", "-o", "gone/new.json")
    assert code == 2
    found = re.fullmatch(
        r"error: gone/new.json: cannot write: No such .*; the model was saved as (.*)\n", err
    )
    assert found, err
    assert swarmnet.load(found[1]).net.d == 1


# Files that vanish


def test_a_data_file_that_vanishes_between_the_glob_and_the_reading(folder, monkeypatch):
    Path("data2.csv").write_text(Path("data.csv").read_text())
    opened = Path.open

    def vanishing(self, *arguments, **kwargs):
        if self.name == "data2.csv":
            self.unlink(missing_ok=True)
        return opened(self, *arguments, **kwargs)

    monkeypatch.setattr(Path, "open", vanishing)
    with pytest.raises(SwarmnetError, match=r"^data2.csv: there is no such file"):
        swarmnet.read_csv("data*.csv")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("predict", "gone.json", "query.csv"), "gone.json: cannot read the model: No such file"),
        (("predict", "m.json", "gone.csv"), "gone.csv: there is no such file"),
        (("train", "gone.csv"), "gone.csv: there is no such file"),
        (("train", "data.csv", "-o", "gone/m.json"), "there is no folder"),
    ],
)
def test_files_and_folders_that_are_gone(call, arguments, words):
    code, err = call(*arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert words in err


def test_a_working_folder_that_is_gone(call):
    os.mkdir("here")
    os.chdir("here")  # the fixture goes back in the end
    os.rmdir("../here")
    code, err = call("train", "data.csv", "-o", "m.json")
    assert (code, err) == (2, "error: m.json: cannot write: No such file or directory\n")


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs a file without an end")
def test_a_file_without_an_end(call):
    assert call("inspect", "/dev/zero") == (
        2,
        "error: /dev/zero: this is a binary or UTF-16 file without a byte order mark: if it is text, name "
        "its encoding, as encoding='utf-16-le' (--encoding utf-16-le)\n",
    )


# Two at once


def test_a_checkpoint_is_of_one_run_at_a_time_until_that_is_killed(folder, call):
    holding = """
import sys, time
from swarmnet.atomic_write import held
with held("run.ckpt"):
    print("held", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", holding], stdout=subprocess.PIPE, env=HERE) as process:
        assert process.stdout.readline() == b"held\n"
        code, err = call("train", "data.csv", *LONG, "--checkpoint", "run.ckpt")
        process.kill()
    assert code == 2
    assert err == (
        "error: run.ckpt: another run is keeping its state in this file: let it end, or name another file\n"
    )
    assert ".run.ckpt.lock" in os.listdir()
    with held("run.ckpt"):
        pass
    assert ".run.ckpt.lock" not in os.listdir()


def test_threads_share_no_checkpoint(tmp_path):
    with held(tmp_path / "run.ckpt"), pytest.raises(SwarmnetError, match="another run is keeping"):
        fit(DATA, (3,), trainer="adam", iterations=3, checkpoint=tmp_path / "run.ckpt")
    fit(DATA, (3,), trainer="adam", iterations=3, checkpoint=tmp_path / "run.ckpt")
    assert os.listdir(tmp_path) == ["run.ckpt"]


# What a run says of its checkpoint


def test_a_run_says_that_nothing_is_left_to_do(call):
    short = ("train", "data.csv", "--trainer", "adam", "--hidden", "3", "--iterations", "8")
    assert call(*short, "--checkpoint", "run.ckpt")[0] == 0
    code, err = call(*short, "--checkpoint", "run.ckpt")
    assert (code, err.splitlines()[0]) == (0, "run.ckpt: that run had ended: nothing was left to train")


@pytest.mark.parametrize(
    ("trainer", "other"),
    [
        (swarmnet.trainers.Hybrid(polish=swarmnet.trainers.LM(iterations=9)), "polish"),
        (swarmnet.trainers.Hybrid(swarm=swarmnet.trainers.PSO(iterations=2)), "swarm"),
    ],
)
def test_the_trainers_inside_a_trainer_make_a_run(tmp_path, trainer, other):
    def fitted(what):
        fit(DATA, (3,), trainer=what, iterations=3, checkpoint=tmp_path / "run.ckpt")

    fitted(swarmnet.trainers.Hybrid())
    with pytest.raises(SwarmnetError, match=f"another run, which differs in hybrid's {other}"):
        fitted(trainer)


def test_an_activation_of_ones_own_makes_a_run_by_what_it_does(tmp_path):
    tanh, sine = (swarmnet.network.activations.TABLE[name] for name in ("tanh", "sine"))

    def fitted(like):
        mine = swarmnet.Activation("mine", like.value, like.slope, like.curvature)
        fit(DATA, (3,), mine, trainer="adam", iterations=3, checkpoint=tmp_path / "run.ckpt")

    fitted(tanh)
    fitted(tanh)
    with pytest.raises(SwarmnetError, match="another run, which differs in network"):
        fitted(sine)
