"""Every limit and every clock of the service; docs/operations.md tells clients and operators of them.

Limits of one route, such as the size of its body, stand in its line of the table in routes.py.
"""

from typing import Final

MIB: Final = 1024 * 1024

MAX_HEAD_BYTES: Final = 32 * 1024
"""Of the head of a request, and of what comes between the parts of a body in chunks."""

HEAD_SECONDS = 10.0
"""How long a client may take for the head of a request, or to read on in an answer."""

BODY_SECONDS = 20.0
"""How long a client may take to send a body."""

MAX_REQUESTS: Final = 1000
"""Requests that one connection carries; a new one goes to a worker that is not busy, so that load evens out."""

MAX_PIPELINED: Final = 100
"""Requests of one connection that wait for the answer to another; the connection is closed after them."""

MAX_WAITING: Final = 128
"""Requests that wait for a worker before it refuses others; a prediction takes some 50 microseconds."""

REFUSAL_PAUSE_SECONDS: Final = 0.035
"""How long a refusal under overload is held back: a client that asks again at once would keep the worker refusing."""

DRAIN_SECONDS: Final = 0.5
"""How long after SIGTERM everything that comes is answered."""

STOP_SECONDS: Final = 5.0
"""How long after SIGTERM requests that are under way may take."""
