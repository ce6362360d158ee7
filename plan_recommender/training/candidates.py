"""The candidate estimators and their preprocessing, all of scikit-learn.

The log-odds of every candidate that can be the champion are a sum of piecewise constant functions of one or two
features, because compiler.py has to turn them into tables.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KBinsDiscretizer, PolynomialFeatures, SplineTransformer, StandardScaler
from threadpoolctl import ThreadpoolController

from plan_recommender.config.settings import Candidate, Settings
from plan_recommender.errors import ConfigError
from plan_recommender.evaluation.metrics import Labels, Probabilities
from plan_recommender.model.features import FEATURE_NAMES, FeatureMatrix

PREPROCESSOR = "preprocessor"
CLASSIFIER = "classifier"
USAGE = "usage"
"""Names of the steps in a pipeline, and of the one transformer in its preprocessor."""

AVERAGED: tuple[Candidate, ...] = ("boosted_trees", "binned_logistic")
"""The members of the candidate `average`, in the order in which its classifier has them."""

_MAX_ITERATIONS = 2000
_MIN_VARIANCE = 1e-4  # of a product of two splines, which is between 0 and 1
_TOLERANCE = 1e-6  # of the gradient; with scikit-learn's 1e-4, probabilities are still wrong by a thousandth


def build_pipeline(candidate: Candidate, settings: Settings) -> Pipeline:
    """Build the unfitted pipeline of a candidate: median imputation, standardisation, classifier.

    The pipeline takes a DataFrame with the columns of `FEATURE_NAMES`, where NaN is a missing value.
    """
    usage = Pipeline([("imputer", SimpleImputer(strategy="median")), ("scaler", StandardScaler())])
    preprocessor = ColumnTransformer([(USAGE, usage, list(FEATURE_NAMES))])
    return Pipeline([(PREPROCESSOR, preprocessor), (CLASSIFIER, _CLASSIFIERS[candidate](settings))])


def fit(candidate: Candidate, settings: Settings, features: FeatureMatrix, target: Labels) -> Pipeline:
    """Fit a candidate on features of shape (rows, 4) and labels of shape (rows,).

    The same arguments give the same pipeline, whatever the number of cores.

    Raises:
        ConfigError: scikit-learn refuses the parameters or these rows, or does not converge.
    """
    if candidate == "average":
        return average([fit(name, settings, features, target) for name in AVERAGED], settings, features, target)
    pipeline = build_pipeline(candidate, settings)
    try:
        # One thread, because sums then have one order, and because two are slower with matrices of this size.
        with _thread_pools().limit(limits=1), warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            # The k-means bins of a feature are fewer where many rows have the same value, such as no messages.
            warnings.filterwarnings("ignore", "Bins whose width are too small", UserWarning)
            warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
            warnings.filterwarnings("ignore", "Feature . is constant and will be replaced with 0", UserWarning)
            pipeline.fit(frame(features), target)
    except (ValueError, ConvergenceWarning) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"estimators.{candidate}: expected parameters that can be fitted, but scikit-learn refused: {reason}; "
            "change them (a smaller C, fewer bins or knots), or leave the candidate out of selection.candidates"
        ) from error
    return pipeline


def average(members: Sequence[Pipeline], settings: Settings, features: FeatureMatrix, target: Labels) -> Pipeline:
    """Make the candidate `average` of its members; both have the same weight in the log-odds.

    scikit-learn's voting averages probabilities, and the log-odds of a mean probability are not a sum of the members'
    log-odds, so they could not be compiled. Its stacking adds log-odds with weights that it learns. Learned on the rows
    that the members were fitted on, these answer new subscribers worse than equal weights, which replace them here.

    Args:
        members: one for each name of `AVERAGED`, fitted on these rows with these settings; they are not fitted again.
        settings: the configuration.
        features: shape (rows, 4).
        target: labels, both of which occur, shape (rows,).
    """
    pipeline = build_pipeline("average", settings)
    pipeline.steps[0] = (PREPROCESSOR, members[0][PREPROCESSOR])
    stacking = pipeline[CLASSIFIER]
    stacking.estimators = [
        (name, member[CLASSIFIER]) for (name, _), member in zip(stacking.estimators, members, strict=True)
    ]
    one_of_each_plan = np.unique(target, return_index=True)[1]  # enough for weights that are replaced
    with _thread_pools().limit(limits=1):
        usage = pipeline[PREPROCESSOR].transform(frame(features[one_of_each_plan]))
        stacking.fit(usage, target[one_of_each_plan])
    weights = stacking.final_estimator_
    weights.coef_ = np.full_like(weights.coef_, 1 / weights.coef_.size)
    weights.intercept_ = np.zeros_like(weights.intercept_)
    return pipeline


def probabilities(pipeline: Pipeline, features: FeatureMatrix) -> Probabilities:
    """The probability of Ultra that a fitted pipeline gives each row, shape (rows,)."""
    with _thread_pools().limit(
        limits=1
    ):  # for a few rows, synchronising threads takes longer than evaluating the trees
        answers: Probabilities = pipeline.predict_proba(frame(features))[:, 1]
    return answers


def log_odds(pipeline: Pipeline, features: FeatureMatrix) -> Probabilities:
    """The log-odds of Ultra that a fitted pipeline gives each row, shape (rows,)."""
    with _thread_pools().limit(limits=1):
        answers: Probabilities = pipeline.decision_function(frame(features))
    return answers


def frame(features: FeatureMatrix, columns: Sequence[str] = FEATURE_NAMES) -> pd.DataFrame:
    """Make a DataFrame of a feature matrix, with the column names that pipelines are fitted with."""
    return pd.DataFrame(features, columns=list(columns))


@cache
def _thread_pools() -> ThreadpoolController:
    """Find the thread pools of the libraries, once: a search of the process's memory takes longer than some fits.

    All of them are there by now, because the imports above load them.
    """
    return ThreadpoolController()


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
    bins = KBinsDiscretizer(parameters.bins, encode="ordinal", strategy="kmeans", subsample=None)
    smooth = SplineTransformer(parameters.knots, degree=3, knots="uniform", extrapolation="constant", include_bias=True)
    logistic = LogisticRegression(C=parameters.C, solver="lbfgs", tol=_TOLERANCE, max_iter=_MAX_ITERATIONS)
    pairs = PolynomialFeatures(2, interaction_only=True, include_bias=False)
    # Products that are nearly always 0 are dropped: the scaler would enlarge them, and for the few subscribers for whom
    # they are not 0 the model would answer with probabilities of almost 0 or 1.
    common = VarianceThreshold(_MIN_VARIANCE)
    steps = [("bins", bins), ("smooth", smooth), ("pairs", pairs), ("common", common), ("scaler", StandardScaler())]
    return Pipeline([*steps, ("logistic", logistic)])


def _boosted_trees(settings: Settings) -> ClassifierMixin:
    parameters = settings.estimators.boosted_trees
    return HistGradientBoostingClassifier(
        max_iter=parameters.trees,
        learning_rate=parameters.learning_rate,
        max_leaf_nodes=parameters.max_leaf_nodes,
        min_samples_leaf=parameters.min_samples_leaf,
        l2_regularization=parameters.l2_regularization,
        interaction_cst="pairwise",
        early_stopping=False,
        random_state=settings.seed,
    )


def _average(settings: Settings) -> ClassifierMixin:
    members = [("trees", _boosted_trees(settings)), ("bins", _binned_logistic(settings))]
    return StackingClassifier(members, LogisticRegression(), cv="prefit", stack_method="decision_function")


_CLASSIFIERS: dict[Candidate, Callable[[Settings], ClassifierMixin]] = {
    "majority_rule": _majority_rule,
    "logistic_regression": _logistic_regression,
    "binned_logistic": _binned_logistic,
    "boosted_trees": _boosted_trees,
    "average": _average,
}
