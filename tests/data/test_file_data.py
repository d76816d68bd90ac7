"""Data that stay in their files: what is read of them, when, and what is wrong with them."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import swarmnet
from swarmnet import MixedData, SwarmnetError
from swarmnet.data.file_data import FileData
from swarmnet.data.readers import bytes_of, open_files, read, read_csv, read_parquet
from swarmnet.data.splitting import split
from tests.sharded import SMALL, in_small_pieces, long_of, table, written

KINDS = ["parquet", "wide", "long"]


def assert_equal(one: MixedData, other: MixedData):
    for name in ("X", "Y", "J", "Y_sigma", "J_sigma"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.inputs, one.outputs) == (other.inputs, other.outputs)


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_hold_the_rows_of_the_files_in_their_order(tmp_path, kind):
    path = written(tmp_path, table(sigmas=kind != "long"), kind)
    data = in_small_pieces(path)
    assert len(data.pieces) > 3
    blocks = [block for piece in data.pieces for block in data.reader.blocks(piece)]
    assert len(blocks) > len(data.pieces)
    held = read(path)
    seen = held.entries_per_row > 0 if kind != "long" else slice(None)
    gathered = data.gathered()
    assert gathered.n == held.n
    assert_equal(gathered.take(seen), held.take(seen))


@pytest.mark.parametrize("count", [1, 3, 7, 1000])
def test_parts_of_a_piece_hold_its_blocks(tmp_path, count):
    pytest.importorskip("pyarrow")
    table().to_parquet(tmp_path / "a.parquet", row_group_size=310)
    data = in_small_pieces(tmp_path / "a.parquet")
    for piece in data.pieces:
        parts = piece.parts(count, data.reader.block_rows)
        assert len(parts) == min(count, -(-piece.size // 50))
        found = [block for part in parts for block in data.reader.blocks(part)]
        for one, other in zip(found, data.reader.blocks(piece), strict=True):
            assert_equal(one, other)


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_parts_of_a_piece_of_lines_hold_its_blocks(tmp_path, count):
    table().to_csv(tmp_path / "a.csv", index=False)
    data = open_files(tmp_path / "a.csv", sizes=replace(SMALL, piece_bytes=13_000))
    first, blocks = data.pieces[0], list(data.reader.blocks(data.pieces[0]))
    parts = first.parts(count, data.reader.block_rows)
    assert len(parts) == min(count, len(blocks)) and len(blocks) > 2
    found = [block for part in parts for block in data.reader.blocks(part)]
    for one, other in zip(found, blocks, strict=True):
        assert_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_statistics_are_those_of_the_rows_in_memory(tmp_path, kind):
    path = written(tmp_path, table(), kind)
    data, held = in_small_pieces(path), read(path)
    for name in ("n", "d", "k", "n_values", "n_derivatives", "n_entries"):
        assert getattr(data, name) == getattr(held, name), name
    for name in ("X", "Y", "J"):
        one, other = getattr(data.statistics, name), getattr(held.statistics, name)
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12)
        np.testing.assert_allclose(one.deviation, other.deviation, rtol=1e-12)


def test_a_limit_decides_where_the_rows_are(tmp_path):
    pytest.importorskip("pyarrow")
    wide = table(n=80_000, outputs=1)
    wide.to_csv(tmp_path / "a.csv", index=False)
    wide.to_parquet(tmp_path / "a.parquet")
    for reader, name in ((read_csv, "a.csv"), (read_parquet, "a.parquet")):
        path = tmp_path / name
        assert isinstance(reader(path, memory_limit="275MB"), FileData)
        held = reader(path, memory_limit="1.5 GB")
        assert isinstance(held, MixedData) and held.n == 80_000
    with pytest.raises(SwarmnetError, match=r"the memory limit must be at least .*MB here"):
        read_csv(tmp_path / "a.csv", memory_limit="100MB")
    with pytest.raises(SwarmnetError, match="give it to read_csv or read_parquet"):
        swarmnet.fit(held, memory_limit="1GB")


@pytest.mark.parametrize(
    ("size", "expected"),
    [("1.5GB", 1.5e9), (" 800 mb", 8e8), (12, 12.0), ("2e9", 2e9), ("3kB", 3e3), ("500B", 500.0)],
)
def test_sizes(size, expected):
    assert bytes_of(size) == expected


@pytest.mark.parametrize("size", ["", "GB", "-1GB", "1.5 gigabytes", "nan", "1e400x"])
def test_what_is_no_size_is_an_error(size):
    with pytest.raises(SwarmnetError, match=r"is not a size: write it as in 1\.5GB"):
        bytes_of(size)


MISTAKES = [
    ("x1", "", "the cell is empty: every row needs its inputs"),
    ("x2", "abc", "'abc' is not a number"),
    ("y", "1e999", "the cell is infinite or too large"),
    ("dy/dx1", '"1', "a quoted cell goes on over several lines|the quotes are wrong"),
]


@pytest.mark.parametrize(("column", "cell", "message"), MISTAKES)
@pytest.mark.parametrize("row", [0, 333, 699])
def test_a_mistake_is_found_in_its_file_and_line(tmp_path, row, column, cell, message):
    wide = table().astype(object)
    path = tmp_path / "data.csv"
    wide.to_csv(path, index=False)
    lines = path.read_text().splitlines()
    cells = lines[row + 1].split(",")
    cells[list(wide.columns).index(column)] = cell
    lines[row + 1] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    found = "" if cell.startswith('"') else f", line {row + 2}, column '{column}'"
    with pytest.raises(SwarmnetError, match=rf"data\.csv{re.escape(found)}.*({message})"):
        _ = in_small_pieces(path).statistics


def test_lines_are_counted_as_where_a_row_has_too_few_fields(tmp_path):
    path = tmp_path / "data.csv"
    table().to_csv(path, index=False)
    path.write_text(path.read_text() + "\r\n1,2\r\n")
    with pytest.raises(SwarmnetError, match=r"data\.csv, line 703: this row has 2 of 8 fields"):
        _ = in_small_pieces(path).statistics


def test_a_mistake_in_a_parquet_file_is_found_in_its_row(tmp_path):
    wide = table()
    wide.loc[612, "x1"] = np.nan
    path = written(tmp_path, wide, "parquet")
    with pytest.raises(SwarmnetError, match=r"part1\.parquet, row index 262, column 'x1': the cell is empty"):
        _ = in_small_pieces(path).statistics


def test_a_wrong_target_is_found_in_its_line(tmp_path):
    long = long_of(table())
    long.iloc[500, long.columns.get_loc("target")] = "dw/dx1"
    long.to_csv(tmp_path / "long.csv", index=False)
    with pytest.raises(SwarmnetError, match=r"long\.csv, line 502, column 'target': target 'dw/dx1'"):
        in_small_pieces(tmp_path / "long.csv", ["y", "z"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("x1,y\n", "there is a header but no row"),
        ("x1;y\n1;2;3\n", "the header has no comma"),
        ("a,b\n1,2\n", "column"),
        ("x1,y\n" + "1,\n" * 3000, "there are no entries"),
        (b"x1,y\n" + b"1,2\n" * 3000 + b"\xff,1\n", "line 3002: this is not UTF-8 text: .*--encoding"),
    ],
)
def test_bad_files_are_refused(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SwarmnetError, match=rf"bad\.csv.*{message}"):
        _ = in_small_pieces(path).statistics


def test_files_need_the_same_columns(tmp_path):
    table(outputs=1).to_csv(tmp_path / "a.csv", index=False)
    table(outputs=2).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(SwarmnetError, match=r"a\.csv: there is no column 'z', but .*b\.csv has one"):
        open_files(tmp_path / "*.csv", None, None)


def test_a_file_that_has_changed_is_refused(tmp_path):
    path = written(tmp_path, table(), "parquet")
    data = open_files(path, None, None)
    table(n=900).iloc[:450].to_parquet(tmp_path / "part0.parquet")
    with pytest.raises(SwarmnetError, match=r"part0\.parquet: the file has changed"):
        _ = data.statistics


def test_pipes_are_not_read_piece_by_piece():
    with pytest.raises(SwarmnetError, match="/dev/null: this is no file"):
        open_files("/dev/null", None, None)


def test_values_only_leaves_the_values(tmp_path):
    path = written(tmp_path, table(), "parquet")
    data, held = open_files(path, None, None).values_only(), read(path).values_only()
    assert (data.n, data.n_values, data.n_derivatives) == (held.n, held.n_values, 0)


def test_a_split_keeps_a_point_on_one_side(tmp_path):
    wide = pd.concat([table(), table()])
    path = written(tmp_path, wide, "wide")
    kept, held_out = split(in_small_pieces(path), 0.2, seed=3)
    assert isinstance(held_out, MixedData)
    points = {tuple(x) for x in held_out.X}
    assert 0.12 * 700 < len(points) < 0.28 * 700
    assert all(tuple(x) not in points for x in kept.gathered().X)
    whole = read(path)
    assert kept.n + held_out.n == np.count_nonzero(whole.entries_per_row)
    again = split(in_small_pieces(path), 0.2, seed=3)[1]
    other = split(in_small_pieces(path), 0.2, seed=4)[1]
    assert np.array_equal(again.X, held_out.X) and not np.array_equal(other.X[:5], held_out.X[:5])
    assert split(kept, 0.0, seed=0)[1] is None


def test_no_more_rows_are_held_out_than_memory_has_room_for(tmp_path):
    """About 100,000: of these rows 50, if they are taken for the first of 1.4 million."""
    first = open_files(written(tmp_path, table(), "parquet"), None, None)
    held_out = split(replace(first, about=1_400_000), 0.5, seed=0)[1]
    assert 25 < held_out.n < 80


def test_errors_on_files_are_those_in_memory(tmp_path):
    path = written(tmp_path, table(), "parquet")
    model = swarmnet.fit(read(path), hidden=(4,), trainer="lbfgs", iterations=20)
    found, expected = (
        swarmnet.evaluate(model, in_small_pieces(path)),
        swarmnet.evaluate(model, read(path)),
    )
    pd.testing.assert_frame_equal(found, expected, rtol=1e-10)


def test_trainers_are_compared_on_files(tmp_path):
    path = written(tmp_path, table(outputs=1), "parquet")
    settings = {"trainers": ("lbfgs", "projected"), "repeats": 1, "evaluations": 60, "hidden": (4,)}
    comparison = swarmnet.compare(in_small_pieces(path), test=path, **settings)
    assert list(comparison.table.index) == ["lbfgs", "projected", "lbfgs (values only)"]
    assert np.isfinite(comparison.table["rmse(dy/dx1)"]).all()
