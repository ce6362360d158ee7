"""Spark scores and advises with the bits of the commands for files, on local[2]."""

import math
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.sql.statement import Query, write_query
from plan_recommender.model.store import RegisteredModel
from tests.scoring.spark_session import local_spark

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    with local_spark(tmp_path_factory.mktemp("spark")) as session:
        yield session


def test_the_models_query_has_the_bits_of_the_scorer(
    spark: SparkSession, model: RegisteredModel, subscribers: FeatureMatrix
) -> None:
    document = model.document()
    rows = subscribers[:5_000].copy()
    for place, (feature, value) in enumerate((i, value) for i in range(4) for value in (math.nan, math.inf, -1.0)):
        rows[place, feature] = value
    usage = pa.table({name: pa.array(rows[:, i]) for i, name in enumerate(FEATURE_NAMES)})
    frame = spark.createDataFrame(usage.append_column("position", pa.array(range(len(rows)))))
    frame.createOrReplaceTempView("subscribers")
    found = spark.sql(write_query(document, Query("spark", "subscribers"))).toArrow().sort_by("position")
    assert found.column_names == [*FEATURE_NAMES, "position", "pred_is_ultra", "proba_is_ultra"]
    no_usage = np.isnan(rows).any(axis=1) | np.isinf(rows).any(axis=1) | (rows < 0).any(axis=1)
    scorer = Scorer(document)
    expected = scorer.probabilities(rows)
    assert found["proba_is_ultra"].is_null().to_pylist() == no_usage.tolist()
    assert found["proba_is_ultra"].drop_null().to_numpy().tobytes() == expected[~no_usage].tobytes()
    assert found["pred_is_ultra"].drop_null().to_pylist() == scorer.decide(rows, expected)[~no_usage].tolist()
