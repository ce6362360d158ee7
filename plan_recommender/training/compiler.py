"""Compile a fitted pipeline to a document of tables, and prove that the tables answer as the pipeline does.

A candidate's log-odds are a sum of piecewise constant functions of one or two features. The pipeline is therefore asked
for its log-odds in every combination of two features' bins while the other two features stay fixed; what a feature or a
pair adds follows by subtraction. The only thing that has to be known about an estimator is where its bins end.

The maps are then purified (Lengerich et al. 2020, "Purifying interaction effects with the functional ANOVA"): the part
of a map that depends on one of its features only is moved to that feature's curve, so that the weighted means of the
map's rows and columns are 0. The weights are the product of the training part's two marginals, for which a single pass
is exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
from pydantic import ValidationError
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import KBinsDiscretizer

from plan_recommender.config.settings import ProofSettings
from plan_recommender.data.synthesis import generate
from plan_recommender.errors import CompileError
from plan_recommender.evaluation.metrics import Labels
from plan_recommender.model.features import FEATURE_NAMES, FEATURES, FeatureMatrix
from plan_recommender.model.scorer import Scorer
from plan_recommender.model.tables import (
    MAX_BYTES,
    PAIRS,
    SCHEMA_VERSION,
    FeatureTable,
    ModelDocument,
    PairMap,
    Values,
    rounded,
    write_document,
)
from plan_recommender.model.threshold import Threshold
from plan_recommender.training.candidates import CLASSIFIER, PREPROCESSOR, USAGE, log_odds

_CHUNK: Final = 20_000  # rows that the pipeline answers at once
_NEIGHBOURS: Final = 20  # rows of the table in which each cut point and the doubles next to it are tried
_EXTREMES: Final = (0.0, 5e-324, 1.0, 1e9, 1e300, np.finfo(np.float64).max, np.nan)


@dataclass(frozen=True)
class Proof:
    """The result of comparing the scorer with the pipeline, which is stored with the model."""

    rows: int
    """Number of rows on which they were compared."""
    decisions_that_differ: int
    largest_difference: float
    """In log-odds."""
    tolerance: float
    """The largest difference in log-odds that was allowed."""


def compile_pipeline(
    pipeline: Pipeline, threshold: Threshold, training: FeatureMatrix, target: Labels
) -> ModelDocument:
    """Compile a fitted pipeline; the same arguments give the same document.

    The document is not yet proved to answer as the pipeline does: `prove` does that.

    Args:
        pipeline: fitted by `candidates.fit`.
        threshold: of the model; the bounds of its segments become cut points too, so that a decision depends on the
            bins only.
        training: the features that the pipeline was fitted on, shape (rows, 4); they give the weights.
        target: the labels of these rows, shape (rows,); they tell how common usage is on each plan.

    Raises:
        CompileError: the estimator's bins are not known, its log-odds are 128 or more, or the document would be larger
            than `MAX_BYTES`.
    """
    usage = _usage_steps(pipeline)
    medians: Values = usage["imputer"].statistics_
    cuts = _cuts(pipeline.named_steps[CLASSIFIER], usage["scaler"], threshold)
    imputed = np.where(np.isnan(training), medians, training)
    counts = [
        np.bincount(np.searchsorted(cuts[i], imputed[:, i]), minlength=len(cuts[i]) + 1) for i in range(len(cuts))
    ]
    constant, curves, maps = _purified(_grids(pipeline, cuts), [count / count.sum() for count in counts])
    try:
        document = ModelDocument(
            format="plan_recommender.tables",
            schema_version=SCHEMA_VERSION,
            target="is_ultra",
            threshold=threshold,
            features=[
                FeatureTable(
                    name=feature.name,
                    unit=feature.unit,
                    cuts=cuts[i].tolist(),
                    missing_bin=int(np.searchsorted(cuts[i], medians[i])),
                    median=float(medians[i]),
                    training_rows=counts[i].tolist(),
                    **_known(training[:, i], target, cuts[i]),
                    curve=rounded(curves[i]).tolist(),
                )
                for i, feature in enumerate(FEATURES)
            ],
            constant=float(rounded(constant)),
            maps=[
                PairMap(features=[FEATURE_NAMES[i], FEATURE_NAMES[j]], values=rounded(maps[i, j]).tolist())
                for i, j in PAIRS
            ],
        )
    except ValidationError as error:
        found = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise CompileError(
            f"expected a model whose tables can be stored, found: {found}; a stronger penalty (a smaller C, a larger "
            "l2_regularization) keeps log-odds small"
        ) from error
    size = len(write_document(document))
    if size > MAX_BYTES:
        raise CompileError(
            f"expected a model of at most {MAX_BYTES:,} bytes, found {size:,}; fewer or smaller trees, or fewer bins, "
            "make it smaller"
        )
    return document


def prove(
    document: ModelDocument, pipeline: Pipeline, table: FeatureMatrix, settings: ProofSettings, seed: int
) -> Proof:
    """Compare the document's scorer with the pipeline where they could differ.

    The rows are those of the table and generated ones, rows with every cut point and the doubles on both sides of it,
    and combinations of the extremes that a request may hold. scikit-learn refuses usage that is so large that its
    standardised value overflows; the scorer must answer such usage like the largest that does not overflow.

    Args:
        document: compiled from the pipeline.
        pipeline: the fitted pipeline.
        table: features of the whole table, shape (rows, 4).
        settings: the number of generated rows, and the tolerance in log-odds.
        seed: of the generated rows, and of the choice of table rows in which cut points are tried.

    Raises:
        CompileError: a decision differs, or log-odds differ by more than the tolerance.
    """
    scorer = Scorer(document)
    generated = np.concatenate([chunk.features for chunk in generate(settings.rows, seed)])
    features = np.concatenate([table, generated, _around_cuts(document, table, seed), _extremes()])
    answerable = np.minimum(features, _largest_usage(pipeline))
    expected = _log_odds(pipeline, answerable)
    found = scorer.log_odds(features)
    largest = float(np.max(np.abs(found - expected)))
    with np.errstate(over="ignore"):
        probabilities = 1 / (1 + np.exp(-expected))
    decided = scorer.decide(features, scorer.probabilities(features))
    decisions = int(np.sum(decided != scorer.decide(features, probabilities)))
    proof = Proof(len(features), decisions, largest, settings.tolerance)
    if decisions or not largest <= settings.tolerance:
        raise CompileError(
            f"expected the compiled scorer to decide as the pipeline on all {proof.rows:,} rows, with log-odds that "
            f"differ by at most {settings.tolerance:g}; found {decisions:,} other decisions and a largest difference "
            f"of {largest:g}; the model was not registered"
        )
    return proof


def _known(column: Values, target: Labels, cuts: Values) -> dict[str, Any]:
    """Describe the known values of one feature: rows of each plan in each bin, range, and whether all are whole.

    A pipeline cannot be fitted on a column without any known value.
    """
    known = ~np.isnan(column)
    values, labels = column[known], target[known]
    bins = np.searchsorted(cuts, values)
    smart, ultra = (np.bincount(bins[labels == label], minlength=len(cuts) + 1).tolist() for label in (0, 1))
    return {
        "smart_rows": smart,
        "ultra_rows": ultra,
        "smallest": float(values.min()) + 0.0,  # a table may say -0.0, which is zero
        "largest": float(values.max()) + 0.0,
        "whole": bool((values == np.floor(values)).all()),
    }


def _usage_steps(pipeline: Pipeline) -> dict[str, Any]:
    (name, usage, columns), *others = pipeline.named_steps[PREPROCESSOR].transformers_
    if name != USAGE or tuple(columns) != FEATURE_NAMES or others:
        raise CompileError(f"expected one transformer {USAGE!r} over {FEATURE_NAMES}, found {name!r} over {columns}")
    return dict(usage.named_steps)


def _cuts(classifier: ClassifierMixin, scaler: Any, threshold: Threshold) -> list[Values]:
    """Find where the bins of each feature end, in its unit; ends below 0 are left out, because usage is at least 0."""
    standardised: list[list[Values]] = [[] for _ in FEATURE_NAMES]
    for ends in _ends(classifier):
        for i, found in enumerate(ends):
            standardised[i].append(found)
    cuts = [_raw(np.concatenate(found), scaler.mean_[i], scaler.scale_[i]) for i, found in enumerate(standardised)]
    if threshold.segments is not None:
        # A segment begins at its bound, so the bin before it ends at the largest double below the bound.
        i = FEATURE_NAMES.index(threshold.segments.feature)
        cuts[i] = np.append(cuts[i], np.nextafter(threshold.segments.bounds, -np.inf))
    return [np.unique(found[found >= 0]) for found in cuts]


def _ends(classifier: ClassifierMixin) -> Iterator[list[Values]]:
    """Yield, for each part of a classifier, the largest standardised value of every bin but the last, by feature."""
    if isinstance(classifier, StackingClassifier):
        for member in classifier.estimators_:
            yield from _ends(member)
    elif isinstance(classifier, HistGradientBoostingClassifier):
        yield _ends_of_trees(classifier)
    elif isinstance(classifier, Pipeline) and isinstance(classifier[0], KBinsDiscretizer):
        # A bin of KBinsDiscretizer begins at its edge, so the bin before it ends at the largest double below the edge.
        yield [np.nextafter(edges[1:-1], -np.inf) for edges in classifier[0].bin_edges_]
    else:
        raise CompileError(f"expected an estimator whose bins are known, found {type(classifier).__name__}")


def _ends_of_trees(trees: HistGradientBoostingClassifier) -> list[Values]:
    """Collect the thresholds of all splits by feature; a tree goes left where a value is at most the threshold."""
    # scikit-learn has no public access to the trees.
    nodes = np.concatenate([tree.nodes for (tree,) in trees._predictors])
    splits = nodes[nodes["is_leaf"] == 0]
    return [splits["num_threshold"][splits["feature_idx"] == i] for i in range(len(FEATURE_NAMES))]


def _raw(ends: Values, mean: float, scale: float) -> Values:
    """Find, for each standardised end, the largest double of at least 0 that is standardised to at most the end.

    The result is -1 where even 0 is standardised to more. It is found by bisection over the bits: positive doubles are
    ordered like their bits, and standardising rounds but never changes the order.
    """
    low = np.zeros(len(ends), dtype=np.int64)  # is standardised to at most the end, unless the result is -1
    high = np.full(len(ends), np.array(np.inf).view(np.int64))  # is standardised to more
    with np.errstate(over="ignore"):
        none = (0.0 - mean) / scale > ends
        while (high - low > 1).any():
            middle = low + (high - low) // 2
            fits = (middle.view(np.float64) - mean) / scale <= ends
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return np.where(none, -1.0, low.view(np.float64))


def _representatives(cuts: Values) -> Values:
    """Give one value in each bin, shape (bins,)."""
    return np.array([*cuts, np.nextafter(cuts[-1], np.inf)]) if len(cuts) else np.zeros(1)


def _grids(pipeline: Pipeline, cuts: list[Values]) -> dict[tuple[int, int], Values]:
    """Ask the pipeline for the log-odds of every combination of two features' bins; the other two stay in bin 0."""
    values = [_representatives(found) for found in cuts]
    grids = {}
    for i, j in PAIRS:
        rows = np.tile([found[0] for found in values], (len(values[i]) * len(values[j]), 1))
        rows[:, i], rows[:, j] = np.array(list(product(values[i], values[j]))).T
        grids[i, j] = _log_odds(pipeline, rows).reshape(len(values[i]), len(values[j]))
    return grids


