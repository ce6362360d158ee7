"""`make test` measures coverage where a test finds lines, and only there: tracing the other tests costs time."""

import sys
import threading
from collections.abc import Callable
from types import FrameType

from tests.untraced import without_coverage


def test_a_test_that_is_not_measured_is_not_traced() -> None:
    traced: list[str] = []

    def tracer(frame: FrameType, event: str, argument: object) -> None:
        traced.append(frame.f_code.co_name)

    before = sys.gettrace(), threading.gettrace()
    try:
        sys.settrace(tracer)
        threading.settrace(tracer)
        with without_coverage():
            _one_function()
            _in_a_thread(_another_function)
        _one_function()  # the control: after it, both are traced again
        _in_a_thread(_another_function)
    finally:
        sys.settrace(before[0])
        threading.settrace(before[1])
    assert (traced.count("_one_function"), traced.count("_another_function")) == (1, 1)


def _one_function() -> None:
    pass


def _another_function() -> None:
    pass


def _in_a_thread(function: Callable[[], None]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()
