"""Rules and dashboard tell namespaces, jobs and instances apart, and the links of alerts lead somewhere."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import require
from tests.deploy.monitoring import (
    ALERTS,
    DASHBOARD,
    PAGE,
    PANELS,
    PROMETHEUS,
    PROVISIONING,
    QUICK_PROMTOOL,
    RECORDS,
    RULES,
    UNIT_TESTS,
    VARIABLES,
    expressions,
    minutes_of,
)

SERIES = re.compile(r"\b(plan_recommender[\w:]*|up|ALERTS)\b(?:\{([^}]*)\})?")
AGGREGATIONS = re.compile(r"\b(?:sum|max|min|count|group|avg)\b *(?!by \(namespace, job)(?=\(|by )")
"""An aggregation over namespaces or jobs."""


@pytest.mark.slow
def test_without_namespace_and_job_the_unit_tests_of_the_rules_fail(tmp_path: Path) -> None:
    """What was so before: a load test of staging hid the faults of prod. As shipped, they pass (test_monitoring.py)."""
    promtool = require("promtool", "prometheus")
    rules = (PROMETHEUS / "rules.yml").read_text(encoding="utf-8")
    tests = [case for case in UNIT_TESTS["tests"] if case["name"].startswith("Namespaces") and minutes_of(case) <= 60]
    (tmp_path / "rules_test.yml").write_text(yaml.safe_dump(UNIT_TESTS | {"tests": tests}), encoding="utf-8")
    (tmp_path / "rules.yml").write_text(rules.replace("(namespace, job, ", "(").replace("(namespace, job)", "()"))
    command = [promtool, "test", "rules", "rules_test.yml"]
    environment = os.environ | QUICK_PROMTOOL
    without = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert without.returncode == 1
    missed = re.findall(r'exp: \{.*alertname="(\w+)".*namespace="prod"', without.stdout + without.stderr)
    assert {"PlanRecommenderFaults", "PlanRecommenderOverload", "PlanRecommenderSlow"} <= set(missed)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_no_rule_mixes_namespaces_or_jobs(rule: dict[str, Any]) -> None:
    assert AGGREGATIONS.findall(rule["expr"]) == []


@pytest.mark.parametrize("expr", ["sum(rate(a[5m]))", "max by (route) (a)", "min by (job) (a)"])
def test_a_rule_that_mixes_them_would_be_noticed(expr: str) -> None:
    """The control of the test above."""
    assert AGGREGATIONS.findall(expr)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_query_is_of_what_is_chosen(panel: dict[str, Any]) -> None:
    for expr in expressions(panel):
        for name, selector in SERIES.findall(expr):
            of_jobs = name == "ALERTS" or name in RECORDS
            for label in VARIABLES[:2] if of_jobs else VARIABLES:
                assert f'{label}=~"${label}"' in selector, f"{name} in {expr}"


def test_namespace_job_and_instance_can_be_all_or_several() -> None:
    source, *chosen = DASHBOARD["templating"]["list"]
    assert tuple(variable["name"] for variable in chosen) == VARIABLES
    for variable in chosen:
        assert (variable["multi"], variable["includeAll"], variable["current"]["value"]) == (True, True, ["$__all"])
        assert variable["allValue"] == ".*", "matches targets without the label, as those of compose have no namespace"
        assert f", {variable['name']})" in variable["query"]["query"]
        assert variable["refresh"] == 2, "looked up anew when the time range changes"
    assert (source["type"], source["name"]) == ("datasource", "datasource")


def test_every_panel_and_variable_asks_the_data_source_that_is_chosen() -> None:
    provisioned = yaml.safe_load((PROVISIONING / "datasources/prometheus.yaml").read_text(encoding="utf-8"))
    (source,) = provisioned["datasources"]
    offered, *variables = DASHBOARD["templating"]["list"]
    assert offered["query"] == source["type"]
    assert source["isDefault"]
    for asking in [*variables, *PANELS, *(target for panel in PANELS for target in panel["targets"])]:
        assert asking["datasource"] == {"type": source["type"], "uid": "${datasource}"}, asking


def test_the_link_of_every_alert_has_its_anchor_on_the_page() -> None:
    section = PAGE.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    anchors = {title.lower() for title in re.findall(r"^### (\w+)$", section, re.MULTILINE)}  # of one word
    for name, rule in ALERTS.items():
        link = rule["annotations"]["runbook_url"]
        expected = "{{ with $externalLabels.runbook }}{{ . }}{{ else }}docs/monitoring.md{{ end }}#"
        assert link.startswith(expected), name
        assert link.removeprefix(expected) in anchors, name
    assert "nosuchalert" not in anchors


@pytest.mark.slow
def test_the_documented_line_writes_an_address_into_every_link() -> None:
    (command,) = re.findall(r"^sed .+rules\.yml$", PAGE, re.MULTILINE)
    done = subprocess.run(["sh", "-c", command], cwd=PROMETHEUS.parents[1], capture_output=True, text=True, check=True)
    written = [rule for group in yaml.safe_load(done.stdout)["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(written) == len(ALERTS)
    for rule in written:
        link = rule["annotations"]["runbook_url"]
        assert f"{{{{ else }}}}https://YOUR-SITE/monitoring.html{{{{ end }}}}#{rule['alert'].lower()}" in link


def test_compose_passes_the_address_of_the_page_on() -> None:
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    assert configuration["global"]["external_labels"] == {"runbook": "${RUNBOOK}"}
    compose = yaml.safe_load((PROMETHEUS.parent / "compose.yaml").read_text(encoding="utf-8"))
    assert "RUNBOOK=${RUNBOOK:-}" in compose["services"]["prometheus"]["environment"]
