"""The load test notices what it is for: slow answers, wrong bodies, and a server that is not there."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tools.serving import ROOT, Server


def locust(folder: Path, host: str, budget: str = "{}") -> subprocess.CompletedProcess[str]:
    """Run the project's locust users for two seconds, held to a budget of the test's own."""
    (folder / "loadtest").mkdir()
    shutil.copy2(ROOT / "loadtest" / "locustfile.py", folder / "loadtest")
    (folder / "model_config.yaml").write_text(f"loadtest: {budget}\n")
    command = [
        *(str(Path(sys.executable).with_name("locust")), "--headless", "--only-summary", "--host", host),
        *("--locustfile", "loadtest/locustfile.py", "--users", "4", "--spawn-rate", "4", "--run-time", "2s"),
    ]
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class WrongAnswers(BaseHTTPRequestHandler):
    """Answers 200 to everything, and recommends Smart at a probability of Ultra of 90 %."""

    def do_GET(self) -> None:
        self._answer({"model": "plan_recommender:wrong", "threshold": 0.5})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        decision = {"prediction": 0, "probability_is_ultra": 0.9, "recommended_plan": "Smart"}
        self._answer(decision | {"model": "plan_recommender:wrong", "predictions": [decision] * 100})

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _answer(self, document: dict[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def wrong_answers() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), WrongAnswers)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_healthy_service_keeps_the_budget(server: Server, tmp_path: Path) -> None:
    run = locust(tmp_path, server.url, "{p95_ms: 2000}")
    assert (run.returncode, "budget kept" in run.stderr) == (0, True), run.stderr


def test_answers_that_are_too_slow_break_the_budget(server: Server, tmp_path: Path) -> None:
    run = locust(tmp_path, server.url, "{p95_ms: 0.001}")
    assert run.returncode == 1
    assert "budget broken: expected a 95th percentile of at most 0.001 ms" in run.stderr


def test_wrong_bodies_break_the_budget_though_every_status_is_200(wrong_answers: str, tmp_path: Path) -> None:
    run = locust(tmp_path, wrong_answers)
    assert run.returncode == 1
    assert "budget broken: expected at most 0.00% failures" in run.stderr
    assert "expected Ultra at probability 0.9" in run.stderr


def test_a_server_that_is_not_there_breaks_the_budget(tmp_path: Path) -> None:
    run = locust(tmp_path, "http://127.0.0.1:9")
    assert run.returncode == 1
    assert "budget broken" in run.stderr