def _purified(
    grids: dict[tuple[int, int], Values], weights: list[Values]
) -> tuple[float, list[Values], dict[tuple[int, int], Values]]:
    """Split the sum into a constant, curves and maps, so that curves, and rows and columns of maps, have means of 0."""
    corner = grids[PAIRS[0]][0, 0]
    alone = {i: grid[:, 0] - corner for (i, _), grid in grids.items()}
    alone |= {j: grid[0, :] - corner for (_, j), grid in grids.items()}
    constant = float(corner)
    curves = [alone[i].copy() for i in range(len(weights))]
    maps = {}
    for (i, j), grid in grids.items():
        beside = grid - corner - alone[i][:, np.newaxis] - alone[j]
        rows, columns = beside @ weights[j], weights[i] @ beside
        mean = float(weights[i] @ rows)
        maps[i, j] = beside - rows[:, np.newaxis] - columns + mean
        curves[i] += rows
        curves[j] += columns
        constant -= mean
    for i, curve in enumerate(curves):
        mean = float(curve @ weights[i])
        curve -= mean
        constant += mean
    return constant, curves, maps


def _log_odds(pipeline: Pipeline, rows: FeatureMatrix) -> Values:
    """Ask the pipeline for the log-odds of each row, shape (rows,), `_CHUNK` rows at a time."""
    return np.concatenate([log_odds(pipeline, rows[start : start + _CHUNK]) for start in range(0, len(rows), _CHUNK)])


