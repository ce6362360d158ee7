"""Score a CSV file of subscribers: every row comes back unchanged with two new columns, or among the rejects.

The file is read, scored and written in chunks, so that its size is not limited by memory.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.data.csv_file import EXPECTED_USAGE, Row, open_csv, parse_usage, shortened, write_rows
from plan_recommender.data.outputs import replacing, require_distinct
from plan_recommender.errors import TableError
from plan_recommender.model import store
from plan_recommender.model.explainer import Explainer
from plan_recommender.model.features import FEATURE_NAMES, PLANS
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.threshold import Threshold

NEW_COLUMNS = ("pred_is_ultra", "proba_is_ultra")
REASONS_COLUMN = "reasons"
REJECT_COLUMNS = ("row", "reason")


def main(arguments: list[str] | None = None) -> int:
    """Score one file; returns 0. Output and rejects appear only if the whole file could be read."""
    options = _parser().parse_args(arguments)
    output_path = options.output.resolve()
    rejects_path = options.rejects or options.output.parent / f"{output_path.stem}.rejects.csv"
    require_distinct(options.input, options.output, rejects_path)
    model = store.find(options.model)
    document = model.document()
    registered = document.threshold
    if options.threshold is not None:
        document = document.model_copy(update={"threshold": Threshold(value=options.threshold)})
    scorer = Scorer(document)
    explainer = Explainer(document, scorer) if options.explain else None
    new_columns = [*NEW_COLUMNS, *([REASONS_COLUMN] if explainer else [])]
    counts: Counter[str] = Counter()
    with open_csv(options.input) as table, replacing(options.output) as output, replacing(rejects_path) as rejects:
        positions = table.positions(FEATURE_NAMES)
        taken = [name for name in new_columns if name in [column.strip() for column in table.header]]
        if taken:
            raise TableError(f"{options.input}: expected no column named {', '.join(taken)}, which this command adds")
        write_rows(output, [[*table.header, *new_columns]])
        write_rows(rejects, [[*REJECT_COLUMNS, *table.header]])
        with tqdm(unit=" rows", unit_scale=True, disable=None, leave=False) as progress:
            for chunk in table.chunks():
                good, bad = _score(chunk, counts["rows"] + 1, len(table.header), positions, scorer, explainer, counts)
                write_rows(output, good)
                write_rows(rejects, bad)
                progress.update(len(chunk))
        if not counts["rows"]:
            raise TableError(f"{options.input}: expected at least one row after the header, found none")
    cli.say(_summary(options.input, options.output, rejects_path, counts))
    instead = "" if options.threshold is None else f", given with --threshold instead of the model's {registered}"
    cli.say(f"model: {model.tag}, threshold {scorer.threshold}{instead}")
    return cli.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="predict.py",
        description=(
            "Score a CSV file of subscribers. Every row of the input goes either to the output, with "
            f"{' and '.join(NEW_COLUMNS)} added, or to the rejects, with its row number (from 1 after the header) and "
            "the reason. An empty feature cell is imputed with the training median."
        ),
    )
    parser.add_argument("--input", type=Path, required=True, metavar="IN", help="CSV with the four usage columns")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="CSV to write, once complete")
    parser.add_argument("--model", default=store.LATEST, metavar="TAG", help="registered model (default: %(default)s)")
    parser.add_argument(
        "--rejects", type=Path, metavar="FILE", help="CSV for rows that are not usage (default: OUT with .rejects.csv)"
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
    return parser


def _score(
    chunk: list[Row],
    first_row: int,
    width: int,
    positions: list[int],
    scorer: Scorer,
    explainer: Explainer | None,
    counts: Counter[str],
) -> tuple[list[Row], list[Row]]:
    """Divide a chunk into scored rows and rejected rows, both with their new columns, and count them in `counts`.

    Scored rows get their reasons if there is an explainer.
    """
    reasons: dict[int, list[str]] = {i: [_wrong_width(row, width)] for i, row in enumerate(chunk) if len(row) != width}
    whole = [i for i in range(len(chunk)) if i not in reasons]
    features = np.empty((len(whole), len(FEATURE_NAMES)))
    for j, name in enumerate(FEATURE_NAMES):
        cells = [chunk[i][positions[j]] for i in whole]
        features[:, j], bad = parse_usage(cells)
        for k in np.flatnonzero(bad).tolist():
            reasons.setdefault(whole[k], []).append(f"{name}: {EXPECTED_USAGE}, found {shortened(cells[k])}")
    usable = np.array([i not in reasons for i in whole], dtype=bool)
    features = features[usable]
    probabilities = scorer.probabilities(features)
    decisions = scorer.decide(features, probabilities)
    counts.update(
        {
            "rows": len(chunk),
            "rejected": len(reasons),
            "ultra": int(decisions.sum()),
            "scored": len(decisions),
            **{name: int(np.isnan(features[:, j]).sum()) for j, name in enumerate(FEATURE_NAMES)},
        }
    )
    kept = (i for i, fits in zip(whole, usable, strict=True) if fits)
    answers = zip(kept, decisions.tolist(), probabilities.tolist(), strict=True)
    good = [[*chunk[i], str(decision), repr(probability)] for i, decision, probability in answers]
    if explainer is not None:
        for row, (calls, minutes, messages, mb_used) in zip(good, features.tolist(), strict=True):
            row.append(" ".join(explainer.strongest((calls, minutes, messages, mb_used))))
    rejected = [[str(first_row + i), "; ".join(reasons[i]), *_fitted(chunk[i], width)] for i in sorted(reasons)]
    return good, rejected


def _wrong_width(row: Row, width: int) -> str:
    beyond = f"; beyond them: {', '.join(map(repr, row[width:]))}" if len(row) > width else ""
    return f"expected {width} cells, found {len(row)}{beyond}"


def _fitted(row: Row, width: int) -> Row:
    return (row + [""] * width)[:width]


def _summary(source: Path, output: Path, rejects: Path, counts: Counter[str]) -> str:
    imputed = ", ".join(f"{counts[name]:,} in {name}" for name in FEATURE_NAMES if counts[name])
    smart = counts["scored"] - counts["ultra"]
    return (
        f"{source}: {counts['rows']:,} rows\n"
        f"{output}: {counts['scored']:,} scored, {counts['ultra']:,} {PLANS[1]} and {smart:,} {PLANS[0]}; "
        f"empty cells imputed: {imputed or 'none'}\n"
        f"{rejects}: {counts['rejected']:,} rejected"
    )


if __name__ == "__main__":
    cli.run(main)
