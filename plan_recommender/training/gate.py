"""The gate: the checks that a model must pass to be registered.

A model that fails one of them is refused, and the registered model stays. Checks on the training part use out-of-fold
probabilities of several repeats. The comparison with the registered model uses them as well as the test part, on rows
that it was not trained on. training/repeats.py decides on more splits where the baselines or calibration are close.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator

from plan_recommender.config.settings import BASELINES, GateSettings, Metric, Settings
from plan_recommender.data.csv_table import LabelledTable
from plan_recommender.data.subscribers import groups_option
from plan_recommender.evaluation.calibration import Calibration
from plan_recommender.evaluation.comparison import mean_interval
from plan_recommender.model.store import RegisteredModel
from plan_recommender.training.fresh_rows import MIN_ROWS, Answers, Beside, Unseen
from plan_recommender.training.selection import LESS_IS_BETTER, CrossValidated, standard_error

_BETTER_BY: tuple[Metric, ...] = ("roc_auc", "brier")
_NAMES = {"roc_auc": "ROC AUC", "brier": "Brier score"}
_NOT_WORSE = "Brier score not worse than that of"
_TOO_MANY_TIMES = 20.0
"""With a table so many times larger nobody is advised to wait for it."""

_EVIDENCE = 2.0
"""Standard errors by which usage has to tell the plans apart; where it does not, chance makes as many in one of 40."""


class Check(BaseModel):
    """One check of the gate, and its result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """What is expected."""
    passed: bool
    found: str
    advice: str = ""
    """What to do if it failed."""


