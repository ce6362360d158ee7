"""A canary is judged by what it did: exact counts and intervals, real services, and a real Prometheus."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import yaml

from loadtest.generator import closed_loop, post
from loadtest.trials.service import PREDICT, USAGE
from plan_recommender.errors import PlanRecommenderError
from tests.conftest import Answer, Command
from tests.deploy.conftest import require
from tests.serving.faults import fault
from tests.serving.second_model import add_second_model
from tools import canary
from tools.canary_readings import Counts, of_files, of_prometheus, of_urls, read_text
from tools.server import free_port, running, serving

EXPLAIN = post("/explain", USAGE)
SLOW = "--slow=50%"  # the machine of the tests may be busy, and only with one of the two


class Instance(NamedTuple):
    """What the series of one say."""

    requests: int = 0
    faults: int = 0
    slow: int = 0
    ultra: int = 0
    rows: int = 0
    refused: int = 0

    def write(self, path: Path, then: "Instance | None" = None) -> str:
        """Write them as /metrics has them, as many as were there `then` and these; requests are of /predict."""
        requests, faults, slow, ultra, rows, refused = (a + b for a, b in zip(self, then or Instance(), strict=True))
        path.write_text(
            f"""# TYPE plan_recommender_requests_total counter
plan_recommender_requests_total{{route="/predict",status="200"}} {requests - faults}
plan_recommender_requests_total{{route="/predict",status="500"}} {faults}
plan_recommender_requests_total{{route="/health",status="200"}} {1e6 + requests}
# TYPE plan_recommender_refused_requests_total counter
plan_recommender_refused_requests_total{{reason="fault",route="/predict"}} {faults}
plan_recommender_refused_requests_total{{reason="invalid",route="/predict"}} {refused}
plan_recommender_refused_requests_total{{reason="overload",route="/health"}} {requests}
# TYPE plan_recommender_request_seconds histogram
plan_recommender_request_seconds_bucket{{le="0.05",route="/predict"}} 0
plan_recommender_request_seconds_bucket{{le="0.1",route="/predict"}} {requests - slow}
plan_recommender_request_seconds_bucket{{le="+Inf",route="/predict"}} {requests}
plan_recommender_request_seconds_count{{route="/predict"}} {requests}
plan_recommender_request_seconds_sum{{route="/predict"}} 1.5
# TYPE plan_recommender_predictions_total counter
plan_recommender_predictions_total{{model="plan_recommender:a",plan="Smart"}} {rows - ultra}
plan_recommender_predictions_total{{model="plan_recommender:a",plan="Ultra"}} {ultra}
""",
            encoding="utf-8",
        )
        return str(path)


BEFORE = Instance(5_000, 400, 300, 2_000, 5_000, 2_500)
GOOD = Instance(1_000, 0, 0, 300, 1_000)

Judge = Callable[..., Answer]


@pytest.fixture
def judge(command: Command, tmp_path: Path) -> Judge:
    """Compare two instances by files that hold what was there before, and that and what they did."""

    def ask(stable: Instance, other: Instance, *options: str) -> Answer:
        sources = [BEFORE.write(tmp_path / "before")]
        paths = [each.write(tmp_path / name, BEFORE) for each, name in ((stable, "stable"), (other, "canary"))]
        pairs = [[*sources, path] for path in paths]
        return command(canary.main, "--stable", *pairs[0], "--canary", *pairs[1], *options)

    return ask


def test_counts_are_what_was_done_between_two_readings_on_the_routes_of_clients(tmp_path: Path) -> None:
    done = Instance(1_000, 7, 11, 301, 997, 3)
    before, after = BEFORE.write(tmp_path / "before"), done.write(tmp_path / "after", BEFORE)
    assert of_files(Path(before), Path(after)) == Counts(1_000, 7, 3, 1_000, 11, 997, 301)


@pytest.mark.parametrize(
    ("other", "code", "verdict"),
    [
        (GOOD, 0, "promote"),
        (GOOD._replace(requests=700), 2, "hold (failed"),  # 0 of 700 may be 0.55 %
        (GOOD._replace(faults=50), 1, "roll back (failed"),
        (GOOD._replace(faults=5), 2, "hold (failed"),
        (GOOD._replace(refused=500), 1, "roll back (refused"),  # such as half of the clients, without their key
        (GOOD._replace(refused=5), 2, "hold (refused"),
        (GOOD._replace(slow=60), 1, "roll back (slow"),
        (GOOD._replace(ultra=420), 1, "roll back (Ultra"),
        (GOOD._replace(ultra=180), 1, "roll back (Ultra"),
        (GOOD._replace(ultra=340), 2, "hold (Ultra"),
        (GOOD._replace(faults=50, slow=60), 1, "roll back (failed, slow"),
        (Instance(), 2, "hold (failed, refused, slow, Ultra: one of the two has seen nothing"),
    ],
)
def test_the_verdict_follows_from_the_intervals(judge: Judge, other: Instance, code: int, verdict: str) -> None:
    answer = judge(GOOD, other)
    assert (answer.code, answer.err) == (code, "")
    assert answer.out.splitlines()[-1].startswith(f"verdict: {verdict}")


def test_the_interval_is_newcombes_to_the_digit(judge: Judge) -> None:
    """By hand, with z = 1.959964: Wilson of 50 of 1,000 is 0.03813 to 0.06531, of 0 of 1,000 it is 0 to 0.003827."""
    assert judge(GOOD, GOOD._replace(faults=50)).out.splitlines()[0] == (
        "failed: stable 0 of 1,000 (0.00%), canary 50 of 1,000 (5.00%); difference +5.00 points, "
        "95 % interval +3.75 to +6.53, tolerated +0.5: roll back"
    )
    assert judge(GOOD, GOOD).out.splitlines()[0] == (
        "failed: stable 0 of 1,000 (0.00%), canary 0 of 1,000 (0.00%); difference +0.00 points, "
        "95 % interval -0.38 to +0.38, tolerated +0.5: promote"
    )


def test_what_is_tolerated_can_be_chosen(judge: Judge) -> None:
    moved = GOOD._replace(faults=50, ultra=420)
    assert judge(GOOD, moved).code == 1
    assert judge(GOOD, moved, "--failed", "10%", "--ultra", "0.2").code == 0


def test_counters_that_went_down_are_not_judged(command: Command, tmp_path: Path) -> None:
    before, after = BEFORE.write(tmp_path / "before"), GOOD.write(tmp_path / "after")
    answer = command(canary.main, "--stable", before, before, "--canary", before, after)
    assert answer.code == 2
    assert answer.err.startswith(f"error: {after}: expected counters that only grow, found plan_recommender_")
    assert "--prometheus" in answer.err
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--stable", "one", "--canary", "two"), "expected a URL each, or two files each"),
        (("--stable", "http://a", "http://b", "--canary", "x", "y"), "expected a URL each, or two files each"),
        (("--stable", "gone", "gone", "--canary", "gone", "gone"), "gone: expected to read or write, found: No such"),
        (("--stable", "http://127.0.0.1:9", "--canary", "http://127.0.0.1:9"), "expected an answer, found ConnectErr"),
    ],
)
def test_sources_that_cannot_be_read_are_one_sentence(
    command: Command, arguments: tuple[str, ...], sentence: str
) -> None:
    answer = command(canary.main, *arguments, "--seconds", "1")
    assert answer.code == 2
    assert sentence in answer.err
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("text", ["<html>", "up 1\n", "", 'plan_recommender_requests_total{route="/predict"} many'])
def test_a_text_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(PlanRecommenderError, match="expected"):
        read_text(text, "file")


@pytest.mark.slow
def test_real_services_are_judged_by_what_they_did(trained_tag: str, command: Command) -> None:
    with serving() as stable, serving() as other, serving(fault("cannot_explain")) as faulty:
        servers = (stable, other, faulty)

        def load(request: bytes, seconds: float) -> list[int]:
            return [closed_loop(each.url, [request], 2, seconds).counts()[200] for each in servers]

        def compare(url: str, during: Callable[[], object]) -> Answer:
            def later() -> None:
                time.sleep(1)  # both are read for the first time by then
                during()

            with ThreadPoolExecutor(1) as thread:
                thread.submit(later)
                return command(canary.main, "--stable", stable.url, "--canary", url, "--seconds", "10", SLOW)

        good = compare(other.url, lambda: load(PREDICT, 1.5))
        assert (good.code, good.out.splitlines()[-1]) == (0, "verdict: promote"), good.out
        bad = compare(faulty.url, lambda: load(EXPLAIN, 1.0))
        assert (bad.code, bad.out.splitlines()[-1].partition(":")[2][:18]) == (1, " roll back (failed"), bad.out
        few = compare(other.url, lambda: [httpx.post(f"{each.url}/predict", json=USAGE) for each in servers])
        assert few.code == 2, few.out
        assert "stable 0 of 1 (0.00%), canary 0 of 1 (0.00%)" in few.out
        counts = of_urls([each.url for each in servers], 0, lambda _: load(PREDICT, 0.5))
        assert all(each.requests == each.timed == each.rows > 100 for each in counts)
        assert all(each.ultra in (0, each.rows) and each.failed == 0 for each in counts)


@pytest.mark.slow
def test_a_prometheus_that_scrapes_both_gives_exact_counts(
    copy_store: Callable[[Path], Path], tmp_path: Path, command: Command
) -> None:
    program, port = require("prometheus", "prometheus"), free_port()
    add_second_model(copy_store(tmp_path / "home"))
    env = {"BENTOML_HOME": str(tmp_path / "home")}
    with serving(env=env) as stable, serving(env=env) as other:
        jobs = [
            {"job_name": name, "static_configs": [{"targets": [server.url.removeprefix("http://")]}]}
            for name, server in (("stable", stable), ("canary", other))
        ]
        configuration = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}
        (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        started = [
            program, f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]  # fmt: skip
        with running(started, port, "/-/ready", tmp_path) as prometheus:

            def seen(job: str) -> int:
                query = {"query": f'sum(plan_recommender_requests_total{{job="{job}",route="/predict"}})'}
                found = httpx.get(f"{prometheus.url}/api/v1/query", params=query).json()["data"]["result"]
                return int(found[0]["value"][1]) if found else -1

            _wait(lambda: seen("stable") == seen("canary") == 0)
            for server, requests in ((stable, 30), (other, 20)):
                for _ in range(requests):
                    assert httpx.post(f"{server.url}/predict", json=USAGE).status_code == 200
            _wait(lambda: (seen("stable"), seen("canary")) == (30, 20))
            for job, requests in (("stable", 30), ("canary", 20)):
                found = of_prometheus(prometheus.url, f'job="{job}"', 60)
                assert (found.requests, found.failed, found.timed, found.rows) == (requests, 0, requests, requests)
            labels = ("--stable", 'job="stable"', "--canary", 'job="canary"', "--seconds", "60")
            assert command(canary.main, "--prometheus", prometheus.url, *labels).code == 2
            nobody = command(canary.main, "--prometheus", prometheus.url, *labels[:3], 'job="nobody"')
            assert nobody.code == 2
            assert "found none in the last 300 s" in nobody.err


def _wait(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert happened()
