"""Kernels where they are first used: when they are compiled, where they are kept, and what is said of it.

Most of it is asked of one small kernel in a process of its own: all of them take half a minute to compile.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import swarmnet
from swarmnet import MixedData, Network, Objective, fit
from swarmnet.trainers import LBFGS, LM, Adam, Hybrid, run
from tests import kernel_sums

PACKAGE = Path(swarmnet.__file__).parent
SMALL = (
    "import numpy as np\n"
    "from swarmnet.objective.kernels.entries import end_of_kind\n"
    "assert end_of_kind(np.array([-1, -1, 0]), 0, 3) == 2\n"
)
COMPILED = (
    "from swarmnet.objective.kernels.entries import end_of_kind as kernel\n"
    "print(sum(kernel.stats.cache_misses.values()), sum(kernel.stats.cache_hits.values()))\n"
)
NAMED = ("NUMBA_", "XDG_CACHE_HOME", "PYTHONPATH")


def environment(package=PACKAGE, **changes):
    """The user's, but for what says where kernels are kept."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NAMED)}
    return kept | {"PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1"} | changes


def python(code, folder, **options):
    """What a script in `folder` printed; it must not have said anything else."""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment(**options))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def installed(tmp_path):
    """A copy of the package, without what is kept of its kernels."""
    shutil.copytree(PACKAGE, tmp_path / "site" / "swarmnet", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "site" / "swarmnet"


@pytest.fixture
def work(tmp_path):
    """Where the user works."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def blocked(path):
    """Let no folder be made of that name, not even by root."""
    path.write_text("")
    return path


# Where they are kept


def test_they_are_kept_beside_the_package(installed, work):
    assert python(SMALL + COMPILED, work, package=installed) == "1 0\n"
    assert python(SMALL + COMPILED, work, package=installed) == "0 1\n"
    assert list((installed / "objective" / "kernels" / "__pycache__").glob("entries.end_of_kind*"))
    assert not list(work.iterdir())


def test_of_a_read_only_installation_they_are_kept_in_the_users_cache(installed, work, tmp_path):
    blocked(installed / "objective" / "kernels" / "__pycache__")
    home = {"HOME": str(tmp_path / "home")}
    assert python(SMALL + COMPILED, work, package=installed, **home) == "1 0\n"
    assert python(SMALL + COMPILED, work, package=installed, **home) == "0 1\n"
    assert list((tmp_path / "home").rglob("entries.end_of_kind*"))
    assert not list(work.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="other systems have their home folder elsewhere")
def test_where_nothing_can_be_written_they_are_compiled_each_time(installed, work, tmp_path):
    blocked(installed / "objective" / "kernels" / "__pycache__")
    home = {"HOME": str(blocked(tmp_path / "home"))}
    for _ in range(2):
        python(SMALL, work, package=installed, **home)
    assert not list(work.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="other systems have their home folder elsewhere")
def test_without_a_home_folder_none_is_made_where_the_user_works(installed, work):
    blocked(installed / "objective" / "kernels" / "__pycache__")
    nobody = "import os\nos.environ.pop('HOME')\nimport pwd\npwd.getpwuid = lambda number: {}[number]\n"
    python(nobody + SMALL, work, package=installed)
    assert not list(work.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="there are no such limits elsewhere")
def test_a_full_disk_does_no_harm(work, tmp_path):
    full = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))\n"
        "from swarmnet.network.activations import TABLE\n"
        "from swarmnet.objective.kernels.layer_activations import Activations\n"
        "Activations([TABLE['relu']], np.float64)\n"
    )
    command = [sys.executable, "-c", "import numpy as np\n" + full + SMALL]
    keeping = environment(NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    done = subprocess.run(command, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=keeping)
    assert done.returncode == 0
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size]


def test_processes_that_compile_at_once_keep_what_each_compiled(work, tmp_path):
    """Numba reads a kernel's index and writes it: here so slowly that all would have read it before."""
    code = (
        "import sys, time, numpy as np\n"
        "from numba.core.caching import IndexDataCacheFile as Index\n"
        "from swarmnet.objective.kernels.jets import multiply\n"
        "write = Index._save_index\n"
        "Index._save_index = lambda *given: (time.sleep(1.5), write(*given))\n"
        "sys.stdin.read(1)\n"
        "for dtype in sys.argv[1:]:\n"
        "    A = np.full((2, 8), 3.0, dtype)\n"
        "    multiply(A, A.copy())\n"
        "    assert (A == 9.0).all()\n"
        "print(sum(multiply.stats.cache_hits.values()))\n"
    )
    keeping = environment(NUMBA_CACHE_DIR=str(tmp_path / "cache"))

    def begun(*dtypes):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-c", code, *dtypes]
        return subprocess.Popen(command, cwd=work, env=keeping, text=True, **pipes)

    both = [begun("float64"), begun("float32")]
    for process in both:
        process.stdin.write("x")
        process.stdin.flush()
    assert [process.communicate() for process in both] == [("0\n", "")] * 2
    assert begun("float64", "float32").communicate("x") == ("2\n", "")


def test_a_changed_source_of_what_a_kernel_calls_is_compiled_anew(installed, work):
    """Numba itself would look at the kernel's own file alone."""
    code = (
        "import numpy as np\n"
        "from swarmnet.network.activations import TABLE\n"
        "from swarmnet.objective.kernels.layer_activations import Activations, activate\n"
        "Z = np.ones((1, 8))\n"
        "activate(Activations([TABLE['relu']], np.float64).addresses[0], 0, Z, np.zeros(1), Z, Z)\n"
        "print(*set(Z.ravel()))\n"
    )
    assert python(code, work, package=installed) == "1.0\n"
    source = installed / "objective" / "kernels" / "scalars.py"
    text = source.read_text()
    assert "return 0.0 if z < 0.0 else z\n" in text
    source.write_text(text.replace("return 0.0 if z < 0.0 else z\n", "return 0.0 if z < 0.0 else z + z\n"))
    assert python(code, work, package=installed) == "2.0\n"


# What is said


def on_a_terminal(code, folder, **options):
    """What a script wrote to a terminal as its standard error."""
    import pty

    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, stderr=theirs, check=False, env=environment(**options)
    )
    os.write(theirs, b"end")
    os.close(theirs)
    said = b""
    while not said.endswith(b"end"):
        said += os.read(ours, 10_000)
    os.close(ours)
    assert done.returncode == 0, said
    return said.decode().removesuffix("end").replace("\r\n", "\n")


