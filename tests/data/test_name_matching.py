"""Tables, of pandas and other libraries: columns are matched by name, rows by their index, or refused."""

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from swarmnet import MixedData, Network, Objective, SwarmnetError, fit

NAN = np.nan
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"T": RNG.uniform(300, 400, 12), "p": RNG.uniform(1, 2, 12)})
FRAME["h"] = FRAME["T"] * FRAME["p"]
FRAME["dh/dT"], FRAME["dh/dp"] = FRAME["p"], FRAME["T"]
SLOPES = ["dh/dp", "dh/dT"]


@pytest.fixture(autouse=True)
def no_cluster():
    """That of another test may have left itself as Dask's scheduler."""
    with dask.config.set(scheduler="threads"):
        yield


class Interchanged:
    """A table that has the interchange protocol, and nothing else."""

    def __init__(self, frame):
        self.frame = frame

    def __dataframe__(self, **options):
        return pa.Table.from_pandas(self.frame).__dataframe__(**options)


class Arrow(Interchanged):
    """A table that has Arrow's protocol, and nothing else."""

    __dataframe__ = None

    def __arrow_c_stream__(self, requested_schema=None):
        return pa.Table.from_pandas(self.frame).__arrow_c_stream__(requested_schema)


class Columns(Interchanged):
    """A table with named columns, and an array of them all that does not say which is which."""

    __dataframe__ = None

    @property
    def columns(self):
        return list(self.frame)

    def __getitem__(self, name):
        return self.frame[name].to_numpy()

    def __array__(self, dtype=None, copy=None):
        return self.frame.to_numpy()


del Arrow.__dataframe__, Columns.__dataframe__

KINDS = {
    "DataFrame": lambda frame: frame,
    "pyarrow.Table": pa.Table.from_pandas,
    "pyarrow.Table with an index": lambda frame: pa.Table.from_pandas(frame.set_index(frame.columns[0])),
    "pyarrow.RecordBatch": pa.RecordBatch.from_pandas,
    "Dask": lambda frame: dd.from_pandas(frame, npartitions=3),
    "structured array": lambda frame: frame.to_records(index=False),
    "interchange": Interchanged,
    "Arrow": Arrow,
    "columns": Columns,
}


@pytest.fixture(scope="module")
def model():
    return fit(MixedData.from_frame(FRAME), hidden=(3,), trainer="lbfgs", iterations=5)


@pytest.mark.parametrize("kind", KINDS)
def test_queries_are_matched_by_name(model, kind):
    query = KINDS[kind](FRAME[["p", "T"]])
    X = FRAME[["T", "p"]].to_numpy()
    for method in ("predict", "jacobian", "hessian"):
        assert np.array_equal(getattr(model, method)(query), getattr(model, method)(X))
    assert model.table(query)["T"].tolist() == X[:, 0].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_data_are_matched_by_name(kind):
    made = KINDS[kind]
    data = MixedData(made(FRAME[["T", "p"]]), FRAME["h"], made(FRAME[SLOPES]), inputs=["p", "T"])
    assert (data.inputs, data.outputs) == (("p", "T"), ("h",))
    assert np.array_equal(data.X, FRAME[["p", "T"]])
    assert np.array_equal(data.J[:, 0], FRAME[SLOPES])
    assert np.array_equal(MixedData.from_frame(made(FRAME), ["T", "p"], "h").X, FRAME[["T", "p"]])


def test_names_are_those_of_the_tables():
    data = MixedData(FRAME[["T", "p"]], FRAME["h"], FRAME[["dh/dp"]])
    assert (data.inputs, data.outputs) == (("T", "p"), ("h",))
    assert np.array_equal(data.J[:, 0], np.stack([np.full(12, NAN), FRAME["T"]], axis=1), equal_nan=True)
    assert MixedData(FRAME[["T", "p"]], None, FRAME[SLOPES]).outputs == ("h",)
    assert MixedData(FRAME[["T", "p"]].to_numpy(), FRAME["h"].to_numpy()).inputs == ("x1", "x2")
    plain = pd.DataFrame(FRAME.to_numpy())
    assert MixedData(plain[[0, 1]], plain[2], inputs=["a", "b"]).inputs == ("a", "b")
    assert MixedData(plain[[0, 1]], plain[2]).outputs == ("y",)


