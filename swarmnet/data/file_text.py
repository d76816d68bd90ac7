"""The text of a file: its encoding, and files that are compressed or binary."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from pathlib import Path

from swarmnet.data.file_paths import readable
from swarmnet.data.reading import Reading
from swarmnet.errors import SwarmnetError

GLANCE = 2**16  # bytes read to recognise a binary file
# Maximum unpacked size of a compressed file: so many bytes, or so many for each byte of the file
MOST_UNPACKED, MOST_PER_BYTE = 2**24, 100
ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"
_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # begins with the mark of UTF-16
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


def bytes_of_file(path: Path) -> bytes:
    """Return a file's bytes, unpacked; only the first ones if it is binary.

    Raises:
        SwarmnetError: the file cannot be read or unpacked.
    """
    with readable(str(path)), path.open("rb") as file:
        raw = file.read(GLANCE)
        if b"\0" in raw and not raw.startswith((ZIP, _GZIP, *_BOMS)):
            return raw  # a device may never end
        raw += file.read()
    return _unpacked(str(path), raw) if raw.startswith(_GZIP) else raw


def in_pieces(path: Path, reading: Reading) -> bool:
    """Return whether a text file can be read from any of its lines on, which compressed ones cannot."""
    with readable(str(path)), path.open("rb") as file:
        first = file.read(4)
    one_byte = reading.encoding is None or "\n".encode(reading.encoding) == b"\n"
    return one_byte and not first.startswith((ZIP, _GZIP, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def encoding_of(name: str, raw: bytes, reading: Reading, whole: bool = True) -> tuple[str, bool]:
    """Return the encoding of a text, and whether it was assumed.

    A byte order mark decides, else the option; a text that is not UTF-8 is taken for the encoding of Western
    Windows. `whole` is whether `raw` is all of the text.

    Raises:
        SwarmnetError: the text is binary, or is not in the encoding.
    """
    mark = next((encoding for mark, encoding in _BOMS.items() if raw.startswith(mark)), None)
    encoding = mark or reading.encoding or "utf-8"
    if b"\0" in raw and not codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        raise SwarmnetError(
            f"{name}: this is a binary or UTF-16 file without a byte order mark: "
            "if it is text, name its encoding, as encoding='utf-16-le' (--encoding utf-16-le)"
        )
    try:
        codecs.getincrementaldecoder(encoding)().decode(raw, final=whole)
        return encoding, False
    except UnicodeDecodeError as error:
        try:
            if mark is None and reading.encoding is None:
                raw.decode("cp1252")
                return "cp1252", True
        except UnicodeDecodeError:
            pass
        raise wrong_encoding(f"{name}, line {_line(raw, error.start)}", encoding) from None


def as_utf8(text: bytes, encoding: str) -> bytes:
    """Return a text in UTF-8, without a byte order mark.

    Raises:
        UnicodeDecodeError: the text is not in the encoding.
    """
    found = text.removeprefix(codecs.BOM_UTF8) if encoding == "utf-8" else text
    decoded = found.decode(encoding)
    return found if encoding == "utf-8" else decoded.removeprefix("\ufeff").encode()


def wrong_encoding(where: str, encoding: str) -> SwarmnetError:
    """Return the error about text that is not in an encoding."""
    shown = "UTF-8" if encoding == "utf-8" else encoding
    return SwarmnetError(
        f"{where}: this is not {shown} text: save the file as CSV in UTF-8, or name its encoding with "
        "encoding= (--encoding), such as cp1252"
    )


def _line(raw: bytes, at: int) -> int:
    return len((raw[:at] + b"x").splitlines())


def _unpacked(name: str, raw: bytes) -> bytes:
    most = max(MOST_UNPACKED, MOST_PER_BYTE * len(raw))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            text = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SwarmnetError(f"{name}: this gzip file cannot be unpacked: {error}") from None
    if len(text) > most:
        raise SwarmnetError(
            f"{name}: {len(raw)} bytes unpack to more than {most}: unpack the file yourself if you trust it"
        )
    return text
