"""The documents of --json have the fields that the reference says, of the types it says."""

import io
import json
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from swarmnet.cli import commands as cli

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
TYPES = {
    "text": lambda x: isinstance(x, str),
    "integer": lambda x: type(x) is int,
    "number": lambda x: type(x) in (int, float),
    "number or null": lambda x: x is None or type(x) in (int, float),
    "object": lambda x: isinstance(x, dict),
    "list of texts": lambda x: isinstance(x, list) and all(isinstance(each, str) for each in x),
    "list of integers": lambda x: isinstance(x, list) and all(type(each) is int for each in x),
}
SHORT = ("--hidden", "2", "--trainer", "lm", "--iterations", "3")
ROWS = """t,b,z,y,sigma(y)
0,1,3,,
1,0,2,5,0.1
1,0,2,4,0.1
2,3,,1,0.2
3,2,7,,
4,5,9,2,0.1
5,4,,2,0.1
2,2,7,1,
4,1,9,4,0.1
5,3,8,2,0.1
"""


def documented(title):
    """The types by field of the table under a title."""
    section = PAGE.read_text(encoding="utf-8").split(f"### {title}\n")[1].split("\n#")[0]
    return dict(re.findall(r"^\| `(.+?)` \| (.+?) \|", section, re.MULTILINE))


def flat(value, name=""):
    """Yield (field, number or text) of a document; the training record is one field."""
    if isinstance(value, dict) and not name.endswith("training"):
        for key, each in value.items():
            key = re.sub(r"^rmse\(.+\)", "rmse(COLUMN)", key)
            yield from flat(each, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for each in value:
            yield from flat(each, f"{name}[]")
    elif value != [] or name == "not_identifiable":
        yield name, value


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A command in a folder with data, a model without a trend and one with it."""
    folder = tmp_path_factory.mktemp("json")
    (folder / "data.csv").write_text(ROWS)

    def call(*arguments):
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["swarmnet", *arguments, "--json"])
            with pytest.raises(SystemExit) as ended:
                cli.main()
        assert not ended.value.code
        return json.loads(out.getvalue())

    names = ("--inputs", "t,b", "--outputs", "z,y")
    call("train", "data.csv", *names, *SHORT, "--degree", "1", "-o", "trend.json")

    def with_names(*arguments):
        return call(*(part for word in arguments for part in (names if word == "NAMES" else [word])))

    return with_names


@pytest.mark.parametrize(
    ("title", "arguments", "absent"),
    [
        ("swarmnet train --json", ["train", "data.csv", "NAMES", *SHORT, "--test-fraction", "0.4"], set()),
        ("swarmnet evaluate --json", ["evaluate", "trend.json", "data.csv", "--worst", "3"], set()),
        (
            "swarmnet compare --json",
            [
                "compare",
                "data.csv",
                "NAMES",
                "--trainers",
                "lbfgs,adam",
                "--repeats",
                "2",
                "--evaluations",
                "5",
            ],
            {"missing[].trainer", "missing[].repeat"},
        ),
        ("swarmnet inspect DATA --json", ["inspect", "data.csv", "NAMES"], set()),
        ("swarmnet inspect MODEL --json", ["inspect", "trend.json"], set()),
    ],
)
def test_documents_have_the_fields_that_are_documented(run, title, arguments, absent):
    types, found = documented(title), list(flat(run(*arguments)))
    assert list(dict.fromkeys(name for name, _ in found)) == [name for name in types if name not in absent]
    for name, value in found:
        assert TYPES[types[name]](value), (name, value)
