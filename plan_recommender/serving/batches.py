"""Usage as it is read, and batches as arrays: they look like the objects and lists that they stand for, and are none.

To make pydantic's object for each row, and a dictionary for each decision, takes longer than all the rest of a batch.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final, cast, overload

import msgspec
import numpy as np
import numpy.typing as npt
from pydantic_core import to_json

from plan_recommender.model.features import FEATURE_NAMES, PLANS, CustomerUsage, FeatureMatrix
from plan_recommender.serving.schemas import MAX_BATCH_ROWS, BatchRecommendation, Decision, UsageBatch

_WIDTH: Final = len(FEATURE_NAMES)


class _Row(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A row as it is sent, whose values may still be negative."""

    calls: float
    minutes: float
    messages: float
    mb_used: float


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[_Row]


_DECODER: Final = msgspec.json.Decoder(_Batch)
_ROW_DECODER: Final = msgspec.json.Decoder(_Row)

_STARTS: Final = [b'{"predictions":[{"prediction":%d,"probability_is_ultra":' % prediction for prediction in (0, 1)]
_ENDS: Final = [b',"recommended_plan":"%b"}' % plan.encode() for plan in PLANS]
_BETWEEN: Final = [b'%b,{"prediction":%d,"probability_is_ultra":' % (end, next_) for end in _ENDS for next_ in (0, 1)]
"""What stands between two probabilities, by twice the decision before it and the one behind it."""


class Rows(Sequence[CustomerUsage]):
    """Subscribers, from an array of shape (rows, 4)."""

    def __init__(self, features: FeatureMatrix) -> None:
        """Take valid features."""
        self.features = features

    def __len__(self) -> int:
        return len(self.features)

    @overload
    def __getitem__(self, place: int) -> CustomerUsage: ...
    @overload
    def __getitem__(self, place: slice) -> "Rows": ...
    def __getitem__(self, place: int | slice) -> "CustomerUsage | Rows":
        if isinstance(place, slice):
            return Rows(self.features[place])
        return CustomerUsage(**dict(zip(FEATURE_NAMES, self.features[place].tolist(), strict=True)))


class Decisions(Sequence[Decision]):
    """Decisions, from arrays of shape (rows,)."""

    def __init__(self, predictions: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> None:
        """Take the decisions (1 Ultra, 0 Smart) and the probabilities of Ultra."""
        self.predictions = predictions
        self.probabilities = probabilities

    def __len__(self) -> int:
        return len(self.predictions)

    @overload
    def __getitem__(self, place: int) -> Decision: ...
    @overload
    def __getitem__(self, place: slice) -> "Decisions": ...
    def __getitem__(self, place: int | slice) -> "Decision | Decisions":
        if isinstance(place, slice):
            return Decisions(self.predictions[place], self.probabilities[place])
        prediction, probability = self.predictions[place].item(), self.probabilities[place].item()
        return {
            "prediction": prediction,
            "probability_is_ultra": probability,
            "recommended_plan": PLANS[prediction],
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)


def decisions_of(answer: BatchRecommendation) -> Decisions:
    """Give the decisions of an answer as arrays."""
    return cast(Decisions, answer["predictions"])  # whose declared type is a list, which describes the JSON


def features_of(batch: UsageBatch) -> FeatureMatrix:
    """Give the rows of a batch as an array of shape (rows, 4)."""
    rows = cast(Any, batch.rows)
    if isinstance(rows, Rows):
        return rows.features
    return _matrix((row.calls, row.minutes, row.messages, row.mb_used) for row in rows)


def read_usage(body: bytes) -> CustomerUsage:
    """Validate a body as `CustomerUsage` does, with the same values and the same errors, as `read_batch` does.

    What is returned has the attributes of a `CustomerUsage`, and is none where msgspec has read it.

    Raises:
        ValidationError: pydantic's.
    """
    try:
        row = _ROW_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return CustomerUsage.model_validate_json(body)
    for amount in (row.calls, row.minutes, row.messages, row.mb_used):
        if not 0.0 <= amount < math.inf:
            return CustomerUsage.model_validate_json(body)
    return cast(CustomerUsage, row)


def read_batch(body: bytes) -> UsageBatch:
    """Validate a body as `UsageBatch` does, with the same values and the same errors, in a third of the time.

    msgspec is stricter than pydantic: what it takes pydantic takes too, and means the same. What it does not take is
    left to pydantic.

    Raises:
        ValidationError: pydantic's.
    """
    try:
        rows = _DECODER.decode(body).rows
    except (msgspec.DecodeError, UnicodeDecodeError):
        return UsageBatch.model_validate_json(body)
    features = _matrix(map(msgspec.structs.astuple, rows)) if 0 < len(rows) <= MAX_BATCH_ROWS else np.array([-1.0])
    if not (features >= 0).all() or not np.isfinite(features).all():
        return UsageBatch.model_validate_json(body)
    return UsageBatch.model_construct(rows=cast(Any, Rows(features)))


def write_batch(answer: BatchRecommendation) -> bytes:
    """Write an answer as pydantic_core.to_json would write its objects."""
    decisions = decisions_of(answer)
    predictions = decisions.predictions
    pieces = [b""] * (2 * len(decisions) + 1)
    pieces[0] = _STARTS[predictions[0]]
    pieces[1::2] = to_json(decisions.probabilities.tolist())[1:-1].split(b",")
    pieces[2:-1:2] = [_BETWEEN[which] for which in (2 * predictions[:-1] + predictions[1:]).tolist()]
    pieces[-1] = b'%b],"model":%b}' % (_ENDS[predictions[-1]], to_json(answer["model"]))
    return b"".join(pieces)


def _matrix(rows: Iterable[tuple[float, ...]]) -> FeatureMatrix:
    return np.fromiter(chain.from_iterable(rows), dtype=np.float64).reshape(-1, _WIDTH)
