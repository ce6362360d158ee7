"""Workers that are killed are not replaced, and now and then a connection breaks or a prediction fails.

The supervisor believes that it is in a container, where BentoML does not replace workers.
"""

import itertools
from typing import Any, cast

import bentoml.serving

from plan_recommender.serving import error_responses
from plan_recommender.serving.connection import Connection
from plan_recommender.serving.exchange import Exchange
from plan_recommender.serving.routes import ROUTES
from service import PlanRecommender

__all__ = ["PlanRecommender"]

number = itertools.count(1)
begin = Connection._begin


def stumble(self: Connection, exchange: Exchange) -> None:
    count = next(number)
    if count % 100 == 0:
        self.transport.abort()
    elif count % 100 == 1:
        exchange.verdict = error_responses.no_such_path(ROUTES)
    begin(self, exchange)


cast(Any, bentoml.serving).running_inside_container = lambda: True
Connection._begin = stumble
