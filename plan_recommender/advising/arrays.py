"""Columns of Arrow and arrays of NumPy, each made of the other without a copy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# pa.array and `to_numpy` would import pandas, which takes longer than to advise 10,000 subscribers.


def numbers(column: Any, kind: npt.DTypeLike) -> npt.NDArray[Any]:
    """Give the values of an Arrow array of numbers without nulls, whose type NumPy calls `kind`."""
    size = np.dtype(kind).itemsize
    return np.frombuffer(column.buffers()[1], kind, len(column), column.offset * size)


def arrow(values: npt.NDArray[Any], kind: Any) -> Any:
    """Make an Arrow array of the type `kind`, which has the size of the values."""
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def booleans(values: npt.NDArray[np.bool_]) -> Any:
    """Make an Arrow array of booleans."""
    bits = np.packbits(values, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, pa.py_buffer(bits)])


def binary(contents: Sequence[bytes]) -> Any:
    """Make an Arrow array of bytes."""
    offsets = np.zeros(len(contents) + 1, np.int32)
    np.cumsum([len(content) for content in contents], out=offsets[1:])
    return pa.Array.from_buffers(
        pa.binary(), len(contents), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(contents))]
    )


def offsets(column: Any) -> npt.NDArray[np.int32]:
    """Give where the bytes of each element of an array of bytes or text begin, and where the last ones end."""
    return np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, column.offset * 4)


def content(column: Any) -> npt.NDArray[np.uint8]:
    """Give the bytes that the offsets of an array of bytes or text are about."""
    buffer = column.buffers()[2]
    return np.empty(0, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8)
