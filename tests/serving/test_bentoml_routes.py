"""BentoML's own routes: answered as BentoML would, made once, rendered once at a time, and in turns."""

import asyncio
import json
import re
from collections.abc import Iterator
from time import perf_counter

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from plan_recommender.serving.bentoml_routes import BentoRoutes, Shared, Turns, is_bentomls
from plan_recommender.serving.messages import Request, Response
from tests.serving.corpus import GOOD
from tests.serving.faults import fault
from tests.serving.test_contract import assert_error_shape
from tools.server import serving

DOCUMENTS = ("/docs.json", "/schema.json")
ROUTES = (*DOCUMENTS, "/metrics", "/livez", "/readyz", "/healthz", "/", "/static_content/swagger-ui.css")


def _served(name: str) -> Iterator[httpx.Client]:
    with serving(fault(name)) as running, httpx.Client(base_url=running.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def http(trained_tag: str) -> Iterator[httpx.Client]:
    """The service, with a hook for its metrics."""
    yield from _served("with_a_hook")


@pytest.fixture(scope="module")
def bentomls(trained_tag: str) -> Iterator[httpx.Client]:
    """The control: the same, but what BentoML would answer by itself."""
    yield from _served("bentoml_answers_with_a_hook")


def _described(answer: httpx.Response) -> tuple[int, str | None, list[str]]:
    allowed = answer.headers.get("allow", "").split(", ")  # BentoML's order differs from process to process
    return answer.status_code, answer.headers.get("content-type"), sorted(allowed)


@pytest.mark.slow
def test_documents_are_byte_for_byte_what_bentoml_would_answer(http: httpx.Client, bentomls: httpx.Client) -> None:
    for path in DOCUMENTS:
        ours, theirs = http.get(path), bentomls.get(path)
        assert ours.content == theirs.content
        assert ours.content
        assert ours.headers["content-length"] == theirs.headers["content-length"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_every_route_answers_every_method_as_bentoml_would(
    http: httpx.Client, bentomls: httpx.Client, method: str
) -> None:
    for path in ROUTES:
        ours, theirs = http.request(method, path), bentomls.request(method, path)
        assert _described(ours) == _described(theirs), path
        assert (method == "GET") <= (ours.status_code == 200), path
        if method == "HEAD":
            assert (ours.content, ours.headers["content-length"] > "0") == (b"", True), path


@pytest.mark.slow
def test_metrics_have_the_series_and_the_hook_that_bentoml_would_have(
    http: httpx.Client, bentomls: httpx.Client
) -> None:
    for client in (http, bentomls):
        assert client.post("/predict", json=GOOD).status_code == 200
        assert client.get("/").status_code == 200
    ours, theirs = http.get("/metrics").text, bentomls.get("/metrics").text
    described = [set(re.findall(r"^# (?:HELP|TYPE) \S+ .*$", text, re.MULTILINE)) for text in (ours, theirs)]
    assert described[0] == described[1]
    assert len(described[0]) > 10
    assert ours.endswith("# a hook's comment\n")


def test_metrics_that_cannot_be_rendered_are_a_fault_in_the_one_shape(caplog: pytest.LogCaptureFixture) -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise OSError("a file of series cannot be read")

    async def ask() -> list[Response]:
        routes = BentoRoutes(failing, {"/docs.json": dict})
        return [await routes.answer(Request("GET", path, [], 0.0)) for path in ("/metrics", "/metrics", "/docs.json")]

    *failed, document = asyncio.run(ask())
    for answer in failed:
        assert answer.status == 500
        assert_error_shape(json.loads(answer.body))
    assert document.body == b"{}"
    assert "a file of series cannot be read" in caplog.text


class Renderer:
    """Renders its own beginning's number, slowly."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun = 0
        self.under_way = self.most_under_way = 0

    async def __call__(self) -> Response:
        self.begun += 1
        number = self.begun
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(self.seconds)
        self.under_way -= 1
        return Response(200, b"", b"%d" % number)


def test_everybody_gets_a_rendering_that_began_after_they_asked_and_one_is_under_way_at_a_time() -> None:
    renderer = Renderer(0.01)

    async def ask(shared: Shared) -> bool:
        begun = renderer.begun
        return int((await shared.get()).body) > begun

    async def crowd() -> None:
        shared = Shared(renderer, share=0.5, max_pause=1.0)
        start, asked = perf_counter(), []
        while (elapsed := perf_counter() - start) < 0.5 or (renderer.begun < 3 and elapsed < 20):
            asked += [asyncio.create_task(ask(shared)) for _ in range(20)]
            await asyncio.sleep(0.001)
        assert all(await asyncio.gather(*asked))
        # One in 20 ms: they take a half of the time, each 10 ms.
        assert 3 <= renderer.begun <= elapsed / 0.02 + 3

    asyncio.run(crowd())
    assert renderer.most_under_way == 1


def test_who_asks_now_and_then_does_not_wait_and_who_leaves_takes_nothing_from_the_others() -> None:
    renderer = Renderer(0.05)

    async def ask() -> None:
        shared = Shared(renderer, share=0.5, max_pause=60.0)
        leaving, staying = (asyncio.create_task(shared.get()) for _ in range(2))
        await asyncio.sleep(0.01)
        leaving.cancel()
        assert (await staying).body == b"1"
        await asyncio.sleep(0.3)
        start = perf_counter()
        assert (await shared.get()).body == b"2"
        assert perf_counter() - start < 0.25

    asyncio.run(ask())


def test_the_pause_between_two_renderings_has_a_limit() -> None:
    renderer = Renderer(0.05)

    async def ask_twice() -> float:
        shared = Shared(renderer, share=0.0001, max_pause=0.1)
        await shared.get()
        start = perf_counter()
        await shared.get()
        return perf_counter() - start

    assert 0.1 <= asyncio.run(ask_twice()) < 5


def test_in_each_turn_of_the_event_loop_one_goes_on_in_order() -> None:
    async def crowd() -> list[tuple[int, int]]:
        turns, went_on, turn = Turns(), [], 0

        async def go(number: int) -> None:
            await turns.take()
            went_on.append((number, turn))

        tasks = [asyncio.create_task(go(number)) for number in range(10)]
        while not all(task.done() for task in tasks):
            if turn == 2:
                tasks[5].cancel()  # who has left takes no turn
            await asyncio.sleep(0)
            turn += 1
        return went_on

    went_on = asyncio.run(crowd())
    assert [number for number, _ in went_on] == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert len({turn for _, turn in went_on}) == len(went_on)


@pytest.mark.slow
def test_every_path_that_it_says_it_has_is_one_of_bentoml(http: httpx.Client) -> None:
    assert all(is_bentomls(path) for path in ROUTES)
    assert not is_bentomls("/predict")
    assert http.get("/static_content/none.css").status_code == 404


@pytest.mark.parametrize(("method", "has_body"), [("GET", True), ("HEAD", False)])
def test_a_fault_of_bentoml_is_told_without_a_body_to_head(method: str, has_body: bool) -> None:
    async def fail(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    answer = asyncio.run(BentoRoutes(fail, {}).answer(Request(method, "/livez", [], 0.0)))
    assert (answer.status, bool(answer.body)) == (500, has_body)
    assert int(dict(answer.headers)[b"content-length"]) > 0
