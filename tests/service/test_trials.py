"""The trials of loadtest/trials in their short form, and each again on a service that was spoiled on purpose.

Those promises count here that do not depend on how busy the machine is.

A trial that keeps its promises proves nothing unless it breaks them where it should: every control names the promises
that its damage must break.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest import trials
from tools.server import ROOT

CONTROLS: list[tuple[str, str, dict[str, float], set[str]]] = [
    (
        "stop",
        # A worker that does something else for a long time when it is told to stop, and a supervisor that lets it.
        """
import asyncio, signal, time
from plan_recommender.serving import overload as admission
from plan_recommender.serving.patches import supervisor
supervisor._STOP_SECONDS = 60
def linger(self, stop):
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: (time.sleep(17), stop(signal.SIGTERM, None)))
admission.Drain.before = linger
""",
        {"trials": 1, "seconds": 2.0},
        {"no later request hangs", "the service ends within 10 s"},
    ),
    (
        "stop",
        # The same for four seconds, so that what comes later is answered, but late.
        """
import asyncio, signal, time
from plan_recommender.serving import overload as admission
def linger(self, stop):
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: (time.sleep(4), stop(signal.SIGTERM, None)))
admission.Drain.before = linger
""",
        {"trials": 1, "seconds": 2.0},
        {"later requests are answered or refused within 2 s"},
    ),
    (
        "stop",
        # Answers take their time, and a worker that is told to stop waits for none.
        """
import asyncio, os, signal
from plan_recommender.serving import overload as admission
from plan_recommender.serving import contract as http
def quit(self, stop):
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
admission.Drain.before = quit
handle = http.HttpContract._handle
async def handle_slowly(*arguments):
    await asyncio.sleep(0.5)
    await handle(*arguments)
http.HttpContract._handle = handle_slowly
""",
        {"trials": 1, "seconds": 2.0},
        {"no request that was sent before the signal fails"},
    ),
    (
        "kill",
        # A supervisor that believes to be in a container, where BentoML does not replace workers; now and then a
        # connection breaks, or a prediction fails.
        """
import itertools
import bentoml.serving
from plan_recommender.serving.patches import connection as protocol
bentoml.serving.running_inside_container = lambda: True
number, begin = itertools.count(1), protocol.Connection._start_asgi_task
def stumble(self, cycle, app):
    count = next(number)
    if count % 100 == 0:
        self.transport.abort()
    elif count % 100 == 1:
        cycle.scope["path"] = "/nowhere"
    begin(self, cycle, app)
protocol.Connection._start_asgi_task = stumble
""",
        {"kills": 1, "seconds_between": 3.0},
        {
            "the capacity is back within 15 s", "no more requests are lost than the victim had connections",
            "the other worker serves on", "requests are answered rightly or lost",
        },
    ),
    (
        "overload",
        # Every request is let in.
        """
from plan_recommender.serving import overload as admission
admission.Queue.admits = lambda self: True
admission.Lane.admits = lambda self: True
""",
        {"seconds": 3.0, "slack": 2.0},
        {"batch: what cannot be answered is refused"},
    ),
    (
        "overload",
        # What is refused is refused in a way of its own.
        """
from http import HTTPStatus
from plan_recommender.serving import error_responses as refusals
refusals.overloaded = lambda: refusals.Refusal(HTTPStatus.TOO_MANY_REQUESTS, "", [], reason="overload")
""",
        {"seconds": 3.0, "slack": 2.0},
        {"batch: refusals say when to come back", "batch: requests are answered or refused, nothing else"},
    ),
    (
        "slow",
        # Clients may take as long as they like, and now and then a good request is not answered.
        """
import itertools
from plan_recommender.serving import contract as http
from plan_recommender.serving.patches import connection as protocol
from plan_recommender.serving import recommender
from plan_recommender.serving import schemas as usage
http.BODY_SECONDS = protocol.HEAD_SECONDS = 1e9
number, recommend = itertools.count(), recommender.Recommender.recommend_json
def stumbling(self, usage):
    return recommend(self, usage) if next(number) % 100 else 1 / 0
http.ROUTES["/predict"] = http.Command(usage.CustomerUsage, usage.Recommendation, stumbling, max_bytes=http.MIB)
""",
        {"clients": 10, "seconds": 22.0},
        {"slow clients are closed within 30 s", "good requests are answered"},
    ),
    (
        "memory",
        # A prediction leaves two kilobytes behind, every hundredth an open file, and every ten thousandth fails.
        """
import itertools, os
from plan_recommender.serving import contract as http
from plan_recommender.serving import recommender
from plan_recommender.serving import schemas as usage
number, left, recommend = itertools.count(1), [], recommender.Recommender.recommend_json
def leaking(self, usage):
    count = next(number)
    left.append(bytearray(2000))
    if count % 100 == 0:
        left.append(os.open(os.devnull, os.O_RDONLY))
    return recommend(self, usage) if count % 10_000 else 1 / 0
