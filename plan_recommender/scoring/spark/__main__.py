"""Score the rows, or advise the subscribers, of files on Spark.

usage: python -m plan_recommender.scoring.spark --input IN --output OUT
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("plan_recommender.scoring.spark.__main__")

import argparse
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plan_recommender import cli
from plan_recommender.billing.registered import adviser_of
from plan_recommender.billing.tariffs import TARIFFS_DEFAULT, find_tariffs, load_tariffs
from plan_recommender.config.table_format import MonthsFormat
from plan_recommender.data.table_options import (
    AS_USUAL,
    MONTHS_AS_USUAL,
    add_language_option,
    add_table_options,
    format_of,
)
from plan_recommender.model import store
from plan_recommender.model.features import FEATURE_NAMES, PLANS
from plan_recommender.model.record import DOCUMENT_FILE, HABITS_FILE
from plan_recommender.model.threshold import Threshold

if TYPE_CHECKING:
    from plan_recommender.scoring.spark.jobs import Files, Outcome

MAX_REJECTS = 0.1  # of the rows; with more, the exit code is 1


def main(arguments: list[str] | None = None) -> int:
    """Run a job; returns 0, or 1 if too many rows were rejected."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.advise and (options.tariffs or options.language):
        parser.error("expected --advise beside --tariffs and --language, found it without")
    if options.advise and options.threshold is not None:
        parser.error("expected --threshold or --advise, found both")
    if options.advise and options.format == "csv":
        parser.error("expected --format parquet beside --advise; advise.py reads CSV")
    if options.format != "csv" and (options.sep or options.decimal):
        parser.error("expected --format csv beside --sep and --decimal")
    with cli.needing("pyspark", "plan_recommender.scoring.spark"):
        from plan_recommender.scoring.spark.jobs import REJECTS, Files
    files = Files(options.input, options.output.rstrip("/"))
    outcome = _advise(options, files) if options.advise else _score(options, files)
    where = f"{files.output}/{REJECTS}: " if outcome.rejected else ""
    cli.say(f"{where}{outcome.rejected:,} rejected")
    if outcome.rejected <= options.max_rejects * outcome.rows and outcome.accepted:
        return cli.DONE
    limit = f"more than --max-rejects {options.max_rejects:.4g}" if outcome.accepted else "which is all of them"
    cli.warn(f"{outcome.rejected:,} of {outcome.rows:,} rows were rejected, {limit}; one of them: {outcome.reject}")
    return cli.ANSWER_IS_NO


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m plan_recommender.scoring.spark",
        description="Score the rows of files on Spark as predict.py does, or advise the subscribers of files of months "
        "as advise.py does. OUT is a folder of files; rows that are rejected are in OUT/_rejects, and OUT/_model, "
        "which is written last, says by which model.",
        epilog="Also for spark-submit, which then decides where the job runs; otherwise Spark runs on this machine. "
        "Exit code 0: done; 1: done, but too many rows were rejected, or all; 2: could not be done.",
    )
    parser.add_argument(
        "--input", required=True, nargs="+", metavar="IN", help="files, or folders of them, as Spark names them"
    )
    parser.add_argument(
        "--format", choices=("parquet", "csv"), default="parquet",
        help="of input and output (default: %(default)s); of CSV, every row has to be one line and every file has to "
        "begin with the same header",
    )  # fmt: skip
    parser.add_argument("--output", required=True, metavar="OUT", help="folder to write, which must not be there yet")
    parser.add_argument(
        "--advise", action="store_true", help="advise the subscribers of a table of months, one row each"
    )
    parser.add_argument(
        "--tariffs", type=Path, metavar="YAML", help=f"what each plan costs (default: {TARIFFS_DEFAULT})"
    )
    parser.add_argument("--model", default=store.LATEST, metavar="TAG", help="registered model (default: %(default)s)")
    parser.add_argument(
        "--max-rejects", type=cli.share, default=MAX_REJECTS, metavar="SHARE",
        help="largest share of rejected rows with which the exit code is 0: 0.1 or 10%% (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", type=cli.probability, metavar="P",
        help="recommend Ultra from this probability on, to everybody, instead of the model's threshold or thresholds",
    )  # fmt: skip
    parser.add_argument(
        "--accept-drift", action="store_true",
        help="go on although the first rows look as if they had a mistake, such as another unit than in training",
    )  # fmt: skip
    add_language_option(parser, "reason")
    add_table_options(parser, MONTHS_AS_USUAL)
    return parser


def _score(options: argparse.Namespace, files: "Files") -> "Outcome":
    from plan_recommender.scoring.spark.jobs import score_files, score_text_files, session

    format = format_of(options, AS_USUAL)
    model = store.find(options.model)
    document = model.document()
    if options.threshold is not None:
        document = document.model_copy(update={"threshold": Threshold(value=options.threshold)})
    usual = None if options.accept_drift else model.profile()
    facts = {**_facts(model), **document.threshold.summary(), "document_sha256": model.record.digests[DOCUMENT_FILE]}
    with session() as spark:
        run = score_text_files if options.format == "csv" else score_files
        outcome = run(spark, files, document, format, usual, facts)
    ultra = outcome.counts["ultra"]
    imputed = ", ".join(f"{outcome.counts[name]:,} in {name}" for name in FEATURE_NAMES if outcome.counts[name])
    cli.say(
        f"{files.name}: {outcome.rows:,} rows\n"
        f"{files.output}: {outcome.accepted:,} scored, {ultra:,} {PLANS[1]} and {outcome.accepted - ultra:,} "
        f"{PLANS[0]}; missing values imputed: {imputed or 'none'}\n"
        f"model: {model.tag}, threshold {document.threshold}"
    )
    return outcome


def _advise(options: argparse.Namespace, files: "Files") -> "Outcome":
    from plan_recommender.scoring.spark.jobs import advise_files, session
    from plan_recommender.scoring.spark.months import MonthsJob

    format = format_of(options, MONTHS_AS_USUAL)
    assert isinstance(format, MonthsFormat)
    tariffs = load_tariffs(options.tariffs or find_tariffs())
    model = store.find(options.model)
    adviser = adviser_of(model, tariffs)
    usual = None if options.accept_drift else model.profile()
    job = MonthsJob(adviser, format, options.language or "en")
    facts = {
        **_facts(model), "habits_sha256": model.record.digests[HABITS_FILE],
        "tariffs_digest": tariffs.digest, "currency": tariffs.currency, "valid_from": str(tariffs.valid_from),
    }  # fmt: skip
    with session() as spark:
        outcome = advise_files(spark, files, job, usual, facts)
    kinds = {kind: outcome.counts[kind] for kind in ("keep", "switch", "choose")}
    saving = Decimal(outcome.counts["saving"]).scaleb(-tariffs.decimals)
    cli.say(
        f"{files.name}: {outcome.rows:,} rows\n"
        f"{files.output}: {sum(kinds.values()):,} subscribers advised: "
        f"{', '.join(f'{count:,} {kind}' for kind, count in kinds.items())}; the switches are expected to save "
        f"{saving:,.{tariffs.decimals}f} {tariffs.currency} a month\n"
        f"tariffs: {tariffs.currency}, valid from {tariffs.valid_from}, digest {tariffs.digest[:12]}\n"
        f"model: {model.tag}"
    )
    return outcome


def _facts(model: store.RegisteredModel) -> dict[str, Any]:
    return {"model": model.tag}
