"""The fitted pipeline as an ONNX graph in double precision, and the proof that it answers as the pipeline does."""

import warnings
from dataclasses import dataclass

import numpy as np
import onnx
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.pipeline import Pipeline

from plan_recommender import converters
from plan_recommender.config import ProofSettings
from plan_recommender.errors import CompileError
from plan_recommender.pipeline import CLASSIFIER, PREPROCESSOR, USAGE, frame
from plan_recommender.scorer import INPUT, OUTPUT, Scorer
from plan_recommender.synthesis import generate
from plan_recommender.usage import FEATURE_NAMES, FeatureMatrix

_OPSET = {"": 21, converters.ML_DOMAIN: converters.ML_DECLARED}
_CHUNK = 2000  # rows: the pipeline makes a thousand columns of four
_SHOWN = 200  # characters of a converter's reason that an error repeats: some are half a page
_EXTREMES = (0.0, 5e-324, 1.0, 1e9, 1e300, np.finfo(np.float64).max, np.nan)


@dataclass(frozen=True)
class Proof:
    """What comparing the scorer with the pipeline found; all of it is stored with the model."""

    rows: int
    decisions_that_differ: int
    largest_difference: float
    rows_beyond_tolerance: int
    tolerance: float


def compile_pipeline(pipeline: Pipeline) -> bytes:
    """Compile a fitted pipeline; the same pipeline gives the same bytes.

    Raises:
        CompileError: a step of it cannot be compiled.
    """
    (name, usage, columns), *others = pipeline.named_steps[PREPROCESSOR].transformers_
    if name != USAGE or tuple(columns) != FEATURE_NAMES or others:
        raise CompileError(f"expected one transformer {USAGE!r} over {FEATURE_NAMES}, found {name!r} over {columns}")
    # With one transformer over all columns in order, the ColumnTransformer is that transformer: compiled without it,
    # the graph takes one matrix instead of four columns, which halves the time of a call.
    converters.register()
    try:
        flat = Pipeline([(PREPROCESSOR, usage), (CLASSIFIER, converters.fused(pipeline.named_steps[CLASSIFIER]))])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of skl2onnx's own making
            graph = convert_sklearn(
                flat,
                name="plan_recommender",
                initial_types=[(INPUT, DoubleTensorType([None, len(FEATURE_NAMES)]))],
                options={id(flat): {"zipmap": False}},
                target_opset=_OPSET,
            )
        label = next(output for output in graph.graph.output if output.name != OUTPUT)
        graph.graph.output.remove(label)  # the threshold decides, not scikit-learn's 0.5
        _prune(graph.graph)
        opsets = sorted(graph.opset_import, key=lambda opset: opset.domain)  # skl2onnx's order is that of a set
        for opset in opsets:
            if opset.domain == converters.ML_DOMAIN:
                opset.version = converters.ML_WRITTEN
        del graph.opset_import[:]
        graph.opset_import.extend(opsets)
        onnx.checker.check_model(graph)
    except Exception as error:  # converters raise what they like
        reason = " ".join(str(error).split())[:_SHOWN]
        raise CompileError(f"expected a pipeline that compiles to ONNX, found: {reason}") from error
    return bytes(graph.SerializeToString(deterministic=True))


def prove(scorer: Scorer, pipeline: Pipeline, table: FeatureMatrix, settings: ProofSettings, seed: int) -> Proof:
    """Compare scorer and pipeline on the table, on generated rows and on the extremes that a request may hold.

    Scikit-learn refuses usage so large that its standardised value overflows; the scorer must answer it, and as it
    answers the largest usage that does not overflow.

    Raises:
        CompileError: a decision differs, or too many probabilities do.
    """
    generated = np.concatenate([chunk.features for chunk in generate(settings.rows, seed)])
    features = np.concatenate([table, generated, _extremes()])
    compiled = scorer.probabilities(features)
    answerable = np.minimum(features, _largest_usage(pipeline))
    expected = np.concatenate([
        pipeline.predict_proba(frame(answerable[start : start + _CHUNK]))[:, 1]
        for start in range(0, len(answerable), _CHUNK)
    ])  # fmt: skip
    differences = np.abs(compiled - expected)
    decisions = int(np.sum(scorer.decide(features, compiled) != scorer.decide(features, expected)))
    beyond = int(np.sum(~(differences <= settings.tolerance)))
    proof = Proof(len(features), decisions, float(np.nanmax(differences)), beyond, settings.tolerance)
    if decisions or beyond > settings.tolerated_share * len(features):
        raise CompileError(
            f"expected the compiled scorer to decide as the pipeline on all {proof.rows:,} rows and to differ by at "
            f"most {settings.tolerance:g} on all but {settings.tolerated_share:.2%} of them; found {decisions:,} other "
            f"decisions and {beyond:,} larger differences, the largest {proof.largest_difference:g}; "
            "the model was not registered"
        )
    return proof


def _prune(graph: onnx.GraphProto) -> None:
    """Take out what no output depends on, above all the labels: ONNX Runtime computes every node that there is."""
    wanted = {output.name for output in graph.output}
    for node in reversed(graph.node):  # which are in the order of computation
        if wanted.intersection(node.output):
            wanted.update(node.input)
        else:
            graph.node.remove(node)
    for initializer in list(graph.initializer):
        if initializer.name not in wanted:
            graph.initializer.remove(initializer)


def _largest_usage(pipeline: Pipeline) -> FeatureMatrix:
    """Of each feature, about the largest usage that does not overflow when it is standardised."""
    scale = pipeline.named_steps[PREPROCESSOR].named_transformers_[USAGE]["scaler"].scale_
    largest: FeatureMatrix = np.finfo(np.float64).max * np.where(scale < 1, scale / 2, 1.0)
    return largest


def _extremes() -> FeatureMatrix:
    """Every combination of numbers at the edges of what a request or a file may hold, and of missing values."""
    return np.array(np.meshgrid(*[_EXTREMES] * len(FEATURE_NAMES))).T.reshape(-1, len(FEATURE_NAMES))
