"""The code that MLflow runs to answer with a logged model: this file and the model's document, without a pickle.

MLflow executes this file ("models from code") in every process that loads the model.
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
"""The name of the document among the logged model's artifacts."""


class PlanModel(PythonModel):
    """Answers for a DataFrame of subscribers, with the same bits as the service."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model's document; ModelError if it is not one of this schema version."""
        self._scorer = Scorer(read_document(read_limited(Path(context.artifacts[DOCUMENT]))))

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Give `prediction` and `probability_is_ultra` of every row, under the input's index; NaN is a missing value.

        MLflow compares the input with the model's signature before, and refuses columns of whole numbers: convert them
        to doubles (`frame.astype(float)`).
        """
        features = model_input[list(FEATURE_NAMES)].to_numpy(dtype=np.float64)
        probabilities = self._scorer.probabilities(features)
        decisions = self._scorer.decide(features, probabilities)
        return pd.DataFrame({"prediction": decisions, "probability_is_ultra": probabilities}, index=model_input.index)


mlflow.models.set_model(PlanModel())
