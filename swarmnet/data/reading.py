"""Reading: how the cells of text files are written, as far as the user says it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from swarmnet.data.column_names import as_list
from swarmnet.data.tables import number_of
from swarmnet.errors import SwarmnetError

BLANKS = " "  # as a separator: any number of blanks and tabs
# Cells that say "not available" and nothing else
NOT_OBSERVED = ("NaN", "nan", "n/a", "N/A", "NA", "<NA>", "#N/A", "#N/A N/A", "null", "NULL", "None")
_SEPARATORS = {"\\t": "\t", "tab": "\t", "blank": BLANKS}


@dataclass(frozen=True)
class Reading:
    """Options of reading text files; None where the file itself tells.

    Args:
        sep: the character between two columns, "tab", or a blank for any number of blanks.
        decimal: the decimal mark, "." or ",".
        thousands: the character between groups of three digits; None if there is none.
        na: further texts of cells that mean "not observed".
        encoding: the name of the text's encoding.
        categories: columns of texts that are read as columns of 0 and 1, one for each text.

    Raises:
        SwarmnetError: an option is not valid.
    """

    sep: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    na: tuple[str, ...] = ()
    encoding: str | None = None
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.sep is not None:
            object.__setattr__(self, "sep", _SEPARATORS.get(self.sep, self.sep))
        if self.sep is not None and (len(self.sep) != 1 or self.sep in '\r\n"\0'):
            raise SwarmnetError(f"sep= (--sep) must be one character, tab or blank, not {self.sep!r}")
        if self.decimal not in (None, ".", ","):
            raise SwarmnetError(f'decimal= (--decimal) must be "." or ",", not {self.decimal!r}')
        if self.thousands is not None and (len(self.thousands) != 1 or self.thousands.isalnum()):
            raise SwarmnetError(f"thousands= (--thousands) must be one character, not {self.thousands!r}")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise SwarmnetError(
                f"{self.thousands!r} cannot be the thousands separator and the decimal mark: "
                'give both, as in thousands=".", decimal="," (--thousands . --decimal ,)'
            )
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
                "".encode(self.encoding)
            except (LookupError, ValueError):
                raise SwarmnetError(
                    f"encoding= (--encoding) names {self.encoding!r}, which is no encoding of text: "
                    "give one such as utf-8, cp1252 or utf-16"
                ) from None

    @classmethod
    def of(
        cls,
        sep: str | None = None,
        decimal: str | None = None,
        thousands: str | None = None,
        na: Iterable[str] | None = None,
        encoding: str | None = None,
        categories: Iterable[str] | None = None,
    ) -> Reading:
        """Return the options, of which `na` and `categories` may be one text, a list or None."""
        texts, columns = tuple(as_list(na) or ()), tuple(as_list(categories) or ())
        return cls(sep, decimal, thousands, texts, encoding, columns)

    def refuse_for(self, name: str, what: str, *options: str) -> None:
        """Refuse options that mean nothing for a kind of file.

        Raises:
            SwarmnetError: one of the options is given.
        """
        for option in options:
            if getattr(self, option):
                raise SwarmnetError(f"{name}: {option}= (--{option}) is for text files, not for {what}")


AS_FOUND = Reading()  # nothing is said


@dataclass(frozen=True)
class CellFormat:
    """How numbers are written in the cells of one file, and what means "not observed"."""

    decimal: str = "."
    thousands: str | None = None
    na: tuple[str, ...] = ()
    _numbers: frozenset[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        numbers = (number_of(text) for text in self.na)
        object.__setattr__(self, "_numbers", frozenset(number for number in numbers if number is not None))

    @cached_property
    def missing(self) -> frozenset[str]:
        """The texts that mean "not observed"."""
        return frozenset({*NOT_OBSERVED, *(text.strip() for text in self.na)})

    @cached_property
    def _grouped(self) -> re.Pattern[str]:
        mark, point = re.escape(self.thousands or ""), re.escape(self.decimal)
        return re.compile(rf"[+-]?\d{{1,3}}({mark}\d{{3}})+({point}\d*)?([eE][+-]?\d+)?", re.ASCII)

    def number(self, cell: str) -> float | None:
        """Return the cell's number: NaN if it is not observed, inf if too large, None if it is none."""
        text = cell.strip()
        if text in self.missing:
            return float("nan")
        if self.thousands is not None:
            if self.thousands == " ":
                text = text.replace("\u00a0", " ").replace("\u202f", " ")
            if self.thousands in text:
                if not self._grouped.fullmatch(text):
                    return None
                text = text.replace(self.thousands, "")
        if self.decimal != ".":
            if "." in text:
                return None
            text = text.replace(self.decimal, ".")
        number = number_of(text)
        return float("nan") if number in self._numbers else number
