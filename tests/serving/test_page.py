"""The what-if page as files, and the routes that it asks: what is sent, what is kept, and who may have it."""

import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any, cast

import pytest
from starlette.testclient import TestClient

from plan_recommender.billing.habits import HabitProfile
from plan_recommender.billing.tariffs import load_tariffs, shipped_tariffs
from plan_recommender.model import store
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.serving.auth import Authentication
from plan_recommender.serving.page_files import page_files, page_paths
from plan_recommender.serving.settings import KEY_VARIABLE, PUBLIC_VARIABLE, variable
from tests.serving.test_contract import assert_error_shape
from tools import page_words
from tools.server import ROOT

FOLDER = ROOT / "plan_recommender" / "serving" / "page"
LOOK = ROOT / "plan_recommender" / "look.css"
MAX_BYTES = 150_000
KEPT = ("/app", "/app/page.js", "/app/style.css", "/model/document", "/model/habits", "/tariffs")
KEY = "correct-horse-battery"


@pytest.mark.parametrize("name", page_words.modules())
def test_the_page_has_the_words_of_the_service(name: str) -> None:
    stale = f"the page's {name} is stale: `python -m tools.page_words` writes it anew"
    assert (FOLDER / name).read_text(encoding="utf-8") == page_words.modules()[name], stale


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize("path", KEPT)
def test_what_a_client_has_is_not_sent_again(client: TestClient, path: str) -> None:
    first = client.get(path)
    tag = first.headers["etag"]
    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    assert tag == f'"{hashlib.sha256(first.content).hexdigest()}"'
    for named in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        again = client.get(path, headers={"if-none-match": named})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    for other in ('"x"', tag.strip('"'), ""):
        assert client.get(path, headers={"if-none-match": other}).content == first.content
    head = client.head(path)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(first.content)))


@pytest.mark.parametrize("path", ["/app", "/app/page.js", "/tariffs", "/model/document"])
def test_other_methods_are_refused(client: TestClient, path: str) -> None:
    refused = client.post(path)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert_error_shape(refused.json())


@pytest.mark.parametrize("path", ["/app/", "/app/nothing.js", "/app/index.html", "/app/../service.py", "/apps"])
def test_paths_of_the_page_are_exact(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_document_is_the_registered_file(client: TestClient, trained_tag: str) -> None:
    model = store.find(trained_tag)
    answer = client.get("/model/document")
    assert answer.content == (model.path / DOCUMENT_FILE).read_bytes()
    assert answer.headers["etag"] == f'"{model.record.digests[DOCUMENT_FILE]}"'


def test_habits_and_tariffs_are_those_of_the_advice(client: TestClient, trained_tag: str) -> None:
    model = store.find(trained_tag)
    habits = client.get("/model/habits").json()
    assert (habits["model"], habits["advice"]) == (trained_tag, model.record.advice)
    profile = HabitProfile.model_validate_json(json.dumps(habits["habits"]))
    assert profile == HabitProfile.model_validate_json(model.habits())
    tariffs = load_tariffs(shipped_tariffs())
    assert client.get("/tariffs").json() == {"sha256": tariffs.digest} | tariffs.numbers()
    assert client.get("/tariffs").json() == client.get("/model").json()["tariffs"]


def test_files_have_their_types_and_forbid_what_the_page_does_not_need(client: TestClient) -> None:
    types = {"/app": "text/html", "js": "text/javascript", "css": "text/css"}
    for path in page_paths():
        answer = client.get(path)
        assert answer.headers["content-type"] == f"{types[path.rpartition('.')[2]]}; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["img-src"] == "'self' data:"
        assert "unsafe" not in answer.headers["content-security-policy"]


def test_the_files_are_small_and_all_of_them_are_used() -> None:
    files = {file.name: file.read_bytes() for file in (*FOLDER.iterdir(), LOOK)}
    assert sum(map(len, files.values())) <= MAX_BYTES
    assert {path.removeprefix("/app/") for path in page_paths()} == (set(files) - {"index.html"}) | {"/app"}
    elements = Elements(files["index.html"].decode()).found
    named = {attributes.get("src") or attributes.get("href") for _, attributes in elements} - {None, "data:,"}
    assert named == {f"app/{name}" for name in files if name != "index.html"}
    for name, content in files.items():
        for imported in re.findall(rb'^import .*? from "([^"]+)";', content, re.MULTILINE):
            assert imported.decode().removeprefix("./") in files, name


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    for name, file in page_files().items():
        source = file.body.decode()
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", source), name
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", source), name
    for tag, attributes in Elements(page_files()["/app"].body.decode()).found:
        assert not [each for each in attributes if each == "style" or each.startswith("on")], tag
        assert tag != "style"
        assert tag != "script" or attributes["src"]


@pytest.mark.parametrize(("page", "status"), [("on", 200), ("OFF", 404)])
def test_the_page_can_be_turned_off_and_the_routes_stay(
    client: TestClient, trained_tag: str, monkeypatch: pytest.MonkeyPatch, page: str, status: int
) -> None:
    from service import PlanRecommender

    monkeypatch.setenv(variable("page"), page)
    other = TestClient(cast(Any, PlanRecommender).to_asgi())
    for path in ("/app", "/app/page.js"):
        answer = other.get(path)
        assert answer.status_code == status
        if status == 404:
            assert_error_shape(answer.json())
    assert client.get("/app").status_code == 200


def test_the_files_need_no_key_and_what_the_page_shows_does(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = Authentication.from_environment({KEY_VARIABLE: KEY})
    monkeypatch.setattr(cast(Any, client.app)._core, "_authentication", key)
    assert {client.get(path).status_code for path in page_paths()} == {200}
    for path in ("/model/document", "/model/habits", "/tariffs"):
        assert client.get(path, headers={"if-none-match": "*"}).status_code == 401
        assert client.get(path, headers={"authorization": f"Bearer {KEY}"}).status_code == 200
    closed = Authentication.from_environment({KEY_VARIABLE: KEY, PUBLIC_VARIABLE: "health"})
    assert not closed.allows("/app", [])


def test_requests_for_the_page_are_counted_as_one_route(client: TestClient) -> None:
    def count() -> float:
        found = re.search(
            r'^plan_recommender_requests_total\{.*route="/app".*status="200".*\} (\S+)',
            client.get("/metrics").text,
            re.M,
        )
        return float(found[1]) if found else 0

    before = count()
    client.get("/app")
    client.get("/app/page.js")
    assert count() == before + 2
