"""The command line: what goes to which stream and file, and one readable line for every mistake."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import swarmnet
from swarmnet.cli import commands as cli
from swarmnet.data.readers import open_files
from swarmnet.network.trend import Trend
from swarmnet.scaling import Scaling
from tests import sharded

SLOPES_ONLY = Path(__file__).parents[2] / "datasets" / "slopes_only.csv"
XOR = SLOPES_ONLY.with_name("xor.csv")
SHORT = ("--trainer", "lbfgs", "--hidden", "3", "--iterations", "5")
COMMANDS = [command.callback.__name__ for command in cli.app.registered_commands]
COLUMNS = ["T", "p", "h", "dh/dT", "dh/dp", "d2h/dT2", "d2h/dTdp", "d2h/dp2"]
Result = namedtuple("Result", "code out err")


def example():
    """h = T^2 + T p, one entry a row."""
    lines = ["T,p,h,dh/dT,dh/dp"]
    for row in range(24):
        T, p = row % 6, row // 6
        lines.append(f"{T},{p}," + (f"{T * T + T * p},,", f",{2 * T + p},", f",,{T}")[row % 3])
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with data, where the command runs."""
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_text(example())
    Path("query.csv").write_text("T,p\n0.5,1\n2,2.25\n")
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """A command in this process."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["swarmnet", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Result(ended.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture
def model(run):
    assert run("train", "data.csv", *SHORT, "-o", "m.json").code == 0
    return swarmnet.load("m.json")


@pytest.fixture
def refuse(folder, run):
    """Check that a command is refused in one line, and that no file is written or changed."""

    def check(*arguments, words):
        before = files(folder)
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert err.index("\n") == len(err) - 1
        for word in [words] if isinstance(words, str) else words:
            assert word in err
        assert files(folder) == before

    return check


def files(folder):
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def table(text):
    return pd.read_csv(io.StringIO(text))


# What the commands do


def test_train_saves_a_model_and_tests_it_on_rows_held_out(run):
    code, out, err = run(
        "train", "data.csv", *SHORT, "-o", "m.json", "--test-fraction", "0.25", "--seed", "3"
    )
    found = table(out)
    assert code == 0
    assert list(found) == ["column", "entries", "rmse", "max_error", "r2"]
    assert found["entries"].sum() == 6
    assert err.startswith("m.json: Network(2-3-1, tanh, linear, 13 weights)")
    assert err.count("\n") == 1
    assert swarmnet.load("m.json").training["rows"] == 18


def test_train_without_rows_held_out_says_so(run):
    code, out, err = run("train", "data.csv", *SHORT, "--test-fraction", "0")
    assert (code, out) == (0, "")
    assert "no rows held out" in err
    assert swarmnet.load("model.json").training["rows"] == 24


def test_train_holds_nothing_out_of_few_points(run):
    """Four rows of XOR, of which each is needed; who asks for a test gets one."""
    code, out, err = run("train", XOR, "-o", "m.json", "--hidden", "4", "--trainer", "lm")
    assert (code, out) == (0, "")
    assert "no rows held out: a fifth of so few is less than 5 points, which say little" in err
    model, data = swarmnet.load("m.json"), swarmnet.read_csv(XOR)
    assert model.training["rows"] == 4
    assert np.abs(model.predict(data.X) - data.Y).max() < 0.05
    assert json.loads(run("train", XOR, *SHORT, "--json").out)["rows_held_out"] == 0
    asked = run("train", XOR, *SHORT, "--test-fraction", "0.25", "--json")
    assert json.loads(asked.out)["rows_held_out"] == 1
    few = run("compare", XOR, "--trainers", "lbfgs", "--repeats", "1", "--evaluations", "5", "--hidden", "2")
    assert "1 of so few rows held out say little" in few.err


def test_train_takes_the_options_of_fit(run):
    options = {
        "inputs": "T,p",
        "outputs": "h",
        "hidden": "2,2",
        "activation": "sine,tanh,linear",
        "trainer": "pso",
        "iterations": 3,
        "particles": 5,
        "scaling": "none",
        "derivative-weight": 2,
        "l2": 1e-3,
        "seed": 4,
        "test-fraction": 0,
    }
    run("train", "data.csv", *(part for name, value in options.items() for part in (f"--{name}", value)))
    settings = {name: options[name] for name in ("trainer", "iterations", "particles", "l2", "seed")}
    layers = {"hidden": (2, 2), "activation": ["sine", "tanh", "linear"]}
    fitted = swarmnet.fit("data.csv", **layers, **settings, scaling=None, derivative_weight=2)
    assert np.array_equal(swarmnet.load("model.json").theta, fitted.theta)


def test_the_same_seed_gives_the_same_weights(run):
    weights = []
    for seed in (1, 1, 2):
        run("train", "data.csv", *SHORT, "--seed", seed)
        weights.append(json.loads(Path("model.json").read_text())["theta"])
    assert weights[0] == weights[1] != weights[2]


def test_predict_gives_values_and_derivatives(run, model):
    code, out, err = run("predict", "m.json", "query.csv", "--jacobian", "--hessian")
    expected = model.table([[0.5, 1.0], [2.0, 2.25]], jacobian=True, hessian=True)
    assert (code, err) == (0, "")
    assert list(table(out)) == COLUMNS
    pd.testing.assert_frame_equal(table(out), expected, rtol=1e-14)


def test_predict_gives_what_is_asked_for(run, model):
    for options, columns in (
        ((), COLUMNS[:3]),
        (("--jacobian",), COLUMNS[:5]),
        (("--hessian",), COLUMNS[:3] + COLUMNS[5:]),
    ):
        assert list(table(run("predict", "m.json", "query.csv", *options).out)) == columns


def test_predict_notes_what_lies_outside_the_training_range(run, model):
    Path("far.csv").write_text("T,p\n0.5,1\n10,1\n-2,7\n2.5,1.5\n")
    code, _, err = run("predict", "m.json", "far.csv", "--jacobian")
    assert (code, err) == (
        0,
        "warning: far.csv: 2 of 4 rows lie outside the training range: "
        "T -2 to 10 (range 0 to 5), p 7 (range 0 to 3); --outside tells each row\n",
    )
    code, flagged, err = run("predict", "m.json", "far.csv", "--outside")
    assert (code, err) == (0, "")
    assert list(table(flagged)) == [*COLUMNS[:3], "outside"]
    assert table(flagged)["outside"].fillna("").tolist() == ["", "T", "T + p", ""]


def test_query_columns_go_by_name(run, model):
    Path("more.csv").write_text("p,note,T\n1,a,0.5\n2.25,b,2\n")
    code, out, err = run("predict", "m.json", "more.csv")
    assert (code, err) == (0, "more.csv: columns not needed: note\n")
    assert out == run("predict", "m.json", "query.csv").out


@pytest.mark.parametrize("command", ["train", "compare", "inspect"])
def test_columns_that_are_left_out_are_named(run, folder, command):
    """`folder` is where it runs."""
    Path("n.csv").write_text("x,y,density\n" + "".join(f"{i},{2 * i},2\n" for i in range(9)))
    short = {
        "train": ("--hidden", "2", "--trainer", "lbfgs", "--iterations", "2"),
        "compare": ("--trainers", "lbfgs", "--repeats", "1", "--evaluations", "5", "--hidden", "2"),
        "inspect": (),
    }[command]
    code, _, err = run(command, "n.csv", "--inputs", "x", "--outputs", "y", *short)
    assert (code, err.splitlines()[0]) == (0, "n.csv: columns not needed: density")


def test_train_and_compare_take_constraints(run):
    require = ("--require", "dh/dT >= 3", "--require", "h<=60")
    assert run("train", "data.csv", *SHORT, *require).code == 0
    model = swarmnet.load("model.json")
    assert [*model.training["require"]] == ["dh/dT >= 3", "h<=60"]
    assert model.jacobian([[1.0, 1.0], [0.0, 3.0]])[:, 0, 0].min() >= 3.0
    compared = ("compare", "data.csv", "--trainers", "lbfgs", "--hidden", "3", "--repeats", 1)
    assert run(*compared, "--evaluations", 20, *require).code == 0
    failed = run("train", "data.csv", *SHORT, "--require", "dh/dT")
    assert failed.code == 2
    assert failed.err.startswith("error: require= (--require) of 'dh/dT': expected '>=' or '<='")


FORCES = ("--define", "Fp = -dh/dp", "--define", "cp=dh/dT/1000")


def renamed(text):
    """The same data with -dh/dp as Fp, and dh/dT in thousandths as cp."""
    data = pd.read_csv(io.StringIO(text))
    defined = data.rename(columns={"dh/dT": "cp", "dh/dp": "Fp"}).assign(
        cp=data["dh/dT"] / 1000, Fp=-data["dh/dp"]
    )
    return defined.to_csv(index=False)


@pytest.fixture
def forces(folder):
    Path("forces.csv").write_text(renamed(example()))


def test_columns_are_read_by_formulas_in_every_command(run, model, forces):
    assert run("train", "forces.csv", *SHORT, *FORCES, "-o", "f.json").code == 0
    assert swarmnet.load("f.json").outputs == ("h",)
    for command, *rest in (("evaluate", "m.json"), ("inspect",), ("compare",), ("explain", "m.json")):
        short = ("--trainers", "lbfgs", "--repeats", "1", "--evaluations", "5", "--hidden", "2", "--json")
        short = short if command == "compare" else ()
        expected = run(command, *rest, "data.csv", *short)
        found = run(command, *rest, "forces.csv", *short, *FORCES)
        assert (found.code, found.err) == (0, "")
        if command in ("evaluate", "inspect"):
            pd.testing.assert_frame_equal(
                table(found.out.split("\n\n")[0]), table(expected.out.split("\n\n")[0]), rtol=1e-9
            )
        else:
            assert len(found.out.splitlines()) == len(expected.out.splitlines())


def test_report_and_test_files_are_read_by_formulas(run, model, forces):
    pytest.importorskip("jinja2")
    assert run("report", "m.json", "forces.csv", *FORCES, "-o", "r.html").code == 0
    short = ("--trainers", "lbfgs", "--repeats", "1", "--evaluations", "5", "--hidden", "2")
    assert run("compare", "forces.csv", *FORCES, *short, "--test", "forces.csv").code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--define", "Fp"), "--define must be NAME = FORMULA, as in \"Fx = -dE/dx\", not 'Fp'"),
        (("--define", "Fp ="), "--define must be NAME = FORMULA"),
        (("--define", "= dh/dp"), "--define must be NAME = FORMULA"),
        (("--define", "Fp = h", "--define", "Fp = dh/dp"), "--define defines 'Fp' twice: define it once"),
        (
            ("--define", "Fp = -(dh/dp"),
            "forces.csv: define= (--define) of 'Fp': column 8 of '-(dh/dp': expected ')'",
        ),
        (
            ("--define", "Fp = h*dh/dq"),
            "of 'Fp': column 3 of 'h*dh/dq': 'dh/dq' is a derivative with respect to",
        ),
        (("--define", "F = dh/dp"), "forces.csv: define= (--define) names 'F', which is no column or target"),
    ],
)
def test_a_formula_that_cannot_be_read_is_refused(refuse, forces, options, words):
    for command in (("train",), ("inspect",), ("compare",)):
        refuse(*command, "forces.csv", *options, words=words)


@pytest.mark.parametrize("name", ["dh_dp", "-dh/dp", "h_p"])
def test_a_column_that_looks_like_a_derivative_names_the_option_that_reads_it(refuse, run, folder, name):
    text = example().replace("dh/dp", name)
    (folder / "odd.csv").write_text(text)
    option = f"{name} = {'-' if name.startswith('-') else ''}dh/dp"
    roles = ("--inputs", "T,p", "--outputs", "h")
    refuse("train", "odd.csv", *roles, words=f'--define "{option}"')
    refuse("inspect", "odd.csv", *roles, words=f'--define "{option}"')
    code, out, err = run("inspect", "odd.csv", *roles, "--define", option)
    assert (code, err) == (0, "")
    assert "dh/dp,partial,8" in out


def test_predict_adds_error_bars(run, folder):
    assert run("train", "data.csv", "--hidden", "3", "--iterations", "40", "-o", "m.json").code == 0
    model = swarmnet.load("m.json")
    code, out, err = run("predict", "m.json", "query.csv", "--std", "--jacobian")
    assert (code, err) == (0, "")
    found = table(out)
    names = ["h", "sigma(h)", "dh/dT", "dh/dp", "sigma(dh/dT)", "sigma(dh/dp)"]
    assert list(found) == ["T", "p", *names]
    expected = model.table([[0.5, 1], [2, 2.25]], jacobian=True, std=True)
    np.testing.assert_allclose(found[names], expected[names], rtol=1e-12)
    out = run("predict", "m.json", "query.csv", "--std").out
    assert list(table(out)) == ["T", "p", "h", "sigma(h)"]


def test_predict_refuses_error_bars_of_a_model_without(refuse, model):
    refuse("predict", "m.json", "query.csv", "--std", "-o", "out.csv", words="no error bars")


def test_what_predict_writes_can_be_read_and_evaluated(run, model):
    assert run("predict", "m.json", "query.csv", "--jacobian", "-o", "out.csv") == (0, "", "")
    code, out, err = run("evaluate", "m.json", "out.csv")
    assert (code, err) == (0, "")
    assert table(out)["column"].tolist() == COLUMNS[2:5]
    assert table(out)["rmse"].max() < 1e-12


def test_evaluate_lists_the_largest_residuals(run, model):
    expected = swarmnet.worst_entries(model, swarmnet.read_csv("data.csv"), 3)
    expected["row"] += 1  # row 1 is the first below the header
    code, out, err = run("evaluate", "m.json", "data.csv", "--worst", "3")
    assert (code, err) == (0, "")
    pd.testing.assert_frame_equal(table(out), expected, rtol=1e-14, check_dtype=False)
    found = json.loads(run("evaluate", "m.json", "data.csv", "--worst", "3", "--json").out)
    assert found["worst"] == expected.to_dict("records")
    assert len(found["errors"]) == 3


def test_evaluate_refuses_the_largest_residuals_of_data_in_files(refuse, model, monkeypatch):
    monkeypatch.setattr(cli, "read", lambda data, *_, **__: open_files(data))
    refuse("evaluate", "m.json", "data.csv", "--worst", "3", words="--worst needs the data in memory")
    refuse("evaluate", "m.json", "data.csv", "--worst", "0", words="--worst")


def test_evaluate_gives_the_metrics(run, model):
    expected = swarmnet.evaluate(model, swarmnet.read_csv("data.csv"))
    pd.testing.assert_frame_equal(table(run("evaluate", "m.json", "data.csv").out), expected, rtol=1e-14)
    assert run("evaluate", "m.json", "data.csv", "-o", "errors.csv").out == ""
    pd.testing.assert_frame_equal(pd.read_csv("errors.csv"), expected, rtol=1e-14)


def test_inspect_data(run):
    code, out, err = run("inspect", "data.csv")
    columns, patterns = (table(block) for block in out.split("\n\n"))
    assert (code, err) == (0, "")
    assert columns["column"].tolist() == COLUMNS[:5]
    assert columns["entries"].tolist() == [24, 24, 8, 8, 8]
    assert patterns["rows"].sum() == 24


def test_inspect_says_what_is_not_identifiable(run):
    out = run("inspect", SLOPES_ONLY).out
    assert "its constant is free" in table(out.split("\n\n")[-1])["not identifiable"].item()


def test_inspect_a_model_whatever_its_name(run, model):
    Path("m.json").rename("m.model")
    facts = table(run("inspect", "m.model").out).set_index("what")["value"]
    assert facts["layers"] == "2-3-1"
    assert facts["trainer"] == "lbfgs"


def test_compare_prints_or_writes_the_table(run):
    budget = ("--trainers", "adam, lbfgs", "--repeats", "2", "--evaluations", "10", "--hidden", "2")
    code, out, err = run("compare", "data.csv", *budget)
    found = table(out).set_index("trainer")
    assert (code, err) == (0, "")
    assert list(found.index) == ["adam", "lbfgs", "adam (values only)"]
    files = ("-o", "table.csv", "--curves", "curves.csv")
    assert run("compare", "data.csv", *budget, "--test", "data.csv", *files) == (0, "", "")
    written = pd.read_csv("table.csv").set_index("trainer")
    assert list(written) == list(found)
    assert not written["rmse(h)"].equals(found["rmse(h)"])
    assert len(pd.read_csv("curves.csv").groupby(["trainer", "repeat"])) == 6


def test_explain_shows_each_step_of_a_row(run, model):
    code, out, err = run("explain", "m.json", "data.csv", "--row", "2", "--learning-rate", "0.05")
    expected = swarmnet.explain(model, "data.csv", row=1, learning_rate=0.05)
    assert (code, err) == (0, "")
    title, steps = out.split("\n", 1)
    assert title == f"# data.csv, row 2: {expected.title}"
    assert steps == expected.to_text().split("\n", 1)[1]
    assert "U1 = T0 @ W1" in out  # the second row of the file holds a derivative
    assert "U1 = T0 @ W1" not in run("explain", "m.json", "data.csv").out


def test_explain_writes_a_page(run, model):
    assert run("explain", "m.json", "data.csv", "--row", "3", "--html", "steps.html") == (0, "", "")
    page = Path("steps.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and "data.csv, row 3" in page
    cells = swarmnet.explain(model, "data.csv", 2).to_frame()
    assert page.count("<td class=") == len(cells)


def test_explain_shows_formulas_and_logarithms(run):
    T = np.linspace(1.0, 3.0, 12)
    frame = pd.DataFrame({"T": T, "p": T[::-1] ** 2, "pv": np.exp(T), "mu": 1.0 / T})
    frame.loc[::2, "pv"] = np.nan
    frame.loc[::4, "dpv/dT"] = np.exp(T[::4])
    frame.to_csv("vapour.csv", index=False)
    define, log = ("--define", "mu = -(dpv/dp)/(dpv/dT + 9)"), ("--log", "pv", "--log", "p")
    columns = ("--inputs", "T,p", "--outputs", "pv")
    short = ("--hidden", "3", "--trainer", "lm", "--iterations", "3")
    assert run("train", "vapour.csv", *columns, *define, *log, *short, "-o", "v.json").code == 0
    code, out, err = run("explain", "v.json", "vapour.csv", "--row", "1", *define)
    assert (code, err) == (0, "")
    assert "Formulas of values and derivatives: mu = -(exp(log(pv))*(dlog(pv)/dlog(p))/exp(log(p)))" in out
    assert "dpv/dT = exp(log(pv))*(dlog(pv)/dT), arguments in a2" in out
    data = swarmnet.read_csv("vapour.csv", ["T", "p"], ["pv"], define={"mu": define[1].split(" = ")[1]})
    assert swarmnet.explain(swarmnet.load("v.json"), data, 0).to_text().split("\n", 1)[1] in out


@pytest.mark.parametrize(
    ("options", "panels"),
    [
        (["data.csv"], ["h", "dh/dT", "dh/dp"]),
        ([], ["T", "p"]),
        (["--columns", "h,dh/dT", "--inputs", "p", "--at", "T=2"], ["Profiles through T = 2", "dh/dT"]),
        (
            ["data.csv", "--kind", "contours", "--columns", "h,h - T*dh/dT", "--inputs", "p,T"],
            ["h - T*dh/dT"],
        ),
    ],
)
def test_plot_draws_the_panels_that_were_asked_for(run, model, options, panels):
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        assert run("plot", "m.json", *options, "-o", "m.svg") == (0, "", "")
        text = Path("m.svg").read_text()
        assert all(f">{panel}" in text for panel in panels)
        assert run("plot", "m.json", *options, "-o", "again.svg").code == 0
    assert Path("again.svg").read_text() == text


def test_plot_writes_the_format_of_the_name(run, model):
    pytest.importorskip("matplotlib")
    for name, begin in (("m.PNG", b"\x89PNG"), ("m.pdf", b"%PDF")):
        assert run("plot", "m.json", "-o", name).code == 0
        assert Path(name).read_bytes().startswith(begin)


def test_plot_says_what_it_guesses_and_what_the_font_lacks(run, folder):
    pytest.importorskip("matplotlib")
    rows = [f"{n % 3},{n // 3 % 3},{n // 9},{n * n % 7}" for n in range(27)]
    Path("three.csv").write_text("b,a,\u6e29,y\n" + "\n".join(rows) + "\n", encoding="utf-8")
    names = ("--inputs", "b,a,\u6e29", "--outputs", "y")
    assert run("train", "three.csv", *names, *SHORT, "-o", "t.json").code == 0
    told = run("plot", "t.json", "--kind", "contours", "-o", "t.png").err
    assert told.startswith("contours over b, a: --inputs names two others\n")
    assert told.count("\n") == 2 and "warning: " in told and "missing" in told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "m.jpg"], "m.jpg: the name says what to write: it must end in .png, .svg or .pdf"),
        (["-o", "m.json"], "must end in"),
        (["--kind", "contour"], "unknown kind 'contour': did you mean 'contours'?"),
        (["--kind", "parity"], "--kind parity compares with observations: give DATA after MODEL"),
        (["data.csv", "--at", "T=2"], "--at is for --kind profiles or contours"),
        (["data.csv", "--inputs", "T"], "--inputs is for --kind profiles or contours"),
        (["--columns", "dh/dt"], "unknown column 'dh/dt': did you mean 'dh/dT'?"),
        (["--inputs", "T,q"], "unknown input 'q'"),
        (["--at", "T"], "--at must be INPUT=NUMBER, as in T=300,p=1e5, not 'T'"),
        (["--at", "T=1,T=2"], "--at has 'T' twice"),
        (["--at", "T=inf"], "at: T must be a finite number"),
        (["--kind", "contours", "--inputs", "T"], "--inputs must be two inputs for contours"),
        (["nothing.csv"], "nothing.csv"),
        (["data.csv", "-o", "nowhere/m.png"], "there is no folder"),
    ],
)
def test_what_cannot_be_drawn_is_refused(refuse, model, options, words):
    pytest.importorskip("matplotlib")
    refuse("plot", "m.json", *options, words=words)


def test_plot_without_matplotlib_names_the_extra(refuse, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "swarmnet.plots", raising=False)
    refuse("plot", "m.json", words='swarmnet.plots needs matplotlib: pip install ".[plots]"')


def test_export_writes_what_the_name_says(run, model):
    pytest.importorskip("onnx")
    assert run("export", "m.json", "-o", "m.py") == (0, "", "")
    assert Path("m.py").read_text() == model.to_python()
    for options, dtype in (((), "float64"), (("--dtype", "float32"), "float32")):
        assert run("export", "m.json", "-o", "m.onnx", *options) == (0, "", "")
        model.to_onnx("expected.onnx", dtype)
        assert Path("m.onnx").read_bytes() == Path("expected.onnx").read_bytes()


def test_export_writes_source_code(run, model):
    model.to_c("m.c", std=model.spread is not None)
    model.to_javascript("m.js")
    expected = [Path(name).read_text() for name in ("m.c", "m.js", "m.js")]
    bars = [] if model.spread is None else ["--std"]
    for name, options in (("m.c", bars), ("m.js", []), ("m.mjs", [])):
        assert run("export", "m.json", "-o", name, *options) == (0, "", "")
    assert [Path(name).read_text() for name in ("m.c", "m.js", "m.mjs")] == expected
    assert run("export", "m.json", "-o", "m.c", "--dtype", "float32").code == 0
    assert "const float x[" in Path("m.c").read_text()


def test_slopes_alone_are_warned_of_in_one_line(run):
    code, _, err = run("train", SLOPES_ONLY, *SHORT)
    warnings = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert code == 0
    assert len(warnings) == 1 and "no value of y was observed" in warnings[0]
    assert err.count("\n") == 2
    budget = ("--trainers", "adam,lbfgs", "--repeats", "2", "--evaluations", "5", "--hidden", "2")
    assert run("compare", SLOPES_ONLY, *budget).err == warnings[0] + "\n"


def test_help_is_there_without_a_command(run):
    assert run().code == 0
    for arguments in ((), ("--help",)):
        out = run(*arguments).out
        assert all(
            command in out for command in ("train", "predict", "evaluate", "compare", "report", "inspect")
        )


def test_version(run):
    assert run("--version") == (0, f"swarmnet {swarmnet.__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example_on_a_line_of_its_own(run, command):
    lines = run(command, "--help").out.split("Example:")[-1].split("\n")
    example = [line.strip() for line in lines if line.strip()]
    assert len(example) == 1 and example[0].split()[:2] == ["swarmnet", command]


# Machine-readable results


def test_train_as_json(run):
    code, out, err = run("train", "data.csv", *SHORT, "-o", "m.json", "--json")
    found = json.loads(out)
    assert code == 0
    assert err.startswith("m.json: Network") and err.count("\n") == 1
    assert found["model"] == "m.json"
    assert found["training"] == swarmnet.load("m.json").training
    assert found["rows_held_out"] == sum(row["entries"] for row in found["errors"]) == 5
    assert all(set(row) == {"column", "entries", "rmse", "max_error", "r2"} for row in found["errors"])


def test_train_as_json_without_rows_held_out(run):
    found = json.loads(run("train", "data.csv", *SHORT, "--test-fraction", "0", "--json").out)
    assert (found["rows_held_out"], found["errors"]) == (0, [])


def test_evaluate_as_json(run, model):
    Path("one.csv").write_text("T,p,h\n1,1,2\n")
    found = json.loads(run("evaluate", "m.json", "one.csv", "--json").out)
    expected = swarmnet.evaluate(model, swarmnet.MixedData([[1, 1]], [2], inputs=["T", "p"], outputs=["h"]))
    assert (found["model"], found["rows"]) == ("m.json", 1)
    [row] = found["errors"]
    assert row["rmse"] == expected["rmse"].item()
    assert row["r2"] is None  # one value has no variance
    assert run("evaluate", "m.json", "one.csv", "--json", "-o", "errors.json") == (0, "", "")
    assert json.loads(Path("errors.json").read_text()) == found


def test_compare_as_json(run):
    budget = ("--trainers", "adam", "--repeats", "2", "--evaluations", "10", "--hidden", "2")
    code, out, err = run("compare", "data.csv", *budget, "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert [row["trainer"] for row in found["table"]] == ["adam", "adam (values only)"]
    losses = [run["loss"] for run in found["runs"] if run["trainer"] == "adam"]
    assert found["table"][0]["loss"] == pytest.approx(sum(losses) / 2)
    assert run("compare", "data.csv", *budget, "--json", "-o", "c.json") == (0, "", "")
    assert json.loads(Path("c.json").read_text()).keys() == found.keys()


def test_inspect_data_as_json(run):
    found = json.loads(run("inspect", SLOPES_ONLY, "--json").out)
    columns = {row["column"]: row for row in found["columns"]}
    assert columns["y"]["entries"] == 0 and columns["y"]["min"] is None
    assert columns["dy/dx1"]["entries"] == 40
    assert found["observed_together"] == [{"pattern": "dy/dx1 + dy/dx2", "rows": 40}]
    assert "its constant is free" in found["not_identifiable"][0]


def test_inspect_a_model_as_json(run, model):
    found = json.loads(run("inspect", "m.json", "--json").out)
    assert found.pop("training") == model.training
    assert found == {
        "inputs": ["T", "p"],
        "outputs": ["h"],
        "sizes": [2, 3, 1],
        "activations": ["tanh", "linear"],
        "weights": 13,
    }


def test_inspect_a_model_with_a_trend(run):
    net = swarmnet.Network((2, 3, 1), trend=Trend.of_degree(3, [-1, -2], [1, 2]))
    scaling = Scaling(np.zeros(2), np.ones(2), np.zeros(1), np.ones(1))
    model = swarmnet.FittedModel(net, net.init(np.random.default_rng(0)), scaling, ("T", "p"), ("h",))
    model.save("t.json")
    assert re.search(r"layers,2-3-1 \+ degree 3\n", run("inspect", "t.json").out)
    found = json.loads(run("inspect", "t.json", "--json").out)
    assert (found["sizes"], found["weights"]) == ([2, 3, 1], 13 + 9)
    assert found["trend"] == {"degree": 3, "terms": 9}


def test_mistakes_leave_no_json(refuse):
    refuse("train", "data.csv", "--json", "--hidden", "0", words="--hidden must be")


# Mistakes

BAD_DATA = {
    "empty": ("", "the file is empty"),
    "header only": ("x,y\n", "there is a header but no row"),
    "a word": ("x,y\n1,2\n3,four\n", ["line 3, column 'y'", "'four' is not a number"]),
    "infinite": ("x,y\n1,2\n3,inf\n", ["line 3, column 'y'", "infinite"]),
    "unknown name": ("T,h,dh/dq\n1,2,3\n", ["'dh/dq'", "unknown name 'q'"]),
    "undecided": ("a,b\n1,2\n", ["'a' could be an input or an output", "--inputs, --outputs"]),
    "twice": ("x,y,y\n1,2,3\n", "'y' is there twice"),
    "zero sigma": ("x,y,sigma(y)\n1,2,0\n", ["line 2, column 'sigma(y)'", "not positive"]),
    "negative sigma": ("x,y,sigma(y)\n1,2,-1\n", ["line 2, column 'sigma(y)'", "not positive"]),
    "sigma of nothing": ("x,y,sigma(z)\n1,2,3\n", "'sigma(z)' belongs to nothing"),
    "input missing": ("x,y\n1,2\n,3\n", ["line 3, column 'x'", "every row needs its inputs"]),
    "no output": ("x,target,value\n1,dy/dx,2\n2,z,3\n", ["line 3", "target 'z' is no output"]),
    "no partial": ("x,target,value\n1,y,2\n2,dy/dq,3\n", ["line 3", "unknown name 'q'"]),
    "no entry": ("x,y\n1,\n2,\n", "there are no entries"),
    "ragged": ("x,y\n1,2\n3\n", ["line 3", "1 of 2 fields"]),
    "binary": ("x,y\n\0\n", "binary"),
}


@pytest.mark.parametrize("kind", BAD_DATA)
def test_bad_data_are_refused(refuse, kind):
    text, words = BAD_DATA[kind]
    Path("bad.csv").write_text(text)
    Path("old.json").write_text("an earlier result")
    words = ["bad.csv", *([words] if isinstance(words, str) else words)]
    refuse("train", "bad.csv", "-o", "old.json", words=words)
    refuse("compare", "bad.csv", "-o", "old.json", words=words)
    refuse("inspect", "bad.csv", words=words)


@pytest.mark.parametrize("command", ["train", "compare", "inspect"])
def test_files_that_are_not_there_are_refused(refuse, command):
    refuse(command, "dta.csv", words="dta.csv: there is no such file")
    refuse(command, "*.parquet", words="no file matches")
    refuse(command, ".", words="this is a folder")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--hidden", "0"), ["--hidden", "'0'"]),
        (("--hidden", "text"), ["--hidden", "'text'"]),
        (("--hidden", ""), ["--hidden", "''"]),
        (("--hidden", "3,-1"), ["--hidden", "'3,-1'"]),
        (("--trainer", "hybird"), "did you mean 'hybrid'"),
        (("--activation", "tahn"), "did you mean 'tanh'"),
        (("--activation", "tanh,tanh", "--hidden", "2,2"), "2 activations for 3 layers"),
        (("--loss", "huber"), "unknown loss 'huber': choose one of squared, cross-entropy"),
        (("--loss", "cross-entropy"), "targets from 0 to 1"),
        (("--scaling", "robust"), "unknown scaling 'robust': choose one of standard, minmax, none"),
        (("--scaling", "None"), "did you mean 'none'"),
        (("--seconds", "0"), "seconds must be"),
        (("--seconds", "-1"), "seconds must be"),
        (("--seconds", "nan"), "seconds must be"),
        (("--iterations", "0"), "iterations must be"),
        (("--particles", "1"), "particles must be"),
        (("--particles", "9", "--trainer", "adam"), "particles do not go with adam"),
        (("--test-fraction", "1.5"), "test fraction must be"),
        (("--test-fraction", "-0.1"), "test fraction must be"),
        (("--test-fraction", "nan"), "test fraction must be"),
        (("--test-fraction", "0.99"), "too few points"),
        (("--l2", "-1"), "l2 must be"),
        (("--derivative-weight", "nan"), "derivative_weight must be"),
        (("--seed", "-1"), "--seed"),
        (("--seed", "abc"), "--seed"),
        (("--inputs", "T,q"), "names 'q', which is no column"),
        (("--inputs", "T,h"), "'h'"),
        (("--hiden", "3"), ["--hiden", "--hidden"]),
    ],
)
def test_bad_options_of_train_are_refused(refuse, options, words):
    refuse("train", "data.csv", *options, words=words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--repeats", "0"), "repeats must be"),
        (("--evaluations", "0"), "evaluations must be"),
        (("--seconds", "0"), "seconds must be"),
        (("--trainers", "pso,adm"), "did you mean 'adam'"),
        (("--trainers", ""), "no trainers to compare"),
        (("--hidden", "0"), "--hidden"),
        (("--test-fraction", "0"), "no row is held out"),
        (("--test", "nowhere.csv"), "nowhere.csv: there is no such file"),
        (("--test", "query.csv"), ["query.csv", "'h'"]),
        (("--report",), "--report"),
    ],
)
def test_bad_options_of_compare_are_refused(refuse, options, words):
    refuse("compare", "data.csv", "-o", "table.csv", *options, words=words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trian",), "did you mean 'train'"),
        (("train",), "DATA"),
        (("predict", "m.json"), "QUERY"),
        (("train", "data.csv", "more.csv"), "more.csv"),
        (("--verbos",), "--verbos"),
    ],
)
def test_bad_usage_is_refused(refuse, arguments, words):
    refuse(*arguments, words=words)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere/m.json", "nowhere/m.json: cannot write"),
        (".", "it is a folder"),
        ("data.csv", "data.csv: cannot write: it is another file of this run"),
    ],
)
def test_where_nothing_can_be_written_is_known_before_training(refuse, monkeypatch, path, words):
    for module in ("cli.training", "fitting.comparison_runs"):
        monkeypatch.setattr(f"swarmnet.{module}.fitted", lambda *_, **__: pytest.fail("training has begun"))
    refuse("train", "data.csv", "-o", path, words=words)
    refuse("compare", "data.csv", "-o", path, words=words)
    refuse("compare", "data.csv", "--curves", path, words=words)


def test_reports_are_written_and_their_files_checked_first(run, refuse, model, monkeypatch):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    assert run("report", "m.json", "data.csv", "-o", "model.html") == (0, "", "")
    assert "h from T, p" in Path("model.html").read_text()
    assert run("report", "m.json").code == 0 and Path("report.html").stat().st_size > 50_000
    budget = ("--trainers", "lbfgs", "--repeats", "1", "--evaluations", "9", "--hidden", "2")
    assert run("compare", "data.csv", *budget, "-o", "table.csv", "--report", "two.html") == (0, "", "")
    assert "Results" in Path("two.html").read_text() and Path("table.csv").exists()
    refuse("report", "m.json", "-o", "m.json", words="another file")
    refuse("report", "m.json", "query.csv", "-o", "new.html", words="query.csv")
    refuse("compare", "data.csv", "--report", "missing/r.html", words="no folder")
    refuse("compare", "data.csv", "-o", "a.html", "--report", "./a.html", words="another file")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    refuse("report", "m.json", "-o", "new.html", words='pip install ".[report]" in a clone')
    refuse("compare", "data.csv", "--report", "new.html", words='pip install ".[report]" in a clone')
    assert not Path("new.html").exists()


def test_the_two_outputs_of_compare_must_differ(refuse):
    refuse("compare", "data.csv", "-o", "a.csv", "--curves", "./a.csv", words="another file")


@pytest.mark.parametrize("path", ["nowhere/out.csv", "."])
def test_where_predictions_and_errors_cannot_be_written(refuse, model, path):
    refuse("predict", "m.json", "query.csv", "-o", path, words="cannot write")
    refuse("evaluate", "m.json", "data.csv", "-o", path, words="cannot write")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("T,q\n1,2\n", "there is no column p"),
        ("T,p\n1,\n", ["line 2, column 'p'", "empty"]),
        ("T,p\n1,inf\n", ["line 2, column 'p'", "infinite"]),
        ("T,p\n1,b\n", ["line 2, column 'p'", "'b' is not a number"]),
        ("T,p\n", "no row"),
    ],
)
def test_bad_queries_are_refused(refuse, model, text, words):
    Path("bad.csv").write_text(text)
    Path("out.csv").write_text("an earlier result")
    refuse("predict", "m.json", "bad.csv", "-o", "out.csv", words=words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--row", "25"), "row must be 1 to 24, as there are 24 rows, not 25"),
        (("--row", "0"), "'--row'"),
        (("--row", "first"), "'--row'"),
        (("--learning-rate", "0"), "learning_rate must be a positive number, not 0"),
        (("--learning-rate", "1e300"), "try a smaller learning rate"),
        (("--html", "data.csv"), "another file of this run"),
        (("--html", "nowhere/steps.html"), "there is no folder"),
    ],
)
def test_what_cannot_be_explained_is_refused(refuse, model, options, words):
    refuse("explain", "m.json", "data.csv", *options, words=words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "m.h5"), "m.h5: the name says what to write: it must end in .onnx, .c, .js, .mjs or .py"),
        (("-o", "m.py", "--dtype", "float32"), "--dtype is for ONNX and C: a .py file is in float64"),
        (("-o", "m.js", "--std"), "--std is for C: a .js file has no error bars"),
        (("-o", "m.onnx", "--dtype", "float46"), "unknown dtype 'float46': did you mean 'float64'?"),
        (("-o", "nowhere/m.onnx"), "there is no folder"),
        ((), "Missing option"),
    ],
)
def test_what_cannot_be_exported_is_refused(refuse, model, options, words):
    refuse("export", "m.json", *options, words=words)


def test_export_does_not_write_over_its_model(refuse, model):
    Path("m.json").rename("model.py")
    refuse("export", "model.py", "-o", "model.py", words="another file of this run")


def test_data_of_other_columns_cannot_be_evaluated(refuse, model):
    Path("other.csv").write_text("x,y\n1,2\n")
    refuse("evaluate", "m.json", "other.csv", words=["other.csv", "'T'"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: len(text) // 2], "cut short"),
        (lambda text: text.replace('"version": 2', '"version": 99'), "model version 99"),
        (lambda text: "{}", "not a swarmnet model"),
        (lambda text: "T,p\n1,2\n", "not a swarmnet model"),
        (lambda text: text.replace('"theta": [', '"theta": [0, '), "damaged model"),
        (None, "No such file"),
    ],
)
def test_bad_models_are_refused(refuse, model, change, words):
    path = Path("bad.json")
    if change is not None:
        path.write_text(change(Path("m.json").read_text()))
    refuse("predict", path, "query.csv", words=["bad.json", words])
    refuse("evaluate", path, "data.csv", words=["bad.json", words])
    refuse("inspect", path, words=["bad.json", words])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["evaluate", "data.csv", "m.json"],
            "m.json is the model, and data.csv is not: name",
        ),
        (["predict", "query.csv", "m.json"], "m.json is the model, and query.csv is not"),
        (["plot", "data.csv", "m.json"], "m.json is the model, and data.csv is not"),
        (["evaluate", "m.json", "m.json"], "m.json: this is a model, where data are needed"),
        (["train", "m.json"], "m.json: this is a model, where data are needed"),
        (["compare", "m.json"], "m.json: this is a model, where data are needed"),
        (["export", "data.csv", "-o", "m.py"], "data.csv: this is not a swarmnet model"),
        (["suggest", "data.csv"], "data.csv: this is not a swarmnet model"),
    ],
)
def test_models_and_data_in_each_others_place_are_named(refuse, model, arguments, words):
    refuse(*arguments, words=words)


def test_mistakes_name_the_help_of_their_command(refuse, run):
    refuse("train", words="(see swarmnet train --help)")
    refuse("train", "data.csv", "--nope", words="(see swarmnet train --help)")
    refuse("--nope", words="(see swarmnet --help)")
    assert run("evaluate", "-h").out == run("evaluate", "--help").out


def test_a_mistake_of_the_program_is_not_hidden(folder, monkeypatch):
    monkeypatch.setattr("swarmnet.cli.commands.read", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["swarmnet", "inspect", "data.csv"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


# Processes, pipes, terminals and signals


def start(*arguments, code=None, **streams):
    program = ["-m", "swarmnet"] if code is None else ["-c", code]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.Popen([sys.executable, *program, *arguments], text=True, **pipes)


def test_the_commands_pipe(folder, model):
    predicting = start("predict", "m.json", "query.csv", "--hessian")
    out, err = predicting.communicate(timeout=60)
    assert (predicting.returncode, err) == (0, "")
    np.testing.assert_allclose(table(out)["h"], model.predict([[0.5, 1], [2, 2.25]])[:, 0], rtol=1e-14)


def test_what_is_piped_is_utf8_whatever_the_locale(folder):
    Path("accent.csv").write_text("x,é\n1,2\n", encoding="utf-8")
    arguments = ("inspect", "accent.csv", "--inputs", "x", "--outputs", "é")
    inspecting = start(*arguments, env=os.environ | {"PYTHONIOENCODING": "ascii"}, encoding="utf-8")
    out, err = inspecting.communicate(timeout=60)
    assert (inspecting.returncode, err) == (0, "")
    assert "é" in out


def test_a_reader_that_leaves_gives_no_traceback(folder, model):
    reader, writer = os.pipe()
    os.close(reader)
    predicting = start("predict", "m.json", "query.csv", stdout=writer)
    os.close(writer)
    assert predicting.communicate(timeout=60)[1] == ""
    assert predicting.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
def test_a_full_disk_is_one_line(folder, model):
    with open("/dev/full", "w") as full:
        predicting = start("predict", "m.json", "query.csv", stdout=full)
        err = predicting.communicate(timeout=60)[1]
    assert (predicting.returncode, err.count("\n")) == (2, 1)
    assert err.startswith("error: cannot write the result: ")


def on_a_terminal(*arguments, **variables):
    """(exit code, stdout, stderr) of a command whose two streams are terminals of their own."""
    pty = pytest.importorskip("pty")
    (out, out_end), (err, err_end) = pty.openpty(), pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm", "COLUMNS": "150"} | variables
    process = start(*arguments, stdout=out_end, stderr=err_end, env=environment)
    os.close(out_end)
    os.close(err_end)
    texts = {}
    readers = [threading.Thread(target=drain, args=(end, texts)) for end in (out, err)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(timeout=60)
    return process.wait(timeout=60), texts[out], texts[err]


def drain(terminal, texts):
    read = b""
    try:
        while chunk := os.read(terminal, 65536):
            read += chunk
    except OSError:  # how Linux says that nobody writes any more
        pass
    os.close(terminal)
    texts[terminal] = read.decode()


def test_a_terminal_shows_a_progress_bar_and_tables(folder):
    code, out, err = on_a_terminal("train", "data.csv", *SHORT, "-o", "m.json")
    assert code == 0
    assert "training" in err and "it/s" in err and "\x1b[" in err
    assert "m.json: Network" in err
    assert "errors on 5 rows held out" in out and "rmse" in out
    assert "column,entries" not in out


def test_a_terminal_shows_a_comparison_by_trainer(folder):
    code, out, err = on_a_terminal(
        "compare", "data.csv", "--trainers", "adam", "--repeats", "2", "--evaluations", "9", "-o", "a.csv"
    )
    assert code == 0
    assert "adam, seed 1" in err
    assert "median [quartiles]" in out and "adam (values only)" in out and "rmse(dh/dT)" in out
    assert Path("a.csv").exists()


def test_a_terminal_shows_few_digits_of_a_record(folder, model):
    """And no columns of sigmas where there are none; a pipe gets all."""
    shown, piped = (
        on_a_terminal("inspect", "m.json")[1],
        start("inspect", "m.json").communicate(timeout=60)[0],
    )
    loss = model.training["loss"]
    assert f" {loss:.6g} " in shown and str(loss) not in shown and str(loss) in piped
    assert "sigma_min" not in on_a_terminal("inspect", "data.csv")[1]


def test_points_to_measure_are_told_apart(folder, run):
    rows = [f"{1.7e9 + 60 * n},{n % 3},{n * n % 5}" for n in range(12)]
    Path("times.csv").write_text("t,x,y\n" + "\n".join(rows) + "\n")
    names = ("--inputs", "t,x", "--outputs", "y", "--hidden", "2", "--trainer", "lm", "--iterations", "5")
    assert run("train", "times.csv", *names, "--test-fraction", "0", "-o", "t.json").code == 0
    assert re.search(r" 1700000\d\d\d(\.\d+)? ", on_a_terminal("suggest", "t.json", "-n", "2")[1])


def test_a_terminal_shows_the_steps_in_colours(folder, model):
    code, out, err = on_a_terminal("explain", "m.json", "data.csv", "--row", "2")
    assert (code, err) == (0, "")
    assert "\x1b[1;33m" in out and "\x1b[36m" in out and "\x1b[2m" in out  # made, read and idle
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    for step in swarmnet.explain(model, "data.csv", 1).steps:
        assert step.formula in plain
    assert "W1 weights" in plain and "unit 3" in plain and "along p" not in plain


def test_a_narrow_terminal_cuts_no_number_off(folder):
    """An inspection of eleven columns takes more than 80 characters: the last stand below the first."""
    rows = [f"{1.7e9 + 60 * n},{n},{3e-7 * n},{-4.57e-4 - n * 1e-9},0.001" for n in range(1, 6)]
    Path("small.csv").write_text("T,p,h,dh/dp,sigma(h)\n" + "\n".join(rows) + "\n")
    code, out, _ = on_a_terminal("inspect", "small.csv", "--inputs", "T,p", "--outputs", "h", COLUMNS="80")
    out = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert code == 0 and "…" not in out and max(map(len, out.splitlines())) <= 80
    for text in (
        "-0.000457005",
        "-0.000457001",
        "-0.000457003",
        "1700000060",
        "1700000300",
        "3e-07",
        "0.001",
    ):
        assert re.search(rf"(?<!\S){re.escape(text)}(?!\S)", out), text


def test_an_r2_close_to_1_is_told_from_it(folder, model):
    """h of another file is that of the model, but for a billionth of its spread."""
    points = pd.DataFrame({"T": np.linspace(0.0, 4.0, 30), "p": np.linspace(0.0, 3.0, 30) % 1.0})
    found = swarmnet.load("m.json")
    h = found.predict(points)[:, 0]
    points.assign(h=h + 1e-5 * h.std() * np.resize([1.0, -1.0], 30)).to_csv("near.csv", index=False)
    _, out, _ = on_a_terminal("evaluate", "m.json", "near.csv")
    assert re.search(r"0\.99999999990\s", out), out


def test_the_ranges_of_a_model_are_told_apart(folder, run):
    rows = [f"{1.7e9 + 60 * n},{n % 3},{n * n % 5}" for n in range(12)]
    Path("times.csv").write_text("t,x,y\n" + "\n".join(rows) + "\n")
    names = ("--inputs", "t,x", "--outputs", "y")
    assert run("train", "times.csv", *names, *SHORT, "--test-fraction", "0", "-o", "t.json").code == 0
    assert "t 1700000000..1700000660, x 0..2" in run("inspect", "t.json").out


def test_an_export_in_single_precision_says_what_it_rounds_away(folder, run):
    pytest.importorskip("onnx")
    rows = [f"{n / 10},{-291230 + np.sin(n / 10)}" for n in range(40)]
    Path("far.csv").write_text("x,y\n" + "\n".join(rows) + "\n")
    assert run("train", "far.csv", *SHORT, "-o", "far.json").code == 0
    told = run("export", "far.json", "-o", "far.onnx", "--dtype", "float32")
    assert (told.code, told.err.count("\n")) == (0, 1)
    assert told.err.startswith("warning: float32 rounds y to 0.031, ")
    assert run("export", "far.json", "-o", "far.onnx").err == ""


COLOUR = re.compile(r"\x1b\[([0-9]+;)*(3[0-8]|4[0-8]|9[0-7]|10[0-7])(;[0-9]+)*m")


def test_colours_are_for_terminals_and_may_be_refused(folder):
    assert COLOUR.search(on_a_terminal("train", "--help")[1])
    assert not COLOUR.search(
        "".join(on_a_terminal("train", "data.csv", *SHORT, "--test-fraction", "0", NO_COLOR="1")[1:])
    )
    assert "\x1b" not in start("train", "--help").communicate(timeout=60)[0]


@pytest.fixture
def shown(folder, monkeypatch):
    """What a command in this process writes to a terminal with some encoding, by words without colours."""
    pty = pytest.importorskip("pty")

    def call(*arguments, encoding="utf-8"):
        texts = {}
        terminal, end = pty.openpty()
        reader = threading.Thread(target=drain, args=(terminal, texts))
        reader.start()
        with monkeypatch.context() as patch, os.fdopen(end, "w", encoding=encoding) as stdout:
            patch.setattr(sys, "stdout", stdout)
            patch.setattr(sys, "argv", ["swarmnet", *arguments])
            with pytest.raises(SystemExit) as ended:
                cli.main()
        reader.join(timeout=60)
        assert not ended.value.code
        return re.sub(r"\x1b\[[0-9;]*m", "", texts[terminal])

    return call


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_a_character_gets_it_written_out(shown, run, encoding):
    Path("data.csv").write_text("x,\u03bb\n" + "".join(f"{x},{x * x}\n" for x in range(9)), encoding="utf-8")
    run("train", "data.csv", "--inputs", "x", "--outputs", "\u03bb", *SHORT, "-o", "m.json")
    inspecting = ("inspect", "data.csv", "--inputs", "x", "--outputs", "\u03bb")
    for arguments in (
        inspecting,
        (*inspecting, "--json"),
        ("inspect", "m.json"),
        ("explain", "m.json", "data.csv"),
        ("predict", "m.json", "data.csv"),
        ("evaluate", "m.json", "data.csv"),
    ):
        assert "\\u03bb" in shown(*arguments, encoding=encoding), arguments


@pytest.mark.parametrize("columns", ["0", "00", "1", "7", "-3", "\u00b2", "wide", ""])
def test_a_terminal_of_any_width_shows_every_digit(shown, model, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert "Usage" in "".join(shown("train", "--help").split())
    inspected = shown("inspect", "data.csv")
    assert "\u2026" not in inspected
    for name, mean in (("T", "2.5"), ("p", "1.5")):
        assert re.search(rf"(?m)^ *{name} .*(?<!\S){re.escape(mean)} *\r?$", inspected)
    explained = shown("explain", "m.json", "data.csv")
    assert "\u2026" not in explained and "W1" in explained


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("swarmnet ", COMMANDS),
        ("swarmnet train --check", ["--checkpoint", "--checkpoint-every"]),
        ("swarmnet train --trainer l", ["lbfgs", "lm"]),
    ],
)
def test_the_shell_completes(folder, words, expected):
    asked = {"_SWARMNET_COMPLETE": "complete_bash", "COMP_WORDS": words}
    asked["COMP_CWORD"] = str(words.count(" "))
    installed = "import sys; sys.argv = ['swarmnet']; from swarmnet.cli.commands import main; main()"
    completing = start(code=installed, env=os.environ | asked)
    out, err = completing.communicate(timeout=60)
    assert (completing.returncode, err) == (0, "")
    assert sorted(out.split()) == sorted(expected)


@pytest.mark.skipif(not os.path.exists("/bin/bash"), reason="needs bash")
def test_what_bash_sources_completes(folder):
    """As a shell does: it sources what --show-completion prints, and completes by the function in it."""
    command = folder / "swarmnet"
    code = "import sys\nsys.argv[0] = 'swarmnet'\nfrom swarmnet.cli.commands import main\nmain()\n"
    command.write_text(f"#!{sys.executable}\n{code}")
    command.chmod(0o755)
    script = """
        eval "$(./swarmnet --show-completion bash)"
        COMP_WORDS=(swarmnet pl); COMP_CWORD=1
        _swarmnet_completion ./swarmnet; echo "${COMPREPLY[@]}"
    """
    completing = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert (completing.returncode, completing.stdout) == (0, "plot\n"), completing.stderr


INTERRUPTIBLE = """
import signal
from swarmnet.cli import commands as cli
from swarmnet.trainers.monitor import Monitor

