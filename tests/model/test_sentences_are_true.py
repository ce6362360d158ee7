"""What a sentence says of the training table is true of it, at every bin, in every language; few rows are warned of."""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from plan_recommender.model.features import FEATURE_NAMES, FEATURES
from plan_recommender.model.languages import LANGUAGES, Language
from plan_recommender.model.logistic import logistic
from plan_recommender.model.reason_words import HARDLY
from plan_recommender.model.reasons import effect_points
from plan_recommender.model.regions import FEW_ROWS, Region, regions
from plan_recommender.model.sentences import Sentences
from plan_recommender.model.store import RegisteredModel
from plan_recommender.model.tables import FeatureTable, ModelDocument
from plan_recommender.training.split import split_table
from tests.model.reading import GRAMMARS, Claim, Span
from tests.model.test_sentences import check_wording, document_of
from tests.training.candidates import fitted, odd_tables, shipped

Column = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def table_of(name: str, column: Column, target: Labels, cuts: list[float]) -> FeatureTable:
    """Count a column into bins, by comparing every value with the ends of every bin; the curve is flat."""
    known = ~np.isnan(column)
    median = float(np.median(column[known]))
    bins = list(zip([-math.inf, *cuts], [*cuts, math.inf], strict=True))
    inside = [known & (column > low) & (column <= high) for low, high in bins]
    rows = [int(here.sum()) for here in inside]
    missing_bin = next(b for b, (low, high) in enumerate(bins) if low < median <= high)
    rows[missing_bin] += int((~known).sum())
    return FeatureTable(
        name=name, unit=FEATURES[FEATURE_NAMES.index(name)].unit, cuts=cuts, missing_bin=missing_bin, median=median,
        training_rows=rows,
        smart_rows=[int((here & (target == 0)).sum()) for here in inside],
        ultra_rows=[int((here & (target == 1)).sum()) for here in inside],
        smallest=float(column[known].min()), largest=float(column[known].max()),
        whole=bool((column[known] % 1 == 0).all()), curve=[0.0] * len(bins),
    )  # fmt: skip


def of_columns(columns: list[Column], target: Labels, cuts: list[list[float]]) -> ModelDocument:
    named = zip(FEATURE_NAMES, columns, cuts, strict=True)
    return document_of([table_of(name, column, target, ends) for name, column, ends in named])


def random_table(seed: int) -> tuple[ModelDocument, npt.NDArray[np.float64], Labels]:
    """A model of random usage: whole or not, with repeated values, gaps and missing values; and random cut points."""
    random = np.random.default_rng(seed)
    rows = int(random.choice([20, 70, 150, 1000, 5000]))
    target = (random.random(rows) < random.uniform(0.05, 0.95)).astype(np.int64)
    columns, cuts = [], []
    for _ in FEATURE_NAMES:
        column = random.exponential(10 ** random.uniform(-1, 6), rows)
        if random.random() < 0.5:
            column = np.round(column)
        column[random.random(rows) < random.choice([0, 0.6])] = 0
        column[random.random(rows) < random.choice([0, 0.2])] = np.nan
        column[0] = 3.0  # at least one value is known
        values = np.unique(column[~np.isnan(column)])
        middles = (values[1:] + values[:-1]) / 2
        ends = random.choice([*values, *middles, 2 * values[-1]], random.integers(0, 60))
        columns.append(column)
        cuts.append(np.unique(ends).tolist())
    return of_columns(columns, target, cuts), np.column_stack(columns), target


def places(feature: FeatureTable) -> Iterator[tuple[int, float]]:
    """Every bin with values at both of its ends and in between, beyond the training values, and a missing one."""
    ends = [0.0, *feature.cuts, max(feature.largest, *feature.cuts, 1.0) * 3]
    for b, (low, high) in enumerate(itertools.pairwise(ends)):
        first = math.nextafter(low, math.inf) if b else 0.0
        for value in {first, (low + high) / 2, high} if first <= high else {high}:
            yield b, value
    yield feature.missing_bin, math.nan


