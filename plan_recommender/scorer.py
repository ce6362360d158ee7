"""The compiled model: usage in, probability of Ultra out. Every path that answers goes through it.

It is an ONNX graph, which is data: loading one runs no code of its author.
"""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from plan_recommender.errors import ModelError
from plan_recommender.usage import FEATURE_NAMES, FeatureMatrix

INPUT = "usage"
OUTPUT = "probabilities"
_REMEDY = "train again, or delete this model with `bentoml models delete`"


class Scorer:
    """A compiled pipeline and the threshold that turns its probability into a plan."""

    def __init__(self, graph: bytes, threshold: float) -> None:
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
        if not len(features):
            return np.empty(0)
        answers: npt.NDArray[np.float64] = self._session.run([OUTPUT], {INPUT: features})[0]
        return answers[:, 1]

    def decide(self, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """1 (Ultra) where the probability reaches the threshold, else 0 (Smart)."""
        return (probabilities >= self.threshold).astype(np.int64)


def load_scorer(path: Path, expected_sha256: str, threshold: float) -> Scorer:
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
