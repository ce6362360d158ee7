"""ONNX converters in double precision for the estimators whose own converter is missing, broken or single precision.

Registered with skl2onnx in the way it provides for (`update_registered_converter`). Each writes the arithmetic that
scikit-learn does, in the order scikit-learn does it, so that compiled and fitted model agree to the last few bits and
no value that lies on a threshold is sent the other way.
"""

from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, numpy_helper
from scipy.linalg import block_diag
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KBinsDiscretizer, PolynomialFeatures, SplineTransformer, StandardScaler

from plan_recommender.errors import CompileError

ML_DOMAIN = "ai.onnx.ml"
ML_DECLARED = 3
"""The latest version of the domain that skl2onnx lets a converter declare."""

ML_WRITTEN = 5
"""The version that has TreeEnsemble; `compile_pipeline` writes it into the graph once skl2onnx is done."""

_LESS_OR_EQUAL = 0  # TreeEnsemble's code for the branch that scikit-learn's trees take
_SUM = 1
_CUBIC = 3
_LEAF_GRID = 2.0**44


class PairwiseLogistic(ClassifierMixin, BaseEstimator):
    """A fitted logistic regression on columns and their pairwise products, as the quadratic form that it is.

    Written out, splines of four features have hundreds of products in every row; as a form they are one small matrix.
    Only ever compiled: it has no fit and no predict.
    """

    def __init__(self, constant: float, linear: npt.NDArray[np.float64], pairs: npt.NDArray[np.float64]) -> None:
        """Take the constant, the slopes of shape (columns,), and those of products, (columns, columns), triangular."""
        self.constant = constant
        self.linear = linear
        self.pairs = pairs
        self.classes_ = np.array([0, 1])

    @classmethod
    def of(
        cls, products: PolynomialFeatures, scaler: StandardScaler | None, logistic: LogisticRegression
    ) -> "PairwiseLogistic":
        """Fold fitted products, their scaling and the regression into one form.

        Raises:
            CompileError: there are other products than of two different columns.
        """
        powers = products.powers_
        if powers.max() > 1 or not set(powers.sum(axis=1).tolist()) <= {1, 2}:
            raise CompileError("only PolynomialFeatures(2, interaction_only=True, include_bias=False) is compiled")
        slopes, constant = logistic.coef_[0], float(logistic.intercept_[0])
        if scaler is not None:
            slopes = slopes / scaler.scale_
            constant -= float(np.sum(slopes * scaler.mean_))
        columns = powers.shape[1]
        linear, pairs = np.zeros(columns), np.zeros((columns, columns))
        for slope, row in zip(slopes, powers, strict=True):
            first, *second = np.flatnonzero(row)
            if second:
                pairs[second[0], first] = slope
            else:
                linear[first] = slope
        return cls(constant, linear, pairs)


def fused(estimator: Any) -> Any:
    """Replace what a form can say, in a fitted classifier and in those within it; the rest stays as it is."""
    if isinstance(estimator, VotingClassifier):
        voting = copy(estimator)
        voting.estimators_ = [fused(member) for member in estimator.estimators_]
        voting.estimators = [
            (name, member) for (name, _), member in zip(estimator.estimators, voting.estimators_, strict=True)
        ]
        return voting
    if not isinstance(estimator, Pipeline) or "pairs" not in estimator.named_steps:
        return estimator
    steps = estimator.named_steps
    form = PairwiseLogistic.of(steps["pairs"], steps.get("scaler"), steps["logistic"])
    (first, *_) = estimator.steps
    return Pipeline([first, ("form", form)])


def register() -> None:
    """Teach skl2onnx the converters of this module."""
    update_registered_converter(SimpleImputer, "PlanRecommenderSimpleImputer", _like_input, _convert_imputer)
    update_registered_converter(SplineTransformer, "PlanRecommenderSplines", _n_features_out, _convert_splines)
    update_registered_converter(
        PairwiseLogistic, "PlanRecommenderPairwiseLogistic", _classifier_shape, _convert_pairwise_logistic,
        options={"zipmap": [True, False, "columns"]},
    )  # fmt: skip
    update_registered_converter(
        DummyClassifier, "PlanRecommenderPrior", _classifier_shape, _convert_prior,
        options={"zipmap": [True, False, "columns"]},
    )  # fmt: skip
    update_registered_converter(KBinsDiscretizer, "PlanRecommenderBins", _n_features_out, _convert_bins)
    update_registered_converter(
        HistGradientBoostingClassifier, "PlanRecommenderBoostedTrees", _classifier_shape,
        _convert_hist_gradient_boosting, options={"zipmap": [True, False, "columns"]},
    )  # fmt: skip


