"""Workers that are killed are not replaced, and now and then a connection breaks or a prediction fails.

The supervisor believes that it is in a container, where BentoML does not replace workers.
"""

import itertools
from typing import Any, cast

import bentoml.serving

from plan_recommender.serving.patches import connection
from service import PlanRecommender

__all__ = ["PlanRecommender"]

number = itertools.count(1)
begin = connection.Connection._start_asgi_task


def stumble(self: connection.Connection, cycle: Any, app: Any) -> None:
    count = next(number)
    if count % 100 == 0:
        self.transport.abort()
    elif count % 100 == 1:
        cycle.scope["path"] = "/nowhere"
    begin(self, cycle, app)


cast(Any, bentoml.serving).running_inside_container = lambda: True
connection.Connection._start_asgi_task = stumble