@pytest.mark.skipif(os.name != "posix", reason="there are no such terminals elsewhere")
def test_compiling_is_said_once_on_a_terminal(work, tmp_path):
    two = SMALL + (
        "from swarmnet.objective.kernels.jets import multiply\n"
        "multiply(np.ones((1, 8)), np.ones((1, 8)))\n"
        "import numba\n"  # whose other users are not meant
        "numba.njit(lambda x: x + 1)(1)\n"
    )
    keeping = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    said = "swarmnet: compiling its kernels for this machine, once: about half a minute\n"
    assert on_a_terminal(two, work, **keeping) == said
    assert on_a_terminal(two, work, **keeping) == ""


@pytest.mark.skipif(os.name != "posix", reason="there are no such terminals elsewhere")
def test_it_is_said_that_no_folder_keeps_them(installed, work, tmp_path):
    blocked(installed / "objective" / "kernels" / "__pycache__")
    said = on_a_terminal(SMALL, work, package=installed, HOME=str(blocked(tmp_path / "home")))
    assert said.startswith("swarmnet: compiling its kernels for this machine, each time, as no folder")
    assert said.count("\n") == 1


# When


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_ready_objective_waits_for_no_kernel_any_more(rng, dtype):
    """Whatever the rows, and though weights be read-only: neither compiled nor read from the cache."""
    from swarmnet.objective.kernels import entries, losses, projection

    Objective(Network((1, 1)), MixedData([[0.0]], [[0.0]]), dtype=dtype)
    modules = entries, losses, projection
    kernels = [item for module in modules for item in vars(module).values() if hasattr(item, "signatures")]
    before = [len(kernel.signatures) for kernel in kernels]
    for d, k, density in ((1, 1, 0.0), (3, 2, 0.3), (2, 3, 1.0), (4, 1, 1.0), (3, 2, 1.0)):
        X, Y, J = rng.normal(size=(40, d)), rng.normal(size=(40, k)), rng.normal(size=(40, k, d))
        J[rng.random(J.shape) >= density] = np.nan
        net = Network((d, 4, k))
        objective = Objective(net, MixedData(X, Y, J), dtype=dtype)
        swarm = net.init(rng, 3)
        swarm.setflags(write=False)
        objective.loss(swarm)
        objective.loss_and_gradient(swarm[0])
        objective.loss_and_gradient(swarm[0], np.arange(7))
        objective.projected(swarm[:, : objective.hidden_size])
        objective.normal_equations(swarm[0])
        objective.group_squares(swarm[0])
        objective.residual_jacobian(swarm[0])
        for trainer in (Hybrid(iterations=60), LM(iterations=3), LBFGS(iterations=3), Adam(iterations=3)):
            run(trainer, objective, rng)
    assert [len(kernel.signatures) for kernel in kernels] == before


# Without compiled code, and without Numba


def test_without_compiled_code_the_answers_are_the_same(work):
    """As NUMBA_DISABLE_JIT=1 has it, by which coverage is measured."""
    command = [sys.executable, kernel_sums.__file__, "sums.npz"]
    plain = environment(NUMBA_DISABLE_JIT="1")
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, env=plain)
    assert (done.returncode, done.stderr) == (0, "")
    found, expected = np.load(work / "sums.npz"), kernel_sums.all_sums()
    assert set(found) == set(expected)
    for name, right in expected.items():
        accuracy = 1e-4 if name.startswith("float32") else 1e-10
        np.testing.assert_allclose(found[name], right, rtol=accuracy, atol=accuracy, err_msg=name)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    X = np.random.default_rng(0).uniform(-1.0, 1.0, (30, 2))
    noisy = X[:, 0] * X[:, 1] + 0.01 * np.random.default_rng(1).normal(size=30)
    folder = tmp_path_factory.mktemp("saved")
    model = fit(MixedData(X, noisy), (3,), trainer="lm", iterations=30)
    assert model.spread is not None
    model.save(folder / "m.json")
    (folder / "data.csv").write_text("x1,x2,y\n" + "".join(f"{a!r},{b!r},{a * b!r}\n" for a, b in X.tolist()))
    (folder / "points.csv").write_text("x1,x2\n0.1,0.2\n0.3,-0.4\n")
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["predict", "m.json", "points.csv"],
        ["predict", "m.json", "points.csv", "--std"],
        ["predict", "m.json", "points.csv", "--jacobian", "--std"],
        ["inspect", "data.csv"],
    ],
    ids=" ".join,
)
def test_commands_that_train_nothing_import_no_numba(saved, arguments):
    code = (
        "import sys, swarmnet\n"
        "from swarmnet.cli import commands as cli\n"
        f"sys.argv = {['swarmnet', *arguments]!r}\n"
        "try: cli.main()\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "assert not {'numba', 'llvmlite'} & set(sys.modules)\n"
    )
    python(code, saved)


def test_the_package_imports_no_numba(work):
    python("import sys, swarmnet, swarmnet.trainers\nassert 'numba' not in sys.modules", work)
