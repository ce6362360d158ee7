"""What a model answers for many rows: the new columns of a scored table."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix
from plan_recommender.model.languages import Language
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.tables import ModelDocument

DECISION_COLUMN = "pred_is_ultra"
PROBABILITY_COLUMN = "proba_is_ultra"
REASONS_COLUMN = "reasons"


class Answers(NamedTuple):
    """The answers for some rows, each of shape (rows,)."""

    decisions: npt.NDArray[np.int64]
    """1 Ultra, 0 Smart."""
    probabilities: npt.NDArray[np.float64]
    """Of Ultra."""
    reasons: list[str] | None
    """The two strongest reasons of each row; None if they were not asked for."""


class Answerer:
    """Answers for rows with one model."""

    def __init__(self, document: ModelDocument, language: Language | None = None) -> None:
        """Arrange the model for look-ups; with a language, reasons are told in it."""
        self._scorer = Scorer(document)
        self._explainer = None
        if language is not None:
            from plan_recommender.model.explainer import Explainer  # its words would take a tenth of the start

            self._explainer = Explainer(document, self._scorer, language)
        reasons = [] if language is None else [REASONS_COLUMN]
        self.columns: list[str] = [DECISION_COLUMN, PROBABILITY_COLUMN, *reasons]
        """Names of the new columns."""

    @property
    def gives_reasons(self) -> bool:
        """Whether there is a column of reasons."""
        return self._explainer is not None

    def answer(self, features: FeatureMatrix) -> Answers:
        """Answer for rows of usage, shape (rows, 4), NaN where a value is missing.

        Columns that are contiguous in memory are fastest.
        """
        probabilities = self._scorer.probabilities(features)
        reasons = None
        if self._explainer is not None:
            reasons = [" ".join(self._explainer.strongest((a, b, c, d))) for a, b, c, d in features.tolist()]
        return Answers(self._scorer.decide(features, probabilities), probabilities, reasons)


def missing_values(features: FeatureMatrix) -> list[int]:
    """Count the rows in which each feature is missing."""
    if not np.isnan(features.min(initial=0.0)):  # usually, and found out in one step
        return [0] * len(FEATURE_NAMES)
    return [int(np.count_nonzero(np.isnan(features[:, j]))) for j in range(len(FEATURE_NAMES))]
