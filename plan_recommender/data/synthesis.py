"""Synthetic subscribers: a seeded generator that imitates the distribution of a real usage table without its rows.

Within each class, calls, messages and megabytes are drawn from a Gaussian copula. The correlation of the normal scores
is 2 sin(pi rho / 6) of Spearman's rho (Kruskal 1958, doi 10.2307/2281954), and a marginal is a share of zeros and a
table of quantiles. Minutes are the sum of as many call lengths as there are calls; each length is gamma distributed, so
that the sum is as well, with the shape multiplied by the number of calls.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple, TextIO, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from scipy.special import ndtr

from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.errors import ConfigError
from plan_recommender.model.features import FEATURE_NAMES, TARGET, FeatureMatrix

CALIBRATION_FILE = Path(__file__).with_name("synthesis_calibration.json")
KNOTS = (0.0, 0.005, 0.01, 0.025, 0.05, *(i / 20 for i in range(2, 19)), 0.95, 0.975, 0.99, 0.995, 1.0)
"""Cumulative probabilities of the quantiles that are kept of the values above zero."""

_CHUNK_ROWS = 50_000  # changing it changes the rows that a seed gives
_SIGNIFICANT_DIGITS = 3  # of a stored quantile, which are enough for the form of a distribution
DRAWN = ("calls", "messages", "mb_used")
"""The features that are drawn from the copula, in its order; minutes follow from the calls."""
_CALLS, _MINUTES, _MESSAGES, _MB_USED = (FEATURE_NAMES.index(n) for n in ("calls", "minutes", "messages", "mb_used"))

AnyCalibration = TypeVar("AnyCalibration", bound=BaseModel)

_Rho = Annotated[float, Field(gt=-1, lt=1)]


class Marginal(BaseModel):
    """The distribution of one feature within one class: the share of exact zeros, and quantiles of the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    zero_share: Annotated[float, Field(ge=0, lt=1)]
    quantiles: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=len(KNOTS), max_length=len(KNOTS))]
    """At `KNOTS`, in the feature's unit."""

    @field_validator("quantiles")
    @classmethod
    def _ascend(cls, quantiles: list[float]) -> list[float]:
        if sorted(quantiles) != quantiles:
            raise ValueError("expected quantiles that ascend")
        return quantiles


class ClassCalibration(BaseModel):
    """One class: its marginals by feature, and their rank correlations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    marginals: dict[str, Marginal]
    rank_correlations: tuple[_Rho, _Rho, _Rho]
    """Spearman's rho of calls and messages, of calls and megabytes, and of messages and megabytes."""

    @field_validator("marginals")
    @classmethod
    def _are_complete(cls, marginals: dict[str, Marginal]) -> dict[str, Marginal]:
        if set(marginals) != set(DRAWN):
            raise ValueError(
                f"expected a marginal of each of {', '.join(DRAWN)}, found {', '.join(marginals) or 'none'}"
            )
        return marginals

    @field_validator("rank_correlations")
    @classmethod
    def _are_possible(cls, correlations: tuple[float, float, float]) -> tuple[float, float, float]:
        if not np.isfinite(_cholesky(correlations)).all():
            raise ValueError("expected correlations that three variables can have")
        return correlations