class GateReport(BaseModel):
    """All checks of one model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    checks: list[Check]
    splits: int = 1
    """On how many splits of the table the comparison with the baselines was decided: more than 1 if it was close."""
    calibration_splits: int = 1
    """On how many of them the check of calibration was decided, likewise."""

    @field_validator("checks")
    @classmethod
    def _advise_only_where_one_failed(cls, checks: list[Check]) -> list[Check]:
        return [check.model_copy(update={"advice": ""}) if check.passed else check for check in checks]

    @property
    def passed(self) -> bool:
        """Whether the model may be registered: it passed every check."""
        return all(check.passed for check in self.checks)

    @property
    def compared(self) -> bool:
        """Whether the model was compared with the registered one, on rows of the test part too."""
        return any(check.name.startswith(_NOT_WORSE) for check in self.checks)

    @property
    def looked(self) -> bool:
        """Whether rows of the test part took part: in a comparison with the registered model, or on other splits."""
        return bool(self.looked_in)

    @property
    def looked_in(self) -> list[str]:
        """Name what rows of the test part took part in."""
        named = {
            "the comparison with the registered model": self.compared,
            "the comparison with the baselines": self.splits > 1,
            "the check of calibration": self.calibration_splits > 1,
        }
        return [name for name, took_part in named.items() if took_part]


def check_baselines(champion: CrossValidated, results: Sequence[CrossValidated], settings: Settings) -> list[Check]:
    """Check that ROC AUC and Brier score are better than those of both baselines.

    ROC AUC has to be better than the majority rule's by more than `_EVIDENCE` standard errors, as evidence that usage
    tells the plans apart at all. Of everything else any gain is enough: few rows cannot show more, even where it is
    there. The gain is the mean over the same folds; `selection.standard_error` defines its standard error.
    """
    return [
        _better(champion, result, metric, settings)
        for result in results
        if result.candidate in BASELINES
        for metric in _BETTER_BY
    ]


def smallest_margin(champion: CrossValidated, results: Sequence[CrossValidated], settings: Settings) -> float:
    """Give how far the checks of `check_baselines` are from the other verdict, in standard errors; below 0: it fails.

    That is the smallest margin of them all, because one failed check is enough to refuse a model.
    """
    return min(
        _Gain.measure(champion, result, metric, settings).margin
        for result in results
        if result.candidate in BASELINES
        for metric in _BETTER_BY
    )


def calibration_ratio(calibration: Calibration, settings: GateSettings) -> float:
    """Give a calibration error as a multiple of the largest that passes: `max_ece`, or what chance often makes."""
    return calibration.ece / max(settings.max_ece, calibration.ece_limit)


def check_calibration(calibration: Calibration, settings: GateSettings, others: Sequence[Calibration] = ()) -> Check:
    """Check that the out-of-fold calibration error is at most `max_ece`, or no more than chance often makes.

    A model fails if its error is larger than `max_ece` and than that of 97.5 % of perfectly calibrated models with the
    same probabilities on as many rows and subscribers. With `others`, on other splits of the table, the median over all
    splits of the error divided by its limit decides.
    """
    ratio = float(np.median([calibration_ratio(found, settings) for found in (calibration, *others)]))
    limit = max(settings.max_ece, calibration.ece_limit)
    together = f"; on {len(others) + 1} splits of the table the median is {ratio:.2f} times the limit"
    return Check(
        name=f"calibration error (ECE) at most {settings.max_ece:g}",
        passed=ratio <= 1,
        found=f"{calibration.ece:.4f} out of fold; of perfectly calibrated models on as many rows, 97.5 % show at most "
        f"{calibration.ece_limit:.4f} by chance, which passes too"
        + (f"{together}, which decides, because it was close on one" if others else ""),
        advice=(
            f"the median, {ratio:.2f} times the limit, may be once the limit at most"
            if others
            else f"the error is {calibration.ece - limit:.4f} too large"
        )
        + f"; {_recalibrate(calibration)}; gate.max_ece is the bound",
    )


def check_test_part(table: LabelledTable) -> Check:
    """Check that the test part has at least `MIN_ROWS` rows."""
    ultra = int(table.target.sum())
    return Check(
        name=f"a test part of at least {MIN_ROWS} rows",
        passed=len(table.target) >= MIN_ROWS,
        found=f"{len(table.target):,}, of which {ultra:,} Ultra",
        advice="train on a larger table, or raise split.test_share",
    )


def check_registered(registered: RegisteredModel, test: Answers, out_of_fold: Answers, settings: Settings) -> Check:
    """Check that the Brier score is not worse than the registered model's, on rows that neither was trained on.

    It is worse if the whole interval of the difference on the test part (paired bootstrap by subscriber) is above 0. It
    is also worse if the difference is larger than `gate.margin` on the test part and the rows out of fold together:
    one split would decide that by chance where rows are few. Models of the cross-validation learn from fewer rows than
    the one to be registered, so that out of fold it looks a little worse than it is; the margin has room for that, a
    bound of 0 has not. With fewer than `MIN_ROWS` rows of the test part, or only one label among them, the check
    fails.

    Args:
        registered: the model that `:latest` names.
        test: answers of the new model to the test part.
        out_of_fold: its answers to the training part, from every repeat of the cross-validation.
        settings: the sections `gate` and `comparison` and the seed are used.

    Raises:
        ModelError: a file of the registered model is missing or was altered.
    """
    margin, confidence = settings.gate.margin, settings.comparison.confidence
    name = not_worse_than(registered)
    on_test, on_training = Unseen(registered, test), Unseen(registered, out_of_fold)
    rows, ultra = len(on_test.target), int(on_test.target.sum())
    if rows < MIN_ROWS or ultra in (0, rows):
        return Check(
            name=name,
            passed=False,
            found=f"only {rows:,} rows of the test part that neither model was trained on, of which {ultra:,} Ultra; "
            f"expected at least {MIN_ROWS} with both plans",
            advice=_ways_out(registered, test.table, settings),
        )
    differences = np.concatenate([on_test.new - on_test.old, on_training.new - on_training.old])
    difference, on_all = float(np.mean(on_test.new - on_test.old)), float(differences.mean())
    low, high = mean_interval(on_test.new - on_test.old, on_test.owners, settings.comparison, settings.seed)
    together = f"; {on_all:+.4f} on {len(differences):,} rows with those out of fold" if len(on_training.target) else ""
    return Check(
        name=name,
        passed=not (low > 0 or on_all > margin),
        found=f"{on_test.new.mean():.4f} against {on_test.old.mean():.4f} on {rows:,} rows of the test part that "
        f"neither was trained on: {difference:+.4f}, {confidence:.0%} interval {low:+.4f} to {high:+.4f}{together}, "
        f"margin {margin:g}",
        advice=f"keep {registered.tag}, which is better on "
        + ("the test part" if low > 0 else "these rows taken together")
        + "; or bring more rows, or better parameters (--search); gate.margin is how much worse a model may be"
        + (" that is not worse for certain" if low <= 0 else ", unless it is worse for certain, as this one is"),
    )


def check_better(registered: RegisteredModel, beside: Beside | None, settings: Settings) -> Check:
    """Check that the Brier score is better than the registered model's on all fresh rows, and not by chance.

    It is if the whole interval of the difference is below 0. A retraining must pass this too: nobody looks at a
    model that a schedule registers, and of two equally good ones the one that has served is known better.
    """
    confidence = settings.comparison.confidence
    return Check(
        name=f"Brier score better than that of {registered.tag} on the same fresh rows",
        passed=beside is not None and beside.high < 0,
        found=f"fewer than {MIN_ROWS} fresh rows"
        if beside is None
        else f"{beside.model:.4f} against {beside.champion:.4f} on {beside.rows:,} rows: "
        f"{beside.model - beside.champion:+.4f}, {confidence:.0%} interval {beside.low:+.4f} to {beside.high:+.4f}",
        advice=f"keep {registered.tag}, because nothing shows that the new model is better; or bring more rows; if you "
        "want a model that is not worse, train it with train.py",
    )


def _ways_out(registered: RegisteredModel, table: LabelledTable, settings: Settings) -> str:
    """Say what to do where too few rows are new to a registered model: only what would be something else than now."""
    seed, share = registered.record.seed, registered.record.settings["split"]["test_share"]
    was, now = registered.record.data.groups, table.groups
    ways = "train on a table with new rows"
    if was != now:
        how = "without --groups" if was is None else f"with {groups_option(was)}"
        ways += f", because {registered.tag} was trained {how}, on rows of subscribers who test here"
    elif (seed, share) != (settings.seed, settings.split.test_share):
        ways += f", or with the seed {seed} and test_share {share:g} of {registered.tag}"
    if was is not None and now is not None:
        ways += ", or with other subscriber numbers, if people who share theirs with those of that model are others"
    return (
        f"{ways}; or, if new models should not be compared with it, remove it: bentoml models delete {registered.tag}"
    )


def not_worse_than(registered: RegisteredModel) -> str:
    """Name the check of the comparison with a registered model."""
    return f"{_NOT_WORSE} {registered.tag} on the same rows"


@dataclass(frozen=True)
class _Gain:
    """How much better a champion is than a baseline by one metric: mean over the folds, and standard error."""

    mean: float
    error: float
    is_evidence: bool
    """Whether it has to show that usage tells the plans apart at all."""

    @classmethod
    def measure(cls, champion: CrossValidated, baseline: CrossValidated, metric: Metric, settings: Settings) -> Self:
        sign = -1.0 if metric in LESS_IS_BETTER else 1.0
        gain = sign * (champion.scores(metric) - baseline.scores(metric))
        is_evidence = baseline.candidate == "majority_rule" and metric == "roc_auc"
        return cls(float(gain.mean()), standard_error(gain, settings.selection.folds), is_evidence)

    @property
    def enough(self) -> bool:
        return self.mean > (_EVIDENCE * self.error if self.is_evidence else 0.0)

    @property
    def margin(self) -> float:
        """How much more than enough it is, in standard errors."""
        if self.error == 0:
            return math.inf if self.enough else -math.inf
        return self.mean / self.error - (_EVIDENCE if self.is_evidence else 0.0)


def _better(champion: CrossValidated, baseline: CrossValidated, metric: Metric, settings: Settings) -> Check:
    gain = _Gain.measure(champion, baseline, metric, settings)
    ours, theirs = champion.scores(metric), baseline.scores(metric)
    return Check(
        name=f"{_NAMES[metric]} better than {baseline.candidate}'s"
        + (f" by more than {_EVIDENCE:g} standard errors" if gain.is_evidence else ""),
        passed=gain.enough,
        found=f"{ours.mean():.4f} against {theirs.mean():.4f} by cross-validation: better by {gain.mean:+.4f}, "
        f"standard error {gain.error:.4f}",
        advice=_distinguish(gain.mean, gain.error, metric, baseline.candidate, settings.data.groups is not None),
    )


def _distinguish(gain: float, error: float, metric: Metric, baseline: str, by_subscriber: bool) -> str:
    """Say what could make a gain large enough; its standard error falls with the square root of the rows."""
    who = "subscribers" if by_subscriber else "rows"
    if metric == "brier":
        return (
            f"the probabilities are no better than those of {baseline}: usage may not tell the plans apart in this "
            f"table, or there are too few {who} for so flexible a model; bring more, or try fewer or smaller trees, or "
            "--search"
        )
    times = ((_EVIDENCE + 1) * error / gain) ** 2 if gain > 0 else math.inf  # chance rarely takes one more
    if times > _TOO_MANY_TIMES:
        return (
            f"the champion is hardly better than {baseline}, or not at all: look whether label, units and columns are "
            "what they should be; usage may not tell the plans apart in this table"
        )
    return (
        f"if the gain of {gain:.4f} is real, about {max(1.1, times):.1f} times as many {who} would very likely show it"
    )


def _recalibrate(calibration: Calibration) -> str:
    slope = calibration.slope
    if slope is None or 0.9 <= slope <= 1.1:
        return "bring more rows"
    if slope < 1:
        return (
            f"the probabilities are too near to 0 and 1 (slope {slope:.2f}): fewer or smaller trees, a lower learning "
            "rate or C, or --search"
        )
    return f"the probabilities are too near to each other (slope {slope:.2f}): more trees, a higher C, or --search"
