"""The log says when a connection holds more than ever: of bodies of requests that wait, or of answers not yet read."""

from plan_recommender.serving.connection import Connection
from plan_recommender.serving.exchange import Exchange
from plan_recommender.serving.messages import Response
from service import PlanRecommender

__all__ = ["PlanRecommender"]

on_body, answer = Connection.on_body, Connection._answer
most = {"bodies": 0, "answers": 0}


def tell(what: str, size: int) -> None:
    if size > most[what]:
        most[what] = size
        print(f"holds {size} bytes of {what}", flush=True)


def telling_on_body(self: Connection, body: bytes) -> None:
    on_body(self, body)
    tell("bodies", sum(sum(map(len, waiting.parts or ())) for waiting in list(self._requests)[1:]))


def telling_answer(self: Connection, exchange: Exchange, response: Response) -> None:
    answer(self, exchange, response)
    tell("answers", self.transport.get_write_buffer_size())


Connection.on_body = telling_on_body
Connection._answer = telling_answer
