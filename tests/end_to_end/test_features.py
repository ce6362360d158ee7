"""One definition of the features: configuration, request schema, table and fitted pipeline name the same, in order."""

import csv
import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import bentoml
import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from plan_recommender.config.settings import Settings
from plan_recommender.data.csv_table import read_labelled
from plan_recommender.model.features import FEATURE_NAMES, FEATURES, TARGET, CustomerUsage, matrix
from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.model.record import DOCUMENT_FILE
from plan_recommender.model.store import find
from plan_recommender.serving.schemas import MAX_BATCH_ROWS, UsageBatch
from plan_recommender.training.candidates import PREPROCESSOR, USAGE, frame
from tests.conftest import GOOD, HEADER, TrainedModel
from tools.server import ROOT

THE_FEATURES = ["calls", "minutes", "messages", "mb_used"]
UNITS = ["calls / month", "minutes / month", "SMS / month", "MB / month"]


def test_configuration_names_the_features_in_order() -> None:
    document = yaml.safe_load((ROOT / "model_config.yaml").read_text(encoding="utf-8"))
    assert (document["features"], document["target"]) == (THE_FEATURES, "is_ultra")
    assert (Settings().features, Settings().target) == (THE_FEATURES, "is_ultra")


def test_request_schema_names_the_features_in_order() -> None:
    schema = CustomerUsage.model_json_schema()
    assert list(schema["properties"]) == THE_FEATURES
    assert schema["required"] == THE_FEATURES
    assert schema["additionalProperties"] is False
    assert list(FEATURE_NAMES) == THE_FEATURES


def test_every_feature_has_its_unit_and_a_minimum_of_zero() -> None:
    assert [(f.name, f.unit, f.minimum) for f in FEATURES] == list(zip(THE_FEATURES, UNITS, [0] * 4, strict=True))


def test_shipped_table_has_the_features_and_the_target_in_order(trained: TrainedModel) -> None:
    with trained.data.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == [*THE_FEATURES, "is_ultra"] == HEADER.split(",")


def test_fitted_pipeline_names_the_features_in_order(trained: TrainedModel) -> None:
    pipeline = bentoml.sklearn.load_model(trained.tag)
    assert pipeline.feature_names_in_.tolist() == THE_FEATURES
    assert pipeline.named_steps[PREPROCESSOR].feature_names_in_.tolist() == THE_FEATURES


def test_the_fitted_imputer_refuses_columns_in_another_order(trained: TrainedModel) -> None:
    usage = bentoml.sklearn.load_model(trained.tag).named_steps[PREPROCESSOR].named_transformers_[USAGE]
    assert usage.transform(frame(np.ones((1, 4)))).shape == (1, 4)
    with pytest.raises(ValueError, match="same order"):
        usage.transform(frame(np.ones((1, 4)), ["minutes", "calls", "messages", "mb_used"]))


def test_registered_record_and_reference_name_the_features_in_order(trained: TrainedModel) -> None:
    model = find(trained.tag)
    assert [feature.name for feature in model.record.features] == THE_FEATURES
    assert model.record.target == TARGET == "is_ultra"
    reference = ReferenceProfile.model_validate_json(model.reference())
    assert [feature.name for feature in reference.features] == THE_FEATURES


def test_the_model_document_names_the_features_with_their_units_in_order(trained: TrainedModel) -> None:
    document = json.loads((find(trained.tag).path / DOCUMENT_FILE).read_text())
    assert [(feature["name"], feature["unit"]) for feature in document["features"]] == list(
        zip(THE_FEATURES, UNITS, strict=True)
    )
    assert [tuple(pair["features"]) for pair in document["maps"]] == list(combinations(THE_FEATURES, 2))
    assert document["target"] == "is_ultra"


def test_one_row_and_a_matrix_are_scored_in_the_order_of_the_features(trained: TrainedModel) -> None:
    scorer = find(trained.tag).scorer()
    rows = read_labelled(trained.data).features[:50]
    assert [scorer.recommend(*row)[1] for row in rows.tolist()] == scorer.probabilities(rows).tolist()
    assert scorer.recommend(**GOOD)[1] == scorer.recommend(*[GOOD[name] for name in THE_FEATURES])[1]
    backwards = scorer.probabilities(rows[:, ::-1])
    assert (backwards != scorer.probabilities(rows)).any()  # the control: the order matters


def test_a_request_is_laid_out_in_the_order_of_the_features_however_it_was_sent() -> None:
    sent = CustomerUsage.model_validate_json('{"mb_used": 4, "messages": 3, "minutes": 2, "calls": 1}')
    assert matrix([sent, sent]).tolist() == [[1, 2, 3, 4], [1, 2, 3, 4]]


def test_a_table_is_laid_out_in_the_order_of_the_features_however_it_was_written(table: Callable[..., Path]) -> None:
    path = table("0,4,id7,3,2,1", header="is_ultra,mb_used,subscriber,messages,minutes,calls")
    assert read_labelled(path).features.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("name", THE_FEATURES)
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("-1", "greater_than_equal"),
        ("-1e-300", "greater_than_equal"),
        ("1e999", "finite_number"),
        ("NaN", "finite_number"),
        ("Infinity", "finite_number"),
        ('"85"', "float_type"),
        ("true", "float_type"),
        ("null", "float_type"),
        ("[1]", "float_type"),
    ],
)
def test_a_request_with_a_value_that_is_not_usage_is_refused(name: str, value: str, kind: str) -> None:
    body = json.dumps(GOOD | {name: "#"}).replace('"#"', value)
    with pytest.raises(ValidationError) as caught:
        CustomerUsage.model_validate_json(body)
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [((name,), kind)]


@pytest.mark.parametrize("name", THE_FEATURES)
def test_a_request_without_a_feature_is_refused(name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CustomerUsage.model_validate({key: value for key, value in GOOD.items() if key != name})
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [((name,), "missing")]


def test_a_request_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        CustomerUsage.model_validate(GOOD | {"is_ultra": 1})
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [(("is_ultra",), "extra_forbidden")]


@pytest.mark.parametrize(("rows", "kind"), [(0, "too_short"), (MAX_BATCH_ROWS + 1, "too_long")])
def test_a_batch_holds_one_to_ten_thousand_rows(rows: int, kind: str) -> None:
    assert MAX_BATCH_ROWS == 10_000
    assert len(UsageBatch.model_validate({"rows": [GOOD] * max(1, rows - 1)}).rows) == max(1, rows - 1)
    with pytest.raises(ValidationError) as caught:
        UsageBatch.model_validate({"rows": [GOOD] * rows})
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [(("rows",), kind)]


def test_a_batch_names_the_row_that_is_wrong() -> None:
    with pytest.raises(ValidationError) as caught:
        UsageBatch.model_validate({"rows": [GOOD, GOOD | {"calls": -1}]})
    assert [error["loc"] for error in caught.value.errors()] == [("rows", 1, "calls")]