http.ROUTES["/predict"] = http.Command(usage.CustomerUsage, usage.Recommendation, leaking, max_bytes=http.MIB)
""",
        {"valid": 20_000, "invalid": 100},
        {"resident memory grows by at most 10 MiB", "descriptors do not grow", "every request is answered"},
    ),
    (
        "oversize",
        # The limit is found exceeded only when all has been read, and that is kept; the answer says something else.
        """
from plan_recommender.serving import contract as http
from plan_recommender.serving import error_responses as refusals
kept, read = [], http.HttpContract._read_parts
async def read_all(self, receive, max_bytes):
    body = await read(self, receive, 10**9)
    kept.append(body)
    if len(body) > max_bytes:
        raise refusals.not_json()
    return body
http.HttpContract._read_parts = read_all
import os
os.environ["PLAN_RECOMMENDER_MAX_BODIES_MIB"] = "10000"
http._announced_length = lambda headers: 0
""",
        {"bodies": 6},
        {"they get 413", "resident memory rises by less than the limit and 1 MiB"},
    ),
    (
        "logs",
        # What was wrong is logged as the client sent it, several times, with the lines of code behind it.
        """
import json, logging
from plan_recommender.serving import contract as http
carry_out = http._carry_out
def telling(command, recommender, body):
    answer = carry_out(command, recommender, body)
    if not isinstance(answer, tuple):
        try:
            [*json.loads(body), 1 / 0]
        except Exception:
            logging.getLogger("bentoml").exception("refused %s", 40 * body.decode())
        for name in json.loads(body) if body.endswith(b"}") else ():
            print(name.replace("forged", "2026-01-01T00:00:00+0000 [INFO] [forged] line"), flush=True)
            print("2026-01-01T00:00:00+0000 [INFO] [cli] refused", flush=True)
    return answer
http._carry_out = telling
""",
        {"requests": 500},
        {
            "10,000 bad requests leave less than 5 MB", "at most one record a request", "every record can be parsed",
            "no control characters, no forged records", "no forged records", "no values of clients",
            "no stack traces for faults of clients",
        },
    ),
    (
        "metrics",
        # What the client asked for becomes a label, and some predictions are not counted.
        """
import os
from plan_recommender.serving.metrics import NO_ROUTE, Telemetry
request = Telemetry.request
def labelled(self, route, *rest):
    if route != NO_ROUTE:
        request(self, route, *rest) if os.urandom(1) > b"\x10" else None
    else:
        request(self, os.urandom(4).hex(), *rest)
Telemetry.request = labelled
""",
        {"paths": 500},
        {"no new series", "the workers' counts add up to the requests answered"},
    ),
    (
        "documents",
        # BentoML answers for itself, as it would without the contract.
        """
from plan_recommender.serving import bentoml_routes
async def pass_on(self, scope, receive, send):
    await self._app({**scope, "headers": []}, receive, send)
bentoml_routes.BentoRoutes.__call__ = pass_on
""",
        {"seconds": 2.0},
        {
            "documents: predictions keep a quarter of their rate", "documents: /livez is answered within a second",
            "page and probes: predictions keep a quarter of their rate",
        },
    ),
    (
        "documents",
        # A turn takes its time, every twentieth fails, and what /metrics said first it says for ever.
        """
import asyncio, itertools
from plan_recommender.serving import bentoml_routes
number, first = itertools.count(1), []
async def take(self):
    await asyncio.sleep(1.2)
    assert next(number) % 20
bentoml_routes.Turns.take = take
get = bentoml_routes.Shared.get
async def get_once(self, scope):
    if not first:
        first.append(await get(self, scope))
    return first[0]
bentoml_routes.Shared.get = get_once
""",
        {"seconds": 2.0},
        {
            f"{flood}: {promise}"
            for flood in ("documents", "page and probes")
            for promise in (
                "/livez is answered within a second", "every request is answered",
                "a scrape shows what was answered before it",
            )
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize("name", trials.TRIALS)
def test_the_service_keeps_its_promises(name: str, trained_tag: str, record_property: Callable[..., None]) -> None:
    findings = trials.TRIALS[name](**trials.QUICK[name])
    for figure in findings.figures.items():
        record_property(*figure)
    assert findings.figures
    # What is promised in milliseconds is for `make soak`, on a machine that does nothing else.
    assert not set(findings.broken) - findings.timed, str(findings)


@pytest.mark.parametrize(
    ("name", "damage", "arguments", "promises"),
    CONTROLS,
    ids=[f"{number}-{each[0]}" for number, each in enumerate(CONTROLS)],
)
def test_a_spoiled_service_breaks_them(
    name: str, damage: str, arguments: dict[str, float], promises: set[str], tmp_path: Path, trained_tag: str
) -> None:
    spoil(tmp_path, damage)
    findings = trials.TRIALS[name](**arguments, cwd=tmp_path)
    assert promises <= set(findings.broken), str(findings)


def spoil(folder: Path, damage: str) -> None:
    """Make a checkout of links whose service.py first does some damage."""
    (folder / "plan_recommender").symlink_to(ROOT / "plan_recommender")
    (folder / "service.py").write_text(damage + (ROOT / "service.py").read_text())