class _Graph:
    """Adds nodes to skl2onnx's container, each under a fresh name."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope = scope
        self._container = container

    def constant(self, values: npt.ArrayLike) -> str:
        array = np.asarray(values)
        name: str = self._scope.get_unique_variable_name("constant")
        kind = TensorProto.DOUBLE if array.dtype == np.float64 else TensorProto.INT64
        self._container.add_initializer(name, kind, list(array.shape), array.ravel().tolist())
        return name

    def node(self, operator: str, *inputs: str, version: int, output: str | None = None, **attributes: Any) -> str:
        domain = attributes.pop("domain", "")
        name: str = output or self._scope.get_unique_variable_name(operator.lower())
        self._container.add_node(
            operator, list(inputs), [name], name=self._scope.get_unique_operator_name(operator),
            op_domain=domain, op_version=version, **attributes,
        )  # fmt: skip
        return name

    def logistic_outputs(self, log_odds: str, outputs: list[Any]) -> None:
        """Write both classes' probabilities, shape (rows, 2), and the label that scikit-learn gives."""
        both = self.node("Concat", self.node("Neg", log_odds, version=13), log_odds, version=13, axis=1)
        probabilities = outputs[1].full_name
        self.node("Sigmoid", both, version=13, output=probabilities)
        self.node("ArgMax", probabilities, version=13, output=outputs[0].full_name, axis=1, keepdims=0)


@dataclass
class _Trees:
    """Binary trees in TreeEnsemble's layout: inner nodes and leaves numbered apart."""

    roots: list[int] = field(default_factory=list)
    feature: list[int] = field(default_factory=list)
    split: list[float] = field(default_factory=list)
    children: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    child_is_leaf: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    weight: list[float] = field(default_factory=list)

    def add(
        self,
        left: npt.NDArray[np.int64],
        right: npt.NDArray[np.int64],
        is_leaf: npt.NDArray[np.bool_],
        feature: npt.NDArray[np.int64],
        threshold: npt.NDArray[np.float64],
        value: npt.NDArray[np.float64],
    ) -> None:
        """Append one tree, given node by node; node 0 is its root."""
        # A tree that is one leaf is written as a node both of whose branches are that leaf.
        inner = np.flatnonzero(~is_leaf) if not is_leaf[0] else np.array([0])
        number = {int(node): len(self.feature) + i for i, node in enumerate(inner)}
        leaves = {int(node): len(self.weight) + i for i, node in enumerate(np.flatnonzero(is_leaf))}
        self.roots.append(number[0])
        for node in inner.tolist():
            self.feature.append(int(feature[node]) if not is_leaf[0] else 0)
            self.split.append(float(threshold[node]) if not is_leaf[0] else 0.0)
            for side, child in enumerate((left, right)):
                target = int(child[node]) if not is_leaf[0] else 0
                self.children[side].append(leaves[target] if is_leaf[target] else number[target])
                self.child_is_leaf[side].append(int(is_leaf[target]))
        # On a grid of 2^-44, sums of leaves are exact in whatever order they are added: ONNX Runtime's order depends on
        # the number of rows, and a subscriber must get the same answer alone and in a batch.
        self.weight.extend((np.round(value[is_leaf] * _LEAF_GRID) / _LEAF_GRID).tolist())

    def write(self, graph: _Graph, features: str) -> str:
        """Write the sum of the leaves that a row reaches, shape (rows, 1)."""
        return graph.node(
            "TreeEnsemble",
            features,
            version=ML_DECLARED,
            domain=ML_DOMAIN,
            tree_roots=self.roots,
            nodes_featureids=self.feature,
            nodes_splits=_tensor(np.array(self.split)),
            nodes_modes=_tensor(np.full(len(self.split), _LESS_OR_EQUAL, dtype=np.uint8)),
            nodes_truenodeids=self.children[0],
            nodes_falsenodeids=self.children[1],
            nodes_trueleafs=self.child_is_leaf[0],
            nodes_falseleafs=self.child_is_leaf[1],
            leaf_weights=_tensor(np.array(self.weight)),
            leaf_targetids=[0] * len(self.weight),
            n_targets=1,
            aggregate_function=_SUM,
            post_transform=0,
        )


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    """SimpleImputer: ONNX Runtime has no kernel for the Imputer operator in double precision."""
    graph = _Graph(scope, container)
    source = operator.inputs[0].full_name
    statistics = graph.constant(operator.raw_operator.statistics_.reshape(1, -1))
    missing = graph.node("IsNaN", source, version=20)
    graph.node("Where", missing, statistics, source, version=16, output=operator.outputs[0].full_name)


