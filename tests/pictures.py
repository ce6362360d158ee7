"""Pictures that are not drawn, for runs of training whose pictures nobody looks at."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from matplotlib.figure import Figure


@contextmanager
def blank_pictures() -> Iterator[None]:
    """Leave pictures blank that are saved in this process: drawing them takes half of the time of a quick run."""
    blank = io.BytesIO()
    Figure(figsize=(1, 1)).savefig(blank, dpi=1)

    def save(_: Figure, path: Path, **__: object) -> None:
        path.write_bytes(blank.getvalue())

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Figure, "savefig", save)
        yield
