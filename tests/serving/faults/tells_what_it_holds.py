"""The log says when a connection holds more than ever: of bodies of requests that wait, or of answers not yet read."""

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from plan_recommender.serving.error_responses import Header
from plan_recommender.serving.patches.connection import Connection
from service import PlanRecommender

__all__ = ["PlanRecommender"]

on_body, write_answer = Connection.on_body, Connection.write_answer
most = {"bodies": 0, "answers": 0}


def tell(what: str, size: int) -> None:
    if size > most[what]:
        most[what] = size
        print(f"holds {size} bytes of {what}", flush=True)


def telling_on_body(self: Connection, body: bytes) -> None:
    on_body(self, body)
    tell("bodies", sum(len(cycle.body) for cycle, _ in self.pipeline))


def telling_write_answer(
    self: Connection, cycle: RequestResponseCycle, status: int, headers: list[Header], body: bytes
) -> None:
    write_answer(self, cycle, status, headers, body)
    tell("answers", self.transport.get_write_buffer_size())


Connection.on_body = telling_on_body
Connection.write_answer = telling_write_answer