def _around_cuts(document: ModelDocument, table: FeatureMatrix, seed: int) -> FeatureMatrix:
    """Take some rows of the table, and again with one value replaced by each cut point and the doubles next to it."""
    some = np.random.default_rng(seed).choice(table, min(_NEIGHBOURS, len(table)), replace=False)
    found = [some]
    for i, feature in enumerate(document.features):
        cuts = np.array(feature.cuts)
        around = np.unique(np.concatenate([cuts, np.nextafter(cuts, np.inf), np.nextafter(cuts, 0)]))
        rows = np.repeat(some, len(around), axis=0)
        rows[:, i] = np.tile(around, len(some))
        found.append(rows)
    return np.concatenate(found)


def _largest_usage(pipeline: Pipeline) -> FeatureMatrix:
    """Give about the largest usage of each feature that does not overflow when it is standardised, shape (4,)."""
    scale = _usage_steps(pipeline)["scaler"].scale_
    largest: FeatureMatrix = np.finfo(np.float64).max * np.where(scale < 1, scale / 2, 1.0)
    return largest


def _extremes() -> FeatureMatrix:
    """Combine missing values and the smallest and largest numbers that a request or a file may hold, in all ways."""
    return np.array(np.meshgrid(*[_EXTREMES] * len(FEATURE_NAMES))).T.reshape(-1, len(FEATURE_NAMES))
