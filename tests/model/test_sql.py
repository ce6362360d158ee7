"""The model as SQL: duckdb scores a table with the bits of the scorer, and without a score where there is no usage."""

import csv
import math
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import example, given, settings
from hypothesis import strategies as st

import predict
from plan_recommender.errors import ConfigError
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.model.logistic import INVERSE_LN2
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.sql.__main__ import main
from plan_recommender.model.sql.statement import DIALECTS, INPUT, LINE, Dialect, Query, number, write_query
from plan_recommender.model.store import RegisteredModel
from plan_recommender.model.tables import ModelDocument, rounded
from plan_recommender.model.threshold import SegmentThresholds, Threshold
from tests.conftest import Command
from tests.training.candidates import fitted, shipped

PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)
NO_USAGE = (math.nan, -math.inf, -1e-300, math.inf)
MONTH = [85, 516.7, 56, 22696.96]
Rows = Sequence[Sequence[float | None]]


@pytest.fixture(scope="module")
def small() -> ModelDocument:
    return fitted("binned_logistic", shipped().features[:500], shipped().target[:500], bins=3).document


def hostile(document: ModelDocument) -> FeatureMatrix:
    """Every cut of every feature and the doubles on both sides of it, and the ends of what usage can be."""
    ends = [0.0, -0.0, 5e-324, 1e308, float(np.finfo(np.float64).max)]
    medians = [feature.median for feature in document.features]
    rows = [list(row) for row in product(ends, repeat=4)]
    for i, feature in enumerate(document.features):
        for cut in feature.cuts:
            near = (math.nextafter(cut, -math.inf), cut, math.nextafter(cut, math.inf))
            rows += [[*medians[:i], max(value, 0.0), *medians[i + 1 :]] for value in near]
    return np.array(rows)


def scored(query: str, rows: Rows) -> tuple[list[int | None], list[float | None]]:
    """Let duckdb score a table `subscribers` of these rows, in which None is NULL; predictions and probabilities."""
    columns = zip(*rows, strict=True)
    usage = pa.table(
        {name: pa.array(column, pa.float64()) for name, column in zip(FEATURE_NAMES, columns, strict=True)}
    )
    with duckdb.connect() as connection:
        connection.register("subscribers", usage.append_column("position", pa.array(range(len(rows)))))
        found = connection.execute(f"SELECT pred_is_ultra, proba_is_ultra FROM ({query}) ORDER BY position").fetchall()  # noqa: S608
    return [prediction for prediction, _ in found], [probability for _, probability in found]


def check(document: ModelDocument, features: FeatureMatrix) -> None:
    scorer = Scorer(document)
    probabilities = scorer.probabilities(features)
    predictions, found = scored(write_query(document, Query("duckdb", "subscribers")), features.tolist())
    assert np.array(found, dtype=np.float64).tobytes() == probabilities.tobytes()
    assert predictions == scorer.decide(features, probabilities).tolist()


def test_every_row_has_the_bits_of_the_scorer(model: RegisteredModel, subscribers: FeatureMatrix) -> None:
    document = model.document()
    check(document, np.concatenate([subscribers, hostile(document)]))


def test_a_segment_has_its_threshold(model: RegisteredModel, subscribers: FeatureMatrix) -> None:
    bounds = [9_000.0, 20_000.0]
    segments = SegmentThresholds(feature="mb_used", bounds=bounds, thresholds=[0.1, 0.3, 0.8])
    document = model.document().model_copy(update={"threshold": Threshold(value=0.5, segments=segments)})
    at_bounds = np.repeat(subscribers[:1], 4, axis=0)
    at_bounds[:, 3] = [value for bound in bounds for value in (math.nextafter(bound, 0), bound)]
    check(document, np.concatenate([subscribers[:2_000], at_bounds]))


@pytest.mark.slow
@PROPERTY
@given(constant=st.floats(-120, 120), halves=st.integers(-170, 170), steps=st.integers(-3, 3))
@example(constant=0.0, halves=0, steps=0)
def test_log_odds_of_any_size_have_the_bits_of_the_scorer(
    small: ModelDocument, constant: float, halves: int, steps: int
) -> None:
    """Also those beside which the number of halvings changes, where an engine's own rounding would show."""
    subscriber = np.array([MONTH])
    besides = Scorer(small).log_odds(subscriber)[0] - small.constant
    tie = (halves + 0.5) / INVERSE_LN2 + steps * 2.0**-44 - besides
    for value in (constant, tie):
        check(small.model_copy(update={"constant": float(rounded(value))}), subscriber)


