"""Constraints as texts: what is read, and what is refused in one line that says where."""

import numpy as np
import pytest

from swarmnet import SwarmnetError
from swarmnet.data.constraints import as_requirements, constraints_of
from swarmnet.fitting.options import FitOptions

NAMES = (["p", "T"], ["v", "h"])
DEFINE = {"cp": "dh/dT/4"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dh/dT >= 0", 3.0),
        ("dh/dT<=1", -2.0),
        ("cp > 0", 0.75),
        ("2*h < exp(0) + v", -5.0),
        ("`dh/dT` >= h - T", 2.0),
    ],
)
def test_a_constraint_is_the_difference_of_its_sides(text, expected):
    numbers = {(0, ()): 5.0, (1, ()): 5.5, (1, (1,)): 3.0}
    (found,) = constraints_of([text], DEFINE, *NAMES)
    arguments = np.array([[numbers[argument]] for argument in found.quantity.arguments])
    assert found.quantity.evaluate(np.array([[1.0, 4.5]]), arguments)[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("h", "expected '>=' or '<='"),
        ("h == 2", r"column 3: expected '>=' or '<=', not '=='"),
        ("0 <= h <= 1", r"column 8: a second sign, '<=': give two constraints"),
        ("dh/dT >= 2 +", r"column 4 of '2 \+': expected a number, a name or '\('"),
        ("h >=", r"column 1 of '': expected a number"),
        ("q >= 0", "'q' is no input or output"),
        ("dh/dq >= 0", "unknown name 'q'"),
        ("T >= 0", "it has no output"),
    ],
)
def test_what_is_no_constraint_is_refused(text, message):
    with pytest.raises(SwarmnetError, match=rf"^require= \(--require\) of .*{message}") as raised:
        constraints_of([text], DEFINE, *NAMES)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("pair", [("h >= 1", "h <= 0"), ("dh/dT >= v", "dh/dT <= v - 1")])
def test_contradictions_are_refused(pair):
    with pytest.raises(SwarmnetError, match="contradict each other"):
        constraints_of(pair, {}, *NAMES)
    constraints_of(("h >= 0", "h <= 1", "dh/dT >= v", "dh/dT <= v"), {}, *NAMES)


def test_one_text_may_be_given_alone():
    assert as_requirements(" h >= 0 ") == FitOptions(require=["h >= 0"]).require == ("h >= 0",)
    with pytest.raises(SwarmnetError, match="require must be constraints"):
        FitOptions(require=[1.0])