class Range:
    """A range of usage as a sentence prints it, whose ends are rounded."""

    def __init__(self, span: Span, whole: bool) -> None:
        ends = span.ends or [0.0]
        self.low = -math.inf if span.kind in ("at most", "no") else ends[0]
        self.high = math.inf if span.kind in ("more than", "at least") else ends[-1]
        self.open = span.kind == "more than"
        self.near = 1.0 if whole else 0.0
        self.whole = whole and not span.in_billions
        self.slack = [self._half_digit(end) for end in (self.low, self.high)]

    def _half_digit(self, end: float) -> float:
        """Half of the last digit that is printed; the ends of a table of whole numbers are not rounded."""
        if self.whole or math.isinf(end):
            return 0.0
        return 5e5 if end >= 1e9 else 0.5 if end >= 100 else 0.05 if end >= 1 else max(end * 0.06, 1e-6)

    def counts(self, column: Column) -> tuple[int, int]:
        """The least and the most values that it can hold, because its ends are rounded."""
        surely = (column > self.low + self.slack[0]) & (column <= self.high - self.slack[1])
        maybe = (column >= self.low - self.slack[0]) & (column <= self.high + self.slack[1])
        if self.whole:
            surely = maybe = (column > self.low if self.open else column >= self.low) & (column <= self.high)
        return int(surely.sum()), int(maybe.sum())

    def holds(self, value: float) -> bool:
        """Whether it holds the value; between whole numbers, what it says of its ends goes for all up to the next."""
        return self.low - self.slack[0] - self.near <= value <= self.high + self.slack[1] + self.near


def bounds_of(share: str) -> tuple[float, float]:
    """The smallest and the largest share that is printed so."""
    known = {"all": (1.0, 1.0), "none": (0.0, 0.0), "less than 1%": (0.0, 0.005), "more than 99%": (0.995, 1.0)}
    return known[share] if share in known else (int(share[:-1]) / 100 - 0.00501, int(share[:-1]) / 100 + 0.00501)


def expected_few(feature: FeatureTable, b: int, value: float) -> bool:
    known = [smart + ultra for smart, ultra in zip(feature.smart_rows, feature.ultra_rows, strict=True)]
    as_low, as_high = sum(known[: b + 1]), sum(known[b:])
    beyond = value < feature.smallest or value > feature.largest
    return beyond or min(as_low, as_high, sum(feature.smart_rows), sum(feature.ultra_rows)) < FEW_ROWS


def check_truth(claim: Claim, feature: FeatureTable, value: float, column: Column, target: Labels) -> None:
    """Compare what a sentence claims of the training table with the table."""
    known = column[~np.isnan(column)]
    rows = {plan: column[~np.isnan(column) & (target == label)] for label, plan in enumerate(("Smart", "Ultra"))}
    if claim.kind == "one range":
        assert not feature.cuts
    elif claim.kind == "beyond":
        end = known.min() if claim.less else known.max()
        assert value < end if claim.less else value > end
        assert claim.number == pytest.approx(end, rel=0.06)
    elif claim.kind == "scarce":
        assert {plan: len(rows[plan] if plan else known) for plan, _ in claim.months} == dict(claim.months)
        assert claim.months
    elif claim.kind == "counted":
        assert claim.span is not None
        span = Range(claim.span, feature.whole)
        assert sum(months for _, months in claim.months) < FEW_ROWS
        assert claim.number == len(known)
        for plan, months in claim.months:
            fewest, most = span.counts(rows[plan])
            assert fewest <= months <= most
        assert math.isnan(value) or span.holds(value)
    else:
        assert claim.span is not None
        span = Range(claim.span, feature.whole)
        assert math.isnan(value) or span.holds(value)
        for plan, share in claim.shares:
            fewest, most = span.counts(rows[plan])
            assert bounds_of(share)[0] <= most / len(rows[plan])
            assert fewest / len(rows[plan]) <= bounds_of(share)[1]
        if claim.ordered:
            larger, smaller = (bounds_of(share) for _, share in claim.shares)
            assert smaller[0] < larger[1]
            assert not claim.only or smaller[0] <= 0.5 * larger[1]