def _convert_splines(scope: Any, operator: Any, container: Any) -> None:
    """SplineTransformer with constant extrapolation, as the cubic polynomials that B-splines are between two knots.

    A row's interval is found by comparison; products of its distances from the interval's ends, times the coefficients
    of every B-spline there, are the B-splines' values: one matrix product for all features.
    """
    graph = _Graph(scope, container)
    transformer: SplineTransformer = operator.raw_operator
    if transformer.extrapolation != "constant" or not transformer.include_bias or transformer.degree != _CUBIC:
        raise CompileError("only SplineTransformer(degree=3, extrapolation='constant', include_bias=True) is compiled")
    knots = [spline.t[_CUBIC:-_CUBIC] for spline in transformer.bsplines_]  # those that are not auxiliary
    # (1, features, 1, 1, intervals): the two axes between are for the square and for the factor of a product.
    starts = np.stack([values[:-1] for values in knots])[None, :, None, None]
    ends = np.stack([values[1:] for values in knots])[None, :, None, None]
    low, high = starts[..., :1], ends[..., -1:]
    x = graph.node("Unsqueeze", operator.inputs[0].full_name, graph.constant([2, 3, 4]), version=13)
    x = graph.node("Min", graph.node("Max", x, graph.constant(low), version=13), graph.constant(high), version=13)
    # Of knots that coincide the intervals between are empty; the last that is not holds its right end too.
    last = (starts < high).sum(axis=-1, keepdims=True) - 1
    limits = np.where(np.arange(ends.shape[-1]) == last, np.inf, ends)
    reached = graph.node("GreaterOrEqual", x, graph.constant(starts), version=16)
    inside = graph.node("And", reached, graph.node("Less", x, graph.constant(limits), version=13), version=7)
    mask = graph.node("Cast", inside, version=19, to=TensorProto.DOUBLE)
    distance = graph.node("Sub", x, graph.constant(np.concatenate([starts, ends], axis=2)), version=14)
    square = graph.node("Mul", distance, distance, version=14)
    factor = graph.node("Sub", x, graph.constant(np.concatenate([starts, ends], axis=3)), version=14)
    products = graph.node("Mul", square, graph.node("Mul", factor, mask, version=14), version=14)
    coefficients = block_diag(*[_products_of_distances(spline.t) for spline in transformer.bsplines_])
    flat = graph.node("Reshape", products, graph.constant([-1, len(coefficients)]), version=21)
    graph.node("MatMul", flat, graph.constant(coefficients), version=13, output=operator.outputs[0].full_name)


def _convert_pairwise_logistic(scope: Any, operator: Any, container: Any) -> None:
    """log-odds = constant + x (linear + pairs x), where `pairs` is triangular."""
    graph = _Graph(scope, container)
    form: PairwiseLogistic = operator.raw_operator
    source = operator.inputs[0].full_name
    slopes = graph.node("MatMul", source, graph.constant(form.pairs), version=13)
    slopes = graph.node("Add", slopes, graph.constant(form.linear.reshape(1, -1)), version=14)
    terms = graph.node("Mul", source, slopes, version=14)
    # Not ReduceSum: its order depends on where in memory a row begins, so that a row alone would get other bits.
    total = graph.node("MatMul", terms, graph.constant(np.ones((len(form.linear), 1))), version=13)
    log_odds = graph.node("Add", total, graph.constant([form.constant]), version=14)
    graph.logistic_outputs(log_odds, operator.outputs)


def _convert_bins(scope: Any, operator: Any, container: Any) -> None:
    """KBinsDiscretizer with one-hot encoding: one comparison with both edges of every bin of every feature."""
    graph = _Graph(scope, container)
    transformer: KBinsDiscretizer = operator.raw_operator
    if transformer.encode != "onehot-dense":
        raise CompileError("only KBinsDiscretizer(encode='onehot-dense') is compiled")
    starts = np.concatenate([np.concatenate([[-np.inf], edges[1:-1]]) for edges in transformer.bin_edges_])
    ends = np.concatenate([np.concatenate([edges[1:-1], [np.inf]]) for edges in transformer.bin_edges_])
    feature = np.repeat(np.arange(len(transformer.n_bins_)), transformer.n_bins_)
    x = graph.node("Gather", operator.inputs[0].full_name, graph.constant(feature), version=13, axis=1)
    # Usage that overflows when it is standardised is in the last bin, whose end is infinite too.
    x = graph.node("Min", x, graph.constant([np.finfo(np.float64).max]), version=13)
    above = graph.node("GreaterOrEqual", x, graph.constant(starts.reshape(1, -1)), version=16)
    below = graph.node("Less", x, graph.constant(ends.reshape(1, -1)), version=13)
    inside = graph.node("And", above, below, version=7)
    graph.node("Cast", inside, version=19, to=TensorProto.DOUBLE, output=operator.outputs[0].full_name)


