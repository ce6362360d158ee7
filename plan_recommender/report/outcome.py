"""What a training run leaves: a registered model and its artifacts, both or neither, or the report of a refused run."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from plan_recommender.config.settings import Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.data.facts import describe
from plan_recommender.data.outputs import HeldSignals, staged_directory, writing
from plan_recommender.errors import ConfigError
from plan_recommender.model import store
from plan_recommender.report.artifacts import RUN_FILE, write_artifacts, write_pages
from plan_recommender.report.pages import REPORT
from plan_recommender.training import looks, publish
from plan_recommender.training.findings import Findings
from plan_recommender.training.gate import GateReport
from plan_recommender.training.habits import LearnedHabits
from plan_recommender.training.history import Retraining
from plan_recommender.training.publish import publish_both, write_model
from plan_recommender.training.run import Tested, Trained

REFUSED = "refused"
"""Folder beside the artifacts, for the report of a refused run."""

_REFUSED_TAG = "refused"  # before the champion's name, where another run has the tag of its model


class Registered(NamedTuple):
    """A registered model."""

    tag: str
    artifacts: list[str]
    """Names of the files in the folder of the artifacts that the run wrote."""
    looks_before: str
    """A sentence about other models that were measured on the same test part."""
    signals: HeldSignals
    """Ctrl-C and SIGTERM, which wait since the publication began."""


def register(
    trained: Trained,
    verdict: GateReport,
    tested: Tested,
    table: LabelledTable,
    habits: LearnedHabits,
    settings: Settings,
    ending: ExitStack,
    retrainings: Callable[[str], Sequence[Retraining]],
) -> Registered:
    """Write artifacts and model, both or neither.

    `retrainings` gives those that the report shows, from the tag of the model. Ctrl-C and SIGTERM stop it until the
    publication begins; from then on they wait until `ending` is closed.

    Raises:
        OutputError: one of them cannot be written; both are as they were.
    """
    findings = _findings(trained, verdict, tested, table)
    directory = settings.artifacts.directory
    with staged_directory(directory) as artifacts, publish.staging() as model:
        with writing(directory):
            write_artifacts(artifacts.path, trained, findings, tested, table, settings)
        with writing(store.store_path()):
            record = write_model(model.path, artifacts.path, trained, findings, table, habits, settings)
        looks_before = _note_look(model.tag, trained, table, settings)
        with writing(directory):
            write_pages(
                artifacts.path, model.tag, record, trained, findings, table, looks_before, retrainings(model.tag)
            )
            written = sorted(path.name for path in artifacts.path.iterdir())
            artifacts.keep_the_rest()
        with writing(store.store_path()):
            held = publish_both(model, record, artifacts, ending, settings.artifacts.signing_key)
        return Registered(model.tag, written, looks_before, held)


class Refused(NamedTuple):
    """What a refused run left."""

    report: Path
    looks_before: str | None
    """A sentence about other models that were measured on a test part of the table; None: this run did not look."""


def leave_refused(
    trained: Trained,
    verdict: GateReport,
    table: LabelledTable,
    habits: LearnedHabits,
    settings: Settings,
    retrainings: Sequence[Retraining],
) -> Refused:
    """Write the report of a refused run into `REFUSED`, in place of the one before; it shows `retrainings`.

    Raises:
        OutputError: it cannot be written.
    """
    folder = settings.artifacts.directory.parent / REFUSED
    findings = _findings(trained, verdict, None, table)
    looks_before = _note_look(None, trained, table, settings) if verdict.looked else None
    with staged_directory(folder) as refused, publish.staging() as model, writing(folder):
        write_artifacts(refused.path, trained, findings, None, table, settings)
        record = write_model(model.path, refused.path, trained, findings, table, habits, settings)
        tag = f"{_REFUSED_TAG} {trained.champion}"
        write_pages(refused.path, tag, record, trained, findings, table, looks_before or "", retrainings)
        refused.publish()
    return Refused(folder / REPORT, looks_before)


def require_own_folder(artifacts: Path) -> None:
    """Refuse a folder of artifacts that the report of a refused run would overwrite, by name or by a symbolic link.

    Raises:
        ConfigError: the folder is that of the reports, or one of the two is inside the other.
    """
    reports = artifacts.parent / REFUSED
    kept, overwritten = artifacts.resolve(), reports.resolve()
    if Path.cwd().is_relative_to(kept):
        return  # which is refused too, as for every folder that is replaced as a whole
    if kept.is_relative_to(overwritten) or overwritten.is_relative_to(kept):
        raise ConfigError(
            f"artifacts.directory: expected a folder apart from {reports}, where refused runs leave their report, "
            f"found {artifacts}"
        )


def earlier_refused(artifacts: Path) -> str | None:
    """Say whose report `REFUSED` holds, so that nobody takes it for one of the run that has just been registered.

    Returns:
        A sentence without its full stop; None if there is no report of a refused run beside these artifacts.
    """
    folder = artifacts.parent / REFUSED
    try:
        document = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or not str(document.get("model")).startswith(f"{_REFUSED_TAG} "):
        return None
    return f"{folder} holds the report of an earlier run on {document.get('table')}, which was refused; not of this run"


def _note_look(model: str | None, trained: Trained, table: LabelledTable, settings: Settings) -> str:
    """Note a look at the test part; returns a sentence about earlier ones. A refused model has no tag."""
    run = looks.digest_of_run(trained.champion, settings)
    new = looks.look("train.py", model, table, settings.seed, settings.split.test_share, run)
    path = looks.file_beside(settings.artifacts.directory)
    with writing(path):
        return looks.sentence(looks.note(settings.artifacts.directory, new), path)


def _findings(trained: Trained, verdict: GateReport, tested: Tested | None, table: LabelledTable) -> Findings:
    return Findings(
        champion=trained.champion,
        candidates=trained.candidates,
        threshold=trained.scorer.threshold,
        calibration=trained.calibration,
        gate=verdict,
        test=None if tested is None else tested.results,
        data=describe(table),
    )
