"""Judge whether a current sample of subscribers has drifted from a reference sample."""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("drift")

import argparse
import importlib.util
from pathlib import Path

from plan_recommender import cli
from plan_recommender.billing.tariffs import TARIFFS_DEFAULT, find_tariffs, load_tariffs
from plan_recommender.config.load import DEFAULT_HELP, choose_config, load_settings
from plan_recommender.data.month_panel import SHARE
from plan_recommender.data.outputs import replacing, require_distinct
from plan_recommender.data.table_options import add_table_options, format_of
from plan_recommender.drift.bills import Months, compare_bills
from plan_recommender.drift.mix import Mix
from plan_recommender.drift.reference import profile
from plan_recommender.drift.samples import SampleFile, read_sample
from plan_recommender.drift.verdict import Sample, compare
from plan_recommender.errors import ConfigError, ModelError, TableError
from plan_recommender.model import store
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.profile import ReferenceProfile, Values
from plan_recommender.report.drift_page import drift_html
from plan_recommender.report.drift_terminal import drift_table


def main(arguments: list[str] | None = None) -> int:
    """Compare two samples; returns 1 when the current one has drifted, otherwise 0."""
    options = _parser().parse_args(arguments)
    tariffs_path = options.tariffs or find_tariffs()
    # One file may be both samples, but no report may overwrite it.
    for read in (options.ref, options.cur, tariffs_path):
        require_distinct(read, options.out, options.html, options.evidently)
    settings = load_settings(choose_config(options.config, cli.say)).drift
    names = _features(options.features)
    if options.evidently is not None:
        _require_evidently()
    model = _model(options)
    whole = names == list(FEATURE_NAMES)  # predictions and bills need every feature
    scorer = model.scorer() if whole and model is not None else None
    tariffs = load_tariffs(tariffs_path) if whole else None
    current = read_sample(options.cur, names, options.groups, format_of(options), options.since, options.until)
    mix = None
    if options.ref is None:
        if options.mix is not None:
            raise ConfigError(
                "--mix: expected --ref with it, because a stored profile does not say what it is a mix of"
            )
        assert model is not None  # `_model` finds one, or raises
        reference = model.profile().of(names)
        sample, billed = Sample(current.features, current.subscribers), None
    else:
        before = read_sample(options.ref, names, options.groups, format_of(options))
        reference = profile(before.features, names, settings, subscribers=before.subscribers, scorer=scorer)
        mix = _mix(options.mix, before, current)
        sample = Sample(current.features, current.subscribers, mix, before.features)
        billed = Months(before.features, before.subscribers)
    report = compare(reference, sample, settings, scorer)
    if tariffs is not None:
        bills = compare_bills(tariffs, billed or reference, Months(current.features, current.subscribers))
        report = report.model_copy(update={"bills": bills})
    with replacing(options.out) as file:
        file.write(report.model_dump_json(indent=2) + "\n")
    if options.html is not None:
        with replacing(options.html) as file:
            file.write(drift_html(report, reference, current.features, scorer))
    if options.evidently is not None:
        _write_evidently(options.evidently, reference, current.features)
    if current.log is not None:
        cli.say(current.log.sentence)
    cli.say(drift_table(report))
    return cli.ANSWER_IS_NO if report.verdict == "drift" else cli.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="drift.py",
        description="Compare a current sample with a reference: each feature, every pair, predictions and bills.",
        epilog="Exit code 0: no drift, or none but of the mix; 1: drift; 2: could not decide. Thresholds: section "
        "drift of the configuration.",
    )
    parser.add_argument(
        "--ref", type=Path, metavar="FILE", help="reference sample (default: the profile stored with the model)"
    )
    parser.add_argument(
        "--cur", type=Path, required=True, metavar="FILE",
        help="current sample: a table, or a folder of the service's prediction log",
    )  # fmt: skip
    cli.add_time_options(parser)
    parser.add_argument(
        "--features", nargs="+", default=[",".join(FEATURE_NAMES)], metavar="NAME",
        help="features to compare, separated by spaces or commas (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("artifacts/drift_report.json"), metavar="JSON",
        help="report to write (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--html", type=Path, metavar="FILE", help="report for a person, with the distributions")
    parser.add_argument(
        "--evidently", type=Path, metavar="FILE", help="Evidently's data drift report, if it is installed"
    )
    parser.add_argument(
        "--model", metavar="TAG",
        help="whose profile, without --ref, and whose predictions (default: the latest; with --ref, there may be none)",
    )  # fmt: skip
    parser.add_argument(
        "--groups", metavar="COLUMN", help="column that says whose month a row is; rows of one subscriber tell less"
    )
    parser.add_argument(
        "--mix", metavar="COLUMN",
        help="column of both files by which their mix is held fixed, such as tenure (default: whole and partial months "
        f"by {SHARE}, if both files have it)",
    )  # fmt: skip
    parser.add_argument(
        "--tariffs", type=Path, metavar="YAML", help=f"tariffs that months are billed by (default: {TARIFFS_DEFAULT})"
    )
    parser.add_argument("--config", type=Path, metavar="YAML", help=f"configuration (default: {DEFAULT_HELP})")
    add_table_options(parser)
    return parser


def _features(arguments: list[str]) -> list[str]:
    names = [name.strip() for argument in arguments for name in argument.split(",") if name.strip()]
    unknown = [name for name in names if name not in FEATURE_NAMES]
    if unknown or not names or len(set(names)) < len(names):
        raise ConfigError(f"--features: expected names among {', '.join(FEATURE_NAMES)}, each once, found {names}")
    return names


def _model(options: argparse.Namespace) -> store.RegisteredModel | None:
    """Find the model whose profile or predictions are wanted; with --ref and no model named, there may be none."""
    if options.ref is None or options.model is not None:
        return store.find(options.model or store.LATEST)
    try:
        return store.latest()
    except ModelError as error:
        cli.warn(f"predictions are not compared: {error}")
        return None


def _mix(column: str | None, before: SampleFile, current: SampleFile) -> Mix | None:
    """Take what both samples are composed of: by the column that is named, or else by whole and partial months."""
    missing = [sample.path for sample in (before, current) if (column or SHARE) not in sample.texts]
    if column is None:
        try:
            return None if missing else Mix.of(SHARE, before.texts[SHARE], current.texts[SHARE])
        except TableError as error:
            cli.warn(f"whole and partial months are not told apart: {error}")
            return None
    if missing:
        raise TableError(f"{missing[0]}: expected the column {column!r} that --mix names, found none of that name")
    return Mix.of(column, before.texts[column], current.texts[column])


def _require_evidently() -> None:
    if importlib.util.find_spec("evidently") is None:
        raise ConfigError("--evidently: expected the package evidently, found none; pip install evidently")


def _write_evidently(path: Path, reference: ReferenceProfile, current: Values) -> None:
    """Write Evidently's own report. It compares each column by itself, so the values of each feature are enough."""
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    before = pd.DataFrame({feature.name: pd.Series(feature.values) for feature in reference.features})
    after = pd.DataFrame(current, columns=[feature.name for feature in reference.features])
    snapshot = Report([DataDriftPreset()]).run(current_data=after, reference_data=before)
    with replacing(path) as file:
        file.write(snapshot.get_html_str(as_iframe=False))
