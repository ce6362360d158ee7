"""Measure a registered model on a labelled table beside the majority rule; compare groups of rows, or two models.

With `--log`, measure what was predicted in production by labels that became known later.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("evaluate")

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plan_recommender import cli
from plan_recommender.config.load import DEFAULT_HELP, choose_config, find_config, load_settings
from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.cells import readable
from plan_recommender.data.csv_table import LabelledTable, check_measurable, read_labelled
from plan_recommender.data.late_labels import read_late_labels
from plan_recommender.data.outputs import staged_directory, writing
from plan_recommender.data.plausibility import find_mistakes
from plan_recommender.data.prediction_log import read_log
from plan_recommender.data.subscribers import find_id_column, groups_option
from plan_recommender.data.table_options import add_table_options, format_of, names_format
from plan_recommender.errors import ConfigError, ModelError, TableError
from plan_recommender.evaluation.calibration import measure_calibration
from plan_recommender.evaluation.comparison import compare_paired, metric_intervals
from plan_recommender.evaluation.late_labels import evaluate_late
from plan_recommender.evaluation.metrics import measure, measure_majority_rule
from plan_recommender.evaluation.money import measure_impact, plans_held
from plan_recommender.evaluation.parity import measure_parity
from plan_recommender.model import store
from plan_recommender.model.features import TARGET
from plan_recommender.report.artifacts import RUN_FILE
from plan_recommender.report.late_labels_table import late_labels_text
from plan_recommender.report.plots import plot_calibration, plot_confusion_matrix, plot_roc_curve
from plan_recommender.report.terminal import (
    calibration_line,
    comparison_table,
    metrics_table,
    money_lines,
    parity_table,
    training_of_both,
    what_would_tell,
)
from plan_recommender.training import looks
from plan_recommender.training.known_rows import count_seen
from plan_recommender.training.split import split_table


def main(arguments: list[str] | None = None) -> int:
    """Measure one model, or compare two, on one table; returns 0, or 1 when groups are treated differently.

    Raises:
        TableError: the table cannot be measured; or, after the results are written, it cannot be told whether groups
            are treated alike.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.log is not None or options.labels is not None:
        return _measure_later(parser, options)
    if options.since is not None or options.until is not None:
        parser.error("arguments --since and --until: expected --log DIR with them, whose predictions have a time")
    tags = options.model or [store.LATEST]
    if len(tags) > 2:
        parser.error(f"argument --model: expected one model, or two to compare, found {len(tags)}")
    if len(tags) == 2 and options.group is not None:
        parser.error("argument --group: expected one --model, found two; measure the groups of each by itself")
    if options.group is not None and options.group in ("", TARGET):
        parser.error(f"argument --group: expected a column that tells groups apart, found {options.group!r}")
    if options.data is None and names_format(options):
        parser.error(
            "arguments --sep, --decimal and --map: expected --data FILE with them, because the training table is read "
            "as it was when the model was trained"
        )
    models = [store.find(tag) for tag in tags]
    if len(models) == 2:
        return _compare(models[0], models[1], options)
    return _measure(models[0], options)


def _measure(model: store.RegisteredModel, options: argparse.Namespace) -> int:
    scorer = model.scorer()
    chosen = _choose_rows(model, options)
    table = chosen.part
    check_measurable(table)
    probabilities = scorer.probabilities(table.features)
    decisions = scorer.decide(table.features, probabilities)
    for mistake in find_mistakes(table.features, model.profile()):
        cli.warn(f"{mistake} ({chosen.part.path})")
    metrics = measure(table.target, probabilities, decisions)
    majority_rule = measure_majority_rule(table.target, model.record.data.training_ultra_share)
    settings = load_settings(choose_config(options.config, cli.say))
    owners = table.subscribers
    intervals = metric_intervals(table.target, probabilities, decisions, settings.comparison, settings.seed, owners)
    bins = settings.calibration.bins
    calibration = measure_calibration(table.target, probabilities, bins, settings.seed, subscribers=owners)
    held, impact = plans_held(table, settings.money), None
    if held is not None:
        threshold = scorer.threshold.value
        impact = measure_impact(probabilities, decisions, held, threshold, settings.money, settings.seed, owners)
    parity = None
    if options.group is not None:
        groups = table.texts[options.group].cells
        parity = measure_parity(options.group, groups, owners, table.target, decisions, settings.parity)
    with staged_directory(options.artifacts) as artifacts, writing(options.artifacts):
        document = {
            **metrics.model_dump(),
            "majority_rule": majority_rule.model_dump(),
            "model": model.tag,
            **scorer.threshold.summary(),
            "rows": len(table.target),
            "groups": table.groups,
            "subscribers": None if owners is None else len(np.unique(owners)),
            "intervals": {name: interval.model_dump() for name, interval in intervals.items()},
            "calibration": calibration.model_dump(),
            "impact": None if impact is None else impact.model_dump(),
            "data_sha256": table.sha256,
        }
        (artifacts.path / "evaluation.json").write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
        plot_roc_curve(artifacts.path / "evaluation_roc_curve.png", table.target, probabilities, metrics.roc_auc)
        plot_calibration(artifacts.path / "evaluation_calibration.png", [("these rows", calibration)])
        plot_confusion_matrix(artifacts.path / "evaluation_confusion_matrix.png", metrics)
        if parity is not None:
            (artifacts.path / "parity.json").write_text(parity.model_dump_json(indent=2) + "\n", encoding="utf-8")
        artifacts.publish()
    cli.say(f"{model.tag} on {chosen.what}, {table.target.mean():.1%} Ultra, threshold {scorer.threshold}")
    cli.say(metrics_table(metrics, majority_rule, intervals))
    cli.say(calibration_line(calibration))
    cli.say(money_lines(impact, settings.money))
    if chosen.earlier_looks is not None:
        cli.say(chosen.earlier_looks)
    if parity is not None:
        cli.say(parity_table(parity))
    cli.say(f"artifacts: {options.artifacts}")
    if parity is not None and parity.verdict == "cannot tell":
        raise TableError(
            f"column {options.group!r}: expected enough rows to tell whether a rate of two groups differs by more than "
            f"{parity.tolerance:g} (parity.tolerance), found too few; {what_would_tell(parity)}"
        )
    return cli.ANSWER_IS_NO if parity is not None and parity.verdict == "no parity" else cli.DONE


