"""Usage in Arrow's columns of numbers as NumPy has it: NaN where a value is missing, and what is no usage."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

NUMBERS: Final = {
    **{f"{kind}{bits}": np.dtype(f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    "float": np.dtype("float32"),
    "double": np.dtype("float64"),
}
"""The types of columns whose values are copied, as Arrow calls them."""


def copy_usage(column: Any, values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_] | None:
    """Copy a column of numbers, which are rounded to doubles, with NaN for null.

    Args:
        column: a `pyarrow.Array` of one of the types `NUMBERS`.
        values: where to, of the same shape.

    Returns:
        A mask of the values that are no usage because they are negative, infinite or NaN; None if all are usage.
    """
    # `to_numpy` and `to_pandas_dtype` would import pandas, which takes longer than scoring 500,000 rows.
    kind = NUMBERS[str(column.type)]
    start = column.offset
    values[:] = np.frombuffer(column.buffers()[1], kind, len(column), start * kind.itemsize)
    if not column.null_count:
        return _not_usage(values)
    bits = np.unpackbits(np.frombuffer(column.buffers()[0], np.uint8), count=start + len(column), bitorder="little")
    null = bits[start:] == 0
    values[null] = 0
    wrong = _not_usage(values)
    values[null] = np.nan
    return wrong


def _not_usage(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_] | None:
    # The extremes of values with NaN are NaN, of which no comparison is true.
    if not len(values) or (values.min() >= 0 and values.max() < np.inf):
        return None
    return ~((values >= 0) & (values < np.inf))
