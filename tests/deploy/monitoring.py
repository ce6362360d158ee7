"""The shipped rules and dashboard, read once, and a panel's query as Grafana sends it."""

import json
import re
from typing import Any

import yaml

from tools.server import ROOT

DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
PROVISIONING = DEPLOY / "grafana/provisioning"
PAGE = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")

RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
DASHBOARD: dict[str, Any] = json.loads((PROVISIONING / "dashboards/plan_recommender.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

UNIT_TESTS: dict[str, Any] = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text(encoding="utf-8"))

QUICK_PROMTOOL = {"GOGC": "400"}
"""Environment variable with which promtool collects its garbage less often, and takes a quarter less time."""

VARIABLES = ("namespace", "job", "instance")
"""Variables of the dashboard, and labels that Prometheus gives to a target; a target may have no namespace."""


def minutes_of(case: dict[str, Any]) -> int:
    """How many minutes promtool evaluates all rules for, in a case of rules_test.yml."""
    times = [re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?", each["eval_time"]) for each in case["promql_expr_test"]]
    return max(60 * int(time[1] or 0) + int(time[2] or 0) for time in times if time)


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def as_grafana_asks(expr: str, **chosen: str) -> str:
    """Put values of the dashboard's variables into a query; those that are not given are All, as Grafana puts it."""
    listed = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    for name in VARIABLES:
        expr = expr.replace(f"${name}", re.escape(chosen[name]) if name in chosen else listed[name]["allValue"])
    return expr.replace("$__rate_interval", "1m").replace("\\", "\\\\")