def _convert_prior(scope: Any, operator: Any, container: Any) -> None:
    """The training shares of the classes, for everybody: the gate refuses the majority rule, not the compiler."""
    graph = _Graph(scope, container)
    model: DummyClassifier = operator.raw_operator
    if model.strategy != "prior":
        raise CompileError("only DummyClassifier(strategy='prior') is compiled")
    rows = graph.node("Shape", operator.inputs[0].full_name, version=15, end=1)
    shape = graph.node("Concat", rows, graph.constant([1]), version=13, axis=0)
    prior = graph.constant(model.class_prior_.reshape(1, -1))
    probabilities = graph.node("Expand", prior, shape, version=13, output=operator.outputs[1].full_name)
    graph.node("ArgMax", probabilities, version=13, output=operator.outputs[0].full_name, axis=1, keepdims=0)


def _convert_hist_gradient_boosting(scope: Any, operator: Any, container: Any) -> None:
    """Histogram gradient boosting with log loss, on numerical features."""
    graph = _Graph(scope, container)
    model: HistGradientBoostingClassifier = operator.raw_operator
    trees = _Trees()
    for (member,) in model._predictors:
        nodes = member.nodes
        if nodes["is_categorical"].any():
            raise CompileError("only HistGradientBoostingClassifier on numerical features is compiled")
        trees.add(
            nodes["left"], nodes["right"], nodes["is_leaf"].astype(bool), nodes["feature_idx"],
            nodes["num_threshold"], nodes["value"],
        )  # fmt: skip
    prior = graph.constant([float(model._baseline_prediction[0, 0])])
    raw = graph.node("Add", trees.write(graph, operator.inputs[0].full_name), prior, version=14)
    graph.logistic_outputs(raw, operator.outputs)


def _products_of_distances(knots: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Every cubic B-spline between the knots, as a sum of products of the distances x - start and x - end.

    In that (Bernstein's) form nothing cancels, as in scikit-learn's recursion: near the end of its support, where a
    B-spline is 1e-12 or less, it keeps all its digits. Powers of one distance lose them, and the scaling of the
    products of two B-splines would make that loss a difference one can see.

    Args:
        knots: with the auxiliary ones, shape (knots,).

    Returns:
        Coefficients, shape (4 * intervals, B-splines): of start^2 start, start^2 end, end^2 start and end^2 end.
    """
    splines = len(knots) - _CUBIC - 1
    intervals = range(_CUBIC, splines)
    coefficients = np.zeros((4, len(intervals), splines))
    for i, interval in enumerate(intervals):
        start, end = knots[interval], knots[interval + 1]
        if start == end:
            continue
        # The blossom at so many ends and otherwise starts is the Bernstein coefficient of that number (Ramshaw 1989).
        c = [_blossom(knots, interval, [end] * ends + [start] * (_CUBIC - ends)) for ends in range(_CUBIC + 1)]
        coefficients[:, i] = np.array([c[3], -3 * c[2], 3 * c[1], -c[0]]) / (end - start) ** _CUBIC
    return coefficients.reshape(-1, splines)


def _blossom(knots: npt.NDArray[np.float64], interval: int, points: list[float]) -> npt.NDArray[np.float64]:
    """De Boor's recursion for every B-spline, each step at its own point: means of numbers that are not negative."""
    splines = len(knots) - _CUBIC - 1
    values: list[npt.NDArray[np.float64]] = list(np.eye(splines)[interval - _CUBIC : interval + 1])
    for step, point in enumerate(points, start=1):
        for j in range(_CUBIC, step - 1, -1):
            left, right = knots[interval - _CUBIC + j], knots[interval + 1 + j - step]
            values[j] = ((right - point) * values[j - 1] + (point - left) * values[j]) / (right - left)
    return values[_CUBIC]


def _tensor(values: npt.NDArray[Any]) -> TensorProto:
    return numpy_helper.from_array(values)


def _like_input(operator: Any) -> None:
    operator.outputs[0].type = DoubleTensorType([None, operator.raw_operator.n_features_in_])


def _n_features_out(operator: Any) -> None:
    count = len(operator.raw_operator.get_feature_names_out())
    operator.outputs[0].type = DoubleTensorType([None, count])


def _classifier_shape(operator: Any) -> None:
    operator.outputs[0].type = Int64TensorType([None])
    operator.outputs[1].type = DoubleTensorType([None, 2])