def test_more_columns_than_are_named_are_left_alone():
    data = MixedData(FRAME, FRAME, inputs=["p"], outputs=["T", "h"])
    assert np.array_equal(data.X[:, 0], FRAME["p"])
    assert np.array_equal(data.Y, FRAME[["T", "h"]])


def test_sigmas_go_by_either_name():
    sigma = pd.DataFrame({"dh/dp": np.arange(1.0, 13.0)})
    for frame in (sigma, sigma.rename(columns="sigma({})".format)):
        data = MixedData(FRAME[["T", "p"]], FRAME["h"], FRAME[SLOPES], FRAME["h"].rename("sigma(h)"), frame)
        assert np.array_equal(data.J_sigma[:, 0, 1], sigma["dh/dp"])
        assert np.isnan(data.J_sigma[:, 0, 0]).all()
        assert np.array_equal(data.Y_sigma[:, 0], FRAME["h"])


def test_cells_are_numbers_whatever_their_type():
    given = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "b": [True, False], "c": ["2", ""]})
    data = MixedData([[0.0], [1.0]], given)
    assert np.array_equal(data.Y, [[1.0, 1.0, 2.0], [NAN, 0.0, NAN]], equal_nan=True)


X, Y = FRAME[["T", "p"]], FRAME["h"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"X": X, "inputs": ["a", "p"]}, "X has no column a: its columns are T, p"),
        ({"Y": FRAME[["h"]], "outputs": "g"}, "Y has no column g"),
        ({"J": FRAME[SLOPES].set_axis(["p", "T"], axis=1)}, "J has no place for p, T: its columns are dh/dT"),
        ({"J": pd.DataFrame({"dg/dT": Y})}, "J has no place for dg/dT"),
        ({"Y_sigma": pd.DataFrame({"h": Y, "sigma(h)": Y})}, "Y_sigma has two columns for one of h"),
        (
            {"Y": Y[::-1]},
            r"rows of Y are in another order than those of X, says their index: give Y.loc\[X.ind",
        ),
        ({"Y": Y.set_axis(range(1, 13))}, "rows of Y are not those of X"),
        ({"Y": Y.set_axis([0] * 12)}, "rows of Y are not those of X"),
        ({"weights": Y[::-1]}, "rows of weights are in another order"),
        ({"X": dd.from_pandas(X[::-1], npartitions=1, sort=False)}, "rows of Y are in another order"),
        ({"X": pd.concat([X, X], axis=1)}, "X: column 'T' is there twice"),
        ({"Y": Y.astype(str) + "?"}, "Y, row index 0, column 'h'"),
    ],
)
def test_what_cannot_be_matched_is_refused(given, words):
    with pytest.raises(SwarmnetError, match=words) as caught:
        MixedData(**({"X": X, "Y": Y} | given))
    assert "\n" not in str(caught.value)


class Unreadable:
    """Looks like a table, and gives its columns to nobody."""

    columns = ("p", "T")

    def __array__(self, dtype=None, copy=None):
        return FRAME[["p", "T"]].to_numpy()


def test_tables_that_cannot_be_read_are_refused(model):
    for call in (model.predict, model.jacobian, model.hessian, model.table, MixedData.from_frame):
        with pytest.raises(SwarmnetError, match="this Unreadable cannot be read as a table"):
            call(Unreadable())
    with pytest.raises(SwarmnetError, match="there is no column p"):
        model.predict(pa.Table.from_pandas(FRAME[["T", "h"]]))
    with pytest.raises(SwarmnetError, match="from_frame takes a DataFrame or another table, not 'ndarray'"):
        MixedData.from_frame(FRAME.to_numpy())
    with pytest.raises(SwarmnetError, match="data must be MixedData, not 'Table'"):
        Objective(Network((2, 3, 1)), pa.Table.from_pandas(FRAME))
    with pytest.raises(SwarmnetError, match="data must be MixedData or a file's name, not 'Table'"):
        fit(pa.Table.from_pandas(FRAME))
