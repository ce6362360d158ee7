"""A connection's surroundings in memory: a real event loop whose clock can be put forward, and a client's transport."""

import asyncio
from typing import Any


class BrokenPromiseError(AssertionError):
    """Something that has to hold did not."""


class Loop(asyncio.SelectorEventLoop):
    """A real event loop, whose clock can be put forward."""

    skipped = 0.0

    def time(self) -> float:
        return super().time() + self.skipped


class Transport(asyncio.Transport):
    """The server's end of a connection to a client in memory, with the habits of a real one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: Any) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = bytearray()
        self.lost = self.paused = self.blocked = False
        self._loop, self._protocol = loop, protocol
        self._closing = self._ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if (self._closing or self._ended) and not self.lost:
            raise BrokenPromiseError(f"wrote {bytes(data)[:80]!r} behind its end")
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 1 if self.blocked else 0

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._lose)

    def abort(self) -> None:
        self.close()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self._ended = True

    def _lose(self) -> None:
        self.lost = True
        self._protocol.connection_lost(None)
