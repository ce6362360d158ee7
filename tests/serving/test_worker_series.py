"""What the series say of the workers: model, number, memory, queues, and who died of what."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from threading import Thread

import httpx
import pytest

from loadtest.generator import closed_loop
from loadtest.trials.service import PREDICT, several, workers
from plan_recommender.serving.worker_series import DIGEST_CHARACTERS, FROM_SOURCE
from tests.serving.corpus import GOOD, LIGHT
from tools.server import Server, serving

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
DEATHS = "plan_recommender_worker_deaths_total"
RESTARTS = "plan_recommender_worker_restarts_total"
MEMORY = "plan_recommender_worker_resident_memory_bytes"


@pytest.fixture(scope="module")
def two(trained_tag: str) -> Iterator[Server]:
    with serving(env=several(2)) as running:
        assert _until(lambda: _series(running).get("plan_recommender_workers") == 2)
        yield running


def test_the_model_the_bento_and_the_tariffs_are_told_once(two: Server, trained_tag: str) -> None:
    digest = httpx.get(f"{two.url}/model").json()["tariffs"]["sha256"][:DIGEST_CHARACTERS]
    info = {name: value for name, value in _series(two).items() if name.startswith("plan_recommender_model_info")}
    labels = f'bento="{FROM_SOURCE}",model="{trained_tag}",tariffs="{digest}"'
    assert info == {f"plan_recommender_model_info{{{labels}}}": 1}


def test_memory_is_that_of_both_workers(two: Server) -> None:
    really = sum(worker.memory_info().rss for worker in workers(two))
    assert _series(two)[MEMORY] == pytest.approx(really, rel=0.1)
    assert really > 100 * MIB  # the control: it is not that of one page


def test_what_waits_is_there_while_it_waits_and_gone_when_nothing_does(two: Server) -> None:
    name = 'plan_recommender_waiting_requests{queue="batch"}'
    assert _series(two)[name] == 0
    rows = {"rows": [GOOD, LIGHT] * 5000}
    seen: list[float] = []
    with httpx.Client(base_url=two.url, timeout=30) as http:
        body = http.build_request("POST", "/predict_batch", json=rows).read()
        head = b"POST /predict_batch HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        request = head + b"content-length: %d\r\n\r\n" % len(body) + body
        load = Thread(target=closed_loop, args=(two.url, [request], 8, 4.0))
        load.start()
        while load.is_alive():
            seen.append(_series(two)[name])
            time.sleep(0.3)
        load.join()
    assert max(seen) >= 2
    assert _until(lambda: _series(two)[name] == 0)


def test_bentomls_own_request_counters_are_absent_and_ours_count(two: Server) -> None:
    """They count what gets as far as BentoML, so they would show no prediction, ever."""
    with httpx.Client(base_url=two.url) as http:
        http.get("/")
        http.get("/docs.json")
        http.get("/livez")
        http.post("/predict", json=GOOD).raise_for_status()
        text = http.get("/metrics").text
    names = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    assert {name for name in names if not name.startswith("plan_recommender_")} == set()
    assert "plan_recommender_requests_total" in names


@pytest.mark.parametrize(
    ("number", "cause"), [(signal.SIGKILL, "killed"), (signal.SIGSEGV, "crashed")], ids=("killed", "crashed")
)
def test_a_death_is_counted_by_its_cause_and_leaves_nothing_behind(two: Server, number: int, cause: str) -> None:
    before = _series(two)
    os.kill(workers(two)[0].pid, number)
    counted = f'{DEATHS}{{cause="{cause}"}}'
    assert _until(lambda: _series(two)[counted] == before[counted] + 1)
    assert _until(lambda: _series(two)["plan_recommender_workers"] == 2)
    after = _series(two)
    assert after[f'{RESTARTS}{{reason="death"}}'] == before[f'{RESTARTS}{{reason="death"}}'] + 1
    others = {name: value - before[name] for name, value in after.items() if name.startswith(DEATHS)}
    assert {name for name, grown in others.items() if grown} == {counted}
    assert after[MEMORY] < 1.4 * before[MEMORY], "the memory of the dead worker is still counted"


def test_deaths_and_restarts_begin_at_0_and_a_renewal_is_no_death(trained_tag: str) -> None:
    with serving() as running:
        begun = _series(running)
        assert {name: value for name, value in begun.items() if name.startswith((DEATHS, RESTARTS))} == {
            **{f'{DEATHS}{{cause="{cause}"}}': 0 for cause in ("oom", "killed", "crashed", "exited")},
            **{f'{RESTARTS}{{reason="{reason}"}}': 0 for reason in ("death", "renewal")},
        }
        running.process.send_signal(signal.SIGHUP)
        assert _until(lambda: _series(running)[f'{RESTARTS}{{reason="renewal"}}'] == 1)
        assert _until(lambda: _series(running)["plan_recommender_workers"] == 1)
        ended = _series(running)
        assert [value for name, value in ended.items() if name.startswith(DEATHS)] == [0, 0, 0, 0]
        assert closed_loop(running.url, [PREDICT], 1, 0.2).count(200)


def _series(server: Server) -> dict[str, float]:
    lines = httpx.get(f"{server.url}/metrics", timeout=30).text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def _until(condition: Callable[[], bool]) -> bool:
    """Wait for at most 20 s until it holds; tells whether it came to. A worker that dies takes its requests along."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    return False
