"""Rules and dashboard: every alert can fire and be silent, and a real Prometheus finds every series in the service.

The file is long because its cases read the same rules and dashboard, first by themselves and then in one Prometheus
that has scraped the service.
"""

import json
import math
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from plan_recommender.config import load
from plan_recommender.monitoring.evidence import ALARM_DAYS
from plan_recommender.serving.metrics import LATENCY_BUCKETS
from plan_recommender.serving.settings import variable
from tests.deploy.conftest import require
from tests.deploy.monitoring import (
    ALERTS,
    DASHBOARD,
    PAGE,
    PANELS,
    PROMETHEUS,
    QUICK_PROMTOOL,
    RECORDS,
    RULES,
    UNIT_TESTS,
    VARIABLES,
    as_grafana_asks,
    expressions,
    minutes_of,
)
from tests.serving.corpus import GOOD, LIGHT
from tools.server import free_port, running, serving

NOT_THE_SERVICES = {"up", "ALERTS"}
"""Series of Prometheus itself."""

RUNBOOK = "https://docs.example/monitoring.html"

PAST_HOURS = 4
PAST_ULTRA_SHARE = 0.3
PAST_ULTRA_FROM = 0.7
"""The probability from which Ultra was recommended in the made-up past; Smart had less than a tenth."""

PROMETHEUS_SECONDS = 30
SEVERITIES = {"critical", "warning"}


@dataclass(frozen=True)
class Watched:
    """A real Prometheus that scrapes a real service which has been asked for all that it answers and refuses."""

    url: str
    service: str

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Evaluate an expression now; gives labels and value of each series.

        Raises:
            httpx.HTTPStatusError: Prometheus does not understand it.
        """
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=30).raise_for_status()
        document = answer.json()
        assert "warnings" not in document
        return [(series["metric"], float(series["value"][1])) for series in document["data"]["result"]]


@pytest.fixture(scope="module")
def promtool() -> str:
    return require("promtool", "prometheus")


@pytest.fixture(scope="module")
def watched(promtool: str, trained_tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Prometheus with the shipped rules and job, but for the target and the time between two looks."""
    program = require("prometheus", "prometheus")
    place = tmp_path_factory.mktemp("prometheus")
    _write_past(promtool, place / "data", trained_tag)
    port = free_port()
    shadow = {variable("shadow"): trained_tag}  # the model itself: its panels need data
    with serving(env=shadow) as service:
        _write_configuration(place, service.url.removeprefix("http://"))
        command = [
            program, f"--config.file={place / 'prometheus.yml'}", f"--storage.tsdb.path={place / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=expand-external-labels",
        ]  # fmt: skip
        with running(command, port, "/-/ready", place, {"RUNBOOK": RUNBOOK}) as prometheus:
            found = Watched(prometheus.url, service.url)
            _wait_for(lambda: found.query("up == 1"), "the first scrape")
            _ask_for_everything(service.url)
            _wait_for(
                lambda: found.query('sum(increase(plan_recommender_predictions_total{instance!="past"}[1h])) > 250'),
                "the requests to be seen",
            )
            _wait_for(lambda: found.query("plan_recommender:predictions:increase1h > 250"), "the rules to be evaluated")
            _wait_for(lambda: found.query("plan_recommender_drift == 1"), "the drift to be seen")
            yield found


@pytest.mark.slow
def test_promtool_finds_configuration_and_rules_valid(promtool: str, record_property: Callable[..., None]) -> None:
    for arguments in (("config", "prometheus.yml"), ("rules", "--lint-fatal", "rules.yml")):
        done = _run(promtool, "check", *arguments, cwd=PROMETHEUS)
        done.check_returncode()
        record_property(f"promtool check {arguments[0]}", done.stdout.strip().splitlines()[-1].strip())


