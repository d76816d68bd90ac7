"""Names that look like derivatives and are none by the grammar, such as ``dh_dT`` and ``-dE/dx``."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice, product

from swarmnet.data.column_names import Pair, derivative_name, listed
from swarmnet.data.formulas import quoted, second_derivative
from swarmnet.errors import SwarmnetError, printable

_MOST_SHOWN = 12  # chosen: options in a message
_MINUS = re.compile(r"\s*[-\u2212]\s*")
_DIFF = re.compile(r"\s*diff\s*\((.+),(.+)\)\s*", re.IGNORECASE)
# A unit in brackets at the end, in which round brackets may be nested once
_UNIT = re.compile(r"(.*\S)\s*(\[[^][]*\]|\(([^()]|\([^()]*\))*\))\s*", re.DOTALL)
_PLAIN = re.compile(r"[\w\s=/.()*+-]*")  # characters that mean nothing to a shell between double quotes


class LookAlikes:
    """Recognises names that seem to stand for a derivative of known outputs with respect to known inputs.

    Letters may be in another case, and characters that are no letters or digits are skipped: ``dh_dT``,
    ``d_h_d_t``, ``DH/DT``, ``d(h)/d(T)``, ``diff(h, T)``, also with a minus or a partial sign, and with a
    unit: ``dh_dT [J/K]``. Only ``h_T`` must be written in the case of its names. Derivatives that other
    columns hold, `held` as (output, input), are not looked for.
    """

    def __init__(self, inputs: Iterable[str], outputs: Iterable[str], held: Iterable[Pair] = ()) -> None:
        self._known = self._inputs, self._outputs = _by_key(inputs), _by_key(outputs)
        self._held = set(held)

    def formula(self, name: str) -> str | None:
        """Return the formula of the derivative, such as ``-dE/dx``; None if the name looks like none."""
        minus = _MINUS.match(name)
        rest = name[minus.end() :] if minus else name
        sign = "-" if minus else ""
        pair = self._pair(rest) or self._pair(_bare(rest))
        if pair is not None:
            return None if pair in self._held else f"{sign}{quoted(derivative_name(*pair))}"
        inputs, outputs = ({n for names in known.values() for n in names} for known in self._known)
        try:
            second = second_derivative(_bare(rest), inputs, outputs)
        except SwarmnetError:
            return None
        return f"{sign}{quoted(_bare(rest))}" if second is not None and second.output in outputs else None

    def _pair(self, name: str) -> tuple[str, str] | None:
        for cut in re.finditer("_", name):
            out, into = name[: cut.start()], name[cut.end() :]
            for pair in product(self._outputs.get(_key(out), ()), self._inputs.get(_key(into), ())):
                if out in (pair[0], _bare(pair[0])) and into in (pair[1], _bare(pair[1])):
                    return pair
        diff = _DIFF.fullmatch(name)
        if diff is None:
            whole = _key(name)
            keys = [(whole[1 : c.start()], whole[c.end() :]) for c in re.finditer("d", whole)]
            keys = keys if whole.startswith("d") else []
        else:
            keys = [(_key(diff[1]), _key(diff[2]))]
        named = [(self._outputs.get(out, ()), self._inputs.get(into, ())) for out, into in keys]
        pairs = [pair for outputs, inputs in named for pair in product(outputs, inputs)]
        # Of several, those that are written in the same case
        return max(pairs, key=lambda pair: (pair[0] in name) + (pair[1] in name), default=None)


def with_unit(name: str, inputs: Collection[str], outputs: Collection[str]) -> str | None:
    """Return what is wrong with the name of a derivative that ends in a unit; None with any other name."""
    formula = None if _bare(name) == name else LookAlikes(inputs, outputs).formula(name)
    return None if formula is None else looks_like({name: formula})


def second_output(
    pairs: Mapping[str, Pair], plain: Sequence[str], inputs: Collection[str]
) -> tuple[str, str] | None:
    """Return a derivative whose output differs from another in its case only, and what to do.

    Args:
        pairs: output and input of the derivatives, by name.
        plain: the other columns or targets.
        inputs: those of `plain` that are known to be inputs.
    """
    denominators = {into for _, into in pairs.values()}
    known = {name.casefold(): name for name in plain if name not in denominators and name not in inputs}
    there = set(plain)
    for column, (out, into) in pairs.items():
        other = out if out in there else known.setdefault(out.casefold(), out)
        if other != out and into is not None:
            return column, (
                f"would make a second output {out!r} beside {other!r}: "
                f"read it with {_how_to_define({column: quoted(derivative_name(other, into))})}, "
                "or name both with outputs= (--outputs)"
            )
    return None


def refuse_look_alikes(
    columns: Sequence[str], inputs: Collection[str], outputs: Collection[str], held: Iterable[Pair]
) -> None:
    """Refuse columns without a role that look like derivatives which no other column holds.

    Raises:
        SwarmnetError: the message has the option that reads the column.
    """
    alike = LookAlikes(inputs, outputs, held)
    found = {c: formula for c in columns if c not in inputs and (formula := alike.formula(c))}
    if found:
        raise SwarmnetError(f"column{'s' * (len(found) > 1)} {listed(list(found))} {looks_like(found)}")


def looks_like(formulas: Mapping[str, str]) -> str:
    """Return what is wrong with columns, or a target, that look like these formulas, and what to do."""
    shown = dict(islice(formulas.items(), _MOST_SHOWN))
    what, them = (
        ("looks like a derivative", "it") if len(formulas) == 1 else ("look like derivatives", "them")
    )
    return f"{what}: read {them} with {_how_to_define(shown)}, or rename or remove {them}"


def _how_to_define(formulas: Mapping[str, str]) -> str:
    """Return the options that read columns or targets as these formulas, for a shell and for Python."""
    texts = [f"{name} = {formula}" for name, formula in formulas.items()]
    flags = ["--define " + (f'"{text}"' if _PLAIN.fullmatch(text) else shlex.quote(text)) for text in texts]
    return f"{printable(' '.join(flags))} (define={dict(formulas)!r} in Python)"


def _by_key(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        for key in {_key(name), _key(_bare(name))}:
            found.setdefault(key, []).append(name)
    found.pop("", None)
    return found


def _key(name: str) -> str:
    """Return the letters and digits of a name, in one case, with d for the partial sign."""
    text = unicodedata.normalize("NFKC", name).replace("\u2202", "d").casefold()
    return "".join(character for character in text if character.isalnum())


def _bare(name: str) -> str:
    """Return a name without a unit in brackets."""
    unit = _UNIT.fullmatch(name)
    return unit[1] if unit else name
