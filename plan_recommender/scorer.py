"""The compiled model: usage in, probability of Ultra out. Every path that answers goes through it.

It is an ONNX graph, which is data: loading one runs no code of its author.
"""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from plan_recommender.errors import ModelError
from plan_recommender.threshold import Threshold
from plan_recommender.usage import FEATURE_NAMES, FeatureMatrix

INPUT = "usage"
OUTPUT = "probabilities"
_BLOCK = 1000  # rows in one call: what a model makes of them, up to a thousand columns, stays in the cache
_LEAST_PROBABILITY = 2.0**-54  # the largest double whose complement rounds to 1
_REMEDY = "train again, or delete this model with `bentoml models delete`"


class Scorer:
    """A compiled pipeline and the threshold that turns its probability into a plan."""

    def __init__(self, graph: bytes, threshold: Threshold) -> None:
        """Load an ONNX graph with input `usage`, double (rows, 4), and output `probabilities`, double (rows, 2).

        Raises:
            ModelError: the bytes are no such graph.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a class of its own for each of its status codes
            raise ModelError(f"expected a compiled scorer (ONNX), found: {_first_line(error)}") from error
        inputs = [(i.name, i.type, i.shape[1:]) for i in self._session.get_inputs()]
        outputs = [(o.name, o.type) for o in self._session.get_outputs()]
        expected = [(INPUT, "tensor(double)", [len(FEATURE_NAMES)])], [(OUTPUT, "tensor(double)")]
        if (inputs, outputs) != expected:
            raise ModelError(f"expected a compiled scorer with {expected}, found {(inputs, outputs)}")
        self.threshold = threshold

    def probabilities(self, features: FeatureMatrix) -> npt.NDArray[np.float64]:
        """Probability of Ultra of each row, shape (rows,); NaN features are imputed as in training."""
        return self._both(features)[:, 1]

    def log_odds(self, features: FeatureMatrix) -> npt.NDArray[np.float64]:
        """Logarithm of the odds of Ultra of each row, shape (rows,), within ±37.5.

        It is log(p1) - log(p0) of the graph's two columns and not log(p1 / (1 - p1)) of one: 1 - p1 keeps few digits of
        a p0 near 0, or none. A column below 2 ** -54 counts as that: ONNX Runtime's Sigmoid errs by as much and answers
        0 from -37 on, so that beyond it a smaller number would be noise, and the logarithm of 0 infinite.
        """
        smart, ultra = np.log(np.maximum(self._both(features), _LEAST_PROBABILITY)).T
        log_odds: npt.NDArray[np.float64] = ultra - smart
        return log_odds

    def decide(self, features: FeatureMatrix, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """1 (Ultra) where the probability reaches the row's threshold, else 0 (Smart)."""
        return self.threshold.decide(features, probabilities)

    def _both(self, features: FeatureMatrix) -> npt.NDArray[np.float64]:
        """Probabilities of Smart and of Ultra, shape (rows, 2)."""
        if len(features) > _BLOCK:
            blocks = [features[start : start + _BLOCK] for start in range(0, len(features), _BLOCK)]
            return np.concatenate([self._both(block) for block in blocks])
        if not len(features):
            return np.empty((0, 2))
        answers: npt.NDArray[np.float64] = self._session.run([OUTPUT], {INPUT: features})[0]
        return answers


def load_scorer(path: Path, expected_sha256: str, threshold: Threshold) -> Scorer:
    """Load a scorer whose bytes are those that were registered.

    Raises:
        ModelError: the file is missing, is not the registered one, or is no compiled scorer.
    """
    try:
        graph = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: expected the compiled scorer, found: {error.strerror}; {_REMEDY}") from error
    found = hashlib.sha256(graph).hexdigest()
    if found != expected_sha256:
        raise ModelError(
            f"{path}: expected the registered scorer (SHA-256 {expected_sha256}), found {len(graph):,} bytes with "
            f"SHA-256 {found}; the file was damaged or replaced: {_REMEDY}"
        )
    try:
        return Scorer(graph, threshold)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
