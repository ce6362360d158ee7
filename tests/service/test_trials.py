"""The trials of loadtest/trials.py in their short form, and each again on a service that was spoiled on purpose.

Those promises count here that do not depend on how busy the machine is.

A trial that keeps its promises proves nothing unless it breaks them where it should: every control names the promise
that its damage must break.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest import trials
from tools.serving import ROOT

CONTROLS: dict[str, tuple[str, dict[str, float], str]] = {
    "stop": (
        # A worker that does something else for four seconds when it is told to stop.
        """
import asyncio, signal, time
from plan_recommender import admission
def linger(self, stop):
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: (time.sleep(4), stop(signal.SIGTERM, None)))
admission.Drain.before = linger
""",
        {"trials": 1, "seconds": 2.0},
        "later requests are answered or refused within 2 s",
    ),
    "kill": (
        # A supervisor that believes to be in a container, where BentoML does not replace workers.
        """
import bentoml.serving
bentoml.serving.running_inside_container = lambda: True
""",
        {"kills": 1, "seconds_between": 3.0},
        "the capacity is back within 15 s",
    ),
    "overload": (
        # Every request is let in.
        """
from plan_recommender import admission
admission.Queue.admits = lambda self: True
admission.Lane.admits = lambda self: True
""",
        {"seconds": 3.0, "slack": 2.0},
        "batch: what cannot be answered is refused",
    ),
    "slow": (
        # Clients may take as long as they like.
        """
from plan_recommender import http, protocol
http.BODY_SECONDS = protocol.HEAD_SECONDS = 1e9
""",
        {"clients": 10, "seconds": 22.0},
        "slow clients are closed within 30 s",
    ),
    "memory": (
        # Every prediction leaves two kilobytes behind.
        """
from plan_recommender.recommender import Recommender
leak, recommend = [], Recommender.recommend
def leaking(self, usage):
    leak.append(bytearray(2000))
    return recommend(self, usage)
Recommender.recommend = leaking
from plan_recommender import http, usage
http.ROUTES["/predict"] = http.Command(usage.CustomerUsage, leaking, max_bytes=http.MIB)
""",
        {"valid": 20_000, "invalid": 100},
        "resident memory grows by at most 10 MiB",
    ),
    "oversize": (
        # The limit is found exceeded only when all has been read, and that is kept.
        """
from plan_recommender import http, refusals
kept, read = [], http.HttpContract._read_parts
async def read_all(self, receive, message, max_bytes):
    body = await read(self, receive, message, 10**9)
    kept.append(body)
    if len(body) > max_bytes:
        raise refusals.too_large(max_bytes)
    return body
http.HttpContract._read_parts = read_all
import os
os.environ["PLAN_RECOMMENDER_MAX_BODIES_MIB"] = "10000"
http._announced_length = lambda headers: 0
""",
        {"bodies": 6},
        "resident memory rises by less than the limit and 1 MiB",
    ),
    "logs": (
        # What was wrong is logged as the client sent it.
        """
import logging
from plan_recommender import http
carry_out = http._carry_out
def telling(command, recommender, body):
    answer = carry_out(command, recommender, body)
    if not isinstance(answer, tuple):
        logging.getLogger("bentoml").warning("refused %s", body.decode(errors="replace"))
    return answer
http._carry_out = telling
""",
        {"requests": 500},
        "no values of clients",
    ),
    "metrics": (
        # What the client asked for becomes a label.
        """
import os
from plan_recommender.telemetry import NO_ROUTE, Telemetry
request = Telemetry.request
def labelled(self, route, *rest):
    return request(self, os.urandom(4).hex() if route == NO_ROUTE else route, *rest)
Telemetry.request = labelled
""",
        {"paths": 500},
        "no new series",
    ),
}


@pytest.mark.parametrize("name", trials.TRIALS)
def test_the_service_keeps_its_promises(name: str, trained_tag: str, record_property: Callable[..., None]) -> None:
    findings = trials.TRIALS[name](**trials.QUICK[name])
    for figure in findings.figures.items():
        record_property(*figure)
    assert findings.figures
    # What is promised in milliseconds is for `make soak`, on a machine that does nothing else.
    assert not set(findings.broken) - findings.timed, str(findings)


@pytest.mark.parametrize("name", trials.TRIALS)
def test_a_spoiled_service_breaks_them(name: str, tmp_path: Path, trained_tag: str) -> None:
    damage, arguments, promise = CONTROLS[name]
    spoil(tmp_path, damage)
    findings = trials.TRIALS[name](**arguments, cwd=tmp_path)
    assert promise in findings.broken, str(findings)


def spoil(folder: Path, damage: str) -> None:
    """Make a checkout of links whose service.py first does some damage."""
    (folder / "plan_recommender").symlink_to(ROOT / "plan_recommender")
    (folder / "service.py").write_text(damage + (ROOT / "service.py").read_text())
