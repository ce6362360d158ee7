"""Preprocessing and the candidate estimators, all scikit-learn."""

import warnings
from collections.abc import Callable, Sequence

import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KBinsDiscretizer, PolynomialFeatures, SplineTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from plan_recommender.config import Candidate, Settings
from plan_recommender.errors import ConfigError
from plan_recommender.evaluation import Labels
from plan_recommender.usage import FEATURE_NAMES, FeatureMatrix

PREPROCESSOR = "preprocessor"
CLASSIFIER = "classifier"
USAGE = "usage"

_MAX_ITERATIONS = 2000
_TOLERANCE = 1e-6  # of the gradient; at scikit-learn's 1e-4 probabilities are still off by a thousandth


def build_pipeline(candidate: Candidate, settings: Settings) -> Pipeline:
    """Build the unfitted pipeline of a candidate: median imputation, standardisation, classifier.

    It takes a DataFrame with the columns of `FEATURE_NAMES`; NaN is a missing value.
    """
    usage = Pipeline([("imputer", SimpleImputer(strategy="median")), ("scaler", StandardScaler())])
    preprocessor = ColumnTransformer([(USAGE, usage, list(FEATURE_NAMES))])
    return Pipeline([(PREPROCESSOR, preprocessor), (CLASSIFIER, _CLASSIFIERS[candidate](settings))])


def fit(candidate: Candidate, settings: Settings, features: FeatureMatrix, target: Labels) -> Pipeline:
    """Fit a candidate; the result does not depend on the number of cores.

    Raises:
        ConfigError: scikit-learn refuses its parameters or these rows, or does not converge.
    """
    pipeline = build_pipeline(candidate, settings)
    try:
        # On one thread sums have one order; and matrices of this size are slower on two.
        with threadpool_limits(limits=1), warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            warnings.filterwarnings("ignore", "Bins whose width are too small", UserWarning)  # many send no messages
            warnings.filterwarnings("ignore", "Feature . is constant and will be replaced with 0", UserWarning)
            pipeline.fit(frame(features), target)
    except (ValueError, ConvergenceWarning) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"estimators.{candidate}: expected parameters that can be fitted, but scikit-learn refused: {reason}; "
            "change them (a smaller C, fewer knots), or leave the candidate out of selection.candidates"
        ) from error
    return pipeline


def frame(features: FeatureMatrix, columns: Sequence[str] = FEATURE_NAMES) -> pd.DataFrame:
    """Give a feature matrix the column names that the pipeline was fitted with."""
    return pd.DataFrame(features, columns=list(columns))


def _majority_rule(settings: Settings) -> ClassifierMixin:
    return DummyClassifier(strategy="prior")


def _logistic_regression(settings: Settings) -> ClassifierMixin:
    parameters = settings.estimators.logistic_regression
    return LogisticRegression(
        C=parameters.C,
        l1_ratio=parameters.l1_ratio,
        solver=parameters.solver,
        class_weight=None if parameters.class_weight == "none" else parameters.class_weight,
        max_iter=parameters.max_iter,
        random_state=settings.seed,
    )


def _binned_logistic(settings: Settings) -> ClassifierMixin:
    parameters = settings.estimators.binned_logistic
    bins = KBinsDiscretizer(
        parameters.bins, encode="onehot-dense", strategy="quantile", quantile_method="averaged_inverted_cdf",
        subsample=None,
    )  # fmt: skip
    return Pipeline([("bins", bins), ("pairs", _pairs()), ("logistic", _penalised(parameters.C))])


def _spline_logistic(settings: Settings) -> ClassifierMixin:
    parameters = settings.estimators.spline_logistic
    return _splines(parameters.knots, parameters.placement, parameters.C)


def _boosted_trees(settings: Settings) -> ClassifierMixin:
    parameters = settings.estimators.boosted_trees
    return HistGradientBoostingClassifier(
        max_iter=parameters.trees,
        learning_rate=parameters.learning_rate,
        max_leaf_nodes=parameters.max_leaf_nodes,
        min_samples_leaf=parameters.min_samples_leaf,
        l2_regularization=parameters.l2_regularization,
        early_stopping=False,
        random_state=settings.seed,
    )


def _blend(settings: Settings) -> ClassifierMixin:
    parameters = settings.estimators.blend
    # Standardised, products that are nearly always 0 weigh so much that a single such regression answers some ordinary
    # subscribers with 0 or 1. In the mean of three that is gone, and what they know stays.
    members = [
        ("quantile_splines", _splines(parameters.quantile_knots, "quantile", parameters.C, StandardScaler())),
        ("uniform_splines", _splines(parameters.uniform_knots, "uniform", parameters.C, StandardScaler())),
        ("trees", _boosted_trees(settings)),
    ]
    return VotingClassifier(members, voting="soft", flatten_transform=False)


def _splines(knots: int, placement: str, strength: float, scaler: StandardScaler | None = None) -> ClassifierMixin:
    # Beyond the training data the splines stay constant: an answer there is the answer at its edge.
    splines = SplineTransformer(knots, degree=3, knots=placement, extrapolation="constant", include_bias=True)
    scaling = [] if scaler is None else [("scaler", scaler)]
    return Pipeline([("splines", splines), ("pairs", _pairs()), *scaling, ("logistic", _penalised(strength))])


def _pairs() -> PolynomialFeatures:
    return PolynomialFeatures(2, interaction_only=True, include_bias=False)


def _penalised(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, solver="lbfgs", tol=_TOLERANCE, max_iter=_MAX_ITERATIONS)


_CLASSIFIERS: dict[Candidate, Callable[[Settings], ClassifierMixin]] = {
    "majority_rule": _majority_rule,
    "logistic_regression": _logistic_regression,
    "binned_logistic": _binned_logistic,
    "spline_logistic": _spline_logistic,
    "boosted_trees": _boosted_trees,
    "blend": _blend,
}
