"""`model_config.yaml` as typed settings.

`python -m plan_recommender.config` prints their reference, docs/configuration.md.
"""

import json
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from plan_recommender.errors import ConfigError
from plan_recommender.usage import FEATURE_NAMES, TARGET

DEFAULT_CONFIG = Path("model_config.yaml")
_SHOWN = 60  # characters of a value that an error repeats

Share = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DataSettings(_Section):
    """The table to train on."""

    path: Path = Field(
        Path("users_behavior.csv"), strict=False, description="CSV to train on; relative to the configuration file."
    )
    max_missing_share: Share = Field(
        0.05, description="Largest share of empty cells (0 to 1) that a feature column may have when training."
    )
    min_rows: PositiveInt = Field(100, description="Fewest rows that a table to train on must have (rows).")


class SplitSettings(_Section):
    """How the table is divided; always stratified by the target."""

    test_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="Share of the rows (0 to 1) that training never sees and evaluation looks at once."
    )


class LogisticRegressionSettings(_Section):
    """Parameters of scikit-learn's LogisticRegression, under scikit-learn's names."""

    # Within these bounds liblinear ends; far above them it turns in C code that nothing can interrupt.
    C: Annotated[float, Field(ge=1e-6, le=1e6)] = Field(
        1.0, description="Inverse strength of the penalty (1e-6 to 1e6)."
    )
    l1_ratio: Share = Field(0.0, description="Mix of the penalty (0 to 1): 0 is l2, 1 is l1.")
    solver: Literal["liblinear", "lbfgs", "newton-cg", "newton-cholesky", "sag", "saga"] = Field(
        "liblinear", description="Optimiser; liblinear takes a pure l1 or l2 penalty."
    )
    class_weight: Literal["balanced", "none"] = Field(
        "balanced",
        description="`balanced` weighs each class by the inverse of its frequency; `none` weighs every row alike.",
    )
    max_iter: PositiveInt = Field(100, description="Most iterations of the optimiser (count).")


class EstimatorsSettings(_Section):
    """The estimators that training knows, each with its parameters."""

    logistic_regression: LogisticRegressionSettings = LogisticRegressionSettings()


class ProofSettings(_Section):
    """What the compiled scorer must show before it is registered."""

    rows: PositiveInt = Field(
        100_000, description="Generated subscribers on which scorer and pipeline are compared (rows)."
    )
    tolerance: Annotated[float, Field(gt=0)] = Field(
        1e-5, description="Largest difference in probability that counts as equal."
    )
    tolerated_share: Share = Field(
        1e-4, description="Share of the rows (0 to 1) that may differ by more than the tolerance."
    )


class ArtifactsSettings(_Section):
    """Where a run leaves its results."""

    directory: Path = Field(
        Path("artifacts"),
        strict=False,
        description="Folder for metrics, plots and the pipeline; relative to the configuration file.",
    )


class DriftSettings(_Section):
    """When a current sample counts as drifted from the reference."""

    bins: Annotated[int, Field(ge=2)] = Field(10, description="Quantile bins of the reference for PSI (count).")
    smoothing: Annotated[float, Field(gt=0)] = Field(
        0.5, description="Rows added to every bin of both samples before PSI."
    )
    psi_threshold: Annotated[float, Field(gt=0)] = Field(
        0.2, description="PSI from which a feature has drifted (no unit)."
    )
    ks_threshold: Share = Field(
        0.1, description="Kolmogorov-Smirnov statistic (0 to 1) from which a feature may have drifted."
    )
    ks_alpha: Share = Field(0.01, description="p-value (0 to 1) below which that statistic is not put down to chance.")
    missing_threshold: Share = Field(
        0.1, description="Change of the share of empty cells (0 to 1) from which a feature has drifted."
    )
    min_rows: PositiveInt = Field(100, description="Fewest values of a feature in either sample for a verdict (rows).")
    reference_rows: PositiveInt = Field(
        10_000, description="Most values of a feature that are stored with the model (rows)."
    )


