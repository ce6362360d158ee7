"""What MLflow runs to answer with a logged model: this file and the model's document, and no pickle.

MLflow runs it as it is ("models from code") in whatever process loads the model.
"""

from pathlib import Path
from typing import Any

import mlflow.models
import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.tables import read_document, read_limited

DOCUMENT = "document"
"""Under this name MLflow keeps the document."""


class PlanModel(PythonModel):
    """Answers for a frame of subscribers as the service does."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the document."""
        self._scorer = Scorer(read_document(read_limited(Path(context.artifacts[DOCUMENT]))))

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Give `prediction` and `probability_is_ultra` of every row; NaN is a missing value.

        MLflow holds the frame against the model's signature first, and refuses columns of whole numbers: make them
        doubles (`frame.astype(float)`).
        """
        features = model_input[list(FEATURE_NAMES)].to_numpy(dtype=np.float64)
        probabilities = self._scorer.probabilities(features)
        decisions = self._scorer.decide(features, probabilities)
        return pd.DataFrame({"prediction": decisions, "probability_is_ultra": probabilities}, index=model_input.index)


mlflow.models.set_model(PlanModel())