def _compare(first: store.RegisteredModel, second: store.RegisteredModel, options: argparse.Namespace) -> int:
    settings = load_settings(choose_config(options.config, cli.say))
    chosen = _choose_rows(first, options)
    table = chosen.part
    check_measurable(table)
    scorers = [first.scorer(), second.scorer()]
    probabilities = [scorer.probabilities(table.features) for scorer in scorers]
    one, other = [(p, scorer.decide(table.features, p)) for p, scorer in zip(probabilities, scorers, strict=True)]
    samples, confidence = settings.comparison.bootstrap_samples, settings.comparison.confidence
    found = compare_paired(table.target, one, other, samples, confidence, settings.seed, table.subscribers)
    seen = training_of_both(first, second, table)
    with staged_directory(options.artifacts) as artifacts, writing(options.artifacts):
        document = {
            "first": {"model": first.tag, **scorers[0].threshold.summary()},
            "second": {"model": second.tag, **scorers[1].threshold.summary(), "training": seen},
            "data_sha256": table.sha256,
            "seed": settings.seed,
            **found.model_dump(),
        }
        (artifacts.path / "comparison.json").write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
        artifacts.publish()
    cli.say(f"first:  {first.tag} on {chosen.what}, {table.target.mean():.1%} Ultra, threshold {scorers[0].threshold}")
    cli.say(f"second: {second.tag} on the same rows, threshold {scorers[1].threshold}; {seen}")
    cli.say(comparison_table(found))
    cli.say(f"artifacts: {options.artifacts}")
    return cli.DONE


