"""Score a file of subscribers: every row comes back unchanged with two new columns, or among the rejects.

The work is done in plan_recommender/scoring/: blocks of rows on all cores, so that size is not limited by memory.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("predict")

import argparse
import os
import sys
from typing import Any

from plan_recommender import cli
from plan_recommender.data.table_options import add_language_option, add_table_options, format_of
from plan_recommender.model import store
from plan_recommender.model.features import FEATURE_NAMES, PLANS
from plan_recommender.model.languages import Language
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.model.threshold import Threshold
from plan_recommender.scoring.answers import DECISION_COLUMN, PROBABILITY_COLUMN, REASONS_COLUMN, Answerer
from plan_recommender.scoring.counts import Counts
from plan_recommender.scoring.files import Scoring, Task, check_file, score_file
from plan_recommender.scoring.many import tasks_of
from plan_recommender.scoring.outputs import PIPE, discard, forget, left_by_a_run

MAX_REJECTS = 0.1  # of the rows; with more, the exit code is 1


def main(arguments: list[str] | None = None) -> int:
    """Score files; returns 0, or 1 if too many rows of one of them were rejected.

    Output and rejects of a file appear only if the whole file could be read, and then with both exit codes.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.language is not None and not options.explain:
        parser.error("expected --explain beside --language, found it without")
    if options.resume and str(PIPE) in (*options.input, options.output):
        parser.error("expected files beside --resume, found standard input or output, with which no run can go on")
    tasks = tasks_of(options.input, options.output, options.rejects)
    scoring, model = _scoring(options)
    if len(tasks) > 1:
        for task in tasks:
            check_file(task, scoring)
    say = _say_on_stderr if options.output == str(PIPE) else cli.say
    code = cli.DONE
    for task in tasks:
        counts = _score(task, scoring)
        say(_summary(task, counts))
        if _too_many_rejects(task, counts, options.max_rejects, alone=len(tasks) == 1):
            code = cli.ANSWER_IS_NO
    for task in tasks if options.resume else ():
        forget(task.output)
    say(model)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="predict.py",
        description=(
            "Score files of subscribers. Every row of the input goes either to the output, with "
            f"{DECISION_COLUMN} and {PROBABILITY_COLUMN} added, or to the rejects, with its row number (from 1 after "
            "the header) and the reason. An empty feature cell is imputed with the training median. Every other column "
            "stays as it is, byte for byte."
        ),
        epilog="The input is CSV, also compressed with gzip or zstd, or Parquet. The output is CSV with the same "
        "separator and decimal sign, compressed if OUT ends in .gz or .zst; or Parquet, if the input is Parquet and "
        "OUT ends in .parquet. Exit code 0: done; 1: done, but too many rows of a file were rejected, or all; 2: could "
        "not be done.",
    )
    parser.add_argument(
        "--input", nargs="+", required=True, metavar="IN",
        help="table with the four usage columns, several of them, a folder, or - for standard input",
    )  # fmt: skip
    parser.add_argument(
        "--output", required=True, metavar="OUT",
        help="file to write, once complete; a folder, one that is there or with / at the end, in which files keep "
        "their names; or - for standard output, which is written at once",
    )  # fmt: skip
    parser.add_argument("--model", default=store.LATEST, metavar="TAG", help="registered model (default: %(default)s)")
    parser.add_argument(
        "--rejects", metavar="FILE",
        help="CSV for rows that are not usage (default: OUT with .rejects.csv), for several files a folder",
    )  # fmt: skip
    parser.add_argument(
        "--max-rejects",
        type=cli.share,
        default=MAX_REJECTS,
        metavar="SHARE",
        help="largest share of rejected rows with which the exit code is 0: 0.1 or 10%% (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs", type=cli.positive_int, default=_cores(), metavar="N",
        help="number of threads (default: all cores that the process may use, here %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--resume",
        action="store_true",
        help="keep what is done if the run is killed, and go on from there in the next run with the same options",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help=f"add the column {REASONS_COLUMN}: a sentence on each of the two features that moved the prediction most",
    )
    parser.add_argument(
        "--threshold", type=cli.probability, metavar="P",
        help="recommend Ultra from this probability on, to everybody, instead of the model's threshold or thresholds",
    )  # fmt: skip
    parser.add_argument(
        "--accept-drift",
        action="store_true",
        help="score although the first rows look as if they had a mistake, such as another unit than in training",
    )
    add_language_option(parser, REASONS_COLUMN)
    add_table_options(parser)
    return parser


def _scoring(options: argparse.Namespace) -> tuple[Scoring, str]:
    """Open the model, and say in a line which one it is and with which threshold it recommends."""
    format = format_of(options)
    model = store.find(options.model)
    document = model.document()
    registered = document.threshold
    if options.threshold is not None:
        document = document.model_copy(update={"threshold": Threshold(value=options.threshold)})
    language: Language | None = (options.language or "en") if options.explain else None
    usual = None if options.accept_drift else model.profile()
    run: dict[str, Any] | None = None
    if options.resume:
        digest = model.record.digests[DOCUMENT_FILE]
        threshold = document.threshold.summary()
        run = {"model": digest, "threshold": threshold, "language": language, "format": format.model_dump()}
    instead = "" if options.threshold is None else f", given with --threshold instead of the model's {registered}"
    said = f"model: {model.tag}, threshold {document.threshold}{instead}"
    return Scoring(Answerer(document, language), format, usual, options.jobs, run), said


def _score(task: Task, scoring: Scoring) -> Counts:
    """Score a file; what a run leaves to be continued is told if it does not end, and removed if nobody needs it."""
    try:
        counts = score_file(task, scoring)
    except BaseException:
        if scoring.run is not None and (left := left_by_a_run(task.output, task.rejects)):
            names = ", ".join(path.name for path in left)
            cli.warn(f"{task.output}: {names} beside it hold what is done; go on with --resume, or delete them")
        raise
    if scoring.run is None and task.output != PIPE:
        discard(task.output, task.rejects)
    return counts


def _too_many_rejects(task: Task, counts: Counts, max_rejects: float, *, alone: bool) -> bool:
    """Whether the exit code is 1 because of a file; a warning says why."""
    if counts.rejected / counts.rows <= max_rejects and counts.scored:
        return False
    limit = f"more than --max-rejects {max_rejects:.4g}" if counts.scored else "which is all of them"
    where = "" if alone else f"{task.source}: "
    cli.warn(
        f"{where}{counts.rejected:,} of {counts.rows:,} rows were rejected, {limit}; the first: {counts.first_reject}"
    )
    return True


def _summary(task: Task, counts: Counts) -> str:
    missing = zip(counts.missing, FEATURE_NAMES, strict=True)
    imputed = ", ".join(f"{number:,} in {name}" for number, name in missing if number)
    earlier = f", {counts.earlier:,} of them by a run before" if counts.earlier else ""
    return (
        f"{task.source}: {counts.rows:,} rows{earlier}\n"
        f"{task.output}: {counts.scored:,} scored, {counts.ultra:,} {PLANS[1]} and {counts.scored - counts.ultra:,} "
        f"{PLANS[0]}; empty cells imputed: {imputed or 'none'}\n"
        f"{task.rejects}: {counts.rejected:,} rejected"
    )


def _say_on_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
