"""Version 0.1 in an environment of its own, with the libraries that this one has, to compare with it."""

import subprocess
import tarfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]

_COMMIT = "6f545b4"
_LIBRARIES = ("numpy", "scipy", "pandas", "scikit-learn", "pyswarms", "joblib", "threadpoolctl")


@contextmanager
def version_0_1() -> Iterator[str]:
    """A Python that has it, in a temporary folder."""
    with TemporaryDirectory() as folder:
        source, environment = Path(folder, "source"), Path(folder, "environment")
        archive = subprocess.run(["git", "archive", _COMMIT], cwd=ROOT, capture_output=True, check=True)
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
            files.extractall(source, filter="data")
        same = Path(folder, "constraints.txt")
        same.write_text("".join(f"{name}=={version(name)}\n" for name in _LIBRARIES))
        venv.create(environment, with_pip=True)
        python = str(environment / "bin" / "python")
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--constraint", str(same), str(source)], check=True)
        yield python