signal.signal(signal.SIGINT, signal.default_int_handler)
record = Monitor.record

def announced(self, *arguments):
    if self.budget.iteration == 5:
        print("started", flush=True)
    return record(self, *arguments)

Monitor.record = announced
cli.main()
"""


ANNOUNCED = """
import signal
from swarmnet import comparison
from swarmnet.cli import commands as cli

signal.signal(signal.SIGINT, signal.default_int_handler)
made = comparison.made

def announced(runs, *arguments):
    for number, result in made(runs, *arguments):
        yield number, result
        print("ended", runs[number].name, flush=True)

comparison.made = announced
cli.main()
"""


def interrupted(*arguments):
    """The result of a command that gets Ctrl-C once its first training is under way."""
    process = start(*arguments, code=INTERRUPTIBLE)
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    return Result(process.returncode, out, err)


needs_sigint = pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to send")


@needs_sigint
@pytest.mark.parametrize("trainer", ["hybrid", "adam"])
def test_ctrl_c_saves_the_model(folder, trainer):
    code, out, err = interrupted(
        "train", "data.csv", "--trainer", trainer, "--degree", "0", "--seconds", "300", "-o", "m.json"
    )
    assert code == 130
    assert err.startswith("m.json: Network") and err.endswith(
        "interrupted; the best weights so far are kept\n"
    )
    assert err.count("\n") == 1
    assert table(out)["entries"].sum() == 5
    saved = swarmnet.load("m.json")
    assert saved.training["status"] == "interrupted"
    assert np.isfinite(saved.predict([[1.0, 1.0]])).all()


@needs_sigint
def test_ctrl_c_ends_the_whole_comparison(folder):
    before = files(folder)
    names = ("-o", "table.csv", "--curves", "curves.csv")
    assert interrupted("compare", "data.csv", "--seconds", "300", *names) == (130, "", "interrupted\n")
    assert files(folder) == before


@needs_sigint
@pytest.mark.parametrize("jobs", [(), ("--jobs", "2")])
def test_ctrl_c_keeps_the_runs_that_have_ended(folder, jobs):
    """As from a terminal, which sends the signal to all processes, twice; the slow trainer is interrupted."""
    pytest.importorskip("jinja2")
    names = ("-o", "table.csv", "--curves", "curves.csv", "--report", "page.html")
    budget = ("--hidden", "2", "--trainers", "lbfgs,adam", "--repeats", "2", "--evaluations", "100000000")
    process = start("compare", "data.csv", *budget, *names, *jobs, code=ANNOUNCED, start_new_session=True)
    assert process.stdout.readline() == "ended lbfgs\n"
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.startswith("warning: interrupted: the comparison has ") and "adam" in err
    assert err.count("\n") == 1
    assert "lbfgs" in set(pd.read_csv("table.csv")["trainer"]) and "adam" not in Path("table.csv").read_text()
    assert "lbfgs" in set(pd.read_csv("curves.csv")["trainer"])
    assert "interrupted" in Path("page.html").read_text()


def test_ctrl_c_before_there_is_anything_to_keep(run, folder, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    before = files(folder)
    monkeypatch.setattr("swarmnet.trainers.monitor.Monitor.record", interrupt)
    assert run("train", "data.csv", *SHORT) == (130, "", "interrupted\n")
    assert files(folder) == before


def too_large(folder):
    """A table in two files that takes more than 275 MB in training, about the smallest limit there is."""
    pytest.importorskip("pyarrow")
    wide = sharded.table(n=70_000, outputs=1)
    for number, part in enumerate(np.array_split(np.arange(len(wide)), 2)):
        wide.iloc[part].to_parquet(folder / f"part{number}.parquet", index=False)
    return wide


def test_train_and_evaluate_within_a_memory_limit(run, tmp_path, monkeypatch):
    wide = too_large(tmp_path)
    limited = ("*.parquet", "--memory-limit", "275MB")
    found = run("train", *limited, *SHORT, "--json")
    record = json.loads(found.out)
    with_entries = wide[["y", "dy/dx1", "dy/dx2"]].notna().any(axis=1).sum()
    assert record["training"]["rows"] + record["rows_held_out"] == with_entries
    one, other = (run("evaluate", "model.json", *data, "--json").out for data in (limited, limited[:1]))
    for errors, expected in zip(json.loads(one)["errors"], json.loads(other)["errors"], strict=True):
        assert errors.pop("column") == expected.pop("column")
        assert errors == pytest.approx(expected, rel=1e-9)
    monkeypatch.setenv("TMPDIR", "nowhere")
    refused = run("train", *limited, *SHORT)
    assert refused.code == 2 and "nowhere: cannot write the rows that do not fit into memory" in refused.err


def test_a_memory_limit_that_is_no_size(run):
    found = run("train", "data.csv", "--memory-limit", "much")
    assert found.code == 2 and "'much' is not a size: write it as in 1.5GB or 800MB" in found.err


def no_answer(address, **options):
    raise OSError(f"Timed out trying to connect to {address}")


def test_train_on_workers_says_what_is_wrong_before_it_starts_any(run, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("swarmnet.distributed.cluster.Client", no_answer)
    found = run("train", "data.csv", "--scheduler", "tcp://127.0.0.1:1")
    assert found.code == 2 and found.err.startswith("error: tcp://127.0.0.1:1: no Dask scheduler answers")
    found = run("train", "missing.csv", "--scheduler", "local")
    assert found.code == 2 and "missing.csv: there is no such file" in found.err
    found = run("train", "data.csv", "--scheduler", "local", "--memory-limit", "1GB")
    assert found.code == 2 and "--memory-limit is for one machine" in found.err


def test_train_on_workers_without_dask_names_the_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "swarmnet.distributed.cluster", raising=False)
    found = run("train", "data.csv", "--scheduler", "local")
    assert found.code == 2 and 'rows on workers need Dask: pip install ".[dask]"' in found.err


def test_compare_makes_runs_side_by_side(run):
    budget = ("--trainers", "lbfgs", "--repeats", "2", "--evaluations", "9", "--hidden", "2")
    one, two = (run("compare", "data.csv", *budget, "--jobs", jobs) for jobs in ("1", "2"))
    assert (two.code, two.err) == (0, "")

    def numbers(found):
        return table(found.out).drop(columns=["seconds", "seconds q1", "seconds q3"])

    assert numbers(one).equals(numbers(two))


def test_compare_within_a_memory_limit(run, refuse, tmp_path):
    too_large(tmp_path)
    budget = ("--trainers", "lbfgs", "--repeats", "1", "--evaluations", "9", "--hidden", "2")
    limited = ("compare", "*.parquet", *budget, "--memory-limit", "275MB")
    found = run(*limited, "--test", "*.parquet")
    assert list(table(found.out)["trainer"]) == ["lbfgs", "lbfgs (values only)"]
    refuse(*limited, "--report", "two.html", words="--report draws data in memory")


def test_compare_on_workers_says_what_is_wrong_before_it_starts(run, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("swarmnet.distributed.cluster.Client", no_answer)
    found = run("compare", "data.csv", "--scheduler", "tcp://127.0.0.1:1")
    assert found.code == 2 and "no Dask scheduler answers" in found.err
    found = run("compare", "data.csv", "--scheduler", "local", "--memory-limit", "1GB")
    assert found.code == 2 and "--memory-limit is for one machine" in found.err
    found = run("compare", "data.csv", "--jobs", "0")
    assert found.code == 2 and "jobs must be a whole number of 1 or more" in found.err
