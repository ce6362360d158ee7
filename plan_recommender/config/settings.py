"""`model_config.yaml` as typed settings: one class for each section, one sentence with its unit for each setting.

`python -m plan_recommender.config.reference_page` writes docs/configuration.md from these sentences.
"""

from pathlib import Path
from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from plan_recommender.billing.advice import AdvicePolicy
from plan_recommender.config.estimators import EstimatorsSettings
from plan_recommender.config.load_shapes import LoadtestSettings
from plan_recommender.config.section import PositiveInt, Section, Share
from plan_recommender.config.table_format import TableFormat
from plan_recommender.model.features import FEATURE_NAMES, TARGET

SQLITE = "sqlite:///"

BASELINES = ("majority_rule", "logistic_regression")
"""Candidates that are in every comparison because the gate compares with them; they are never the champion."""

Candidate = Literal["majority_rule", "logistic_regression", "average", "boosted_trees", "binned_logistic"]
Objective = Literal["f1", "accuracy", "expected_profit"]
Metric = Literal["roc_auc", "accuracy", "f1", "brier", "log_loss"]
Amount = Annotated[float, Field(ge=0, le=1e9)]  # a double would round the sums of larger amounts
Resamples = Annotated[int, Field(ge=100, le=100_000)]  # with fewer, the ends of an interval rest on one or two of them
Confidence = Annotated[float, Field(gt=0, lt=1)]


class DataSettings(Section):
    """The table to train on."""

    path: Path = Field(
        Path("users_behavior.csv"),
        strict=False,
        description="Table to train on, CSV or Parquet; relative to the configuration file.",
    )
    max_missing_share: Share = Field(
        0.05, description="Largest share of empty cells (0 to 1) that a feature column may have when training."
    )
    min_rows: PositiveInt = Field(100, description="Minimum size of a table to train on (rows).")
    groups: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Column that says which subscriber a row belongs to. The rows of one subscriber then never stand "
        "on both sides of a split, and intervals count subscribers. None: every row counts as a subscriber of its own.",
    )
    format: TableFormat = TableFormat()


class SplitSettings(Section):
    """How the table is divided; the division is always stratified by the label."""

    test_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="Share of the rows (0 to 1) that training never sees and evaluation looks at once."
    )


class SelectionSettings(Section):
    """How the champion is chosen, by repeated stratified cross-validation on the training part."""

    candidates: list[Candidate] = Field(
        list(get_args(Candidate)),
        description="Estimators that are compared, the preferred first: the first one that is within one standard "
        "error of the best wins. `majority_rule` and `logistic_regression` are baselines, which are required and "
        "cannot win; `average` is the mean log-odds of `boosted_trees` and `binned_logistic`.",
    )
    metric: Metric = Field("log_loss", description="Metric by which the champion is chosen.")
    folds: Annotated[int, Field(ge=2)] = Field(5, description="Folds of the cross-validation (count).")
    repeats: PositiveInt = Field(4, description="Repeats of the cross-validation, each with other folds (count).")
    max_rows: Annotated[int, Field(ge=1000)] = Field(
        20_000,
        description="Maximum of training rows on which candidates are compared; of a larger part, a random sample "
        "stratified by the label is taken (rows, at least 1,000). The champion is fitted on all training rows.",
    )
    confidence: Confidence = Field(0.95, description="Confidence of the intervals in the table of candidates (0 to 1).")

    @field_validator("candidates")
    @classmethod
    def _hold_the_baselines_and_another(cls, names: list[str]) -> list[str]:
        if len(set(names)) != len(names) or not set(BASELINES) < set(names):
            raise ValueError(f"expected {', '.join(BASELINES)} and at least one more, each once")
        return names


class SegmentThresholdsSettings(Section):
    """A threshold for each third of the subscribers, by the feature that `threshold_segments` names."""

    light: Share
    medium: Share
    heavy: Share


def _kind_of_threshold(value: object) -> str:
    if isinstance(value, str):
        return "objective"
    return "segments" if isinstance(value, dict | SegmentThresholdsSettings) else "number"


ThresholdSetting = Annotated[
    Annotated[Share, Tag("number")]
    | Annotated[Objective, Tag("objective")]
    | Annotated[SegmentThresholdsSettings, Tag("segments")],
    Discriminator(_kind_of_threshold),
]


class CalibrationSettings(Section):
    """How calibration is measured."""

    bins: Annotated[int, Field(ge=2)] = Field(
        10, description="Bins of equally many probabilities, in which mean and share of Ultra are compared (count)."
    )


