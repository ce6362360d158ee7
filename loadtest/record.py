"""The record of a load: when each request was due, sent and answered, and with which status."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

LOST: Final = 0
"""Status of a request whose connection could not be made, or ended without an answer."""

UNANSWERED: Final = -1
"""Status of a request that was still unanswered `PATIENCE_SECONDS` after the end of the load."""

UNSENT: Final = -2
"""Status of a request that was never sent because no connection became free."""

WRONG: Final = -3
"""Status of an answer 200 whose body is not the expected one, and of an answer to no request."""


@dataclass(frozen=True)
class Record:
    """What became of the requests of one load: arrays of shape (requests,), in the order in which the requests ended.

    Moments are seconds of `time.monotonic()`.
    """

    due: npt.NDArray[np.float64]
    """When each was to be sent; in a closed loop, when it was sent."""
    sent: npt.NDArray[np.float64]
    ended: npt.NDArray[np.float64]
    status: npt.NDArray[np.int16]
    """The HTTP status, or one of the constants above."""
    without_retry_after: int
    """Number of answers 429 and 503 without `Retry-After`."""

    def __len__(self) -> int:
        """Give the number of requests."""
        return len(self.status)

    @property
    def seconds(self) -> float:
        """Time from the moment the first request was due until the last one ended; 0 without requests."""
        return float(self.ended.max() - self.due.min()) if len(self) else 0.0

    def count(self, *statuses: int) -> int:
        """Number of requests with one of these statuses."""
        return int(np.isin(self.status, statuses).sum())

    def counts(self) -> dict[int, int]:
        """Number of requests with each status that occurs."""
        values, numbers = np.unique(self.status, return_counts=True)
        return dict(zip(values.tolist(), numbers.tolist(), strict=True))

    def rate(self, *statuses: int) -> float:
        """Requests a second with one of these statuses, over `seconds`; 0 without requests."""
        return self.count(*statuses) / self.seconds if self.seconds else 0.0

    def latency_ms(self, percentile: float, *statuses: int, from_sent: bool = False) -> float:
        """Percentile of the latencies of the requests with one of these statuses, in milliseconds; NaN without any.

        A latency counts from the moment the request was due, or with `from_sent` from the moment it was sent.
        """
        chosen = np.isin(self.status, statuses)
        start = self.sent if from_sent else self.due
        times = (self.ended - start)[chosen]
        return float(np.percentile(times, percentile)) * 1e3 if len(times) else float("nan")

    def lag_ms(self, percentile: float) -> float:
        """Percentile of how late requests were sent, in milliseconds; NaN without any.

        They are sent late when the generator is busy, or when no connection is free.
        """
        return float(np.percentile(self.sent - self.due, percentile)) * 1e3 if len(self) else float("nan")

    def chosen(self, mask: npt.NDArray[np.bool_]) -> "Record":
        """Keep the requests where `mask`, of shape (requests,), is true; `without_retry_after` stays that of all."""
        return Record(self.due[mask], self.sent[mask], self.ended[mask], self.status[mask], self.without_retry_after)
