"""Pictures that are not drawn, for runs of training whose pictures nobody looks at."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from plan_recommender.report import plots


@contextmanager
def blank_pictures() -> Iterator[None]:
    """Leave pictures blank that are saved in this process: drawing them takes half of the time of a quick run."""
    blank = io.BytesIO()
    Figure(figsize=(1, 1)).savefig(blank, dpi=1)

    def save(path: Path, *_: object, **__: object) -> None:
        path.write_bytes(blank.getvalue())

    with pytest.MonkeyPatch.context() as patched:
        for name in [name for name in vars(plots) if name.startswith("plot_")]:
            patched.setattr(plots, name, save)
        yield
