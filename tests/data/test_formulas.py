"""The grammar of formulas: what is read, as which tree, and where a mistake is."""

import re

import pytest

from swarmnet.data.formulas import (
    FUNCTIONS,
    Call,
    Formula,
    Known,
    Name,
    Number,
    Operation,
    Partial,
    parse,
    quoted,
    written,
)
from swarmnet.errors import SwarmnetError

KNOWN = Known(inputs=["p", "T"], outputs=["h", "g"], defined=["cp"])
H, SLOPE = Name("h", ""), Partial("h", ("T",), "")


def number(value: float) -> Number:
    return Number(value, "")


def minus(argument: Formula) -> Call:
    return Call("-", argument, "")


def operation(operator: str, left: Formula, right: Formula) -> Operation:
    return Operation(operator, left, right, "")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("h", H),
        (" 2.5e-3 ", number(0.0025)),
        (".5", number(0.5)),
        ("dh/dT", SLOPE),
        ("dh / dT", SLOPE),
        ("d2g/dp2", Partial("g", ("p", "p"), "")),
        ("d2g/dpdT", Partial("g", ("p", "T"), "")),
        ("-dh/dT", minus(SLOPE)),
        ("--h", minus(minus(H))),
        ("dh/dT/4.184", operation("/", SLOPE, number(4.184))),
        ("1 - 2 - 3", operation("-", operation("-", number(1), number(2)), number(3))),
        ("1 + 2*h", operation("+", number(1), operation("*", number(2), H))),
        ("(1 + 2)*h", operation("*", operation("+", number(1), number(2)), H)),
        ("-h**2", minus(operation("**", H, number(2)))),
        ("h**-2", operation("**", H, minus(number(2)))),
        ("2**3**h", operation("**", number(2), operation("**", number(3), H))),
        ("-h*2", operation("*", minus(H), number(2))),
        ("2*-h", operation("*", number(2), minus(H))),
        ("tanh(h)", Call("tanh", H, "")),
        ("exp", Name("exp", "")),
        ("cp*q", operation("*", Name("cp", ""), Name("q", ""))),
        ("`h`", H),
        ("`dh/dT`", SLOPE),
        ("`p (bar, abs)`/2", operation("/", Name("p (bar, abs)", ""), number(2))),
        ("dE/dT", Partial("E", ("T",), "")),
        ("\u03c1", Name("\u03c1", "")),
    ],
)
def test_a_formula_has_this_tree(text: str, tree: Formula) -> None:
    assert parse(text, KNOWN) == tree


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-( dh/dp)/ (dh / dT)", "-(dh/dp)/(dh/dT)"),
        ("((h) + (dh/dT)) - 2.50", "h + dh/dT - 2.50"),
        ("dh/dT/4.184", "(dh/dT)/4.184"),
        ("1 - (2 - h)", "1 - (2 - h)"),
        ("h*(g*2)/(p/T)", "h*(g*2)/(p/T)"),
        ("--h - -g", "-(-h) - -g"),
        ("-h**2 + (-h)**2", "-h**2 + (-h)**2"),
        ("h**-2**g", "h**(-2**g)"),
        ("(h**2)**3**g", "(h**2)**3**g"),
        ("sqrt((h + g)*2)**tanh(dh/dT)", "sqrt((h + g)*2)**tanh(dh/dT)"),
        ("d2h/dTdp*d2g/dp2", "(d2h/dTdp)*(d2g/dp2)"),
        ("`p (bar, abs)`*h", "`p (bar, abs)`*h"),
    ],
)
def test_a_written_formula_is_the_same_formula(text: str, shown: str) -> None:
    tree = parse(text, KNOWN)
    found = written(tree)
    assert parse(found, KNOWN) == tree
    assert found == shown


def test_a_formula_is_written_with_other_names() -> None:
    tree = parse("exp(h)*d2h/dTdp - dg/dp/T", KNOWN)
    labels = {"h": "log(h)", "T": "log(T)"}
    assert written(tree, labels) == "exp(log(h))*(d2log(h)/dlog(T)dp) - (dg/dp)/log(T)"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions(function: str) -> None:
    assert parse(f"{function}(dh/dT)", KNOWN) == Call(function, SLOPE, "")