class GateSettings(Section):
    """The bounds that a model must keep to be registered. It must also be better than both baselines."""

    max_ece: Share = Field(
        0.03,
        description="Largest expected calibration error (0 to 1) of the out-of-fold probabilities. A larger one passes "
        "if a perfectly calibrated model would show as much by chance on as many rows.",
    )
    margin: Share = Field(
        0.01,
        description="How much worse (0 to 1) than the registered model's Brier score on the same rows it may be. For "
        "`retrain.py`, also how much worse than its own the registered model's may be on fresh rows.",
    )


class ProofSettings(Section):
    """How closely the compiled scorer must agree with the fitted pipeline for the model to be registered."""

    rows: PositiveInt = Field(
        100_000, description="Generated subscribers on which scorer and pipeline are compared (rows)."
    )
    tolerance: Annotated[float, Field(gt=0)] = Field(
        1e-12, description="Largest difference in log-odds that counts as equal."
    )


class ArtifactsSettings(Section):
    """Where a training run leaves its results."""

    directory: Path = Field(
        Path("artifacts"),
        strict=False,
        description="Folder for metrics, plots and the pipeline; relative to the configuration file.",
    )
    signing_key: Path | None = Field(
        None,
        strict=False,
        description="Private key (PEM) that signs a model before it is registered; relative to the configuration file.",
    )


class SearchSettings(Section):
    """Where `train.py --search` keeps the trials that it finished."""

    directory: Path = Field(
        Path("search"),
        strict=False,
        description="Folder of the finished trials, by which a search resumes; relative to the configuration file.",
    )


class MlflowSettings(Section):
    """How training runs are tracked with MLflow, an optional library."""

    enabled: bool = Field(False, description="Whether training runs are tracked; `train.py --mlflow` tracks one run.")
    tracking_uri: Annotated[str, Field(min_length=1)] = Field(
        "sqlite:///mlflow.db",
        description="Where runs are tracked: a server (`http://…`), or a local store (`sqlite:///…`), whose path is "
        "relative to the configuration file and which keeps its artifacts in `mlartifacts` beside it.",
    )
    experiment: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        "plan_recommender", description="MLflow's experiment that the runs belong to."
    )

    @field_validator("tracking_uri")
    @classmethod
    def _holds_no_password(cls, uri: str) -> str:
        if urlsplit(uri).password is not None:
            raise ValueError("expected no password in it, as settings are stored with every model: MLflow takes it "
                             "from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")  # fmt: skip
        return uri


