"""Text compressed with gzip or zstd: read as one stream, and written in parts that can be read as one."""

from __future__ import annotations  # io.BufferedReader takes its parameter only for the types

import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

_GZIP_LEVEL: Final = 6  # as the gzip command has it; Python's default of 9 takes much longer for little
_ZSTD_LEVEL: Final = 3  # as the zstd command has it
_GZIP: Final = 31  # zlib's number for the format of a gzip file
_BUFFER_BYTES: Final = 1 << 17

Pack = Callable[[bytes], bytes]
"""Compresses a part of a file. The parts after one another are a file; equal bytes give equal ones."""

SUFFIXES: Final = (".gz", ".zst")
"""What the name of a file ends in that is written compressed."""


def unpacked(file: BinaryIO, kind: str) -> io.BufferedReader[Any]:
    """Open what is compressed in a file, which is read from where it is.

    Args:
        file: with one compressed stream, or several after one another.
        kind: `gzip` or `zstd`.
    """
    if kind == "gzip":
        return io.BufferedReader(gzip.GzipFile(fileobj=file), _BUFFER_BYTES)
    return io.BufferedReader(cast(io.RawIOBase, _Zstd(file)), _BUFFER_BYTES)


def packer(path: Path) -> Pack | None:
    """Give what compresses the parts of a file to write, by the end of its name; None if it is written as it is."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return lambda part: zlib.compress(part, _GZIP_LEVEL, _GZIP)
    if suffix == ".zst":
        import pyarrow as pa  # a tenth of a second, which a command without it saves

        codec = pa.Codec("zstd", _ZSTD_LEVEL)
        return lambda part: cast(bytes, codec.compress(part, asbytes=True))
    return None


class _Zstd(io.RawIOBase):
    """Reads what is compressed with zstd; pyarrow brings the library along."""

    def __init__(self, file: BinaryIO) -> None:
        import pyarrow as pa

        self._damaged = pa.ArrowException
        self._stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._stream.read(len(buffer))
        except self._damaged as error:
            raise OSError(" ".join(str(error).split())) from error
        buffer[: len(content)] = content
        return len(content)
