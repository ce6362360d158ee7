"""What the access log costs is measured by a command, against a worker in which it is really turned off."""

import os
import re
import signal

import httpx
import pytest

from loadtest.trials.service import workers
from plan_recommender.serving.settings import variable
from tests.conftest import GOOD, run
from tools.server import serving

pytestmark = pytest.mark.slow


def test_the_command_tells_what_is_kept_at_each_share(trained_tag: str) -> None:
    measured = run("-m", "benchmark.access_log", "--seconds", "0.2", "--rounds", "2")
    assert measured.returncode in (0, 1), measured.stderr
    line = r"share {}: \d+\.\d% of the throughput is kept \(standard error \d+\.\d%\)\n"
    assert re.fullmatch(line.format("0.01") + line.format("1"), measured.stdout)


def test_the_log_that_is_compared_with_is_off(trained_tag: str) -> None:
    with serving("benchmark.peers.switched_log:PlanRecommender", env={variable("access_log_share"): "1"}) as server:
        (worker,) = workers(server)
        for number, ids in ((signal.SIGUSR1, 1), (signal.SIGUSR2, 0), (signal.SIGUSR1, 1)):
            os.kill(worker.pid, number)
            answer = httpx.post(f"{server.url}/predict", json=GOOD)
            assert len(answer.headers.get_list("x-request-id")) == ids
        server.process.terminate()
        server.process.wait(20)
        assert server.log.read_text().count("/predict answered 200") == 2
