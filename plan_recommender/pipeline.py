"""Preprocessing and the estimators that training can choose from, all scikit-learn."""

from collections.abc import Sequence

import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from plan_recommender.config import Settings
from plan_recommender.usage import FEATURE_NAMES, FeatureMatrix

PREPROCESSOR = "preprocessor"
CLASSIFIER = "classifier"
USAGE = "usage"


def build_pipeline(settings: Settings) -> Pipeline:
    """Build the unfitted pipeline of the configured estimator: median imputation, standardisation, classifier.

    It takes a DataFrame with the columns of `FEATURE_NAMES`; NaN is a missing value.
    """
    usage = Pipeline([("imputer", SimpleImputer(strategy="median")), ("scaler", StandardScaler())])
    preprocessor = ColumnTransformer([(USAGE, usage, list(FEATURE_NAMES))])
    return Pipeline([(PREPROCESSOR, preprocessor), (CLASSIFIER, _classifier(settings))])


def frame(features: FeatureMatrix, columns: Sequence[str] = FEATURE_NAMES) -> pd.DataFrame:
    """Give a feature matrix the column names that the pipeline was fitted with."""
    return pd.DataFrame(features, columns=list(columns))


def _classifier(settings: Settings) -> ClassifierMixin:
    parameters = settings.estimators.logistic_regression
    return LogisticRegression(
        C=parameters.C,
        l1_ratio=parameters.l1_ratio,
        solver=parameters.solver,
        class_weight=None if parameters.class_weight == "none" else parameters.class_weight,
        max_iter=parameters.max_iter,
        random_state=settings.seed,
    )
