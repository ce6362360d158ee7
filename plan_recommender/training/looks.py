"""The history of looks: which runs have looked at a test part of a table.

Whoever looks at a test part, changes something and looks again chooses what happens to suit these rows. Nothing can
forbid that, but every look is counted, and shown beside the figures.
"""

import hashlib
import json
from collections.abc import Hashable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from plan_recommender.config.settings import Settings
from plan_recommender.data.csv_table import LabelledTable

LOOKS_FILE = "looks.jsonl"
"""Beside the folder of the artifacts; one JSON object a line."""


class Look(BaseModel):
    """A look at a test part: the table by its SHA-256, and what decides which of its rows are in the part."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: str
    by: Literal["train.py", "evaluate.py"]
    model: str | None
    """None: the model was refused, after rows of the test part took part in a check of the gate."""
    table: str
    seed: int
    test_share: float
    groups: str | None
    run: str | None = Field(default=None, validation_alias=AliasChoices("run", "refused"))
    """A digest of champion and settings, from `digest_of_run`; None: of evaluate.py, or of an older version."""


def look(
    by: Literal["train.py", "evaluate.py"],
    model: str | None,
    table: LabelledTable,
    seed: int,
    test_share: float,
    run: str | None = None,
) -> Look:
    """Describe a look that happens now; `table` is the whole table, and `run` is from `digest_of_run`."""
    return Look(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        by=by,
        model=model,
        table=table.sha256,
        seed=seed,
        test_share=test_share,
        groups=table.groups,
        run=run,
    )


def digest_of_run(champion: str, settings: Settings) -> str:
    """Tell a model from others by its champion and the settings; where files are makes no difference."""
    places: dict[str, bool | set[str]] = {"artifacts": True, "mlflow": True, "data": {"path"}}
    document = settings.model_dump(mode="json", exclude=places)
    return hashlib.sha256(json.dumps([champion, document], sort_keys=True).encode()).hexdigest()[:16]


def file_beside(artifacts: Path) -> Path:
    """Give the path of the history beside a folder of artifacts; a symbolic link to that folder is followed."""
    return artifacts.resolve().parent / LOOKS_FILE


def note(artifacts: Path, new: Look) -> int:
    """Add a look to the history beside the folder of artifacts; returns how many models looked at this table before.

    With another seed, rows of the same table that trained one model test another, so that all of its test parts count.
    Looks of the same model count once, and those of the model of `new` not at all. A line that cannot be read, as of
    another version, is kept and not counted. The folder of the history is made if there is none.

    Raises:
        OSError: the history cannot be read or written.
    """
    path = file_beside(artifacts)
    earlier: list[Look] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            found = Look.model_validate(json.loads(line))
        except (ValueError, ValidationError):
            continue
        if found.table == new.table:
            earlier.append(found)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(new.model_dump_json() + "\n")
    *others, this = _models([*earlier, new])
    return len({*others} - {this})


def _models(seen: Sequence[Look]) -> list[Hashable]:
    """Tell, as far as looks at one table tell it, which model each of them is of: equal values, the same model.

    The same run again makes the same model under another tag, and evaluate.py knows a model by its tag only.
    """
    runs: list[Hashable] = [
        None if look.run is None else (look.seed, look.test_share, look.groups, look.run) for look in seen
    ]
    of_tag: dict[str | None, Hashable] = {
        look.model: run for look, run in zip(seen, runs, strict=True) if look.model and run
    }
    return [
        run or of_tag.get(look.model) or look.model or place
        for place, (look, run) in enumerate(zip(seen, runs, strict=True), 1)
    ]


def sentence(earlier: int, path: Path) -> str:
    """Say how many other models were measured on a test part of the same table before, as far as a history tells.

    The history is named with its folder only, because a report goes to people who are not told where it was made.
    """
    history = f"{path.parent.name}/{path.name}"
    if not earlier:
        return f"no other model was measured on a test part of this table before, as far as {history} tells"
    models = "1 other model was" if earlier == 1 else f"{earlier} other models were"
    return (
        f"{models} measured on a test part of this table before ({history}): if what was seen led to a change, "
        "these figures flatter; trust the cross-validation, or bring new rows"
    )
