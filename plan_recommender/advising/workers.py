"""Work in several processes, with the results in the order of what was worked on, and few of them waiting.

Processes and not threads, because most of the work is text, which Python makes in one thread at a time.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from plan_recommender.errors import PlanRecommenderError

_WAITING: Final = 1
"""Items that wait to be worked on or to be taken, beside one for each process; memory grows with them."""

_PR_SET_PDEATHSIG: Final = 1

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

Map = Callable[[Iterator[_Item]], Iterator[_Result]]


@contextmanager
def working(work: Callable[[_Item], _Result], jobs: int) -> Iterator[Map[_Item, _Result]]:
    """Offer a function that yields the results of `work` for items, in their order.

    With one job, the work is done in this process, when a result is asked for. With more, it is done in copies of this
    process as it is now. They end when the block ends, and when this process is killed.

    Args:
        work: takes an item and gives a result, which are both sent between processes.
        jobs: number of processes.

    Raises:
        PlanRecommenderError: a process was killed, for instance because memory was short.
    """
    if jobs == 1:
        yield lambda items: map(work, items)
        return
    _Worker.work = work
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("fork"), _begin, (os.getpid(),))
    try:
        yield lambda items: _in_order(pool, items, jobs)
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()  # what it works on is of no use any more
        if not isinstance(error, BrokenProcessPool):
            raise
        raise PlanRecommenderError(
            f"expected {jobs} processes to do their work, found one of them killed, perhaps because memory was short: "
            "try fewer with --jobs"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
        _Worker.work = None


class _Worker:
    """What a process works with, which is a copy of what the process that started it had."""

    work: Callable[[Any], Any] | None = None


def _begin(parent: int) -> None:
    """Prepare a process: Ctrl-C is for its parent, and it ends if its parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was killed before
            os._exit(1)


def _work(item: Any) -> Any:
    assert _Worker.work is not None
    return _Worker.work(item)


def _in_order(pool: ProcessPoolExecutor, items: Iterator[_Item], jobs: int) -> Iterator[Any]:
    waiting: deque[Future[Any]] = deque()
    failure: Exception | None = None
    while failure is None:
        try:
            item = next(items, None)
        except Exception as error:  # it is raised after the results of the items before it
            failure = error
            break
        if item is None:
            break
        waiting.append(pool.submit(_work, item))
        if len(waiting) > jobs + _WAITING:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
    if failure is not None:
        raise failure
