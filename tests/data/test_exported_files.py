"""Files of spreadsheets and programs: the right numbers, in memory and in pieces, and training on them."""

import re
from pathlib import Path

import numpy as np
import pytest

import swarmnet
from swarmnet.cli import commands
from swarmnet.data.readers import open_files, read_query
from tests.data.exported_files import FILES, ROLES, ROWS

SAID = {
    "excel_german.csv": "cp1252 text, because it is not UTF-8 (--encoding), semicolons between columns "
    "(--sep), commas as decimal marks (--decimal), line 2 as units",
    "excel_sheet.xlsx": "the first of 2 sheets, 'data'",
    "excel_unicode.txt": "tabs between columns (--sep)",
    "libreoffice.csv": "1 line above the header left out",
    "matlab_table.csv": None,
    "matlab_fixed.txt": "blanks between columns (--sep)",
    "comsol.txt": "blanks between columns (--sep), line 4 as the header, 3 lines above the header left out",
    "labview.lvm": "tabs between columns (--sep), 5 lines above the header left out",
    "fortran.dat": "blanks between columns (--sep), line 1 as the header",
    "pandas.csv.gz": "the first column, without a name, as row numbers, left out",
}


@pytest.fixture(params=FILES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param.endswith("xlsx"):
        pytest.importorskip("openpyxl")
    FILES[request.param](tmp_path / request.param)
    return tmp_path / request.param


def warning(path: Path) -> pytest.WarningsRecorder:
    words = SAID[path.name]
    return pytest.warns(swarmnet.SwarmnetWarning, match=re.escape(f"{path}: read with {words}") + "$")


def expected(path: Path) -> np.ndarray:
    rows = np.array(ROWS)
    if path.name == "fortran.dat":
        rows[0, 2] = 5.687e-304
    if path.name == "matlab_table.csv":
        rows[-1, 2] = np.nan
    return rows


@pytest.mark.parametrize("in_pieces", [False, True])
def test_numbers_and_what_is_said(path: Path, in_pieces: bool) -> None:
    def read() -> swarmnet.MixedData:
        return open_files(path, **ROLES).gathered() if in_pieces else swarmnet.read_csv(path, **ROLES)

    if SAID[path.name] is None:
        data = read()
    else:
        with warning(path):
            data = read()
    rows = expected(path)
    np.testing.assert_allclose(data.X, rows[:, :2], rtol=1e-7 if "fixed" in path.name else 0)
    np.testing.assert_allclose(data.Y, rows[:, 2:], rtol=1e-7 if "fixed" in path.name else 0)
    units = {"comsol.txt": {"T": "K", "p": "Pa", "h": "J/kg"}}
    units["excel_german.csv"] = units["comsol.txt"] | {"h": "J/kg \u2013 wässrig"}
    assert dict(data.units) == units.get(path.name, {})


def test_every_file_is_trained_on_and_answered_without_an_option(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    train = ["train", path.name, "--inputs", "T,p", "--outputs", "h", "--hidden", "2", "--trainer", "lbfgs"]
    for arguments in ([*train, "--iterations", "2", "-o", "m.json"], ["predict", "m.json", path.name]):
        monkeypatch.setattr("sys.argv", ["swarmnet", *arguments])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        assert ended.value.code == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 + len(ROWS) and out.splitlines()[-13] == "T,p,h"
    assert SAID[path.name] is None or f"warning: {path.name}: read with {SAID[path.name]}\n" in err


def test_files_of_different_programs_make_one_table(tmp_path: Path) -> None:
    names = ["labview.lvm", "matlab_table.csv"]
    for name in names:
        FILES[name](tmp_path / name)
    with pytest.warns(swarmnet.SwarmnetWarning, match=r"labview\.lvm: read with tabs"):
        data = swarmnet.read_csv([tmp_path / name for name in names], **ROLES)
    assert data.n == 2 * len(ROWS)
    assert data.X.tolist() == 2 * [list(row[:2]) for row in ROWS]


def test_points_of_several_files(tmp_path: Path) -> None:
    for name, text in (("a.csv", "T;p\n1,5;2\n"), ("b.csv", "p;T\n3,5;4\n")):
        (tmp_path / name).write_text(text)
    with pytest.warns(swarmnet.SwarmnetWarning, match=r"a\.csv and 1 more: read with semicolons"):
        points, _ = read_query([str(tmp_path / "*.csv")], ["p", "T"])
    assert points.tolist() == [[2.0, 1.5], [3.5, 4.0]]
