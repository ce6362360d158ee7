"""The typed record of a registered model, stored as its BentoML metadata, and the names of its files."""

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator

from plan_recommender.model.features import FeatureSpec

MODEL_NAME = "plan_recommender"


PIPELINE_FILE = "saved_model.pkl"  # the name that bentoml.sklearn.load_model expects


DOCUMENT_FILE = "model.json"


REFERENCE_FILE = "reference.json"


TRAINING_ROWS_FILE = "training_rows.bin"


ROW_KEY = np.dtype("<u8")


MODEL_FILES = (PIPELINE_FILE, DOCUMENT_FILE, REFERENCE_FILE, TRAINING_ROWS_FILE)


class TrainingData(BaseModel):
    """The table a model was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    sha256: str
    rows: int
    training_rows: int
    training_ultra_share: float


class ModelRecord(BaseModel):
    """All that is known of a registered model, stored as its BentoML metadata."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[3] = 3
    trained_at: str
    features: list[FeatureSpec]
    target: str
    estimator: str
    seed: int
    data: TrainingData
    metrics: dict[str, Any]
    gate: list[dict[str, Any]]
    proof: dict[str, int | float]
    settings: dict[str, Any]
    versions: dict[str, str]
    digests: dict[str, str]

    @field_validator("digests")
    @classmethod
    def _are_of_every_file(cls, digests: dict[str, str]) -> dict[str, str]:
        if set(digests) != set(MODEL_FILES):
            raise ValueError(f"expected digests of {', '.join(MODEL_FILES)}")
        return digests
