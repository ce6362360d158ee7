"""The limits and times that hold for every connection and every worker.

docs/serving.md lists them for clients and operators, with those that stand elsewhere: of one route in the table in
routes.py, of BentoML's routes in bentoml_routes.py, what an operator sets in settings.py.
"""

from typing import Final

MIB: Final = 1024 * 1024

MAX_HEAD_BYTES: Final = 32 * 1024
"""Largest head of a request; also the most that may come with a body in chunks and is not part of it, beside 8 bytes
for each of its bytes."""

HEAD_SECONDS = 10.0
"""How long a client may take to send the head of a request, counted from the start of the connection or from the answer
before, and how long it may pause in reading an answer. A connection is looked at every second, so each may take a
second more."""

BODY_SECONDS = 20.0
"""How long a client may take to send the body of a request."""

MAX_REQUESTS: Final = 1000
"""Requests on one connection, after which the service closes it. The client's next connection goes to a worker that is
not busy, so that load evens out."""

MAX_PIPELINED: Final = 100
"""Requests that may wait on one connection while an earlier one is answered. If more come, those that wait are answered
and the connection is closed."""

MAX_WAITING: Final = 128
"""Requests that may wait in a worker before it refuses others, except in a short burst (see overload.py)."""

REFUSAL_PAUSE_SECONDS: Final = 0.035
"""How long a refusal under overload is delayed, because a client that asks again at once would keep the worker busy."""

LAST_SECONDS: Final = 0.5
"""How long after the end of the drain requests on open connections are still answered; then they are refused."""

STOP_SECONDS: Final = 5.0
"""How long after the end of the drain a worker waits for requests that are under way."""
