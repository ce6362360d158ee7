"""The settings of the candidate estimators, and the ranges in which `train.py --search` looks for better ones."""

from typing import Annotated, Literal, TypeVar

from pydantic import Field, field_validator

from plan_recommender.config.section import Positive, PositiveInt, Section, Share

Bins = Annotated[int, Field(ge=2, le=50)]
Knots = Annotated[int, Field(ge=2, le=20)]
Strength = Annotated[float, Field(ge=1e-6, le=1e6)]
Trees = Annotated[int, Field(gt=0, le=5000)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
Leaves = Annotated[int, Field(ge=2)]

_Parameter = TypeVar("_Parameter")
Ends = Annotated[list[_Parameter], Field(min_length=2, max_length=2)]
"""The smallest and the largest value that a search tries; both must be values that the parameter can have."""


class LogisticRegressionSettings(Section):
    """Parameters of scikit-learn's LogisticRegression, under scikit-learn's names."""

    # Within these bounds liblinear ends; far above them it runs on in C code that no signal can interrupt.
    C: Strength = Field(1.0, description="Inverse strength of the penalty (1e-6 to 1e6).")
    l1_ratio: Share = Field(0.0, description="Mix of the penalty (0 to 1): 0 is l2, 1 is l1.")
    solver: Literal["liblinear", "lbfgs", "newton-cg", "newton-cholesky", "sag", "saga"] = Field(
        "liblinear", description="Optimiser; liblinear takes a pure l1 or l2 penalty."
    )
    class_weight: Literal["balanced", "none"] = Field(
        "balanced",
        description="`balanced` weighs each class by the inverse of its frequency; `none` weighs all rows equally.",
    )
    max_iter: PositiveInt = Field(100, description="Maximum of iterations of the optimiser (count).")


class _SearchSpace(Section):
    @field_validator("*")
    @classmethod
    def _ends_in_order(cls, ends: list[float]) -> list[float]:
        if ends[0] > ends[1]:
            raise ValueError("expected the lower end first")
        return ends


class BinnedLogisticSearch(_SearchSpace):
    """Where `--search` looks for the parameters of the binned logistic regression."""

    bins: Ends[Bins] = Field([16, 48], description="Ends of `bins`.")
    knots: Ends[Knots] = Field([4, 10], description="Ends of `knots`.")
    C: Ends[Strength] = Field([5e-4, 0.05], description="Ends of `C`, searched on a log scale.")


class BinnedLogisticSettings(Section):
    """A logistic regression on smooth functions of each feature's bin number and all their pairwise products.

    The bins are found by one-dimensional k-means. The functions are cubic B-splines of the bin number, so that they are
    constant within a bin and differ little between neighbouring bins.
    """

    bins: Bins = Field(33, description="Bins of a feature (count, 2 to 50).")
    knots: Knots = Field(6, description="Knots of the spline over the bins' numbers (count, 2 to 20).")
    C: Strength = Field(0.005, description="Inverse strength of the l2 penalty (1e-6 to 1e6).")
    search: BinnedLogisticSearch = BinnedLogisticSearch()


class BoostedTreesSearch(_SearchSpace):
    """Where `--search` looks for the parameters of the boosted trees."""

    trees: Ends[Trees] = Field([40, 300], description="Ends of `trees`.")
    learning_rate: Ends[LearningRate] = Field(
        [0.02, 0.2], description="Ends of `learning_rate`, searched on a log scale."
    )
    max_leaf_nodes: Ends[Leaves] = Field([4, 24], description="Ends of `max_leaf_nodes`.")
    min_samples_leaf: Ends[PositiveInt] = Field([5, 50], description="Ends of `min_samples_leaf`.")
    l2_regularization: Ends[Positive] = Field(
        [0.1, 50.0], description="Ends of `l2_regularization`, searched on a log scale."
    )


class BoostedTreesSettings(Section):
    """Histogram gradient boosting with log loss: scikit-learn's HistGradientBoostingClassifier.

    No branch splits on more than two features (`interaction_cst="pairwise"`), so that the sum of all trees is a curve
    for each feature and a map for each pair of features.
    """

    trees: Trees = Field(100, description="Trees (count, at most 5,000).")
    learning_rate: LearningRate = Field(0.05, description="Factor of the values of each tree (0 to 1).")
    max_leaf_nodes: Leaves = Field(8, description="Maximum of leaves of a tree (count).")
    min_samples_leaf: PositiveInt = Field(15, description="Minimum of training rows in a leaf (rows).")
    l2_regularization: Annotated[float, Field(ge=0)] = Field(5.0, description="Penalty on leaf values (no unit).")
    search: BoostedTreesSearch = BoostedTreesSearch()


class EstimatorsSettings(Section):
    """The parameters of the candidates that have any."""

    logistic_regression: LogisticRegressionSettings = LogisticRegressionSettings()
    binned_logistic: BinnedLogisticSettings = BinnedLogisticSettings()
    boosted_trees: BoostedTreesSettings = BoostedTreesSettings()
