"""Work on several cores at once, with the results in the order of what was worked on, and few of them waiting."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_WAITING = 1
"""Items that wait to be worked on or to be taken, beside one for each thread; memory grows with them."""


def in_order(work: Callable[[_Item], _Result], items: Iterator[_Item], jobs: int) -> Iterator[_Result]:
    """Yield the results of `work`, called in up to `jobs` threads, in the order of the items.

    The items are taken in the caller's thread, a few ahead. Whatever error taking one or working on it raises, is
    raised in the caller's thread, after the results of the items before it.
    """
    if jobs == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[_Result]] = deque()
    failure: Exception | None = None
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while failure is None:
                try:
                    item = next(items, None)
                except Exception as error:
                    failure = error
                    break
                if item is None:
                    break
                waiting.append(pool.submit(work, item))
                if len(waiting) > jobs + _WAITING:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
    if failure is not None:
        raise failure


def ahead(items: Iterator[_Item], count: int) -> Iterator[_Item]:
    """Yield items that are taken in a thread of their own, up to `count` ahead; none of them may be None."""
    waiting: deque[Future[_Item | None]] = deque()
    with ThreadPoolExecutor(1) as pool:
        try:
            waiting.extend(pool.submit(next, items, None) for _ in range(count))
            while (item := waiting.popleft().result()) is not None:
                waiting.append(pool.submit(next, items, None))
                yield item
        finally:
            for future in waiting:
                future.cancel()