@pytest.mark.parametrize(
    ("known", "tree"),
    [
        (Known(["dT", "T"], ["dh", "h"]), SLOPE),
        (Known(["dT", "T"], ["dh"]), operation("/", Name("dh", ""), Name("dT", ""))),
        (Known(["dT"], ["dh", "h"]), operation("/", Name("dh", ""), Name("dT", ""))),
        (Known(["T"], ["h"], ["dh/dT"]), Name("dh/dT", "")),
        (Known(["T"], []), SLOPE),
    ],
)
def test_a_partial_of_known_names_goes_before_a_division(known: Known, tree: Formula) -> None:
    assert parse("dh/dT", known) == tree


def test_odd_names_in_derivatives() -> None:
    known = Known(["p (bar, abs)", "T", "T2"], ["h", "2h", "E tot"])
    assert parse("`dE tot/dp (bar, abs)`", known) == Partial("E tot", ("p (bar, abs)",), "")
    with pytest.raises(SwarmnetError, match="more than one derivative"):
        parse("d2h/dT2", known)
    assert parse("d2h/dT2", Known(["T2"], ["2h"])) == Partial("2h", ("T2",), "")
    known = Known(["dT", "b"], ["dh", "a"])
    assert parse("`dh/dT`", known) == Name("dh/dT", "")


def test_each_node_knows_its_text() -> None:
    tree = parse("2 * -( dh / dT )", KNOWN)
    assert isinstance(tree, Operation) and isinstance(tree.right, Call)
    assert (tree.part, tree.right.part) == ("2 * -( dh / dT )", "-( dh / dT )")
    assert tree.right.argument.part == "dh / dT"


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("-(dh/dp", 8, "expected ')'"),
        ("", 1, "expected a number, a name or '('"),
        ("  ", 3, "expected a number, a name or '('"),
        ("h*", 3, "expected a number, a name or '('"),
        ("*h", 1, "expected a number, a name or '('"),
        ("()", 2, "expected a number, a name or '('"),
        ("2 h", 3, "expected an operator or the end"),
        ("h)", 2, "expected an operator or the end"),
        ("2(h)", 2, "expected an operator or the end"),
        ("exp(h", 6, "expected ')'"),
        ("h ^ 2", 3, "expected a number, a name or an operator"),
        ("h(T)", 2, "expected an operator or the end"),
        ("(h, p)", 3, "expected a number, a name or an operator"),
        ("1 + `h", 5, "expected a name and the other back quote"),
        ("__import__('os')", 12, "names with other characters go in back quotes"),
        ("2*dh/dX", 3, "'dh/dX' is a derivative with respect to unknown name 'X'"),
        ("2*dh/dTT", 3, "did you mean 'T'?"),
    ],
)
def test_a_mistake_is_found_in_its_place(text: str, column: int, words: str) -> None:
    with pytest.raises(SwarmnetError, match=re.escape(words)) as caught:
        parse(text, KNOWN)
    assert str(caught.value).startswith(f"column {column} of {text!r}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["(" * 10**6, "-" * 1000, "1" + "+1" * 500, "2**" * 400 + "2", "exp(" * 200])
def test_long_formulas_are_refused_before_they_exhaust_the_stack(text: str) -> None:
    with pytest.raises(SwarmnetError, match=r"more than 150 numbers|a formula may have 2000"):
        parse(text, KNOWN)


@pytest.mark.parametrize(
    "text", ["(" * 70 + "h" + ")" * 70, "-" * 149 + "h", "2**" * 74 + "2", "1" + "+1" * 74]
)
def test_the_longest_formulas_are_read(text: str) -> None:
    assert parse(text, KNOWN).part in text


@pytest.mark.parametrize("name", ["h", "dh/dT", "E tot", "dE tot/dp (bar)", "a/b", "\u03c1", "2h"])
def test_quoted_names_are_read_as_they_are(name: str) -> None:
    known = Known(["T", "p (bar)"], ["E tot", "h", "2h", "a/b", "\u03c1"])
    found = parse(quoted(name), known)
    assert isinstance(found, Name | Partial)
    assert name in (found.part, found.part.strip("`"))
