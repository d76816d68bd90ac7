"""swarmnet datasets: the data of the examples."""

import pytest

from swarmnet.cli.commands import main


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["swarmnet", "datasets", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


def test_writing_them_again_changes_nothing(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "new" / "folder"
    assert run(monkeypatch, str(folder)) == 0
    first = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert {"water_enthalpy.csv", "two_outputs.csv", "README.md"} <= set(first)
    (folder / "xor.csv").unlink()
    assert run(monkeypatch, str(folder)) == 0
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == first
    assert f"{folder}: {len(first)} files" in capsys.readouterr().err


def test_other_files_are_not_overwritten(tmp_path, monkeypatch, capsys):
    (tmp_path / "smooth2d.csv").write_text("x,y\n2,3\n")
    assert run(monkeypatch, str(tmp_path)) == 2
    assert "smooth2d.csv: there is another file of this name" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["smooth2d.csv"]
    assert run(monkeypatch, str(tmp_path / "smooth2d.csv")) == 2
    assert "give another folder" in capsys.readouterr().err
