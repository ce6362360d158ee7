"""The image: what is in it, what it may do, and that it answers byte for byte as the service from source does."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from plan_recommender.model import store
from plan_recommender.model.digests import sha256
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.serving.image import BASE
from tests.conftest import OtherImage
from tests.serving.corpus import Case, comparable
from tests.serving.protocol_corpus import CORPUS
from tools.container import HARDENED, Container, ContainerError, docker, running, size_mb, workers
from tools.containerize import MAX_MB_OVER_BASE, contents, resident_mib
from tools.server import ROOT

pytestmark = pytest.mark.slow

INSTALLED = (ROOT / "tests/programs/installed.py").read_text()
USER = 1034
INITIALIZED = "Service plan_recommender initialized"


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[Container]:
    """The image as docs/image.md says it is run."""
    with running(image) as container:
        yield container


@pytest.fixture(scope="module")
def http(container: Container) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=container.url, timeout=30) as http:
        yield http


def shell(image: str, command: str) -> str:
    """Run a command in a container of its own."""
    return docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", command)


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.name)
def test_every_answer_is_byte_for_byte_that_of_the_service_from_source(
    http: httpx.Client, client: TestClient, case: Case, record_property: Callable[..., None]
) -> None:
    contained = http.request(case.method, case.path, content=case.body, headers=case.headers)
    in_process = client.request(case.method, case.path, content=case.body, headers=case.headers)
    assert contained.status_code == case.status
    assert comparable(case, contained.content) == comparable(case, in_process.content)
    if case is CORPUS[-1]:
        record_property("answers that are byte for byte those of the service from source", len(CORPUS))


def test_it_is_small_and_every_large_piece_has_a_purpose(image: str, record_property: Callable[..., None]) -> None:
    pieces = contents(image)
    record_property(f"MB over {BASE}", f"{size_mb(image) - size_mb(BASE):.0f}")
    assert size_mb(image) - size_mb(BASE) <= MAX_MB_OVER_BASE
    assert sum(megabytes for megabytes, *_ in pieces) == pytest.approx(size_mb(image) - size_mb(BASE), abs=1)
    assert not [piece for _, piece, purpose in pieces if purpose == "?"]


def test_it_holds_what_serving_needs_and_no_more(image: str) -> None:
    assert not shell(image, "command -v gcc cc c++ make git uv uvx || true")
    assert shell(image, "command -v sh").strip().endswith("/sh")  # the control: it would have found them
    found = shell(image, "find /app /home -name '*.csv' -o -name tests -o -name test -o -name 'test_*' -path '/home/*'")
    assert not found
    assert "/home/bentoml/bento/src/service.py" in shell(image, "find /home -name '*.py'")  # the control
    listed = docker("run", "--rm", "--network", "none", "--entrypoint", "python", image, "-c", INSTALLED)
    installed = json.loads(listed)
    locked = [line.split("==")[0] for line in (ROOT / "requirements" / "serving.txt").read_text().splitlines()]
    assert {name.lower().replace("_", "-") for name in installed} <= {name for name in locked if name}
    assert not {"scikit-learn", "scipy", "pandas", "onnxruntime", "matplotlib"} & set(installed)


def test_it_knows_nothing_of_where_it_was_built(image: str) -> None:
    secrets = [f"{ROOT}/", str(store.find().path.parents[2])]
    search = "grep --recursive --files-with-matches --fixed-strings {} /app /home /etc/passwd || true"
    assert not shell(image, search.format(" ".join(f"-e '{secret}'" for secret in secrets)))
    assert shell(image, search.format("-e plan_recommender.serving.recommender")), (
        "the control: it searches what it should"
    )
    history = docker("history", "--no-trunc", image) + docker("image", "inspect", image)
    assert not [secret for secret in secrets if secret in history]


def test_it_is_nobody_and_may_nothing(container: Container, image: str) -> None:
    status = dict(
        line.split(":\t", 1) for line in container.execute("cat", "/proc/1/status").splitlines() if ":\t" in line
    )
    assert {int(part) for part in status["Uid"].split()} == {int(part) for part in status["Gid"].split()} == {USER}
    assert {int(status[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"
    (mounted,) = (line for line in container.execute("cat", "/proc/mounts").splitlines() if line.split()[1] == "/")
    assert mounted.split()[3].startswith("ro,")
    assert docker("image", "inspect", "--format", "{{.Config.User}}", image).strip() == "bentoml"


def test_it_needs_little_of_tmp(container: Container, http: httpx.Client) -> None:
    assert http.get("/metrics").text.count("plan_recommender_requests_total{") > 1  # several processes share them
    assert int(container.execute("sh", "-c", "df -k /tmp | tail -1").split()[2]) < 10_000, "kB"


def test_where_it_may_write_it_leaves_nothing_of_libraries_that_post_statistics(image: str) -> None:
    """BentoML keeps an id of its client where it posts statistics."""
    with running(image, options=()) as container:
        changed = {line.split()[1] for line in docker("diff", container.id).splitlines()}
    expected = ("/tmp/", "/home/bentoml/bento/src/")  # noqa: S108  # paths in the container
    assert all(any(path.startswith(folder) for path in changed) for folder in expected), "the control: it may write"
    strange = [path for path in changed if not any(folder.startswith(path) for folder in expected)]
    assert not [path for path in strange if not path.startswith(expected)]


def test_the_user_may_not_change_the_packages(image: str) -> None:
    assert not shell(image, f"find /app -user {USER} -o -perm -o+w ! -type l")
    assert shell(image, "find /app -user root | head -1"), "the control"


def test_it_listens_on_one_port(container: Container) -> None:
    listening = {
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in container.execute("cat", f"/proc/net/{table}").splitlines()
        if line.split()[3] == "0A"
    }
    open_to_others = {address for address in listening if not address.startswith("0100007F")}
    assert open_to_others == {f"00000000:{3000:04X}"}


def test_it_is_ready_soon_and_takes_little_memory(
    container: Container, http: httpx.Client, record_property: Callable[..., None]
) -> None:
    record_property("seconds from docker run to ready", f"{container.ready_seconds:.1f}")
    record_property("MiB resident", f"{resident_mib(container.id):.0f}")
    for _ in range(100):
        assert http.get("/health").status_code == 200
    assert container.ready_seconds < 15  # 3 s on a machine that does nothing else: `make containerize` measures it
    assert resident_mib(container.id) <= 250


def test_its_configuration_is_the_environment(image: str) -> None:
    key = "a-key-of-the-test-0123456789"
    env = {
        "BENTOML_PORT": "8080",
        "PLAN_RECOMMENDER_WORKERS": "2",
        "PLAN_RECOMMENDER_LOG_FORMAT": "json",
        "PLAN_RECOMMENDER_LOG_LEVEL": "info",
        "PLAN_RECOMMENDER_API_KEY": key,
        "PLAN_RECOMMENDER_TARIFFS": "/tariffs.yaml",
    }
    dollars = ROOT / "examples" / "tariffs_usd.yaml"
    options = (*HARDENED, "--volume", f"{dollars}:/tariffs.yaml:ro")
    with running(image, env, options) as container, httpx.Client(base_url=container.url) as http:
        usage = {"calls": 1, "minutes": 1, "messages": 1, "mb_used": 1}
        assert http.post("/predict", json=usage).status_code == 401
        assert http.post("/predict", json=usage, headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert len(workers(container)) == 2
        tariffs = http.get("/model", headers={"Authorization": f"Bearer {key}"}).json()["tariffs"]
        assert tariffs["currency"] == "USD"
        deadline = time.monotonic() + 20  # the second may be up later than the first, which answered
        while (messages := _messages(container)).count(INITIALIZED) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert messages.count(INITIALIZED) == 2
        assert key not in container.log()


def _messages(container: Container) -> list[str]:
    """The messages of a log, each of whose lines is a record."""
    return [json.loads(line)["message"] for line in container.log().splitlines()]


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({"PLAN_RECOMMENDER_WORKERS": "0"}, "PLAN_RECOMMENDER_WORKERS: Input should be greater than or equal to 1"),
        ({"PLAN_RECOMMENDER_API_KEY": "short"}, "PLAN_RECOMMENDER_API_KEY: expected at least 16 printable"),
    ],
)
def test_a_bad_environment_stops_the_start(image: str, env: dict[str, str], sentence: str) -> None:
    with pytest.raises(ContainerError, match=sentence), running(image, env):
        pass


def _flip_a_bit(model: Path) -> None:
    content = bytearray((model / DOCUMENT_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (model / DOCUMENT_FILE).write_bytes(content)


def _move_the_threshold(model: Path) -> None:
    """Alter the document, and its digest in the record too."""
    document, record = model / DOCUMENT_FILE, model / "model.yaml"
    before = sha256(document)
    moved = document.read_text().replace('"threshold":{"value":0.5', '"threshold":{"value":0.01')
    assert moved != document.read_text()
    document.write_text(moved)
    record.write_text(record.read_text().replace(before, sha256(document)))


def _write_no_yaml(model: Path) -> None:
    (model / "model.yaml").write_text("name: [")


def _take_it_away(model: Path) -> None:
    for file in model.iterdir():
        file.unlink()


@pytest.fixture
def mounted(tmp_path: Path) -> tuple[Path, tuple[str, ...]]:
    """A copy of the model, and options with which it is the one of the image."""
    model = store.find()
    copy = shutil.copytree(model.path, tmp_path / "model")
    copy.chmod(0o755)
    inside = f"/home/bentoml/bento/models/plan_recommender/{model.tag.partition(':')[2]}"
    return copy, (*HARDENED, "--volume", f"{copy}:{inside}:ro")


def test_a_copy_of_the_model_that_is_as_it_was_built_in_is_served(
    image: str, mounted: tuple[Path, tuple[str, ...]]
) -> None:
    """The control of the next test."""
    with running(image, options=mounted[1]) as container:
        assert httpx.get(f"{container.url}/health").json()["model"] == store.find().tag


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_flip_a_bit, "expected the registered model document"),
        (_move_the_threshold, "expected the record that the Bento was built with"),
        (_write_no_yaml, "expected"),
        (_take_it_away, "expected"),
    ],
)
def test_a_model_that_is_not_as_it_was_built_in_stops_the_start(
    image: str, mounted: tuple[Path, tuple[str, ...]], damage: Callable[[Path], None], sentence: str
) -> None:
    copy, options = mounted
    damage(copy)
    with pytest.raises(ContainerError, match=sentence) as raised, running(image, options=options):
        pass
    assert "Traceback" not in str(raised.value)


def test_an_upgrade_can_be_taken_back(
    image: str, newer_image: OtherImage, http: httpx.Client, trained_tag: str
) -> None:
    """As docs/deployment.md says: every image stays under its version, with the model that it was built with."""
    models = [http.get("/health").json()["model"]]
    for version in (newer_image.name, image):
        with running(version) as container:
            models.append(httpx.get(f"{container.url}/health").json()["model"])
    assert models[0] == models[2] == trained_tag
    assert models[1] == newer_image.model != trained_tag
