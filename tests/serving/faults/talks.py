"""What is wrong with a request is logged as the client sent it, several times, with the lines of code behind it."""

import json
import logging

from plan_recommender.serving import contract
from plan_recommender.serving.error_responses import Header, Refusal
from plan_recommender.serving.prediction_log import PredictionLog
from plan_recommender.serving.routes import Command
from service import PlanRecommender

__all__ = ["PlanRecommender"]

carry_out = contract._carry_out


def telling(
    command: Command, method: contract.Method, body: bytes, log: PredictionLog | None, headers: list[Header]
) -> tuple[int, bytes, str, int | None] | Refusal:
    answer = carry_out(command, method, body, log, headers)
    if isinstance(answer, Refusal):
        try:
            [*json.loads(body), 1 / 0]
        except Exception:
            logging.getLogger("bentoml").exception("refused %s", 40 * body.decode())
        for name in json.loads(body) if body.endswith(b"}") else ():
            print(name.replace("forged", "2026-01-01T00:00:00+0000 [INFO] [forged] line"), flush=True)
            print("2026-01-01T00:00:00+0000 [INFO] [cli] refused", flush=True)
    return answer


contract._carry_out = telling
