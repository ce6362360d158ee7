"""Lines of a prediction log, as the service writes them, for the tests of what reads them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from plan_recommender.model.features import FEATURE_NAMES

MONDAY = datetime(2026, 11, 2, 8, tzinfo=UTC)
"""Of ISO week 2026-W45."""

_ids = count()


def line(
    usage: Sequence[float] = (85, 516.7, 56, 22696.96),
    probability: float = 0.25,
    reference: str | None = None,
    days: float = 0,
    model: str = "plan_recommender:a",
    id: str | None = None,
    prediction: int | None = None,
) -> str:
    """One line, made so many days after `MONDAY`."""
    time = (MONDAY + timedelta(days=days)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    names = {"time": time, "id": id or f"t-{next(_ids):x}", "reference": reference, "model": model}
    values = dict(zip(FEATURE_NAMES, map(float, usage), strict=True))
    decided = int(probability >= 0.5) if prediction is None else prediction
    answer = {"probability_is_ultra": probability, "prediction": decided}
    return json.dumps(names | values | answer, separators=(",", ":"))


def write_log(folder: Path, *lines: str, name: str = "20261102T080000.000000Z-1-0a", end: str = "\n") -> Path:
    """Write one file of a log; returns the folder."""
    folder.mkdir(exist_ok=True)
    (folder / f"predictions-{name}.jsonl").write_text("\n".join(lines) + end, encoding="utf-8")
    return folder
