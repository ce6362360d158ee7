"""What a connection measures of its client: bytes beside bodies, and how long nothing changes."""

from typing import Final

from plan_recommender.serving.limits import MAX_HEAD_BYTES

_FRAMING_PER_BYTE: Final = 8
"""Bytes of chunk sizes and the like that may come with one byte of a body."""


class Framing:
    """Counts the bytes of the message that is coming which are not of its body: head, sizes of chunks, trailers."""

    def __init__(self) -> None:
        self.outside = 0
        self._inside = 0  # bytes of its body
        self._begun = 0  # messages that began in the data that is being parsed

    def begin_data(self) -> int:
        """Begin to parse data; gives the bytes of the body that came before it."""
        self._begun = 0
        return self._inside

    def begin_message(self) -> None:
        """A message begins."""
        self._begun += 1
        self._inside = 0

    def body(self, size: int) -> None:
        """A part of a body was parsed."""
        self._inside += size

    def end_message(self) -> None:
        """A message is complete."""
        self.outside = 0

    def end_data(self, size: int, inside: int, *, between: bool) -> None:
        """All of the data, so many bytes, was parsed.

        Args:
            size: of the data.
            inside: what `begin_data` gave.
            between: whether all messages before the data were complete.
        """
        if not self._begun:
            self.outside += size - (self._inside - inside)
        elif self._begun == 1 and between:
            self.outside = size - self._inside
        else:
            self.outside = 0  # how much of it is the newest message's is not known; it is counted from here on

    @property
    def too_large(self) -> bool:
        """Whether more has come than the limits allow."""
        return self.outside > MAX_HEAD_BYTES + _FRAMING_PER_BYTE * self._inside


class Stall:
    """Measures for how long something that is looked at now and then has been the same."""

    def __init__(self) -> None:
        self._state: object = None
        self._since = 0.0

    def seconds(self, state: object, now: float) -> float:
        """Tell since how many seconds the state has been this one; 0 for None, which is no state to wait in."""
        if state is None or state != self._state:
            self._state, self._since = state, now
        return now - self._since
