"""Every trial of loadtest/trials.py again, on a service with a fault: the modules of `tests.serving.faults`.

A trial that finds its promises kept proves nothing unless it finds them broken where they are: every control names the
promises that its fault must break.
"""

import sys

import pytest

from loadtest.trials import catalogue
from tests.serving.faults import fault

CONTROLS: list[tuple[str, str, dict[str, float], set[str]]] = [
    (
        "stop", "lingers", {"trials": 1, "seconds": 1.4, "capacity_seconds": 0.3},
        {"no later request hangs", "the service ends within 10 s"},
    ),
    (
        "stop", "lingers_briefly", {"trials": 1, "seconds": 1.4, "capacity_seconds": 0.3},
        {"later requests are answered or refused within 2 s"},
    ),
    (
        "stop", "quits", {"trials": 1, "seconds": 1.4, "capacity_seconds": 0.3},
        {"no request that was sent before the signal fails"},
    ),
    (
        "kill", "stumbles", {"kills": 1, "seconds_between": 3.0, "capacity_seconds": 0.3},
        {
            "the capacity is back within 15 s", "no more requests are lost than the victim had connections",
            "the other worker serves on", "requests are answered rightly or lost",
        },
    ),
    (
        "overload", "admits_everything", {"seconds": 1.0, "after_seconds": 1.0, "slack": 2.0},
        {"batch: what cannot be answered is refused"},
    ),
    (
        "overload", "refuses_differently", {"seconds": 1.0, "after_seconds": 1.0, "slack": 2.0},
        {"batch: refusals say when to come back", "batch: requests are answered or refused, nothing else"},
    ),
    (
        "burst", "accepts_slowly", {"connections": 300, "bursts": 1},
        {
            f"{workers}: {promise}"
            for workers in ("one worker", "two workers")
            for promise in ("every request is answered", "all connections are accepted within 0.2 s")
        },
    ),
    (
        "slow", "waits_forever",
        {"clients": 10, "seconds": 22.0, "load": 0.02, "before_seconds": 1.0, "capacity_seconds": 0.3},
        {"slow clients are closed within 30 s", "good requests are answered"},
    ),
    (
        "memory", "leaks", {"valid": 20_000, "invalid": 100, "warm_seconds": 1.0},
        {"resident memory grows by at most 10 MiB", "descriptors do not grow", "every request is answered"},
    ),
    (
        "oversize", "keeps_bodies", {"bodies": 6},
        {"they get 413", "resident memory rises by less than the limit and 1 MiB"},
    ),
    (
        "logs", "talks", {"requests": 500},
        {
            "10,000 bad requests leave less than 5 MB", "at most one record a request", "every record can be parsed",
            "no control characters, no forged records", "no forged records", "no values of clients",
            "no stack traces for faults of clients",
        },
    ),
    (
        "metrics", "labels_paths", {"paths": 500, "seconds": 0.5},
        {"no new series", "the workers' counts add up to the requests answered"},
    ),
    (
        "documents", "bentoml_answers", {"seconds": 1.0},
        {
            "documents: predictions keep a quarter of their rate", "documents: /livez is answered within a second",
            "page and probes: predictions keep a quarter of their rate",
        },
    ),
    (
        "documents", "takes_its_time", {"seconds": 2.0},
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trial", "faulty", "arguments", "promises"), CONTROLS, ids=[f"{faulty}-{trial}" for trial, faulty, *_ in CONTROLS]
)
def test_a_service_with_a_fault_breaks_them(
    trial: str, faulty: str, arguments: dict[str, float], promises: set[str], trained_tag: str
) -> None:
    findings = catalogue.TRIALS[trial](**arguments, service=fault(faulty))
    assert promises <= set(findings.broken), str(findings)


def test_this_process_has_none_of_the_faults() -> None:
    assert [name for name in sys.modules if name.startswith("tests.serving.faults.")] == []


def test_every_trial_has_a_control() -> None:
    assert {trial for trial, *_ in CONTROLS} == set(catalogue.TRIALS)
