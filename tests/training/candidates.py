"""Every candidate that can be the champion, fitted and compiled, on the shipped table and on odd ones."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel
from sklearn.pipeline import Pipeline

from plan_recommender.config.estimators import BinnedLogisticSettings, BoostedTreesSettings
from plan_recommender.config.settings import Candidate, Settings
from plan_recommender.data.csv_table import LabelledTable, read_labelled
from plan_recommender.evaluation.metrics import Labels
from plan_recommender.model.features import FeatureMatrix
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.tables import ModelDocument, Values
from plan_recommender.model.threshold import Threshold
from plan_recommender.training.candidates import fit, log_odds
from plan_recommender.training.compiler import compile_pipeline
from tools.server import ROOT

FAMILIES: tuple[Candidate, ...] = ("binned_logistic", "boosted_trees", "average")
HALF = Threshold(value=0.5)


@dataclass(frozen=True)
class Fitted:
    """A fitted pipeline, and what it was compiled to."""

    pipeline: Pipeline
    document: ModelDocument
    scorer: Scorer

    def expected(self, features: FeatureMatrix) -> Values:
        """The log-odds that scikit-learn answers, shape (rows,)."""
        return log_odds(self.pipeline, features)


def configured(candidate: Candidate, **parameters: object) -> Settings:
    """The defaults, but for these parameters of a candidate; those of the average are its members'."""
    if candidate != "average":
        return Settings.model_validate({"estimators": {candidate: parameters}} if parameters else {})
    members: dict[str, type[BaseModel]] = {
        "boosted_trees": BoostedTreesSettings,
        "binned_logistic": BinnedLogisticSettings,
    }
    estimators = {
        name: {key: value for key, value in parameters.items() if key in member.model_fields}
        for name, member in members.items()
    }
    return Settings.model_validate({"estimators": estimators})


def fitted(
    candidate: Candidate, features: FeatureMatrix, target: Labels, threshold: Threshold = HALF, **parameters: object
) -> Fitted:
    """Fit and compile a candidate."""
    pipeline = fit(candidate, configured(candidate, **parameters), features, target)
    document = compile_pipeline(pipeline, threshold, features, target)
    return Fitted(pipeline, document, Scorer(document))


@cache
def shipped() -> LabelledTable:
    """The shipped table."""
    return read_labelled(ROOT / "users_behavior.csv")


@cache
def on_shipped(candidate: Candidate) -> Fitted:
    """A candidate with the defaults, fitted on the shipped table."""
    return fitted(candidate, shipped().features, shipped().target)


def _few_rows() -> FeatureMatrix:
    return shipped().features[:400].copy()


def _messages(values: npt.NDArray[np.float64] | float) -> FeatureMatrix:
    features = _few_rows()
    features[:, 2] = values
    return features


def _mostly_no_messages() -> FeatureMatrix:
    return _messages(np.where(np.arange(400) % 7, 0, shipped().features[:400, 2]))


def _with_empty_cells() -> FeatureMatrix:
    features = _few_rows()
    features[np.random.default_rng(0).random(features.shape) < 0.1] = np.nan
    return features


@cache
def odd_tables() -> dict[str, tuple[FeatureMatrix, Labels]]:
    """Small tables of the kinds that make cut points coincide or columns constant."""
    target = shipped().target[:400]
    both = np.concatenate([np.flatnonzero(shipped().target == label)[:count] for label, count in ((0, 14), (1, 8))])
    return {
        "22 rows": (shipped().features[both], shipped().target[both]),
        "most send no messages": (_mostly_no_messages(), target),
        "nobody sends messages": (_messages(0.0), target),
        "everybody sends seven": (_messages(7.0), target),
        "few send one": (_messages((np.arange(400) % 20 == 0).astype(float)), target),
        "empty cells": (_with_empty_cells(), target),
        "tiny numbers": (_few_rows() / 1e4, target),
        "large numbers": (_few_rows() * 1e9, target),
    }
