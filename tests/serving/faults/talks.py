"""What is wrong with a request is logged as the client sent it, several times, with the lines of code behind it."""

import json
import logging
from typing import Any

from plan_recommender.serving.core import Core
from plan_recommender.serving.error_responses import Refusal
from plan_recommender.serving.messages import Request
from plan_recommender.serving.routes import Command
from service import PlanRecommender

__all__ = ["PlanRecommender"]

parsed = Core._parsed


def telling(self: Core, command: Command, request: Request) -> Any:
    found, body = parsed(self, command, request), request.body
    if isinstance(found, Refusal):
        try:
            [*json.loads(body), 1 / 0]
        except Exception:
            logging.getLogger("bentoml").exception("refused %s", 40 * body.decode())
        for name in json.loads(body) if body.endswith(b"}") else ():
            print(name.replace("forged", "2026-01-01T00:00:00+0000 [INFO] [forged] line"), flush=True)
            print("2026-01-01T00:00:00+0000 [INFO] [cli] refused", flush=True)
    return found


Core._parsed = telling
