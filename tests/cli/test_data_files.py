"""Several data files, and the options of how they are written, in all commands that read data."""

import json
import re
import sys
from pathlib import Path

import pytest

import swarmnet
from swarmnet.cli import commands, console

OPTIONS = [
    "--sep",
    "|",
    "--decimal",
    ",",
    "--na",
    "-",
    "--na",
    "?",
    "--thousands",
    "'",
    "--categories",
    "kind",
]
HEADER = "z kind|p (bar, abs)|kind|h [J]\n"
TRAIN = ["--inputs", "p (bar, abs),kind", "--outputs", "h", "--hidden", "none", "--degree", "1"]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    for name, first in (("b.csv", 0), ("a.csv", 5)):
        rows = [f"1|1'{i:03},5|{('x', 'w')[i % 2]}|{2 * i},25\n" for i in range(first, first + 8)]
        Path(name).write_text(HEADER + "".join(rows) + f"1|{first},5|w|{'-?'[first > 0]}\n")

    def call(*arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["swarmnet", *arguments])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        out, err = capsys.readouterr()
        assert ended.value.code == 0, err
        return out, err

    return call


def test_every_command_takes_files_and_their_options(run) -> None:
    _, err = run("train", "b.csv", "a.csv", *TRAIN, *OPTIONS, "-o", "m.json", "--test-fraction", "0")
    assert "b.csv, a.csv: columns not needed: z kind" in err
    model = swarmnet.load("m.json")
    assert model.inputs == ("p (bar, abs)", "kind_w", "kind_x") and model.outputs == ("h",)
    assert model.training["rows"] == 18 and model.units == {"p (bar, abs)": "bar, abs", "h": "J"}
    out, _ = run("evaluate", "m.json", "b.csv", "a.csv", *OPTIONS)
    assert re.search(r"^h,16,", out, re.MULTILINE)
    out, _ = run("predict", "m.json", "b.csv", "a.csv", *OPTIONS)
    rows = out.splitlines()
    assert rows[0] == '"p (bar, abs)",kind_w,kind_x,h' and len(rows) == 19
    assert rows[1].startswith("1000.5,0.0,1.0,") and rows[10].startswith("1005.5,1.0,0.0,")
    out, _ = run("inspect", "[ab].csv", "--inputs", "p,kind", "--outputs", "h", *OPTIONS)
    assert "\np,input,18," in out and "\nkind_w,input,18," in out
    out, _ = run("explain", "m.json", "b.csv", "a.csv", "--row", "12", *OPTIONS)
    assert "b.csv, a.csv, row 12: " in out
    out, err = run("suggest", "m.json", "-n", "1", "--candidates", "b.csv", *OPTIONS)
    assert len(out.splitlines()) == 2
    out, _ = run(
        *[
            "compare",
            "b.csv",
            "a.csv",
            *TRAIN[:4],
            *OPTIONS,
            "--hidden",
            "2",
            "--trainers",
            "lbfgs",
            "--repeats",
        ],
        *["1", "--evaluations", "20", "--json"],
    )
    assert json.loads(out)["table"][0]["trainer"] == "lbfgs"


def test_a_report_of_several_files(run) -> None:
    pytest.importorskip("jinja2")
    run("train", "b.csv", "a.csv", *TRAIN, *OPTIONS, "-o", "m.json", "--test-fraction", "0")
    run("report", "m.json", "b.csv", "a.csv", *OPTIONS, "-o", "r.html")
    assert "h [J]" not in swarmnet.load("m.json").outputs and Path("r.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("T,p", ["T", "p"]),
        (" T , p (bar, abs),", ["T", "p (bar, abs)"]),
        ("p [a,b],T", ["p [a,b]", "T"]),
        ("p (bar, T", ["p (bar", "T"]),
        ("a),(b", ["a)", "(b"]),
        ("", []),
    ],
)
def test_a_comma_in_brackets_belongs_to_a_name(text: str, names: list[str]) -> None:
    assert console.names(text) == names
