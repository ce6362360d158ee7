"""What the connections of one worker have in common."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Scope

from plan_recommender.serving.access_log import AccessLog
from plan_recommender.serving.error_responses import Refusal
from plan_recommender.serving.metrics import telemetry
from plan_recommender.serving.overload import Queue
from plan_recommender.serving.request_ids import RequestIds
from plan_recommender.serving.routes import Verdict

Decide = Callable[[Scope], Verdict]


@dataclass(frozen=True)
class Worker:
    """What the connections of one worker have in common."""

    decide: Decide
    """Decides by the head of a request what becomes of it."""
    queue: Queue
    """Where requests wait that take the worker's time."""
    access_log: AccessLog
    """Is told of refusals that the application never sees; it is told of all other answers by the application."""
    shared_socket: bool
    """Whether other workers accept connections from the same socket."""

    def note_refusal(self, route: str, refusal: Refusal, arrived: float, ids: RequestIds) -> None:
        """Count and log a refusal that the application never sees, of a request that arrived at this moment."""
        status = int(refusal.status)
        telemetry().request(route, status, refusal.reason, time.perf_counter() - arrived)
        self.access_log.note(route, status, arrived, len(refusal.body), None, ids)
