"""The connection keeps its word whatever comes: the short form of `python -m tests.serving.fuzz_connection`."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import TrainedModel, run
from tests.serving.fuzz_connection import Trial, seeds
from tests.serving.in_memory import BrokenPromiseError
from tests.serving.wire import head, post

pytestmark = pytest.mark.slow

INPUTS = 1_000


def in_a_thread(work: Callable[[], None]) -> None:
    """Work beside the main thread, where the service would take over the signals of this process."""
    raised: list[Exception] = []

    def guarded() -> None:
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def test_random_inputs_break_nothing(trained: TrainedModel) -> None:
    def work() -> None:
        trial = Trial()
        for data in seeds(INPUTS):
            trial.one(data)
        trial.close()

    in_a_thread(work)


def answers_twice(connection: Any) -> Any:
    class Spoiled(connection):  # type: ignore[misc]  # the installed class
        def connection_made(self, transport: Any) -> None:
            write = transport.write
            transport.write = lambda data: write(data + data)
            super().connection_made(transport)

    return Spoiled


def raises(connection: Any) -> Any:
    class Spoiled(connection):  # type: ignore[misc]  # the installed class
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            raise ValueError("spoiled")

    return Spoiled


def stays_open(connection: Any) -> Any:
    class Spoiled(connection):  # type: ignore[misc]  # the installed class
        def connection_made(self, transport: Any) -> None:
            transport.close = lambda: None
            super().connection_made(transport)

    return Spoiled


def holds(connection: Any) -> Any:
    class Spoiled(connection):  # type: ignore[misc]  # the installed class
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._url += b"a" * 1_000_000

    return Spoiled


def forgets(connection: Any) -> Any:
    class Spoiled(connection):  # type: ignore[misc]  # the installed class
        def _carry_out(self, exchange: Any) -> None:
            pass

    return Spoiled


@pytest.mark.parametrize(
    ("spoil", "data", "message"),
    [
        (answers_twice, head("GET", "/health"), "2 answers to 1 requests"),
        (raises, head("GET", "/health"), "spoiled"),
        (stays_open, head("GET", "/health", "connection: close"), "did not close"),
        (holds, b"GET ", "bytes without a request"),
        (forgets, post(), "is not answered"),
    ],
)
def test_what_breaks_its_word_is_found(trained: TrainedModel, spoil: Any, data: bytes, message: str) -> None:
    """The control of the test above."""
    with pytest.raises(BrokenPromiseError, match=message):
        in_a_thread(lambda: Trial(spoil).one(data))


def test_the_command_says_what_it_tried(trained: TrainedModel, tmp_path: Any) -> None:
    """By coverage where atheris is installed, otherwise at random."""
    tried = run("-m", "tests.serving.fuzz_connection", "--seconds", "4", "--keep", tmp_path)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert "nothing found" in tried.stdout
