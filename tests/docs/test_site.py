"""`make docs` builds the documentation site, and refuses a link that leads nowhere."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.docs.console import PAGES
from tools.server import ROOT
from tools.site_pages import PAGES_AT_THE_ROOT, with_site_links

CONFIGURATION = (ROOT / "mkdocs.yml").read_text()


def build(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "--old-file", ".venv/docs", "docs"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=120, check=False)


def test_the_site_is_built_and_loads_nothing_from_another_host(checkout: Path) -> None:
    built = build(checkout)
    assert built.returncode == 0, built.stderr
    assert built.stdout == "site/index.html\n"
    html = {page.name: page.read_text() for page in (checkout / "site").glob("*.html")}
    names = {PAGES_AT_THE_ROOT.get(page.name, page.name).replace(".md", ".html") for page in PAGES}
    assert html.keys() == names | {"404.html"}
    for name, text in html.items():
        loaded = re.findall(
            r"<(?:script|img|iframe)[^>]* src=[\"']?([^\"' >]+)|<link[^>]* href=[\"']?([^\"' >]+)", text
        )
        foreign = [address for pair in loaded for address in pair if re.match(r"(?:https?:)?//", address)]
        assert not foreign, name
    assert "<h1" in html["index.html"]
    assert (checkout / "site" / "search" / "search_index.json").is_file()


def test_the_site_has_the_anchor_of_every_alert(checkout: Path) -> None:
    """Alertmanager shows a link to it, which mkdocs does not check."""
    assert build(checkout).returncode == 0
    page = (checkout / "site" / "monitoring.html").read_text()
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    assert alerts
    for alert in alerts:
        anchor = alert["annotations"]["runbook_url"].rpartition("#")[2]
        assert re.search(rf'<h3 id="?{anchor}"?', page), anchor


@pytest.mark.parametrize(
    ("page", "link", "complaint"),
    [
        ("docs/files.md", "[lost](nowhere.md)", "nowhere.md"),
        ("docs/files.md", "[lost](serving.md#nowhere)", "serving.md#nowhere"),
        ("docs/files.md", "[lost](../examples/nowhere.py)", "nowhere.py"),
        ("README.md", "[lost](docs/nowhere.md)", "nowhere.md"),
        ("CONTRIBUTING.md", "[lost](docs/serving.md#nowhere)", "serving.md#nowhere"),
    ],
)
def test_a_link_that_leads_nowhere_stops_the_build(checkout: Path, page: str, link: str, complaint: str) -> None:
    """The control of the test above."""
    with (checkout / page).open("a") as file:
        file.write(f"\n{link}\n")
    built = build(checkout)
    assert built.returncode != 0
    assert complaint in built.stderr + built.stdout


def test_a_page_that_the_navigation_leaves_out_stops_the_build(checkout: Path) -> None:
    (checkout / "docs" / "forgotten.md").write_text("# Forgotten\n")
    built = build(checkout)
    assert built.returncode != 0
    assert "forgotten.md" in built.stderr + built.stdout


def test_make_clean_removes_the_site_and_git_does_not_see_it(copy_checkout: Callable[[str], Path]) -> None:
    checkout = copy_checkout("clean")
    (checkout / ".venv").unlink()  # a link to the environment that runs this
    (checkout / "site").mkdir()
    subprocess.run(["make", "clean"], cwd=checkout, check=True, timeout=60)
    assert not (checkout / "site").exists()
    ignored = subprocess.run(["git", "check-ignore", "site/index.html"], cwd=ROOT, capture_output=True, text=True)
    assert ignored.stdout == "site/index.html\n"


@pytest.mark.parametrize(
    ("source", "link", "on_the_site"),
    [
        ("README.md", "[a](docs/serving.md#errors)", "[a](serving.md#errors)"),
        ("README.md", "![a picture](docs/model_curves.png)", "![a picture](model_curves.png)"),
        ("README.md", "[Español](README.es.md)", "[Español](es.md)"),
        ("README.es.md", "[a](docs/serving.md#errors)", "[a](serving.md#errors)"),
        ("README.es.md", "[English](README.md)", "[English](index.md)"),
        ("README.md", "[a](CONTRIBUTING.md)", "[a](contributing.md)"),
        ("docs/serving.md", "[a](monitoring.md#alerts)", "[a](monitoring.md#alerts)"),
        ("docs/serving.md", "[a](../README.md)", "[a](index.md)"),
        ("docs/serving.md", "[a](#errors)", "[a](#errors)"),
        ("docs/serving.md", "[a](https://example.org/docs/x.md)", "[a](https://example.org/docs/x.md)"),
        ("docs/serving.md", "[the clients](../examples/)", "the clients"),
        ("docs/serving.md", "[lost](../examples/nowhere.py)", "[lost](examples/nowhere.py)"),
        ("docs/serving.md", "```\n[a](../examples/)\n```", "```\n[a](../examples/)\n```"),
    ],
)
def test_links_are_rewritten_for_the_site(source: str, link: str, on_the_site: str) -> None:
    assert with_site_links(link, source, None) == on_the_site


def test_links_to_files_lead_to_the_repository_where_its_address_is_known() -> None:
    rewritten = with_site_links("[a](../service.py)", "docs/serving.md", "https://example.org/blob/main/")
    assert rewritten == "[a](https://example.org/blob/main/service.py)"


def test_the_workflow_builds_what_make_docs_builds_and_publishes_main_only() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "docs.yml").read_text())
    jobs, events = workflow["jobs"], workflow[True]  # YAML takes `on` for a boolean
    assert events == {"push": {"branches": ["main"]}, "pull_request": None}
    assert {"run": "make docs"} in jobs["build"]["steps"]
    (upload,) = (step for step in jobs["build"]["steps"] if "upload" in step.get("uses", ""))
    assert f"\nsite_dir: {upload['with']['path']}\n" in CONFIGURATION
    assert upload["if"] == jobs["publish"]["if"] == "github.event_name == 'push'"
    assert workflow["permissions"] == {"contents": "read"}
    assert jobs["publish"]["needs"] == "build"


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_workflows_pin_their_actions_by_commit(workflow: Path) -> None:
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert used
    assert not [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)]


def test_the_interpreter_that_runs_this_has_the_locked_site_builder() -> None:
    lock = (ROOT / "requirements" / "docs.txt").read_text()
    assert "://" not in re.sub(r"^ *#.*$", "", lock, flags=re.MULTILINE)
    for package in ("mkdocs", "mkdocs-material"):
        asked = [sys.executable, "-c", f"import importlib.metadata as m; print(m.version('{package}'))"]
        installed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        assert f"\n{package}=={installed} \\\n" in lock
