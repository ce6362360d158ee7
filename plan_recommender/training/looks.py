"""The history of looks: which runs have looked at a test part of a table.

Whoever looks at a test part, changes something and looks again chooses what happens to suit these rows. Nothing can
forbid that, but every look is counted, and shown beside the figures.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from plan_recommender.data.csv_table import LabelledTable

LOOKS_FILE = "looks.jsonl"
"""Beside the folder of the artifacts; one JSON object a line."""


class Look(BaseModel):
    """A look at a test part: the table by its SHA-256, and what decides which of its rows are in the part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: str
    by: Literal["train.py", "evaluate.py"]
    model: str | None
    """None: the model was refused, after it was compared with the registered one on these rows."""
    table: str
    seed: int
    test_share: float
    groups: str | None


def look(
    by: Literal["train.py", "evaluate.py"], model: str | None, table: LabelledTable, seed: int, test_share: float
) -> Look:
    """Describe a look that happens now; `table` is the whole table."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Look(at=at, by=by, model=model, table=table.sha256, seed=seed, test_share=test_share, groups=table.groups)


def note(artifacts: Path, new: Look) -> int:
    """Add a look to the history beside the folder of artifacts; returns how many models looked at this table before.

    With another seed, rows of the same table that trained one model test another, so that all of its test parts count.
    Looks of the same model count once, and those of `new.model` not at all. A line that cannot be read, as of another
    version, is kept and not counted.

    Raises:
        OSError: the history cannot be read or written.
    """
    path = artifacts.resolve().parent / LOOKS_FILE
    earlier: list[str | None] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            found = Look.model_validate(json.loads(line))
        except (ValueError, ValidationError):
            continue
        if found.table == new.table and (found.model is None or found.model not in [new.model, *earlier]):
            earlier.append(found.model)
    with path.open("a", encoding="utf-8") as file:
        file.write(new.model_dump_json() + "\n")
    return len(earlier)


def sentence(earlier: int) -> str:
    """Say how many other models were measured on a test part of the same table before."""
    if not earlier:
        return "no other model was measured on a test part of this table before"
    models = "1 other model was" if earlier == 1 else f"{earlier} other models were"
    return (
        f"{models} measured on a test part of this table before ({LOOKS_FILE}): if what was seen led to a "
        "change, these figures flatter; trust the cross-validation, or bring new rows"
    )
