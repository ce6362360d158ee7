"""Metrics of a set of answers, and those of the majority rule, which every model has to beat."""

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

Labels = npt.NDArray[np.int64]
"""Labels or decisions, shape (rows,): 1 Ultra, 0 Smart."""

Probabilities = npt.NDArray[np.float64]
"""Probabilities of Ultra, 0 to 1, shape (rows,)."""


class ConfusionMatrix(BaseModel):
    """Numbers of rows; positive is Ultra."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    true_negative: int
    false_positive: int
    false_negative: int
    true_positive: int


class Metrics(BaseModel):
    """Quality of a set of answers. Precision, recall and F1 are those of Ultra, and 0 if Ultra is never answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accuracy: float = Field(description="share of rows answered right")
    precision: float = Field(description="share of Ultra answers that are right")
    recall: float = Field(description="share of Ultra subscribers that are found")
    f1: float = Field(description="harmonic mean of precision and recall")
    roc_auc: float = Field(description="chance that an Ultra subscriber is ranked above a Smart one")
    brier: float = Field(description="mean squared error of the probability; less is better")
    log_loss: float = Field(description="mean negative log likelihood, in nats; less is better")
    confusion_matrix: ConfusionMatrix


def measure(target: Labels, probabilities: Probabilities, decisions: Labels) -> Metrics:
    """Measure answers, each array of shape (rows,).

    Args:
        target: the labels; both must occur.
        probabilities: of Ultra.
        decisions: 1 where Ultra is answered.
    """
    tn, fp, fn, tp = confusion_matrix(target, decisions, labels=[0, 1]).ravel().tolist()
    precision, recall, f1, _ = precision_recall_fscore_support(target, decisions, average="binary", zero_division=0)
    return Metrics(
        accuracy=float(accuracy_score(target, decisions)),
        precision=float(precision),
        recall=float(recall),
        f1=float(f1),
        roc_auc=float(roc_auc_score(target, probabilities)),
        brier=float(brier_score_loss(target, probabilities)),
        log_loss=float(log_losses(target, probabilities).mean()),
        confusion_matrix=ConfusionMatrix(true_negative=tn, false_positive=fp, false_negative=fn, true_positive=tp),
    )


def log_losses(target: Labels, probabilities: Probabilities) -> npt.NDArray[np.float64]:
    """Give the negative log likelihood of each row in nats, shape (rows,).

    Their mean has the bits of scikit-learn's `log_loss`, which clips at the same value, and which spends most of
    its time on looking at its arguments.
    """
    smallest = np.finfo(np.float64).eps
    likelihood = np.clip(np.where(target == 1, probabilities, 1 - probabilities), smallest, 1 - smallest)
    losses: npt.NDArray[np.float64] = -np.log(likelihood)
    return losses


def measure_majority_rule(target: Labels, training_ultra_share: float) -> Metrics:
    """Measure the majority rule, which gives everybody the training part's majority plan and share of Ultra.

    Args:
        target: labels of the rows to measure on; both must occur.
        training_ultra_share: share of Ultra (0 to 1) in the training part, which is the rule's probability for every
            row; from 0.5 on, Ultra is the majority plan.
    """
    majority = np.full(len(target), int(training_ultra_share >= 0.5), dtype=np.int64)
    return measure(target, np.full(len(target), training_ultra_share), majority)
