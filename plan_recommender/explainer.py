"""Why this answer: how much each feature of one subscriber moved the model's log-odds, exactly.

The contributions are interventional Shapley values (Lundberg and Lee, "A Unified Approach to Interpreting Model
Predictions", 2017; Janzing, Minorics and Blöbaum, "Feature relevance quantification in explainable AI: A causal
problem", 2020). With S the features taken from the subscriber x, and the others from a row b of the background,

    v(S) = sum over b of weight(b) * log_odds(x on S, b elsewhere)

and the contribution of a feature is its mean v(S with it) - v(S without it) over all orders in which the features can
join S. Four features have 16 coalitions, so nothing is sampled: the values are exact for the background.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from plan_recommender.errors import ModelError
from plan_recommender.scorer import Scorer
from plan_recommender.usage import FEATURE_NAMES, CustomerUsage, FeatureMatrix, matrix

MOST_CENTRES: Final = 64
"""Most rows of a background: a request scores 14 times as many, 896, which keeps it within milliseconds."""

_FEATURES: Final = len(FEATURE_NAMES)


class Background(BaseModel):
    """The months that a subscriber is compared with: few, made up, weighted, and stored with the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    centres: Annotated[list[CustomerUsage], Field(min_length=1, max_length=MOST_CENTRES)]
    weights: Annotated[
        list[Annotated[float, Field(gt=0, le=1)]], Field(description="share of the subscribers near each centre; sum 1")
    ]
    typical: Annotated[CustomerUsage, Field(description="median of each feature")]

    @field_validator("weights")
    @classmethod
    def _sum_to_one(cls, weights: list[float]) -> list[float]:
        if not math.isclose(math.fsum(weights), 1, rel_tol=1e-9):
            raise ValueError(f"expected weights that sum to 1, found a sum of {math.fsum(weights)!r}")
        return weights

    @model_validator(mode="after")
    def _has_a_weight_for_each_centre(self) -> "Background":
        if len(self.weights) != len(self.centres):
            raise ValueError(f"expected {len(self.centres)} weights, one a centre, found {len(self.weights)}")
        return self


@dataclass(frozen=True)
class Attribution:
    """One prediction taken apart: `log_odds` is `base_value` plus the sum of `contributions`, but for rounding."""

    log_odds: float
    base_value: float
    contributions: npt.NDArray[np.float64]
    """Shape (4,), in the order of `FEATURE_NAMES`, in log-odds of Ultra."""


class Explainer:
    """Takes the predictions of one scorer apart, against one background."""

    def __init__(self, scorer: Scorer, background: Background) -> None:
        """Score the background.

        Raises:
            ModelError: the scorer cannot.
        """
        self.background = background
        self._scorer = scorer
        self._centres = matrix(background.centres)
        self._weights = np.array(background.weights)
        self._base_value = float(self._log_odds(self._centres) @ self._weights)

    def explain(self, features: FeatureMatrix) -> Attribution:
        """Take the prediction for one row, shape (1, 4), apart.

        Raises:
            ModelError: the scorer cannot answer.
        """
        # The row by itself, as a prediction scores it: in a batch, a matrix product may round its last bit otherwise.
        alone = float(self._log_odds(features)[0])
        mixed = np.where(_MEMBERS[1:-1, np.newaxis, :], features, self._centres)
        answers = self._log_odds(mixed.reshape(-1, _FEATURES)).reshape(mixed.shape[:2])
        values = np.concatenate([[self._base_value], answers @ self._weights, [alone]])
        return Attribution(log_odds=alone, base_value=self._base_value, contributions=_SHAPLEY @ values)

    def _log_odds(self, features: FeatureMatrix) -> npt.NDArray[np.float64]:
        try:
            log_odds = self._scorer.log_odds(features)
        except Exception as error:  # ONNX Runtime raises a class of its own for each of its status codes
            raise ModelError(f"expected the scorer to answer for {len(features)} rows, found: {error}") from error
        if not np.isfinite(log_odds).all():
            raise ModelError(f"expected finite log-odds of {len(features)} rows, found some that are not a number")
        return log_odds


def _members(features: int) -> npt.NDArray[np.bool_]:
    """Which features each coalition holds, shape (2 ** features, features); the first is empty, the last full."""
    return np.array([[number >> feature & 1 == 1 for feature in range(features)] for number in range(2**features)])


def _shapley(members: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The linear map from the coalitions' values to the features' Shapley values, shape (features, coalitions).

    Shapley ("A Value for n-Person Games", 1953): of all n! orders, (s - 1)! (n - s)! let a given feature be the last to
    join a coalition of s, itself counted.
    """
    n = members.shape[1]
    last = [math.factorial(s - 1) * math.factorial(n - s) / math.factorial(n) for s in range(1, n + 1)]
    return np.array(
        [
            [last[sum(held) - 1] if held[feature] else -last[sum(held)] for held in members.tolist()]
            for feature in range(n)
        ]
    )


_MEMBERS: Final = _members(_FEATURES)
_SHAPLEY: Final = _shapley(_MEMBERS)