CONTRIBUTIONS = (0.0, 1e-9, -0.03, math.log(HARDLY), 0.06, -0.06, 0.7, -0.7, 3.0, -3.0, 16.0, -100.0)


def check_every_bin(document: ModelDocument, features: npt.NDArray[np.float64], target: Labels) -> set[str]:
    """Check the sentences on every bin in every language; returns the kinds of what they say of the training table."""
    sentences, kinds = {language: Sentences(document, language) for language in LANGUAGES}, set()
    for i, feature in enumerate(document.features):
        for k, (b, value) in enumerate(places(feature)):
            contribution = CONTRIBUTIONS[k % len(CONTRIBUTIONS)]
            for signed in {contribution, -contribution}:
                log_odds = (-3.0, 0.0, 2.0)[k % 3] + signed / 2
                points = effect_points(logistic(log_odds), log_odds, signed)
                for language, grammar in GRAMMARS.items():
                    words = sentences[language].words(i, value, b, signed, points)
                    assert words[1] == expected_few(feature, b, value)
                    check_wording(words, signed, points, language)
                    claim = grammar.claim(words[0])
                    check_truth(claim, feature, value, features[:, i], target)
                    kinds.add(claim.kind)
    return kinds - {"one range"}


def test_every_sentence_of_the_shipped_model_is_true_of_its_training_table(model: RegisteredModel) -> None:
    training = shipped().take(split_table(shipped(), 0.2, 42).training)
    kinds = check_every_bin(model.document(), training.features, training.target)
    assert kinds == {"common", "counted", "beyond"}


@pytest.mark.parametrize("name", odd_tables())
def test_every_sentence_of_odd_tables_is_true_of_them(name: str) -> None:
    features, target = odd_tables()[name]
    check_every_bin(fitted("boosted_trees", features, target).document, features, target)


@pytest.mark.slow
def test_every_sentence_of_random_models_is_true_of_their_tables() -> None:
    kinds = set()
    for seed in range(25):
        kinds |= check_every_bin(*random_table(seed))
    assert kinds == {"common", "counted", "beyond", "scarce"}


def test_regions_are_tails_and_in_the_middle_the_tenth_of_the_table_around_a_bin() -> None:
    """100 whole numbers, 10 rows each; Ultra has all rows of the numbers that end in 9."""
    column = np.repeat(np.arange(100.0), 10)
    target = (column % 10 == 9).astype(np.int64)
    found = regions(table_of("calls", column, target, [value + 0.5 for value in range(99)]))
    assert found[1] == Region(0, 1, smart=20, ultra=0, few=True, low=True, high=False)
    assert found[2] == Region(0, 2, smart=30, ultra=0, few=False, low=True, high=False)
    assert found[9] == Region(0, 9, smart=90, ultra=10, few=False, low=True, high=False)
    assert found[50] == Region(45, 54, smart=90, ultra=10, few=False, low=False, high=False)
    assert found[97] == Region(97, 99, smart=20, ultra=10, few=False, low=False, high=True)
    assert found[98] == Region(98, 99, smart=10, ultra=10, few=True, low=False, high=True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_that_is_not_true_would_be_noticed(language: Language) -> None:
    """The control of the tests above."""
    column = np.repeat(np.arange(100.0), 10)
    target = (column % 10 == 9).astype(np.int64)
    document = of_columns([column] * 4, target, [[value + 0.5 for value in range(99)]] * 4)
    feature = document.features[0]

    def check(said: str, value: float) -> None:
        check_truth(GRAMMARS[language].claim(said), feature, value, column, target)

    common = Sentences(document, language).words(0, 50.0, 50, 0.5, 8.0)[0]
    check(common, 50.0)
    for old, new in ((" 10", " 30"), (" 45 ", " 35 ")):
        assert common.count(old) == 1
        with pytest.raises(AssertionError):
            check(common.replace(old, new), 50.0)
    counted = Sentences(document, language).words(0, 98.0, 98, 0.5, 8.0)[0]
    check(counted, 98.0)
    with pytest.raises(AssertionError):
        check(counted.replace("10 on Smart and 10 on", "9 on Smart and 11 on").replace("10 de S", "9 de S"), 98.0)
