"""The sentences of the verdict, word for word; the console and the page say the same."""

from typing import Any

import pytest

from plan_recommender.drift.mix import MixChange
from plan_recommender.drift.report import Bills, DriftReport, FeatureDrift, PairDrift, PlanBill, PredictionDrift
from plan_recommender.drift.words import amount, verdict_words

NOTHING = "Nothing has drifted: no difference is both more than chance and large enough to matter."


def feature(name: str, **changes: Any) -> FeatureDrift:
    """One that has drifted from a mean of 100 to 120, unless the changes say otherwise."""
    found: dict[str, Any] = {
        "name": name, "finding": "drift", "reasons": ["gap 0.3, phi 0.3 with p 1e-09 < 0.01"], "reference_n": 1000,
        "current_n": 1000, "reference_missing_share": 0.0, "current_missing_share": 0.0, "p_value": 1e-9, "gap": 0.3,
        "phi": 0.3, "psi": 0.3, "ks_statistic": 0.3, "ks_p_value": 1e-9, "reference_mean": 100.0, "current_mean": 120.0,
        "change": (15.0, 25.0), "reference_median": 100.0, "current_median": 120.0, "above_old_percentile": 0.05,
        "design_effect": 1.0,
    }  # fmt: skip
    return FeatureDrift(**(found | changes))


def pair(before: float, now: float, **changes: Any) -> PairDrift:
    found: dict[str, Any] = {"features": ["calls", "minutes"], "finding": "drift", "p_value": 0.001, "phi": 0.3}
    return PairDrift(reference_association=before, current_association=now, **(found | changes))


def report(**changes: Any) -> DriftReport:
    found: dict[str, Any] = {
        "verdict": "drift", "drifted": ["calls"], "reference_rows": 1000, "current_rows": 1000,
        "reference_subscribers": None, "current_subscribers": None, "thresholds": {"alpha": 0.01}, "features": [],
        "pairs": [], "predictions": None, "mix": None,
    }  # fmt: skip
    return DriftReport(**(found | changes))


GIGABYTE = 1024.0


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            feature(
                "mb_used", reference_mean=16 * GIGABYTE, current_mean=18.1 * GIGABYTE,
                change=(1.9 * GIGABYTE, 2.3 * GIGABYTE), above_old_percentile=0.18,
            ),
            "mb_used up by 2.1 GB on average (99% interval 1.9 to 2.3 GB); 18% of the rows above the old 95th "
            "percentile.",
        ),
        (feature("calls"), "calls up by 20 on average (99% interval 15 to 25)."),
        (
            feature("messages", current_mean=92.0, change=(-9.5, -6.5), above_old_percentile=0.01),
            "messages down by 8.0 on average (99% interval 6.5 to 9.5); 1% of the rows above the old 95th percentile.",
        ),
        (
            feature("minutes", change=(-1.0, 3.0)),
            "minutes on average as before, but distributed otherwise.",
        ),
        (
            feature("minutes", current_missing_share=0.3, reasons=["empty cells 0.0% → 30.0% (threshold 10%)"]),
            "minutes empty in 30% of the rows (before: 0%); up by 20 on average (99% interval 15 to 25).",
        ),
        (  # what is left of the values is as before, and nothing else is said of it
            feature(
                "minutes", current_missing_share=0.3, change=(-1.0, 3.0), p_value=1.0,
                reasons=["empty cells 0.0% → 30.0% (threshold 10%)"],
            ),
            "minutes empty in 30% of the rows (before: 0%).",
        ),
        (
            feature(
                "messages", current_n=0, current_mean=None, change=None, above_old_percentile=None,
                current_missing_share=1.0, reasons=["empty cells 2.0% → 100.0% (threshold 10%)"],
                reference_missing_share=0.02,
            ),
            "messages empty in 100% of the rows (before: 2%).",
        ),
    ],
    ids=["more data", "more calls", "fewer messages", "other shape", "emptied and up", "emptied", "all empty"],
)  # fmt: skip
def test_a_feature_is_told_in_its_own_unit(found: FeatureDrift, sentence: str) -> None:
    assert verdict_words(report(features=[found])) == [sentence]


@pytest.mark.parametrize(
    ("found", "way"),
    [
        (pair(0.95, 0.2), "less closely than before (gamma 0.95 before, 0.20 now)."),
        (pair(0.2, 0.5), "more closely than before (gamma 0.20 before, 0.50 now)."),
        (pair(0.3, -0.4), "the other way round (gamma 0.30 before, -0.40 now)."),
        (pair(0.3, 0.31), "about as closely as before (gamma 0.30 before, 0.31 now), but in another way."),
    ],
    ids=["less", "more", "turned", "another way"],
)
def test_a_pair_is_told_by_how_closely_it_goes_together(found: PairDrift, way: str) -> None:
    assert verdict_words(report(pairs=[found])) == [f"calls and minutes go together {way}"]


