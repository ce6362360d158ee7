"""The text of the new cells of many rows at once, each with the separator before it, as Arrow arrays of bytes."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from plan_recommender.scoring.answers import Answers

_REPR_FROM: Final = 1e-4
"""From here up to 1e16, orjson writes a double as `repr` does: the shortest text that reads back as the same."""

_COMMA, _POINT, _ZERO = b",.0"


def binary_array(offsets: npt.NDArray[np.int32], content: Any) -> Any:
    """Make an Arrow array of bytes; element i is content[offsets[i]:offsets[i + 1]], which is not copied."""
    # pa.array and pa.scalar would import pandas, which takes longer than scoring 500,000 rows.
    return pa.Array.from_buffers(
        pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(content)]
    )  # fmt: skip


def new_cells(answers: Answers, sep: str, decimal: str) -> list[Any]:
    """Write the answers as text: for each new column an array of shape (rows,).

    Every probability is written as `repr` writes it, with the decimal sign.
    """
    cells = [_decisions(answers.decisions, sep), _probabilities(answers.probabilities, sep, decimal)]
    if answers.reasons is not None:
        quoted = _quoting(sep)
        cells.append(_texts([sep + quoted(reason) for reason in answers.reasons]))
    return cells


def _decisions(decisions: npt.NDArray[np.int64], sep: str) -> Any:
    pairs = np.empty((len(decisions), 2), np.uint8)
    pairs[:, 0] = ord(sep)
    pairs[:, 1] = decisions
    pairs[:, 1] += _ZERO
    return binary_array(np.arange(0, 2 * len(decisions) + 1, 2, dtype=np.int32), pairs)


def _probabilities(probabilities: npt.NDArray[np.float64], sep: str, decimal: str) -> Any:
    if not len(probabilities):
        return _texts([])
    # "[0.25,0.5]": what stands before each number becomes its separator.
    text = np.frombuffer(orjson.dumps(probabilities, option=orjson.OPT_SERIALIZE_NUMPY), np.uint8)[:-1].copy()
    offsets = np.empty(len(probabilities) + 1, np.int32)
    offsets[0], offsets[-1] = 0, len(text)
    offsets[1:-1] = np.flatnonzero(text == _COMMA)
    if decimal != ".":
        text[text == _POINT] = ord(decimal)
    text[offsets[:-1] if sep != "," else 0] = ord(sep)
    cells = binary_array(offsets, text)
    small = probabilities < _REPR_FROM
    if small.any():
        texts = [sep + repr(value).replace(".", decimal) for value in probabilities[small].tolist()]
        mask = pa.Array.from_buffers(
            pa.bool_(), len(small), [None, pa.py_buffer(np.packbits(small, bitorder="little"))]
        )  # fmt: skip
        cells = pc.replace_with_mask(cells, mask, _texts(texts))
    return cells


def text_array(texts: list[str]) -> Any:
    """Make an Arrow array of text."""
    content = [text.encode() for text in texts]
    offsets = np.zeros(len(texts) + 1, np.int32)
    np.cumsum([len(text) for text in content], out=offsets[1:])
    return pa.Array.from_buffers(
        pa.string(), len(texts), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(content))]
    )  # fmt: skip


def _texts(texts: list[str]) -> Any:
    return text_array(texts).view(pa.binary())


def _quoting(sep: str) -> Callable[[str], str]:
    """Quote a sentence, which has no line ends, where Python's csv module would."""

    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if sep in text or '"' in text else text

    return quoted