def test_a_row_with_what_is_no_usage_has_no_score(model: RegisteredModel) -> None:
    rows = [[*MONTH[:i], value, *MONTH[i + 1 :]] for i in range(4) for value in NO_USAGE]
    for impute in (False, True):
        query = write_query(model.document(), Query("duckdb", "subscribers", impute=impute))
        assert scored(query, rows) == ([None] * 16, [None] * 16)


def test_a_missing_value_has_no_score_unless_it_is_imputed(model: RegisteredModel) -> None:
    document = model.document()
    rows: Rows = [[None, *MONTH[1:]], [*MONTH[:1], None, None, None], [None] * 4]
    missing = np.array([[math.nan if value is None else value for value in row] for row in rows])
    expected = Scorer(document).probabilities(missing).tolist()
    assert scored(write_query(document, Query("duckdb", "subscribers")), rows) == ([None] * 3, [None] * 3)
    assert scored(write_query(document, Query("duckdb", "subscribers", impute=True)), rows)[1] == expected


@given(value=st.floats(min_value=0, allow_infinity=False))
@example(value=5e-324)
@example(value=float(np.finfo(np.float64).max))
@example(value=2.0**-44)
@PROPERTY
def test_a_number_is_read_as_the_same_double(value: float) -> None:
    found = duckdb.execute(f"SELECT {number(value)}, typeof({number(value)})").fetchall()
    assert found == [(value, "DOUBLE")]


def test_a_whole_file_is_scored_as_predict_scores_it(
    model: RegisteredModel, command: Command, table: Callable[..., Path], tmp_path: Path
) -> None:
    """The query with --impute, over the columns as duckdb reads them; what predict.py rejects has no score."""
    lines = [f"{i},{','.join(map(repr, row))}" for i, row in enumerate(shipped().features[:300].tolist())]
    odd = ["300,,516.7,56,22696.96", "301,85,-1,56,22696.96", "302,85,516.7,inf,22696.96", "303,,,,"]
    path = table(*lines, *odd, header="id,calls,call_minutes,messages,mb_used")
    output, query = tmp_path / "scored.csv", tmp_path / "query.sql"
    mapped = ["--map", "minutes=call_minutes"]
    assert command(predict.main, "--input", path, "--output", output, "--model", model.tag, *mapped).code == 0
    answer = command(main, "--dialect", "duckdb", "--table", f"'{path}'", "--impute", "--output", query, *mapped)
    assert (answer.code, answer.err) == (0, "")
    with output.open(newline="") as file:
        expected = {
            int(row["id"]): (int(row["pred_is_ultra"]), float(row["proba_is_ultra"])) for row in csv.DictReader(file)
        }
    found = duckdb.execute(query.read_text()).fetchall()
    assert {row[0]: row[-2:] for row in found if row[-1] is not None} == expected
    assert sorted(row[0] for row in found if row[-2:] == (None, None)) == [301, 302]
    assert len(found) == len(lines) + len(odd)


def test_the_query_says_which_model_it_is(model: RegisteredModel, command: Command) -> None:
    answer = command(main, "--dialect", "spark", "--table", "usage.months", "--model", model.tag, "--threshold", "0.3")
    assert answer.code == 0
    comment = [line.removeprefix("-- ") for line in answer.out.splitlines() if line.startswith("-- ")]
    assert comment[0] == f"Model {model.tag}, threshold 0.3, for spark."
    assert comment[1] == f"SHA-256 of its document: {model.record.digests[DOCUMENT_FILE]}"
    assert f"FROM usage.months AS {INPUT}" in answer.out
    assert answer.out.split("binned AS")[1].count("0.3e0 AS threshold") == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_is_one_query_of_its_grammar(small: ModelDocument, dialect: Dialect) -> None:
    query = write_query(small, Query(dialect, "subscribers", {"minutes": "call minutes"}))
    (parsed,) = sqlglot.parse(query, read=dialect)
    assert isinstance(parsed, sqlglot.exp.Select)
    assert [column.alias_or_name for column in parsed.selects] == ["*", "pred_is_ultra", "proba_is_ultra"]
    with pytest.raises(sqlglot.ParseError):  # the control
        sqlglot.parse(query.replace("END", "", 1), read=dialect)


def test_bigquerys_query_means_what_duckdbs_does(small: ModelDocument, subscribers: FeatureMatrix) -> None:
    """As sqlglot translates it; BigQuery itself is not at hand."""
    query = write_query(small, Query("bigquery", "subscribers"))
    (translated,) = sqlglot.transpile(query, "bigquery", "duckdb")
    rows = subscribers[:500]
    assert scored(translated, rows.tolist())[1] == Scorer(small).probabilities(rows).tolist()