class LoadtestSettings(_Section):
    """The load that `make loadtest` drives, and the budget it must keep."""

    users: PositiveInt = Field(16, description="Simulated clients (count).")
    seconds: PositiveInt = Field(15, description="Length of the run (s).")
    p95_ms: Annotated[float, Field(gt=0)] = Field(250, description="Largest 95th percentile of the response time (ms).")
    max_failure_share: Share = Field(0.0, description="Largest share of failed requests (0 to 1).")


class Settings(_Section):
    """Everything in `model_config.yaml`."""

    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(42, description="Seed of everything random (no unit).")
    data: DataSettings = DataSettings()
    features: list[str] = Field(list(FEATURE_NAMES), description="Feature columns, in the order of the request schema.")
    target: str = Field(TARGET, description="Label column: 1 when the subscriber is on Ultra, 0 on Smart.")
    split: SplitSettings = SplitSettings()
    estimator: Literal["logistic_regression"] = Field(
        "logistic_regression", description="Which of `estimators` is trained."
    )
    estimators: EstimatorsSettings = EstimatorsSettings()
    threshold: Share = Field(0.5, description="Probability of Ultra (0 to 1) from which Ultra is recommended.")
    proof: ProofSettings = ProofSettings()
    artifacts: ArtifactsSettings = ArtifactsSettings()
    drift: DriftSettings = DriftSettings()
    loadtest: LoadtestSettings = LoadtestSettings()

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


def load_settings(path: Path = DEFAULT_CONFIG) -> Settings:
    """Read and check a configuration file; its relative paths come back relative to the working directory.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds an unknown, missing or impossible setting.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)  # noqa: S506  # it is a SafeLoader
    except OSError as error:
        raise ConfigError(f"{path}: expected a readable configuration file, found: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, or a date that does not exist
        raise ConfigError(f"{path}: expected YAML, found: {' '.join(str(error).split())}") from error
    try:
        settings = Settings.model_validate({} if document is None else document)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_sentence(error)}") from error
    return settings.model_copy(
        update={
            "data": settings.data.model_copy(update={"path": path.parent / settings.data.path}),
            "artifacts": settings.artifacts.model_copy(
                update={"directory": path.parent / settings.artifacts.directory}
            ),
        }
    )


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, refusing a key that stands twice: one of the two would be read by nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} more than once in one section, {node.start_mark}")
        return super().construct_mapping(node, deep)


def reference() -> str:
    """Every setting with its type, default and one sentence, as the Markdown of docs/configuration.md."""
    lines = [
        "# Configuration",
        "",
        "Every setting of `model_config.yaml`. What the file leaves out has the default; unknown and impossible",
        "settings stop a command with exit code 2. Generated by `python -m plan_recommender.config`.",
        "",
        "| setting | type | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| `{s.name}` | {s.type} | `{s.default}` | {s.sentence} |" for s in walk(Settings)]
    return "\n".join(lines) + "\n"


class Setting(NamedTuple):
    """One setting as the reference shows it; `name` is dotted."""

    name: str
    type: str
    default: str
    sentence: str


def walk(section: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    """Yield every setting of a section and of the sections in it, in the order of the file."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from walk(kind, f"{prefix}{name}.")
        else:
            default = json.dumps(field.default, default=str)
            yield Setting(f"{prefix}{name}", _type_name(kind), default, field.description or "")


def _type_name(kind: object) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    names: dict[object, str] = {float: "number", int: "whole number", str: "text", Path: "path"}
    return names.get(kind, "list of texts")


def _sentence(error: ValidationError) -> str:
    problems = [
        f"{'.'.join(map(str, e['loc'])) or 'the document'}: {e['msg']}, found {_shortened(e['input'])}"
        for e in error.errors()
    ]
    return "; ".join(problems) + "; docs/configuration.md describes every setting"


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


if __name__ == "__main__":
    print(reference(), end="")
