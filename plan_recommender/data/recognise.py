"""What a file is, by its first bytes: a table that can be read, or something for which an error names the remedy."""

import zipfile
from pathlib import Path
from typing import Literal

from plan_recommender.errors import TableError

HEAD_BYTES = 4096
"""How much of the beginning of a file `recognise` looks at, at most (bytes)."""

BOM = b"\xef\xbb\xbf"
"""The byte order mark that some programs, Excel among them, put before text in UTF-8."""

Kind = Literal["text", "gzip", "zstd", "parquet"]

_COMPRESSED: tuple[tuple[bytes, Kind], ...] = ((b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))

_SAVE = "save it as CSV UTF-8 in the program that it comes from"
_UTF16 = "convert it, for example with `iconv -f UTF-16 -t UTF-8`, or save it as CSV UTF-8"
_SHEET = "save the sheet as CSV UTF-8"
_UNPACK = "unpack it first"

_REFUSED: tuple[tuple[bytes, str, str], ...] = (
    (b"\xff\xfe", "text in UTF-16", _UTF16),
    (b"\xfe\xff", "text in UTF-16", _UTF16),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)", _SHEET),
    (b"%PDF", "a PDF document", _SAVE),
    (b"\x89PNG", "a picture (PNG)", _SAVE),
    (b"\xff\xd8\xff", "a picture (JPEG)", _SAVE),
    (b"GIF8", "a picture (GIF)", _SAVE),
    (b"BZh", "a file compressed with bzip2", _UNPACK),
    (b"\xfd7zXZ\0", "a file compressed with xz", _UNPACK),
    (b"7z\xbc\xaf", "a 7-Zip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"PARE", "an encrypted Parquet file", "write it without encryption"),
    (b"ARROW1", "an Arrow file", "write it as Parquet or as CSV"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
)
_MARKUP: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "a web page (HTML)"), (b"<html", "a web page (HTML)"), (b"<table", "a web page (HTML)"),
    (b"<?xml", "an XML document"), (b"{\"", "JSON"), (b"[{", "JSON"),
)  # fmt: skip
_TAR = slice(257, 262)  # where a tar archive says that it is one


def recognise(path: Path, head: bytes, inside: Kind | None = None) -> Kind:
    """Tell what a file is.

    Args:
        path: of the file, for the error and to look into an archive.
        head: its first bytes, or the first bytes of what is compressed in it.
        inside: how `head` is compressed in it.

    Raises:
        TableError: it is recognised as something that is not read; the sentence names it and says what to do.
    """
    where = f", compressed with {inside}" if inside else ""
    for magic, kind in _COMPRESSED:
        if head.startswith(magic):
            if inside:
                raise _refusal(path, f"a file compressed twice{where.removeprefix(', compressed')}", "unpack it once")
            return kind
    if head.startswith(b"PAR1"):
        if inside:
            raise _refusal(path, f"a Parquet file{where}", "unpack it first: Parquet is compressed in itself")
        return "parquet"
    if head.startswith(b"PK\x03\x04") or head.startswith(b"PK\x05\x06"):
        raise _refusal(path, *_archive(path, head, inside))
    for magic, what, remedy in _REFUSED:
        if head.startswith(magic):
            raise _refusal(path, f"{what}{where}", remedy)
    if head[_TAR] == b"ustar":
        raise _refusal(path, f"a tar archive{where}", _UNPACK)
    if _is_utf16(head):
        raise _refusal(path, f"text in UTF-16{where}", _UTF16)
    beginning = head.removeprefix(BOM).lstrip().lower()
    for text, what in _MARKUP:
        if beginning.startswith(text):
            raise _refusal(path, f"{what}{where}", _SAVE)
    return "text"


def _refusal(path: Path, what: str, remedy: str) -> TableError:
    return TableError(f"{path}: expected a table as CSV or Parquet, found {what}: {remedy}")


def _archive(path: Path, head: bytes, inside: Kind | None) -> tuple[str, str]:
    """Name a zip archive and the remedy; the files of spreadsheets are zip archives too."""
    names: list[str] = []
    if inside is None and path.is_file():
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (OSError, zipfile.BadZipFile):
            names = []
    if any(name.startswith("xl/") for name in names) or b"xl/" in head:
        return "an Excel workbook (.xlsx)", _SHEET
    if b"mimetypeapplication/vnd.oasis.opendocument" in head:
        return "an OpenDocument spreadsheet (.ods)", _SHEET
    if len(names) == 1 and names[0].isprintable() and len(names[0]) <= 60:
        return f"a zip archive with the file {names[0]}", "unzip it first"
    return f"a zip archive with {len(names):,} files" if len(names) > 1 else "a zip archive", "unzip it first"


def _is_utf16(head: bytes) -> bool:
    """Whether every second byte of text is zero, as in UTF-16 without a byte order mark."""
    pairs = head[: len(head) // 2 * 2]
    low, high = pairs[::2], pairs[1::2]
    return len(low) >= 4 and any(not any(zeros) and all(letters) for zeros, letters in ((low, high), (high, low)))