def test_nothing_and_too_little_are_said_so() -> None:
    assert verdict_words(report(verdict="no drift", drifted=[])) == [NOTHING]
    small = {"finding": "no relevant drift"}
    assert verdict_words(report(verdict="no drift", drifted=[], features=[feature("calls", **small)])) == [
        NOTHING, "More than chance, but too small to matter: calls.",
    ]  # fmt: skip


def mix(before: list[float], now: list[float], p_value: float, drifted: list[str] | None) -> MixChange:
    strata = [f"year {i}" for i in range(len(before))]
    return MixChange(
        column="tenure", strata=strata, reference_shares=before, current_shares=now, p_value=p_value, drifted=drifted
    )


def test_a_mix_that_explains_everything_is_said_first() -> None:
    found = report(verdict="other mix", features=[feature("calls")], mix=mix([0.9, 0.1], [0.6, 0.4], 1e-9, []))
    assert verdict_words(found) == [
        "The mix of tenure has changed (year 0 90% → 60%, year 1 10% → 40%); with the mix held fixed, nothing has "
        "drifted.",
        "calls up by 20 on average (99% interval 15 to 25).",
    ]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            mix([0.5, 0.5], [0.51, 0.49], 0.6, ["calls"]),
            "The mix of tenure is as before; with the mix held fixed, these have drifted: calls.",
        ),
        (
            mix([0.2] * 5 + [0.0], [0.1, 0.2, 0.15, 0.31, 0.2, 0.04], 1e-9, None),
            "The mix of tenure has changed (year 3 20% → 31%, year 0 20% → 10%, year 2 20% → 15%, year 5 0% → 4%, "
            "...); it cannot be held fixed, because the reference lacks a part of it.",
        ),
    ],
    ids=["as before", "a part is new"],
)
def test_the_strata_that_moved_most_are_named(found: MixChange, sentence: str) -> None:
    assert verdict_words(report(mix=found)) == [sentence]


def test_predictions_are_told_as_a_share_and_what_they_cannot_tell() -> None:
    found = PredictionDrift(
        finding="drift", p_value=0.001, gap=0.2, reference_mean=0.3, current_mean=0.33, reference_ultra_share=0.2,
        current_ultra_share=0.23, reference_expected_accuracy=0.8, current_expected_accuracy=0.788,
        reference_expected_brier=0.15, current_expected_brier=0.1531,
    )  # fmt: skip
    cannot = "whether they are right cannot be seen without labels."
    assert verdict_words(report(predictions=found)) == [
        "23.0% of the rows would be recommended Ultra, 3.0 percentage points more than in the reference.",
        "If the model's probabilities are still right, its accuracy changes by -1.2 percentage points and its Brier "
        f"score by +0.0031; {cannot}",
    ]
    same = found.model_copy(update={"current_ultra_share": 0.2})
    said = verdict_words(report(predictions=same))
    assert said[0] == "20.0% of the rows would be recommended Ultra, as many as in the reference."


def bills(*plans: tuple[str, tuple[float, float], tuple[float, float] | None]) -> Bills:
    return Bills(
        currency="RUB", decimals=2, valid_from="2018-01-01", digest="", rows_known=plans[0][2] is not None,
        reference_months=1000, current_months=1000,
        plans=[
            PlanBill(plan=plan, reference_mean=(1000, 1000), current_mean=1034, change=change, interval=interval)
            for plan, change, interval in plans
        ],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "costs"),
    [
        (
            bills(("Smart", (34.12, 34.12), (20.4, 48.0)), ("Ultra", (2.0, 2.0), (-1.0, 5.2))),
            "34 RUB more on Smart (99% interval 20 to 48 RUB more) and 2 RUB more on Ultra (99% interval 1 RUB less to "
            "5 RUB more)",
        ),
        (
            bills(("Smart", (-1.25, -1.25), (-2.0, -0.5)), ("Ultra", (0.0, 0.0), (0.0, 0.0))),
            "1.25 RUB less on Smart (99% interval 0.50 to 2.00 RUB less) and the same on Ultra",
        ),
        (
            bills(("S", (27.0, 41.4), None), ("M", (-3.0, 5.0), None), ("L", (-60.0, -50.0), None)),
            "27 to 41 RUB more on S, 3 RUB less to 5 RUB more on M and 50 to 60 RUB less on L",
        ),
        (bills(("Only", (1234.5, 1234.5), None)), "1,234 RUB more on Only"),
    ],
    ids=["rows", "small", "bounds", "one plan"],
)
def test_bills_are_told_as_what_a_month_costs_more_or_less(found: Bills, costs: str) -> None:
    assert verdict_words(report(bills=found)) == [
        f"Under the same tariffs a month like these costs, on average, {costs}."
    ]


def test_amounts_have_the_unit_that_fits_the_largest() -> None:
    assert amount("mb_used", 512) == "512 MB"
    assert amount("mb_used", 900, 2048) == "0.9 to 2.0 GB"
    assert amount("calls", -3.25) == "3.2 calls"
