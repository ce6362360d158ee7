"""Judge counts of a current sample against those of a reference: which parts have drifted, and relevantly.

A part is a feature, a pair of features (how the two go together) or the predictions.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from plan_recommender.config.settings import DriftSettings
from plan_recommender.drift.design_effect import DesignEffect, Subscribers, of_dependence, of_quantity
from plan_recommender.drift.significance import Test, compare_dependence, compare_quantity, compare_shares, holm
from plan_recommender.model.profile import ReferenceProfile
from plan_recommender.monitoring.layout import PREDICTIONS, Codes, Layout, pair_name

Finding = Literal["drift", "no relevant drift", "no drift"]
"""A difference that matters; one that is not chance, but too small to matter; none that is not chance."""

Values = npt.NDArray[np.float64]
Effects = dict[str, DesignEffect]
"""Design effect of each part, by its name."""


class Judgement(NamedTuple):
    """What was found about one part."""

    finding: Finding
    p_value: float
    """Of the better one of its tests, corrected for all tests."""
    gap: float | None
    """Distance of the distribution functions; None for a pair."""
    phi: float | None
    """Distance of the shares of the bins, or of how a pair goes together; None for the predictions."""


class _Tested(NamedTuple):
    gap: Test | None
    phi: Test | None


def reference_effects(profile: ReferenceProfile) -> Effects:
    """Give the design effects that are stored with a profile."""
    effects = {feature.name: DesignEffect(feature.design_effect) for feature in profile.features}
    for pair in profile.pairs:
        effects[pair_name(*pair.features)] = DesignEffect(pair.design_effect, pair.design_variation)
    if profile.predictions is not None:
        effects[PREDICTIONS] = DesignEffect(profile.predictions.design_effect)
    return effects


def current_effects(
    layout: Layout, codes: Codes, probability_codes: Codes | None, subscribers: Subscribers | None
) -> Effects:
    """Estimate the design effects of a sample from the bins of its rows, shape (rows, features) and (rows,)."""
    columns = [*codes.T, *([] if probability_codes is None else [probability_codes])]
    coarse = layout.coarse(codes)
    quantities = [
        of_quantity(column, cells.stop - cells.start, subscribers)
        for column, cells in zip(columns, layout.margins, strict=True)
    ]
    pairs = [
        of_dependence(coarse[:, i], coarse[:, j], shape, subscribers)
        for (i, j), shape in zip(layout.pairs, layout.shapes, strict=True)
    ]
    return dict(zip(layout.parts, [*quantities, *pairs], strict=True))


def judge(
    layout: Layout,
    reference: Values,
    current: Values,
    effects: tuple[Effects, Effects],
    settings: DriftSettings,
    left_out: frozenset[str] = frozenset(),
) -> dict[str, Judgement]:
    """Judge every part.

    Args:
        layout: of the counts.
        reference: counts of the reference, shape (cells,).
        current: counts of the sample, shape (cells,).
        effects: design effects of the two.
        settings: the thresholds.
        left_out: features that are not compared, neither by themselves nor in pairs.
    """
    tested = _test(layout, reference, current, effects, left_out)
    adjusted = iter(holm([test.p_value for both in tested.values() for test in both if test is not None]))
    judged = {}
    for name, both in tested.items():
        floors = (settings.smallest_gap, settings.smallest_phi)
        p_values = [1.0 if test is None else next(adjusted) for test in both]
        beyond_chance = [p < settings.alpha for p in p_values]
        relevant = [test is not None and test.distance >= floor for test, floor in zip(both, floors, strict=True)]
        drift = any(b and r for b, r in zip(beyond_chance, relevant, strict=True))
        judged[name] = Judgement(
            finding="drift" if drift else "no relevant drift" if any(beyond_chance) else "no drift",
            p_value=min(p_values),
            gap=None if both.gap is None else both.gap.distance,
            phi=None if both.phi is None else both.phi.distance,
        )
    return judged


def _test(
    layout: Layout, reference: Values, current: Values, effects: tuple[Effects, Effects], left_out: frozenset[str]
) -> dict[str, _Tested]:
    """Make the tests of every part, with counts that are divided by its design effects."""
    before, now = effects
    names = layout.parts
    tested = {}
    for name, cells in zip(names, layout.margins, strict=False):
        if name not in left_out:
            counts = reference[cells] / before[name].mean, current[cells] / now[name].mean
            tested[name] = _Tested(compare_quantity(*counts), None if name == PREDICTIONS else compare_shares(*counts))
    pairs = zip(names[len(layout.margins) :], layout.pairs, layout.shapes, layout.pair_cells, strict=True)
    for name, (i, j), shape, cells in pairs:
        if not {layout.names[i], layout.names[j]} & left_out:
            effects_of = before[name], now[name]
            tables = [
                (cells_of[cells] / effect.mean).reshape(shape)
                for cells_of, effect in zip((reference, current), effects_of, strict=True)
            ]
            variation = max(effect.variation for effect in effects_of)
            tested[name] = _Tested(None, compare_dependence(tables[0], tables[1], variation))
    return tested