def test_a_query_is_short_enough_for_bigquery_and_editors(model: RegisteredModel) -> None:
    query = write_query(model.document(), Query("bigquery", "subscribers"))
    assert len(query) < 500_000
    assert max(map(len, query.splitlines())) <= LINE


@pytest.mark.parametrize(
    "name",
    [
        "", "a; DROP TABLE b", "a -- b", "a /* b", "a\nb", "'a'; DROP TABLE 'b'", "'a\n;b'", '"a" -- "b"', "`a` /* `b`",
        "/* it's */ a; b 's", r"'\' ; DROP TABLE b -- '", "$$it's$$ ; $$it's$$", "'''a'b''' ; '''c'd'''",
    ],
)  # fmt: skip
def test_a_name_that_ends_the_query_is_refused(small: ModelDocument, name: str) -> None:
    with pytest.raises(ConfigError, match="expected the name of a table"):
        write_query(small, Query("duckdb", name))


def test_a_query_in_brackets_may_have_any_sign_in_its_quotes(small: ModelDocument) -> None:
    table = """(SELECT *, 'it''s -- "/* ' AS "a;b--" FROM subscribers WHERE 'a;b' <> '--')"""
    with duckdb.connect() as connection:
        connection.register("subscribers", pa.table(dict(zip(FEATURE_NAMES, ([v] for v in MONTH), strict=True))))
        (row,) = connection.execute(write_query(small, Query("duckdb", table))).fetchall()
    assert row == (*MONTH, "it's -- \"/* ", *Scorer(small).recommend(*MONTH)[:2])


def test_a_column_keeps_its_quotes(small: ModelDocument) -> None:
    columns = {"minutes": 'call "minutes"', "calls": "SELECT"}
    query = write_query(small, Query("duckdb", "months", columns))
    with duckdb.connect() as connection:
        connection.execute(
            'CREATE TABLE months AS SELECT 85 "SELECT", 516.7 "call ""minutes""", 56 messages, 22696.96 mb_used'
        )
        assert connection.execute(query).fetchall()[0][-1] == Scorer(small).recommend(*MONTH)[1]
    with pytest.raises(ConfigError, match="expected the name of a column"):
        write_query(small, Query("duckdb", "months", {"calls": "a\nb"}))
    with pytest.raises(ConfigError, match="expected the name of a column"):
        write_query(small, Query("bigquery", "months", {"calls": "a`b"}))


@pytest.mark.parametrize("dialect", ["duckdb", "bigquery"])
@pytest.mark.parametrize("value", ["7", "{'calls': 1, 'note': 'x'}", f"{{'{INPUT}': 2, 'calls': 3}}"])
def test_columns_may_have_the_names_that_the_query_uses(small: ModelDocument, dialect: Dialect, value: str) -> None:
    """A number, a struct with a feature, and a struct with a field that is named as the query names the table."""
    query = sqlglot.transpile(write_query(small, Query(dialect, "subscribers")), dialect, "duckdb")[0]
    names = ["input", "source", "given", "usable", "probability", "subscribers"]
    others = ", ".join(f"{value} AS {name}" for name in names)
    with duckdb.connect() as connection:
        connection.execute(
            f"CREATE TABLE subscribers AS SELECT 85 AS calls, 516.7 AS minutes, 56 AS messages, 22696.96 AS mb_used, "
            f"{others}"
        )
        (given,) = connection.execute("SELECT * FROM subscribers").fetchall()
        found = connection.execute(query)
        columns = [column[0] for column in found.description or ()]
        (row,) = found.fetchall()
    assert columns == [*FEATURE_NAMES, *names, "pred_is_ultra", "proba_is_ultra"]
    assert row == (*given, *Scorer(small).recommend(*MONTH)[:2])


def test_a_table_that_was_scored_before_is_scored_without_its_old_columns(small: ModelDocument) -> None:
    """As docs/warehouse.md writes it; the control shows what duckdb keeps otherwise."""
    expected = Scorer(small).recommend(*MONTH)[1]
    with duckdb.connect() as connection:
        usage = dict(zip(FEATURE_NAMES, ([value] for value in MONTH), strict=True))
        connection.register("scored", pa.table(usage | {"pred_is_ultra": [7], "proba_is_ultra": [7.0]}))
        table = "(SELECT * EXCLUDE (pred_is_ultra, proba_is_ultra) FROM scored)"
        found = {}
        for name in (table, "scored"):
            query = write_query(small, Query("duckdb", name))
            connection.execute(f"CREATE OR REPLACE TABLE again AS {query}")
            found[name] = connection.execute("SELECT proba_is_ultra FROM again").fetchall()
    assert found == {table: [(expected,)], "scored": [(7.0,)]}