def _measure_later(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Measure the models of a prediction log by labels that became known later."""
    if options.log is None or options.labels is None:
        parser.error("arguments --log and --labels: expected both, found one of them")
    if options.data is not None or options.model is not None or options.group is not None:
        parser.error("argument --log: expected no --data, --model or --group with it; the log says who predicted what")
    settings = load_settings(choose_config(options.config, cli.say))
    log = read_log(options.log, options.since, options.until)
    found = evaluate_late(log, read_late_labels(options.labels, options.groups, format_of(options)), settings)
    with staged_directory(options.artifacts) as artifacts, writing(options.artifacts):
        (artifacts.path / "late_labels.json").write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
        artifacts.publish()
    cli.say(log.sentence)
    cli.say(late_labels_text(found))
    cli.say(f"artifacts: {options.artifacts}")
    return cli.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="evaluate.py",
        description="Measure a registered model on a labelled file, or compare two on the same rows.",
        epilog="Exit code 0: measured, and the groups of --group are treated alike; 1: they are treated differently; "
        "2: could not decide, or cannot tell from so few rows. Settings: sections parity and comparison of the "
        "configuration.",
    )
    parser.add_argument(
        "--data", type=Path, metavar="FILE",
        help="labelled table (default: the part of the training table that the model was never trained on)",
    )  # fmt: skip
    parser.add_argument(
        "--model", action="append", metavar="TAG",
        help=f"registered model (default: {store.LATEST}); given twice, the second is compared with the first",
    )  # fmt: skip
    parser.add_argument(
        "--group", type=str.strip, metavar="COLUMN",
        help="column of the table: tell whether Ultra is recommended at the same rates to the groups that it names",
    )  # fmt: skip
    parser.add_argument(
        "--groups", type=str.strip, metavar="COLUMN",
        help="column that says which subscriber a row belongs to, by whom intervals count (default: the one that the "
        "model was trained with, if the table has it)",
    )  # fmt: skip
    parser.add_argument(
        "--log", type=Path, metavar="DIR",
        help="folder of the service's prediction log, to measure by --labels in place of a table",
    )  # fmt: skip
    parser.add_argument(
        "--labels", type=Path, metavar="FILE",
        help="table of plans known later, with the columns reference and is_ultra (or --map is_ultra=plan), and the "
        "column subscriber if it is known",
    )  # fmt: skip
    cli.add_time_options(parser)
    parser.add_argument(
        "--config", type=Path, metavar="YAML",
        help="configuration of intervals, money, and of where training left its artifacts "
        f"(default: {DEFAULT_HELP})",
    )  # fmt: skip
    parser.add_argument(
        "--artifacts", type=Path, default=Path("artifacts"), metavar="DIR", help="results folder (default: %(default)s)"
    )
    add_table_options(parser)
    return parser


@dataclass(frozen=True)
class _Rows:
    """The rows to measure on, and how the output describes them."""

    part: LabelledTable
    what: str
    earlier_looks: str | None = None
    """A sentence about other models that were measured on this table, if the rows are its test part."""


def _choose_rows(model: store.RegisteredModel, options: argparse.Namespace) -> _Rows:
    if options.data is None:
        return _test_part(model, options)
    return _whole_file(model, options)


def _test_part(model: store.RegisteredModel, options: argparse.Namespace) -> _Rows:
    """Read the table that the model was trained on, and keep the rows of the test part."""
    data = model.record.data
    path = _table_of(model, options)
    if not path.is_file():
        raise ModelError(
            f"expected {path}, the table that {model.tag} was trained on, found no such file; run this in the "
            "folder where it was trained, with --artifacts the folder of that run, or pass --data"
        )
    format = TableFormat.model_validate(model.record.settings["data"].get("format", {}))  # older records have none
    table = read_labelled(path, _text_columns(options, format), data.groups, format)
    if table.sha256 != data.sha256:
        raise ModelError(
            f"{path}: expected the table that {model.tag} was trained on (SHA-256 {data.sha256}), found another "
            f"({table.sha256}), of which no test part is known; pass --data to measure on all of its rows"
        )
    test_share = model.record.settings["split"]["test_share"]
    test = table.take(split_table(table, test_share, model.record.seed).test)
    sentence = None
    try:
        earlier = looks.note(
            options.artifacts, looks.look("evaluate.py", model.tag, table, model.record.seed, test_share)
        )
    except OSError as error:
        cli.warn(f"this look at the test part is not noted in {looks.LOOKS_FILE}: {error.strerror or error}")
    else:
        sentence = looks.sentence(earlier, looks.file_beside(options.artifacts))
    of = "" if test.subscribers is None else f" of {len(np.unique(test.subscribers)):,} subscribers"
    return _Rows(test, f"the {len(test.target):,} rows{of} of {path} that it was never trained on", sentence)


def _table_of(model: store.RegisteredModel, options: argparse.Namespace) -> Path:
    """Find the training table: the artifacts of the run say where it is, the model itself only how it was configured.

    A model can be copied to another machine, so its record holds no path of this one.
    """
    places = [options.artifacts]
    config = options.config or find_config()
    if config is not None and config.is_file():
        places.append(load_settings(config).artifacts.directory)
    for artifacts in places:
        try:
            run = json.loads((artifacts / RUN_FILE).read_text(encoding="utf-8"))
            if run["model"] == model.tag:
                table = Path(run["table"])
                return table.relative_to(Path.cwd()) if table.is_relative_to(Path.cwd()) else table
        except (OSError, ValueError, KeyError, TypeError):
            continue  # there are no artifacts, or another version of train.py wrote them
    return Path(model.record.settings["data"]["path"])


def _text_columns(options: argparse.Namespace, format: TableFormat) -> list[str]:
    if options.group is None:
        return []
    if options.group == format.column(TARGET):
        raise ConfigError(f"--group: expected a column that tells groups apart, found the label {options.group!r}")
    return [options.group]


def _whole_file(model: store.RegisteredModel, options: argparse.Namespace) -> _Rows:
    path: Path = options.data
    format = format_of(options)
    columns = _text_columns(options, format)
    groups: str | None = options.groups
    table = read_labelled(path, columns, groups, format)
    trained_with = model.record.data.groups
    if groups is None and trained_with in table.texts:
        table = read_labelled(path, columns, trained_with, format)
    elif groups is None and (suspect := find_id_column(table)) is not None:
        cli.say(
            f"warning: column {readable(suspect)!r} seems to say whose month each of the {len(table.target):,} rows "
            f"is; intervals are too narrow unless they go by subscriber: {groups_option(suspect)}"
        )
    what = f"all {len(table.target):,} rows of {path}"
    seen = count_seen(model, table)
    honest = "flatters it: leave --data out for an honest figure"
    if seen.by_number:
        trained = f"of which it was trained on {seen.rows:,}, and {seen.by_number:,} more" if seen.rows else (
            f"of which {seen.by_number:,}"
        )  # fmt: skip
        what += (
            f" ({trained} have subscriber numbers that it was trained on; if they are the same people, that {honest})"
        )
    elif seen.rows:
        what += f" (of which it was trained on {seen.rows:,}, which {honest})"
    return _Rows(table, what)
