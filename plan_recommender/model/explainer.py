"""The strongest reasons for a prediction as sentences, for a row of a file, whose values may be missing."""

from typing import Final

from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.model.languages import Language
from plan_recommender.model.logistic import logistic
from plan_recommender.model.reasons import Reasons, effect_points
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.sentences import Sentences
from plan_recommender.model.tables import ModelDocument

STRONGEST: Final = 2
"""Number of reasons that are told of a row."""


class Explainer:
    """Tells the strongest reasons of one model's predictions, in the sentences of `POST /explain`."""

    def __init__(self, document: ModelDocument, scorer: Scorer, language: Language = "en") -> None:
        """Prepare the look-ups and the sentences; `scorer` must have been made from the same document."""
        self._scorer = scorer
        self._reasons = Reasons(document, scorer)
        self._sentences = Sentences(document, language)

    def strongest(self, usage: tuple[float, float, float, float]) -> list[str]:
        """Give the sentences of the `STRONGEST` largest absolute contributions, the largest first.

        `usage` is in the order of `FEATURE_NAMES`; NaN is a missing value.
        """
        bins = self._scorer.bins(*usage)
        log_odds = self._scorer.log_odds_of(bins)
        probability = logistic(log_odds)
        contributions = self._reasons.contributions(bins)
        order = sorted(range(len(FEATURE_NAMES)), key=lambda i: abs(contributions[i]), reverse=True)
        return [
            self._sentences.words(
                i, usage[i], bins[i], contributions[i], effect_points(probability, log_odds, contributions[i])
            )[0]
            for i in order[:STRONGEST]
        ]
