"""The documentation: every example runs, and prints what the page says it prints.

A page's examples share a folder, in which `datasets` lies, and its Python a namespace. A `text` block that
follows an example at once is what it prints: `...` in it stands for anything, whole numbers must be the same,
others may differ by a factor of five, because a training ends elsewhere on another machine. A block with a
caption is a file. Seconds and repeats are cut short, what installs something is left to continuous
integration, and what needs a compiler or Node is left out where there is none.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import swarmnet
from swarmnet.cli import commands as cli
from tests.shortened import shorter

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(p for p in DOCS.rglob("*.md") if not p.is_relative_to(DOCS / "_generated")),
]
BLOCK = re.compile(
    r"^```(?:(?P<kind>python|console|text)|\{code-block\} \w+\n:caption: (?P<file>\S+)\n)\n"
    r"(?P<body>.*?)^```\n(?:\n```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
INSTALLS = re.compile(r"^(python3 -m venv|pip install) ", re.MULTILINE)
ALL_EXTRAS = all(map(find_spec, ("pyarrow", "matplotlib", "jinja2", "onnx")))
TOOL = re.compile(r"^(cc|gfortran|node) ", re.MULTILINE)
NEEDS_EXTRA = re.compile(r'pip install "\.\[|No module named|required for parquet')
# What the README and the help of the commands call their files
FILES = {"water.csv": "water_enthalpy.csv", "water_test.csv": "water_enthalpy_test.csv"}


class Example(NamedTuple):
    """One block of a page."""

    line: int
    kind: str
    code: str
    output: str | None


def examples(page: Path) -> Iterator[Example]:
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        if match["kind"] != "text":
            line = text.count("\n", 0, match.start()) + 1
            yield Example(line, match["kind"] or match["file"], match["body"], match["output"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the examples run: the datasets, and the command `swarmnet` of this Python."""
    shutil.copytree(ROOT / "datasets", tmp_path / "datasets")
    for name, dataset in FILES.items():
        shutil.copy(ROOT / "datasets" / dataset, tmp_path / name)
    (tmp_path / "points.csv").write_text("T,p\n300,2e6\n350,5e7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MPLBACKEND", "agg")
    return tmp_path


@contextlib.contextmanager
def skipped_without_extras() -> Iterator[None]:
    """Skip what fails because an extra is not installed."""
    try:
        yield
    except (AssertionError, ImportError, swarmnet.SwarmnetError) as error:
        if ALL_EXTRAS or not NEEDS_EXTRA.search(str(error)):
            raise
        pytest.skip("an example needs an extra")


@skipped_without_extras()
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_examples(page: Path, folder: Path) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    for example in examples(page):
        where = f"{page.relative_to(ROOT)}, line {example.line}"
        code = shorter(example.code)
        if example.kind == "python":
            printed = run_python(code, where, names)
        elif example.kind == "console" and not all(map(shutil.which, TOOL.findall(code))):
            continue  # the machine lacks a compiler or Node
        elif example.kind == "console":
            printed = "" if INSTALLS.search(code) else run_bash(code, where)
        else:
            (folder / example.kind).write_text(example.code, encoding="utf-8")
            continue
        if example.output is not None:
            assert agree(example.output, printed), f"{where} prints\n{printed}\nand not\n{example.output}"


@skipped_without_extras()
def test_examples_of_the_help(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in cli.app.registered_commands:
        example = shorter((command.epilog or "").split("Example:")[1])
        monkeypatch.setattr(sys, "argv", shlex.split(example))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0, f"{example}: {capsys.readouterr().err}"


@pytest.mark.parametrize(
    ("printed", "same"),
    [
        ("a 12 b 0.034 c 5e-7", True),
        ("a   12 b\n0.01 c 9e-7\n", True),
        ("a 13 b 0.034 c 5e-7", False),
        ("a 12 b 0.4 c 5e-7", False),
        ("a 12 b -0.034 c 5e-7", False),
        ("a 12 b 0.034 c", False),
        ("a 12 b 0.034 d 5e-7", False),
    ],
)
def test_outputs_are_compared(printed: str, same: bool) -> None:
    assert agree("a 12 b 0.034 c 5.1e-07\n", printed) is same
    assert agree("a 1... b 0.034 ... 5.1e-07\n", printed) is (same or "13" in printed or "d" in printed)


NUMBER = r"[-+]?\d+(?:\.(?!\.)\d*)?(?:[eE][-+]?\d+)?"


def agree(expected: str, printed: str) -> bool:
    """Whether this was printed: see above for what may differ."""
    parts = [part for part in re.split(rf"({NUMBER}|\.\.\.|\s+)", expected.strip()) if part]
    found = re.fullmatch("".join(map(pattern_of, parts)), printed.strip(), re.DOTALL)
    if found is None:
        return False
    wanted = [float(part) for part in parts if is_inexact(part)]
    pairs = zip(wanted, map(float, found.groups()), strict=True)
    return all(a == b or 0.2 <= b / (a or 1e-300) <= 5.0 for a, b in pairs)


def pattern_of(part: str) -> str:
    if part == "...":
        return ".*?"
    if part.isspace():
        return r"\s+"
    return f"({NUMBER})" if is_inexact(part) else re.escape(part)


def is_inexact(part: str) -> bool:
    """Whether it is a number, and no whole one."""
    return re.fullmatch(NUMBER, part) is not None and not part.lstrip("+-").isdigit()


def run_python(code: str, where: str, names: dict[str, object]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, where, "exec"), names)
    return printed.getvalue()


def run_bash(code: str, where: str) -> str:
    done = subprocess.run(["bash", "-eu", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{where} ends with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


def test_links_of_the_readme_lead_somewhere() -> None:
    links = LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert links and [link for link in links if not (ROOT / link).exists()] == []


def test_every_public_name_is_in_the_reference() -> None:
    pages = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    documented = set(re.findall(r"^\.\. auto\w+:: (?:[\w.]+\.)?(\w+)$", pages, re.MULTILINE))
    assert (public_names(swarmnet) | public_names(swarmnet.trainers)) - documented == set()


def public_names(module: ModuleType) -> set[str]:
    """Classes and functions of a package, its modules' among them."""
    return {
        name
        for name in dir(module)
        if not name.startswith("_")
        and (getattr(getattr(module, name), "__module__", None) or "").startswith(module.__name__)
    }
