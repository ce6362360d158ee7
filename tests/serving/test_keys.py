"""API keys from a file: two at once, so that a rotation refuses nobody, and where a key must never be seen."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from loadtest.trials.service import several, wait_until, workers
from plan_recommender.errors import ConfigError
from plan_recommender.serving.auth import Authentication
from plan_recommender.serving.settings import KEY_FILE_VARIABLE, KEY_VARIABLE, variable
from tests.serving.corpus import GOOD
from tools.server import Server, ServerDidNotStartError, serving

OLD, NEW, OTHER = "the-key-of-yesterday", "the-key-of-tomorrow", "a-key-that-nobody-has"
INSTANCES = 2


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        (OLD, [OLD]),
        (f"{OLD}\n", [OLD]),
        (f"{OLD}\r\n\r\n", [OLD]),
        (f"{OLD}\n{NEW}", [OLD, NEW]),
        (f"\n  {OLD}  \n\n{NEW}\n\n", [OLD, NEW]),
    ],
)
def test_a_file_holds_one_key_or_two(tmp_path: Path, content: str, keys: list[str]) -> None:
    file = written(tmp_path, content)
    read = Authentication.from_environment({KEY_FILE_VARIABLE: str(file)})
    assert [key for key in (OLD, NEW, OTHER) if read.allows("/predict", bearing(key))] == keys
    assert not read.allows("/predict", [])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "expected one or two keys, each on a line of its own, found 0"),
        ("\n \n", "expected one or two keys, each on a line of its own, found 0"),
        (f"{OLD}\n{NEW}\n{OTHER}\n", "expected one or two keys, each on a line of its own, found 3"),
        (f"{OLD}\nshort\n", "line 2: expected at least 16 printable ASCII characters without spaces, found 5"),
        (f"{OLD} {NEW}\n", "line 1: expected at least 16 printable ASCII characters without spaces, found 40"),
        ("caf\xe9" * 5, "line 1: expected at least 16 printable ASCII characters without spaces"),
    ],
)
def test_a_file_that_guards_nothing_is_one_sentence_without_what_it_holds(
    tmp_path: Path, content: str, sentence: str
) -> None:
    file = written(tmp_path, content)
    with pytest.raises(ConfigError) as raised:
        Authentication.from_environment({KEY_FILE_VARIABLE: str(file)})
    assert str(raised.value).startswith(f"environment variable {KEY_FILE_VARIABLE}: file '{file}'")
    assert sentence in str(raised.value)
    assert not [line for line in content.split() if line in str(raised.value)]


@pytest.mark.parametrize("name", ["", ".", "absent"])
def test_a_file_that_cannot_be_read_opens_the_service_to_nobody(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name) if name else ""
    with pytest.raises(ConfigError, match="expected a file with one or two keys, found: "):
        Authentication.from_environment({KEY_FILE_VARIABLE: path})


def test_a_key_in_the_environment_and_one_in_a_file_are_refused(tmp_path: Path) -> None:
    both = {KEY_VARIABLE: NEW, KEY_FILE_VARIABLE: str(written(tmp_path, OLD))}
    with pytest.raises(ConfigError, match=f"{KEY_VARIABLE} and {KEY_FILE_VARIABLE}: expected one of them, found both"):
        Authentication.from_environment(both)


@pytest.mark.slow
def test_a_file_that_guards_nothing_stops_the_start(trained_tag: str, tmp_path: Path) -> None:
    file = written(tmp_path, f"{OLD}\nshort\n")
    with pytest.raises(ServerDidNotStartError, match="line 2: expected at least 16") as raised, started(file):
        pass
    assert "Traceback" not in str(raised.value)
    assert OLD not in str(raised.value)


@pytest.mark.slow
def test_a_key_is_seen_in_no_process_no_log_and_no_answer(trained_tag: str, tmp_path: Path) -> None:
    file = written(tmp_path, f"{OLD}\n{NEW}\n")
    with started(file, {variable("log_level"): "debug"} | several(2)) as server:
        for key in (OLD, NEW):
            assert asked(server, key) == 200
        assert {asked(server, key) for key in (OTHER, OLD[:-1], None)} == {401}
        headers = {"authorization": f"Bearer {OLD}"}
        paths = ("/model", "/docs.json", "/metrics", "/health", "/nowhere")
        texts = {path: httpx.get(server.url + path, headers=headers).text for path in paths}
        for process in everybody(server):
            texts[f"arguments of {process.pid}"] = " ".join(process.cmdline())
            texts[f"environment of {process.pid}"] = str(process.environ())
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "has taken the place" in server.log.read_text(), 30)
        server.process.terminate()
        server.process.wait(20)
        texts["log"] = server.log.read_text()
    assert len(texts) >= len(paths) + 2 * 3 + 1  # a supervisor and two workers
    assert "DEBUG" in texts["log"]
    assert "has taken the place" in texts["log"]
    assert [name for name, text in texts.items() for key in (OLD, NEW) if key in text] == []


@pytest.mark.slow
def test_a_key_in_the_environment_is_seen_in_the_environment_of_its_processes(trained_tag: str) -> None:
    """The control of the test above, and why docs/operations.md prefers the file."""
    with serving(env={KEY_VARIABLE: OLD}) as server:
        processes = everybody(server)
        assert all(OLD in str(process.environ()) for process in processes)
        assert not any(OLD in " ".join(process.cmdline()) for process in processes)


@pytest.mark.slow
def test_a_rotation_by_rolling_update_refuses_nobody(
    trained_tag: str, tmp_path: Path, record_property: Callable[..., None]
) -> None:
    """Instances know both keys while clients change over, and clients ask all instances all the time.

    The control is the way back: from one key to the other at once.
    """
    with fleet(written(tmp_path, OLD, "old")) as (roll, clients):
        roll(written(tmp_path, f"{OLD}\n{NEW}\n", "both"))
        clients.key = NEW
        time.sleep(0.5)
        roll(written(tmp_path, NEW, "new"))
        rotated = list(clients.statuses)
        roll(written(tmp_path, OLD, "old"))
    record_property("requests during the rotation, refused", f"{len(rotated):,}, {rotated.count(401)}")
    assert len(rotated) > 100
    assert set(rotated) == {200}
    assert clients.refused, "the control"


@pytest.mark.slow
def test_workers_that_are_renewed_read_the_file_anew_and_stay_if_it_is_wrong(trained_tag: str, tmp_path: Path) -> None:
    file = written(tmp_path, OLD)
    with started(file) as server:
        assert (asked(server, OLD), asked(server, NEW)) == (200, 401)
        file.write_text(f"{NEW}\n{OLD}\n")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: asked(server, NEW) == 200, 30)
        assert (asked(server, OLD), asked(server, NEW)) == (200, 200)
        wait_until(lambda: "has taken the place" in server.log.read_text(), 30)
        time.sleep(1)  # the supervisor takes no other order until this one is done
        (worker,) = workers(server)
        file.write_text("short\n")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "stays, because no other has started" in server.log.read_text(), 30)
        assert workers(server) == [worker]
        assert (asked(server, OLD), asked(server, NEW)) == (200, 200)
        log = server.log.read_text()
    assert f"{KEY_FILE_VARIABLE}: file '{file}', line 1: expected at least 16 printable" in log
    assert "Traceback" not in log


def written(folder: Path, content: str, name: str = "keys") -> Path:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    return file


def bearing(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {key}".encode())]


@contextmanager
def started(file: Path, env: dict[str, str] | None = None) -> Iterator[Server]:
    with serving(env={KEY_FILE_VARIABLE: str(file)} | (env or {})) as server:
        yield server


def asked(server: Server, key: str | None) -> int:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    return httpx.post(f"{server.url}/predict", json=GOOD, headers=headers, timeout=10).status_code


def everybody(server: Server) -> list[psutil.Process]:
    command = psutil.Process(server.process.pid)
    return [command, *command.children(recursive=True)]


class Clients:
    """Clients of several instances, which ask each in turn with the key that they have."""

    def __init__(self, key: str, urls: list[str]) -> None:
        self.key = key
        self.urls = urls
        self.statuses: list[int] = []
        self.one = threading.Lock()
        """Held while a request is under way, so that no instance is taken away meanwhile."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    @property
    def refused(self) -> int:
        return self.statuses.count(401)

    def __enter__(self) -> "Clients":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(timeout=10) as http:
            while not self._stopped.wait(0.05):  # a wrong key would be refused for seconds
                for number in range(INSTANCES):
                    with self.one:
                        headers = {"authorization": f"Bearer {self.key}", "connection": "close"}
                        answer = http.post(f"{self.urls[number]}/predict", json=GOOD, headers=headers)
                    self.statuses.append(answer.status_code)


@contextmanager
def fleet(file: Path) -> Iterator[tuple[Callable[[Path], None], Clients]]:
    """Run instances with clients; gives what replaces each instance by one with another file, one after the other."""
    with ExitStack() as every:
        instances = [every.enter_context(ExitStack()) for _ in range(INSTANCES)]
        urls = [instance.enter_context(started(file)).url for instance in instances]
        with Clients(OLD, urls) as clients:

            def roll(to: Path) -> None:
                for number, instance in enumerate(instances):
                    with instance.pop_all():  # stops the one of before, when the next is there and clients know it
                        server = instance.enter_context(started(to))
                        with clients.one:
                            urls[number] = server.url

            yield roll, clients
