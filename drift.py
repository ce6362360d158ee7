"""Judge whether a current sample of subscribers has drifted from a reference sample."""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("drift")

import argparse
import importlib.util
from pathlib import Path

from plan_recommender import cli
from plan_recommender.config.load import DEFAULT_HELP, choose_config, load_settings
from plan_recommender.config.settings import DriftSettings
from plan_recommender.data.csv_table import read_features
from plan_recommender.data.outputs import replacing, require_distinct
from plan_recommender.data.table_options import add_table_options, format_of
from plan_recommender.drift.reference import profile
from plan_recommender.drift.samples import read_sample
from plan_recommender.drift.verdict import compare
from plan_recommender.errors import ConfigError
from plan_recommender.model import store
from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.profile import ReferenceProfile, Values
from plan_recommender.report.pages import drift_html
from plan_recommender.report.terminal import drift_table


def main(arguments: list[str] | None = None) -> int:
    """Compare two samples; returns 1 when a feature has drifted, otherwise 0."""
    options = _parser().parse_args(arguments)
    for sample in (options.ref, options.cur):  # one file may be both samples, but no report may overwrite it
        require_distinct(sample, options.out, options.html, options.evidently)
    settings = load_settings(choose_config(options.config, cli.say)).drift
    names = _features(options.features)
    if options.evidently is not None:
        _require_evidently()
    reference = _reference(options, names, settings)
    sample = read_sample(options.cur, names, format_of(options), options.since, options.until)
    current = sample.features
    report = compare(reference, current, settings)
    with replacing(options.out) as file:
        file.write(report.model_dump_json(indent=2) + "\n")
    if options.html is not None:
        with replacing(options.html) as file:
            file.write(drift_html(report, reference, current))
    if options.evidently is not None:
        _write_evidently(options.evidently, reference, current)
    if sample.log is not None:
        cli.say(sample.log.sentence)
    cli.say(drift_table(report))
    return cli.ANSWER_IS_NO if report.drifted_features else cli.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="drift.py",
        description="Compare a current sample with a reference: Kolmogorov-Smirnov and PSI for each feature.",
        epilog="Exit code 0: no drift; 1: drift; 2: could not decide. Thresholds: section drift of the configuration.",
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
        "--model", default=store.LATEST, metavar="TAG", help="whose profile, without --ref (default: %(default)s)"
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


def _reference(options: argparse.Namespace, names: list[str], settings: DriftSettings) -> ReferenceProfile:
    if options.ref is not None:
        return profile(read_features(options.ref, names, format_of(options)), names, settings)
    model = store.find(options.model)
    stored = model.profile()
    by_name = {feature.name: feature for feature in stored.features}
    return ReferenceProfile(rows=stored.rows, features=[by_name[name] for name in names])


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