@pytest.mark.slow
def test_every_rule_keeps_its_unit_tests(promtool: str, record_property: Callable[..., None]) -> None:
    done = _run(promtool, "test", "rules", "rules_test.yml", cwd=PROMETHEUS)
    assert done.returncode == 0, done.stderr
    record_property("unit tests of the alert rules that promtool passed", len(UNIT_TESTS["tests"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutant", "expr"), [("always", "vector(1)"), ("never", "vector(1) > 2")], ids=("always fires", "never fires")
)
def test_the_unit_tests_notice_an_alert_that(promtool: str, tmp_path: Path, mutant: str, expr: str) -> None:
    document = yaml.safe_load((PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))
    for group in document["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                rule["expr"], rule["for"] = expr, "0s"
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    expected_to_fire = {"always": False, "never": True}[mutant]
    tests = _shortest_tests(expected_to_fire)
    (tmp_path / "rules_test.yml").write_text(yaml.safe_dump(UNIT_TESTS | {"tests": tests}), encoding="utf-8")
    done = _run(promtool, "test", "rules", "rules_test.yml", cwd=tmp_path)
    assert done.returncode == 1
    noticed = {
        name
        for test in tests
        for case in test["promql_expr_test"]
        if bool(case["exp_samples"]) == expected_to_fire and json.dumps(case["expr"]) in done.stdout + done.stderr
        for name in ALERTS
        if re.search(_alerts_of(case["expr"]), name)
    }
    assert noticed == set(ALERTS)


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in SEVERITIES, name
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, name
        assert "docs/monitoring.md" in rule["annotations"]["description"], name
        assert f'}}#{name.lower()}"' in json.dumps(rule["annotations"]["runbook_url"]), name


def test_the_page_of_monitoring_says_what_to_do_about_every_alert() -> None:
    table = PAGE.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| \[`(PlanRecommender\w+)`\]\(#\w+\) \|", table, re.MULTILINE) == list(ALERTS)
    assert re.findall(r"^### (PlanRecommender\w+)\n\n\w", table, re.MULTILINE) == list(ALERTS)


def test_the_thresholds_of_drift_are_those_of_the_verdict() -> None:
    shown = {panel["title"]: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] for panel in PANELS}
    assert shown["Evidence of drift, by part"] == ALARM_DAYS
    assert shown["Distance from the training, by part"] == load.load_settings().drift.smallest_gap
    rule = PAGE.partition("| [`PlanRecommenderDrift`](")[2].partition("\n")[0]
    assert f"{ALARM_DAYS:,.0f} days" in rule


def test_limits_of_latency_are_limits_of_buckets() -> None:
    named_in = [rule["expr"] for rule in RULES] + [expr for panel in PANELS for expr in expressions(panel)]
    named = {
        float(limit) for expr in named_in for limit in re.findall(r'request_seconds_bucket\{[^}]*le="([^"]+)"', expr)
    }
    assert named
    assert named <= set(LATENCY_BUCKETS)


def test_the_dashboard_is_one_by_grafanas_own_types() -> None:
    register_default_plugins()
    understood = json.loads(json.dumps(Dashboard.from_json(DASHBOARD), cls=JSONEncoder))
    assert _lost(DASHBOARD, understood) == []


def test_grafanas_types_drop_what_they_do_not_know() -> None:
    register_default_plugins()
    misspelt = json.loads(json.dumps(DASHBOARD))
    misspelt["panels"][1]["fieldConfig"]["defaults"]["units"] = "s"
    misspelt["panels"][1]["options"]["colourMode"] = "value"
    understood = json.loads(json.dumps(Dashboard.from_json(misspelt), cls=JSONEncoder))
    assert _lost(misspelt, understood) == ["panels[1].fieldConfig.defaults.units", "panels[1].options.colourMode"]


def test_every_panel_has_a_number_a_place_a_description_and_a_unit() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(numbers) == len(set(numbers))
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert expressions(panel), panel["title"]
    taken = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert {x for x, _ in taken} == set(range(24))


@pytest.mark.slow
def test_prometheus_reads_the_rules_and_scrapes_the_service(watched: Watched) -> None:
    assert watched.query('up{job="plan_recommender"}') != []
    groups = httpx.get(f"{watched.url}/api/v1/rules").json()["data"]["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert set(rules) == set(ALERTS) | RECORDS
    assert {name: rule["lastError"] for name, rule in rules.items() if rule.get("lastError")} == {}
    assert {rule["health"] for rule in rules.values()} == {"ok"}


@pytest.mark.slow
@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_shows_data_of_a_loaded_service(watched: Watched, panel: dict[str, Any]) -> None:
    target = watched.service.removeprefix("http://")
    assert _empty(watched, panel) == []
    assert _empty(watched, panel, job="plan_recommender", instance=target) == []


@pytest.mark.slow
def test_a_panel_of_a_series_or_label_that_is_not_there_would_be_noticed(watched: Watched) -> None:
    """The control of the test above."""
    (panel,) = (panel for panel in PANELS if panel["title"] == "Requests by route")
    for there, misspelt in (("requests_total", "answers_total"), ("job=~", "jobs=~"), ('"$instance"', '"$instances"')):
        changed = [{"expr": expr.replace(there, misspelt)} for expr in expressions(panel)]
        chosen = {"job": "plan_recommender", "instance": watched.service.removeprefix("http://")}
        assert _empty(watched, {"targets": changed}, **chosen) != [], misspelt


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIABLES)
def test_a_panel_shows_only_what_is_chosen(watched: Watched, name: str) -> None:
    """Of a namespace, job or instance that is not there, nothing; an alert or a share of a job is of no instance."""
    for panel in PANELS:
        for expr in expressions(panel):
            if name == "instance" and ("ALERTS{" in expr or any(record in expr for record in RECORDS)):
                continue
            answer = watched.query(as_grafana_asks(expr, **{name: "another"}))
            assert answer == [({}, 0.0)] if "or vector(0)" in expr else answer == [], expr


@pytest.mark.slow
def test_the_link_of_an_alert_leads_to_its_section(watched: Watched) -> None:
    found = httpx.get(f"{watched.url}/api/v1/alerts").json()["data"]["alerts"]
    links = {alert["labels"]["alertname"]: alert["annotations"]["runbook_url"] for alert in found}
    assert links["PlanRecommenderDrift"] == f"{RUNBOOK}#planrecommenderdrift"
    assert {link.partition("#")[0] for link in links.values()} == {RUNBOOK}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALERTS)
def test_prometheus_understands_every_alert(watched: Watched, name: str) -> None:
    """What happened in the fixture: one kind of subscriber only, and nothing else to alert about."""
    fires = name in ("PlanRecommenderUltraShareShift", "PlanRecommenderDrift")
    assert bool(watched.query(ALERTS[name]["expr"])) == fires


@pytest.mark.slow
def test_every_series_and_label_that_is_named_is_in_the_service(watched: Watched) -> None:
    named_in = [rule["expr"] for rule in RULES] + [expr for panel in PANELS for expr in expressions(panel)]
    there = _series(httpx.get(f"{watched.service}/metrics").text)
    problems = [problem for expr in named_in for problem in _not_there(expr, there)]
    assert problems == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expr", "problem"),
    [
        ("rate(plan_recommender_answers_total[5m])", "plan_recommender_answers_total"),
        ('plan_recommender_requests_total{path="/predict"}', 'plan_recommender_requests_total{path="/predict"}'),
        ('plan_recommender_requests_total{route="/forecast"}', 'plan_recommender_requests_total{route="/forecast"}'),
        ('plan_recommender_requests_total{status="600"}', 'plan_recommender_requests_total{status="600"}'),
        ("sum by (colour) (plan_recommender_requests_total)", "by (colour)"),
        ("plan_recommender:ultra_share:2h", "plan_recommender:ultra_share:2h"),
    ],
)
def test_a_series_or_label_that_is_not_there_is_noticed(watched: Watched, expr: str, problem: str) -> None:
    there = _series(httpx.get(f"{watched.service}/metrics").text)
    assert _not_there(expr, there) == [problem]


def _empty(watched: Watched, panel: dict[str, Any], **chosen: str) -> list[str]:
    """Name the queries of a panel that Prometheus answers with nothing, or with nothing but NaN."""
    asked = [as_grafana_asks(expr, **chosen) for expr in expressions(panel)]
    return [expr for expr in asked if all(math.isnan(value) for _, value in watched.query(expr))]


def _run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | QUICK_PROMTOOL
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


def _shortest_tests(fires: bool) -> list[dict[str, Any]]:
    """The unit tests that say of every alert that it fires, or that it does not, and take the least time for that."""
    chosen, missing = [], set(ALERTS)
    for test in sorted(UNIT_TESTS["tests"], key=minutes_of):
        asked = [_alerts_of(case["expr"]) for case in test["promql_expr_test"] if bool(case["exp_samples"]) == fires]
        told = {name for name in missing for pattern in asked if re.search(pattern, name)}
        if told:
            chosen.append(test)
            missing -= told
    return chosen


def _alerts_of(expr: str) -> str:
    """Give a pattern of the alerts that a case of rules_test.yml asks for."""
    asked = re.search(r'alertname=~?"([^"]+)"', expr)
    return f"^({asked[1]})$" if asked else "(?!)"


def _lost(given: Any, understood: Any, place: str = "") -> list[str]:
    """Name what was given and is not there, or is not the same, after it was read and written."""
    if isinstance(given, dict) and isinstance(understood, dict):
        inside = [(f"{place}.{key}".lstrip("."), value, understood.get(key, "lost")) for key, value in given.items()]
    elif isinstance(given, list) and isinstance(understood, list) and len(given) == len(understood):
        inside = [(f"{place}[{i}]", a, b) for i, (a, b) in enumerate(zip(given, understood, strict=True))]
    else:
        return [] if given == understood else [place]
    return [problem for name, a, b in inside for problem in _lost(a, b, name)]


def _write_past(promtool: str, data: Path, model: str) -> None:
    """Give Prometheus a past, as it would have after some hours: panels and alerts compare the last hour with it."""
    now = int(time.time())
    times = range(now - PAST_HOURS * 3600, now - 1800, 60)
    lines = ["# TYPE plan_recommender_predictions counter"]
    for plan, share in (("Ultra", PAST_ULTRA_SHARE), ("Smart", 1 - PAST_ULTRA_SHARE)):
        labels = f'instance="past",job="plan_recommender",model="{model}",plan="{plan}"'
        lines += [f"plan_recommender_predictions_total{{{labels}}} {10 * share * i} {t}" for i, t in enumerate(times)]
    lines.append("# TYPE plan_recommender_probability_is_ultra histogram")
    for limit in (*(f"{tenth / 10}" for tenth in range(1, 11)), "+Inf"):
        share = 1 - PAST_ULTRA_SHARE if float(limit) < PAST_ULTRA_FROM else 1.0
        labels = f'instance="past",job="plan_recommender",model="{model}",le="{limit}"'
        name = f"plan_recommender_probability_is_ultra_bucket{{{labels}}}"
        lines += [f"{name} {10 * share * i} {t}" for i, t in enumerate(times)]
    lines.append("# TYPE plan_recommender_advice counter")
    for advice, share in (("switch", 0.2), ("keep", 0.8)):
        labels = f'instance="past",job="plan_recommender",advice="{advice}",plan="Smart"'
        lines += [f"plan_recommender_advice_total{{{labels}}} {10 * share * i} {t}" for i, t in enumerate(times)]
    text = data.with_name("past.txt")
    text.write_text("\n".join([*lines, "# EOF", ""]), encoding="utf-8")
    done = _run(promtool, "tsdb", "create-blocks-from", "openmetrics", str(text), str(data), cwd=data.parent)
    assert done.returncode == 0, done.stderr


def _write_configuration(place: Path, target: str) -> None:
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    configuration["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (place / "prometheus.yml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    rules = yaml.safe_load((PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))
    for group in rules["groups"]:
        group.pop("interval", None)
    (place / "rules.yml").write_text(yaml.safe_dump(rules), encoding="utf-8")


def _ask_for_everything(service: str) -> None:
    with httpx.Client(base_url=service, timeout=30) as http:
        for _ in range(5):
            http.post("/predict", json=GOOD).raise_for_status()
            http.post("/predict_batch", json={"rows": [LIGHT] * 100}).raise_for_status()
            http.post("/explain", json=GOOD).raise_for_status()
            months = {"plan": "Smart", "months": [{"month": "2026-10", **GOOD}]}
            http.post("/advise", json=months).raise_for_status()
            http.get("/health").raise_for_status()
            assert http.post("/predict", json={}).status_code == HTTPStatus.BAD_REQUEST
            time.sleep(1)  # so that a scrape sees the numbers grow


def _wait_for(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PROMETHEUS_SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"waited {PROMETHEUS_SECONDS} s for {what}"
        time.sleep(0.2)


def _series(exposition: str) -> dict[str, list[dict[str, str]]]:
    """Read /metrics: the labels of each series, by name."""
    there: dict[str, list[dict[str, str]]] = {}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", exposition, re.MULTILINE):
        there.setdefault(name, []).append(dict(re.findall(r'(\w+)="([^"]*)"', labels)))
    return there


def _not_there(expr: str, there: dict[str, list[dict[str, str]]]) -> list[str]:
    """Name the series, the selectors and the grouping labels of an expression that nothing in /metrics answers to."""
    problems = []
    labels = set(VARIABLES)
    for name, selector in re.findall(r"\b(plan_recommender[\w:]*|up|ALERTS)\b(?:\{([^}]*)\})?", expr):
        if name in RECORDS | NOT_THE_SERVICES:
            continue
        series = there.get(name, [])
        labels |= {label for one in series for label in one}
        matchers = [found for found in re.findall(r'(\w+)(!=|=~?)"([^"]*)"', selector) if found[0] not in VARIABLES]
        if not any(all(_matches(one, *matcher) for matcher in matchers) for one in series):
            problems.append(f"{name}{{{selector}}}" if selector else name)
    groupings = re.findall(r"\b(?:by|on) \(([^)]*)\)", expr)
    return problems + [f"by ({by})" for by in groupings if not set(filter(None, by.split(", "))) <= labels]


def _matches(series: dict[str, str], label: str, operator: str, value: str) -> bool:
    found = series.get(label)
    if found is None:
        return False
    if label == "status":  # there once it was answered
        return value in {str(status.value) for status in HTTPStatus}
    if operator == "!=":
        return found != value
    return bool(re.fullmatch(value, found)) if operator == "=~" else found == value
