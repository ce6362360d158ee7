"""How far a file is scored, on a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Report = Callable[[int, int], None]
"""Is told how much of the file was read (in the unit of its size), and how many of its rows were scored since."""


@contextmanager
def progress(size: int | None) -> Iterator[Report]:
    """Show on a terminal how much is done, how many rows a second, and how much time is left.

    Args:
        size: of the file, in any unit; None if it is not known, and then neither is the time.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _rows: None
        return
    from tqdm import tqdm  # nothing else needs it, and it takes 30 ms

    started = time.monotonic()
    shape = "{percentage:3.0f}% |{bar:30}| {desc}, {remaining} left" if size else "{desc}"
    with tqdm(total=size, bar_format=shape, leave=False, desc="0 rows") as bar:
        total = 0

        def report(done: int, rows: int) -> None:
            nonlocal total
            total += rows
            rate = total / max(time.monotonic() - started, 1e-9)
            bar.set_description_str(f"{total:,} rows, {rate:,.0f} rows/s", refresh=False)
            bar.update(done - bar.n)

        yield report
