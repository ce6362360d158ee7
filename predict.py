"""Score a file of subscribers: every row comes back unchanged with two new columns, or among the rejects.

The file is read, scored and written in chunks, so that its size is not limited by memory.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("predict")

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.data.cells import (
    Row,
    expected_usage,
    fitted,
    parse_usage,
    remedy,
    shortened,
    wrong_width,
)
from plan_recommender.data.csv_file import write_rows
from plan_recommender.data.outputs import require_distinct
from plan_recommender.data.parquet_file import NewCell, ParquetReader
from plan_recommender.data.plausibility import refuse_mistakes
from plan_recommender.data.table_file import open_table
from plan_recommender.data.table_options import add_language_option, add_table_options, format_of
from plan_recommender.data.table_output import (
    REJECT_COLUMNS,
    check_names,
    rejects_beside,
    replacing_table,
    replacing_text,
)
from plan_recommender.data.table_reader import TableReader
from plan_recommender.errors import TableError
from plan_recommender.model import store
from plan_recommender.model.explainer import Explainer
from plan_recommender.model.features import FEATURE_NAMES, PLANS, FeatureMatrix
from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.threshold import Threshold

NEW_COLUMNS: dict[str, type[NewCell]] = {"pred_is_ultra": int, "proba_is_ultra": float}
REASONS_COLUMN = "reasons"
MAX_REJECTS = 0.1  # of the rows; with more, the exit code is 1


def main(arguments: list[str] | None = None) -> int:
    """Score one file; returns 0, or 1 if too many rows were rejected.

    Output and rejects appear only if the whole file could be read, and then with both exit codes.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.language is not None and not options.explain:
        parser.error("expected --explain beside --language, found it without")
    format = format_of(options)
    rejects_path = options.rejects or rejects_beside(options.output)
    require_distinct(options.input, options.output, rejects_path)
    model = store.find(options.model)
    document = model.document()
    registered = document.threshold
    if options.threshold is not None:
        document = document.model_copy(update={"threshold": Threshold(value=options.threshold)})
    scorer = Scorer(document)
    explainer = Explainer(document, scorer, options.language or "en") if options.explain else None
    usual = None if options.accept_drift else model.profile()
    with open_table(options.input, format) as table:
        check_names(options.output, rejects_path, parquet=isinstance(table, ParquetReader))
        counts, first_reject = _score_table(table, options.output, rejects_path, scorer, explainer, usual)
    cli.say(_summary(options.input, options.output, rejects_path, counts))
    instead = "" if options.threshold is None else f", given with --threshold instead of the model's {registered}"
    cli.say(f"model: {model.tag}, threshold {scorer.threshold}{instead}")
    rejected = counts["rejected"] / counts["rows"]
    if rejected <= options.max_rejects and counts["scored"]:
        return cli.DONE
    limit = f"more than --max-rejects {options.max_rejects:.4g}" if counts["scored"] else "which is all of them"
    cli.warn(f"{counts['rejected']:,} of {counts['rows']:,} rows were rejected, {limit}; the first: {first_reject}")
    return cli.ANSWER_IS_NO


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="predict.py",
        description=(
            "Score a file of subscribers. Every row of the input goes either to the output, with "
            f"{' and '.join(NEW_COLUMNS)} added, or to the rejects, with its row number (from 1 after the header) and "
            "the reason. An empty feature cell is imputed with the training median."
        ),
        epilog="The input is CSV, also compressed with gzip, or Parquet. The output is CSV with the same separator and "
        "decimal sign, compressed if OUT ends in .gz; or Parquet, if the input is Parquet and OUT ends in .parquet. "
        "Exit code 0: done; 1: done, but too many rows were rejected, or all; 2: could not be done.",
    )
    parser.add_argument("--input", type=Path, required=True, metavar="IN", help="table with the four usage columns")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="file to write, once complete")
    parser.add_argument("--model", default=store.LATEST, metavar="TAG", help="registered model (default: %(default)s)")
    parser.add_argument(
        "--rejects", type=Path, metavar="FILE", help="CSV for rows that are not usage (default: OUT with .rejects.csv)"
    )
    parser.add_argument(
        "--max-rejects",
        type=cli.share,
        default=MAX_REJECTS,
        metavar="SHARE",
        help="largest share of rejected rows with which the exit code is 0: 0.1 or 10%% (default: %(default)s)",
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


def _score_table(
    table: TableReader,
    output_path: Path,
    rejects_path: Path,
    scorer: Scorer,
    explainer: Explainer | None,
    usual: ReferenceProfile | None,
) -> tuple[Counter[str], str | None]:
    """Score an open table into both files; returns counts, and which row was rejected first and why.

    Raises:
        TableError: the table cannot be scored, or its first chunk looks mistaken beside what is usual.
    """
    new = NEW_COLUMNS | ({} if explainer is None else {REASONS_COLUMN: str})
    positions = table.positions([table.format.column(name) for name in FEATURE_NAMES])
    taken = [name for name in new if name in [column.strip() for column in table.header]]
    if taken:
        raise TableError(f"{table.path}: expected no column named {', '.join(taken)}, which this command adds")
    counts: Counter[str] = Counter()
    first_reject: str | None = None
    with (
        replacing_table(output_path, table, new) as output,
        replacing_text(rejects_path, table, [*REJECT_COLUMNS, *table.header]) as rejects,
        tqdm(unit=" rows", unit_scale=True, disable=None, leave=False) as progress,
    ):
        for chunk in table.chunks():
            kept, features, rejected = _divide(chunk.rows, counts["rows"] + 1, table, positions)
            if usual is not None and not counts["rows"]:
                refuse_mistakes(table.path, features, usual, unread=(len(rejected), rejected[0][1] if rejected else ""))
            probabilities = scorer.probabilities(features)
            decisions = scorer.decide(features, probabilities)
            columns: list[list[NewCell]] = [decisions.tolist(), probabilities.tolist()]
            if explainer is not None:
                columns.append([" ".join(explainer.strongest((a, b, c, d))) for a, b, c, d in features.tolist()])
            output.write(chunk, kept, *columns)
            write_rows(rejects, rejected, table.format.sep)
            if rejected and first_reject is None:
                first_reject = f"row {rejected[0][0]}, {rejected[0][1]}"
            counts.update(
                {
                    "rows": len(chunk),
                    "rejected": len(rejected),
                    "ultra": int(decisions.sum()),
                    "scored": len(kept),
                    **{name: int(np.isnan(features[:, j]).sum()) for j, name in enumerate(FEATURE_NAMES)},
                }
            )
            progress.update(len(chunk))
        if not counts["rows"]:
            raise TableError(f"{table.path}: expected at least one row after the header, found none")
    return counts, first_reject


def _divide(
    rows: list[Row], first_row: int, table: TableReader, positions: list[int]
) -> tuple[list[int], FeatureMatrix, list[Row]]:
    """Divide the rows of a chunk: the positions of those that are usage, their features, and the rejects' rows."""
    width, decimal = len(table.header), table.format.decimal
    reasons: dict[int, list[str]] = {i: [wrong_width(row, width)] for i, row in enumerate(rows) if len(row) != width}
    whole = [i for i in range(len(rows)) if i not in reasons]
    features = np.empty((len(whole), len(FEATURE_NAMES)))
    remedies: dict[int, dict[str, None]] = {}
    for j, position in enumerate(positions):
        cells = [rows[i][position] for i in whole]
        features[:, j], bad = parse_usage(cells, decimal)
        for k in np.flatnonzero(bad).tolist():
            name = table.header[position].strip()
            reasons.setdefault(whole[k], []).append(f"{name}: {expected_usage(decimal)}, found {shortened(cells[k])}")
            if what_helps := remedy(cells[k], decimal):
                remedies.setdefault(whole[k], {})[what_helps] = None
    usable = np.array([i not in reasons for i in whole], dtype=bool)
    kept = [i for i, fits in zip(whole, usable, strict=True) if fits]
    sentences = {i: "; ".join([*found, *remedies.get(i, ())]) for i, found in reasons.items()}
    rejected = [[str(first_row + i), sentences[i], *fitted(rows[i], width)] for i in sorted(sentences)]
    return kept, features[usable], rejected


def _summary(source: Path, output: Path, rejects: Path, counts: Counter[str]) -> str:
    imputed = ", ".join(f"{counts[name]:,} in {name}" for name in FEATURE_NAMES if counts[name])
    smart = counts["scored"] - counts["ultra"]
    return (
        f"{source}: {counts['rows']:,} rows\n"
        f"{output}: {counts['scored']:,} scored, {counts['ultra']:,} {PLANS[1]} and {smart:,} {PLANS[0]}; "
        f"empty cells imputed: {imputed or 'none'}\n"
        f"{rejects}: {counts['rejected']:,} rejected"
    )
