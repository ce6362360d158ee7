"""The typed record of a registered model, which is stored as its BentoML metadata, and the names of its files."""

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator

from plan_recommender.model.features import FeatureSpec

MODEL_NAME = "plan_recommender"


PIPELINE_FILE = "saved_model.pkl"
"""The fitted scikit-learn pipeline, under the name that `bentoml.sklearn.load_model` expects; no service opens it."""

DOCUMENT_FILE = "model.json"
"""The tables, which are the model."""

REFERENCE_FILE = "reference.json"
"""The reference profile of the training part, for drift."""

HABITS_FILE = "habits.json"
"""The profile of how subscribers' months vary, for the forecast of the next bill."""

TRAINING_ROWS_FILE = "training_rows.bin"
"""The keys of the rows that the model was trained on, each a `ROW_KEY`."""

TRAINING_SUBSCRIBERS_FILE = "training_subscribers.bin"
"""The keys of the subscribers that the model was trained on, each a `ROW_KEY`; only if the table says who they are."""

MODEL_FILES = (PIPELINE_FILE, DOCUMENT_FILE, REFERENCE_FILE, HABITS_FILE, TRAINING_ROWS_FILE)

NOT_SERVED = (PIPELINE_FILE, TRAINING_ROWS_FILE, TRAINING_SUBSCRIBERS_FILE)
"""The files that no service reads, so the image does not hold them."""

ROW_KEY = np.dtype("<u8")


class TrainingData(BaseModel):
    """The table that a model was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    sha256: str
    rows: int
    training_rows: int
    training_ultra_share: float
    groups: str | None = None
    """The column that says which subscriber a row belongs to; None: it is not known."""
    subscribers: int | None = None
    """In the whole table."""
    training_subscribers: int | None = None


class MonthsData(BaseModel):
    """The table of months from which the forecast learned how usage varies."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    sha256: str
    months: int
    subscribers: int


class ModelRecord(BaseModel):
    """Everything that is known about a registered model; a record without the digests of all its files is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[4] = 4
    trained_at: str
    features: list[FeatureSpec]
    target: str
    estimator: str
    seed: int
    data: TrainingData
    months: MonthsData
    advice: dict[str, int | float]
    """When a switch of plans is advised: a `billing.advice.AdvicePolicy`."""
    metrics: dict[str, Any]
    gate: list[dict[str, Any]]
    proof: dict[str, int | float]
    settings: dict[str, Any]
    versions: dict[str, str]
    code: str | None = None
    """SHA-256 of the code of this project that trained it; None: it was trained before this was recorded."""
    digests: dict[str, str]

    @field_validator("digests")
    @classmethod
    def _are_of_every_file(cls, digests: dict[str, str]) -> dict[str, str]:
        if set(digests) - {TRAINING_SUBSCRIBERS_FILE} != set(MODEL_FILES):
            raise ValueError(f"expected digests of {', '.join(MODEL_FILES)}")
        return digests