class GeneratorCalibration(BaseModel):
    """Everything that the generator knows about the table that it imitates; synthesis_calibration.json holds one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    rows: Annotated[int, Field(gt=0)]
    ultra_share: Annotated[float, Field(ge=0, le=1)]
    minutes_per_call_mean: Annotated[float, Field(gt=0)]
    minutes_per_call_sd: Annotated[float, Field(gt=0)]
    smart: ClassCalibration
    ultra: ClassCalibration


class Subscribers(NamedTuple):
    """Some rows of a synthetic table."""

    features: FeatureMatrix
    """Shape (rows, 4), without missing values."""
    target: npt.NDArray[np.int64]
    """Shape (rows,): 1 Ultra, 0 Smart."""


@dataclass(frozen=True)
class Shift:
    """A change of how subscribers use their phones, for trying out drift detection."""

    sentence: str
    apply: Callable[[FeatureMatrix, np.random.Generator], None]
    """Changes the features in place."""


def _data_growth(features: FeatureMatrix, _: np.random.Generator) -> None:
    features[:, _MB_USED] *= 1.3


def _messaging_decline(features: FeatureMatrix, _: np.random.Generator) -> None:
    features[:, _MESSAGES] = np.floor(features[:, _MESSAGES] * 0.5)


def _longer_calls(features: FeatureMatrix, _: np.random.Generator) -> None:
    features[:, _MINUTES] *= 1.25


def _new_subscribers(features: FeatureMatrix, rng: np.random.Generator) -> None:
    joined = rng.random(len(features)) < 0.4
    share_of_month = np.where(joined, rng.uniform(0.05, 1, len(features)), 1.0)
    features *= share_of_month[:, None]
    features[:, [_CALLS, _MESSAGES]] = np.floor(features[:, [_CALLS, _MESSAGES]])
    features[features[:, _CALLS] == 0, _MINUTES] = 0


SHIFTS = {
    "none": Shift("the world as calibrated", lambda *_: None),
    "data_growth": Shift("everybody uses 30 % more data", _data_growth),
    "messaging_decline": Shift("half as many messages", _messaging_decline),
    "longer_calls": Shift("the same calls last 25 % longer", _longer_calls),
    "new_subscribers": Shift("40 % joined during the month, so that only a part of it is seen", _new_subscribers),
}


def load_calibration(path: Path = CALIBRATION_FILE) -> GeneratorCalibration:
    """Read the summary statistics that the generator draws from.

    Raises:
        ConfigError: the file is missing, or was not written by tools.calibrate.
    """
    return read_calibration(path, GeneratorCalibration, "tools.calibrate")


def read_calibration(path: Path, kind: type[AnyCalibration], tool: str) -> AnyCalibration:
    """Read a calibration of some kind.

    Args:
        path: of the file.
        kind: the document that it holds.
        tool: the program that writes such files, for the error.

    Raises:
        ConfigError: the file is missing, or was not written by that program.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: expected a readable calibration, found: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise ConfigError(f"{path}: expected a calibration written by {tool}; {where}: {first['msg']}") from error


def calibrate(table: LabelledTable, source: str) -> GeneratorCalibration:
    """Reduce a labelled table to the summary statistics that the generator draws from.

    Args:
        table: without missing values; each class has values above 0 of every feature that is drawn.
        source: where the table comes from, for the record.
    """
    mean, sd = calibrate_lengths(table.features[:, _CALLS], table.features[:, _MINUTES])
    smart, ultra = (calibrate_class(table.features[table.target == label]) for label in (0, 1))
    return GeneratorCalibration(
        source=source,
        rows=len(table.target),
        ultra_share=round(float(table.target.mean()), 4),
        minutes_per_call_mean=mean,
        minutes_per_call_sd=sd,
        smart=smart,
        ultra=ultra,
    )


