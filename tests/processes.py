"""Who starts processes: tests that are not marked as slow may not, so that `make test-quick` leaves out what does."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_STARTS = {"subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty", "os.system"}


class StartedProcessError(Exception):
    """A test that is not marked as slow was about to start a process."""


class Processes:
    """Is told by Python, through its audit events, of every process that this one starts."""

    def __init__(self) -> None:
        self._quick_test: str | None = None
        sys.addaudithook(self._on_audit_event)

    @contextmanager
    def refused(self, quick_test: str | None) -> Iterator[None]:
        """Refuse every process while a block runs; None: refuse none."""
        before, self._quick_test = self._quick_test, quick_test
        try:
            yield
        finally:
            self._quick_test = before

    def _on_audit_event(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._quick_test is not None and event in _STARTS:
            raise StartedProcessError(
                f"{self._quick_test}: expected no process of a test that `make test-quick` runs, found {event} of "
                f"{arguments[:2]}; mark it with @pytest.mark.slow"
            )
