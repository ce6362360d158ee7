"""Print a registered model as one SQL query, which scores a table where it is.

usage: python -m plan_recommender.model.sql --dialect DIALECT [--table NAME]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("plan_recommender.model.sql.__main__")

import argparse
from pathlib import Path
from typing import Final

from plan_recommender import cli
from plan_recommender.data.outputs import replacing
from plan_recommender.data.table_options import add_map_option, format_of
from plan_recommender.model import store
from plan_recommender.model.features import FEATURES
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.model.sql.statement import DIALECTS, Query, write_query
from plan_recommender.model.threshold import Threshold

TABLE: Final = "subscribers"


def main(arguments: list[str] | None = None) -> int:
    """Print the query, or write it to a file."""
    options = _parser().parse_args(arguments)
    columns = format_of(options).map
    model = store.find(options.model)
    document = model.document()
    if options.threshold is not None:
        document = document.model_copy(update={"threshold": Threshold(value=options.threshold)})
    query = Query(options.dialect, options.table, columns, options.impute)
    text = f"{_comment(model, str(document.threshold), query)}\n{write_query(document, query)}"
    if options.output is None:
        cli.say(text.rstrip("\n"))
        return cli.DONE
    with replacing(options.output) as file:
        file.write(text)
    cli.say(f"{options.output}: the model {model.tag} for {query.dialect}, to score {query.table}")
    return cli.DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m plan_recommender.model.sql",
        description="Print a registered model as one SQL query: every row of a table with all its columns, "
        "pred_is_ultra and proba_is_ultra. Both are NULL where a usage column holds no usage, and where it is NULL.",
        epilog="Put CREATE VIEW or CREATE TABLE before it to keep the result. Exit code 0: done; 2: could not be done.",
    )
    parser.add_argument("--dialect", required=True, choices=DIALECTS, help="of the engine that runs the query")
    parser.add_argument(
        "--table", default=TABLE, metavar="NAME",
        help="the table to score, as the engine writes its name, with any quotes that it wants (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--impute", action="store_true",
        help="score a usage column that is NULL with the training median, as predict.py does with an empty cell",
    )  # fmt: skip
    parser.add_argument("--model", default=store.LATEST, metavar="TAG", help="registered model (default: %(default)s)")
    parser.add_argument(
        "--threshold", type=cli.probability, metavar="P",
        help="recommend Ultra from this probability on, to everybody, instead of the model's threshold or thresholds",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the query there instead of printing it")
    add_map_option(parser)
    parser.set_defaults(sep=None, decimal=None)
    return parser


def _comment(model: store.RegisteredModel, threshold: str, query: Query) -> str:
    """Say which model the query is, and what it expects of the table."""
    columns = ", ".join(f"{query.columns.get(f.name, f.name)} ({f.unit})" for f in FEATURES)
    missing = "is scored with the training median" if query.impute else "gives the row no score: both columns are NULL"
    lines = [
        f"Model {model.tag}, threshold {threshold}, for {query.dialect}.",
        f"SHA-256 of its document: {model.record.digests[DOCUMENT_FILE]}",
        f"It expects numbers in {columns}.",
        f"A missing value {missing}.",
        "A value that is negative, infinite or not a number gives the row no score.",
        "If the table has a column pred_is_ultra or proba_is_ultra already, leave it out first: engines may keep",
        "the old one under this name.",
    ]
    return "\n".join(f"-- {line}" for line in lines)