def calibrate_lengths(calls: npt.NDArray[np.float64], minutes: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Estimate mean and standard deviation of the length of a call (minutes) from rows, some of which have calls."""
    called = calls > 0
    # The sum of n call lengths has variance n sd^2, so each row's deviation is divided by the root of its calls.
    mean = float(minutes[called].sum() / calls[called].sum())
    deviations = (minutes[called] - mean * calls[called]) / np.sqrt(calls[called])
    return round(mean, 3), round(float(np.sqrt(np.mean(deviations**2))), 3)


def generate(
    rows: int, seed: int, shift: str = "none", calibration: GeneratorCalibration | None = None
) -> Iterator[Subscribers]:
    """Yield subscribers in chunks, so that memory is bounded; the same arguments give the same rows.

    Args:
        rows: number of rows in all chunks together.
        seed: of the random numbers.
        shift: a name in `SHIFTS`.
        calibration: what to imitate; None: the shipped calibration.
    """
    calibration = calibration or load_calibration()
    rng, shift_rng = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    for start in range(0, rows, _CHUNK_ROWS):
        size = min(_CHUNK_ROWS, rows - start)
        # The rows up to the end of any chunk hold exactly the calibrated share of Ultra, rounded to whole rows.
        ultra = round(calibration.ultra_share * (start + size)) - round(calibration.ultra_share * start)
        target = rng.permutation(np.repeat([1, 0], [ultra, size - ultra])).astype(np.int64)
        features = np.empty((size, len(FEATURE_NAMES)))
        for label, of_class in enumerate((calibration.smart, calibration.ultra)):
            features[target == label] = _draw(of_class, int((target == label).sum()), calibration, rng)
        SHIFTS[shift].apply(features, shift_rng)
        yield Subscribers(np.round(features, 2), target)


def write_csv(file: TextIO, subscribers: Iterator[Subscribers]) -> None:
    """Write a labelled table as CSV, with a header, a chunk at a time."""
    file.write(",".join((*FEATURE_NAMES, TARGET)) + "\n")
    for features, target in subscribers:
        rows = zip(*features.T.tolist(), target.tolist(), strict=True)
        file.writelines(f"{calls},{minutes},{messages},{mb},{label}\n" for calls, minutes, messages, mb, label in rows)


def draw_class(of_class: ClassCalibration, rows: int, rng: np.random.Generator) -> dict[str, npt.NDArray[np.float64]]:
    """Draw rows of one class: calls, messages and megabytes, not rounded, each of shape (rows,)."""
    uniforms = ndtr(rng.standard_normal((rows, len(DRAWN))) @ _cholesky(of_class.rank_correlations).T)
    return {name: _quantile(of_class.marginals[name], uniforms[:, i]) for i, name in enumerate(DRAWN)}


def _draw(
    of_class: ClassCalibration, rows: int, calibration: GeneratorCalibration, rng: np.random.Generator
) -> FeatureMatrix:
    drawn = draw_class(of_class, rows, rng)
    calls, messages = np.round(drawn["calls"]), np.round(drawn["messages"])
    shape = (calibration.minutes_per_call_mean / calibration.minutes_per_call_sd) ** 2
    minutes = rng.standard_gamma(shape * calls) * calibration.minutes_per_call_mean / shape
    return np.column_stack([calls, minutes, messages, drawn["mb_used"]])


def _quantile(marginal: Marginal, uniforms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    above_zero = (uniforms - marginal.zero_share) / (1 - marginal.zero_share)
    return np.where(above_zero < 0, 0.0, np.interp(above_zero, KNOTS, marginal.quantiles))


def _cholesky(rank_correlations: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Lower Cholesky factor of the normal scores' correlation; NaN where no three variables have these correlations.

    It is written out because the last bit of LAPACK's result varies between machines.
    """
    ab, ac, bc = (2 * np.sin(np.pi * rho / 6) for rho in rank_correlations)
    b = np.sqrt(1 - ab**2)
    cb = (bc - ab * ac) / b
    with np.errstate(invalid="ignore"):
        c = np.sqrt(1 - ac**2 - cb**2)
    return np.array([[1, 0, 0], [ab, b, 0], [ac, cb, c]])


def calibrate_class(features: FeatureMatrix) -> ClassCalibration:
    """Reduce the rows of one class, shape (rows, 4), to marginals and rank correlations; minutes do not matter."""
    # It takes half a second to import, for which those who draw rows, such as every user of locust, need not wait.
    from scipy.stats import spearmanr

    columns = {name: features[:, FEATURE_NAMES.index(name)] for name in DRAWN}
    rho = np.asarray(spearmanr(np.column_stack(list(columns.values()))).statistic)
    return ClassCalibration(
        marginals={name: _calibrate_marginal(values) for name, values in columns.items()},
        rank_correlations=(round(rho[0, 1], 3), round(rho[0, 2], 3), round(rho[1, 2], 3)),
    )


def _calibrate_marginal(values: npt.NDArray[np.float64]) -> Marginal:
    quantiles = np.quantile(values[values > 0], KNOTS)
    return Marginal(
        zero_share=round(float(np.mean(values == 0)), 4),
        quantiles=[float(f"{value:.{_SIGNIFICANT_DIGITS}g}") for value in quantiles],
    )