class DriftSettings(Section):
    """When a current sample counts as drifted from the reference."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.01, description="Share of samples without a shift (0 to 1) that may be called drifted, all tests together."
    )
    smallest_gap: Annotated[float, Field(ge=0, le=1)] = Field(
        0.05,
        description="Smallest distance of a feature's distribution functions that matters (no unit): on the shipped "
        "table, 3 percent more data for everybody make it 0.05, and 30 percent more make it 0.44.",
    )
    smallest_phi: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1, description="Smallest distance of the shares of bins, or of how two features go together (no unit)."
    )
    smoothing: Annotated[float, Field(gt=0)] = Field(
        0.5, description="Added to the count of every bin in both samples before PSI is computed (rows)."
    )
    missing_threshold: Share = Field(
        0.1, description="Change of the share of empty cells (0 to 1) from which a feature has drifted."
    )
    min_rows: PositiveInt = Field(
        500,
        description="Minimum of values of a feature in either sample for a verdict (rows); times the design effect "
        "where it is known whose rows these are.",
    )
    traffic_effect: Annotated[float, Field(ge=1)] = Field(
        1.0,
        description="Rows of a running service that tell as much as one row of a stranger (count), for its verdict; "
        "3 where each row is like the one before with an autocorrelation of .5.",
    )
    reference_rows: PositiveInt = Field(
        10_000, description="Maximum of values of a feature that are stored with the model (rows)."
    )


class MoneySettings(Section):
    """What a contact is worth, as the operator assumes.

    The table cannot tell: it holds no payments and no contacts, and does not say who left.
    """

    plan_held: Annotated[str, Field(min_length=1)] = Field(
        "plan",
        description="Column that says which plan a subscriber holds, `Smart` or `Ultra`. Without it nobody knows whom "
        "to contact, and no money is shown.",
    )
    currency: Annotated[str, Field(min_length=1)] = Field("RUB", description="Currency of the amounts (its code).")
    uplift_per_month: Amount = Field(
        300.0,
        description="Assumed: how much more a subscriber pays after moving to Ultra (currency per month).",
    )
    contact_cost: Amount = Field(30.0, description="Assumed: cost of contacting one subscriber (currency).")
    churn_cost: Amount = Field(
        150.0,
        description="Assumed: expected loss on a contacted Smart subscriber who does not fit Ultra (currency).",
    )
    bootstrap_samples: Resamples = Field(1000, description="Resamples behind the intervals of the net result (count).")
    confidence: Confidence = Field(0.95, description="Share of the resamples (0 to 1) that an interval covers.")


class AdviceSettings(AdvicePolicy):
    """When a switch of plans is advised, and what the forecast of the next bill learns from."""

    months: Annotated[Path, Field(strict=False)] | None = Field(
        None,
        description="Table of subscribers' months, from which training learns how usage varies from month to month; "
        "relative to the configuration file. None: the synthetic table that is shipped, subscriber_months.csv.",
    )


class SliceSettings(Section):
    """How many of the worst segments and of the most confident errors are shown."""

    min_rows: PositiveInt = Field(30, description="Minimum size of a segment that can be one of the worst (rows).")
    worst: PositiveInt = Field(5, description="Maximum of segments that are shown as the worst (count).")
    errors: PositiveInt = Field(
        10, description="Maximum of false positives, and of false negatives, that are listed (count)."
    )


class ParitySettings(Section):
    """When `evaluate.py --group` finds that groups are treated alike, or differently."""

    tolerance: Share = Field(
        0.1,
        description="Largest difference of a rate (0 to 1) between two groups that are treated alike; with 0 "
        "groups can be found to be treated differently, but never alike.",
    )
    min_rows: PositiveInt = Field(
        30, description="Minimum size of a group that is compared with the others; smaller ones are listed only (rows)."
    )
    confidence: Confidence = Field(
        0.95, description="Confidence (0 to 1) that the intervals of all differences hold together."
    )
    max_groups: Annotated[int, Field(ge=2)] = Field(
        50, description="Maximum of different values that the column of the groups may hold (count)."
    )


class ComparisonSettings(Section):
    """The paired bootstrap with which the gate, and `evaluate.py` with two models, compare two models."""

    bootstrap_samples: Resamples = Field(1000, description="Resamples behind the intervals of the differences (count).")
    confidence: Confidence = Field(0.95, description="Share of the resamples (0 to 1) that an interval covers.")


class Settings(Section):
    """Everything in `model_config.yaml`."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(42, description="Seed of everything random (no unit).")
    data: DataSettings = DataSettings()
    features: list[str] = Field(list(FEATURE_NAMES), description="Feature columns, in the order of the request schema.")
    target: str = Field(TARGET, description="Label column: 1 when the subscriber is on Ultra, 0 on Smart.")
    split: SplitSettings = SplitSettings()
    selection: SelectionSettings = SelectionSettings()
    estimators: EstimatorsSettings = EstimatorsSettings()
    threshold: ThresholdSetting = Field(
        0.5,
        description="Probability of Ultra (0 to 1) from which Ultra is recommended; or the objective for which it is "
        "chosen on the training folds, `f1` or `accuracy`; or `expected_profit`, from which a contact pays (section "
        "`money`); or a number for each segment: `{light: , medium: , heavy: }`.",
    )
    threshold_segments: Literal["none", "calls", "messages", "minutes", "mb_used"] = Field(
        "none",
        description="Feature by which the training part is cut into thirds (light, medium, heavy) with thresholds of "
        "their own.",
    )
    calibration: CalibrationSettings = CalibrationSettings()
    gate: GateSettings = GateSettings()
    proof: ProofSettings = ProofSettings()
    artifacts: ArtifactsSettings = ArtifactsSettings()
    drift: DriftSettings = DriftSettings()
    loadtest: LoadtestSettings = LoadtestSettings()
    money: MoneySettings = MoneySettings()
    advice: AdviceSettings = AdviceSettings()
    slices: SliceSettings = SliceSettings()
    parity: ParitySettings = ParitySettings()
    comparison: ComparisonSettings = ComparisonSettings()
    search: SearchSettings = SearchSettings()
    mlflow: MlflowSettings = MlflowSettings()

    @model_validator(mode="after")
    def _segments_and_thresholds_agree(self) -> Self:
        by_segment = isinstance(self.threshold, SegmentThresholdsSettings)
        if by_segment and self.threshold_segments == "none":
            raise ValueError(
                "threshold: expected threshold_segments to name a feature, because there is a number for each segment"
            )
        if isinstance(self.threshold, float) and self.threshold_segments != "none":
            raise ValueError("threshold_segments: expected none, as threshold is one number for everybody")
        return self

    @field_validator("features")
    @classmethod
    def _features_are_the_schema(cls, names: list[str]) -> list[str]:
        if tuple(names) != FEATURE_NAMES:
            raise ValueError(f"expected {list(FEATURE_NAMES)}, the request schema in its order")
        return names

    @field_validator("target")
    @classmethod
    def _target_is_the_schema(cls, name: str) -> str:
        if name != TARGET:
            raise ValueError(f"expected {TARGET!r}")
        return name
