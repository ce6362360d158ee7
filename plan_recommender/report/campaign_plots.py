"""Pictures of a campaign with a control group, in English or Spanish; headlines have the numbers that were found."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes

from plan_recommender.campaign.design import Arms, sample_size, visible_change
from plan_recommender.campaign.intervals import Difference
from plan_recommender.campaign.simulation import Simulated
from plan_recommender.errors import TableError
from plan_recommender.model.languages import Language
from plan_recommender.report.canvas import BLUE, GREY, INK, ULTRA, canvas, png, quiet, without_scale
from plan_recommender.report.picture_words import WORDS, figure, percent

_NEAR, _FAR = 1 / 6, 2 / 3
"""Rises of churn that the picture of sizes names, as shares of the churn: 6 % to 7 % and to 10 %."""

_LEAST_RISE, _MOST_RISE = 0.1, 1.0
"""Rises between which it is drawn."""


def draw_worlds(simulated: Sequence[Simulated], currency: str, language: Language = "en") -> bytes:
    """Draw what a campaign changes of revenue and churn in several worlds: what is true, and what is found; a PNG.

    Raises:
        TableError: a group is too small to be compared.
    """
    words = WORDS[language]
    bills, churns = [], []
    for each in simulated:
        if each.effect.bill is None or each.effect.churn is None:
            raise TableError("expected two groups of at least two subscribers, found a smaller one")
        bills.append(each.effect.bill)
        churns.append(each.effect.churn)
    lower = all(bill.verdict == "lower" for bill in bills)
    headline = words["worlds headline lower" if lower else "worlds headline"]
    picture = canvas(1.7 + 0.45 * len(simulated), headline, below=0.09)  # where the key stands
    revenue, churn = picture.subplots(1, 2, sharey=True)
    _draw_effects(revenue, bills, [each.true_bill for each in simulated], lambda value: figure(value, language))
    _draw_effects(
        churn, churns, [each.true_churn for each in simulated], lambda value: figure(100 * value, language, 1)
    )
    revenue.set(xlabel=words["revenue change"].format(currency=currency))
    churn.set(xlabel=words["churn change"])
    labels = [
        words["world same" if each.true_churn == 0 else "world"].format(
            left=percent(each.world.churn_of_contacts, language)
        )
        for each in simulated
    ]
    revenue.set_yticks(range(len(labels)), labels)
    revenue.set_ylim(len(labels) - 0.5, -0.8)
    picture.text(0.99, 0.0, f"▌ {words['true']}", color=ULTRA, ha="right", va="bottom")
    picture.text(0.01, 0.0, f"● {words['found']}", color=BLUE, ha="left", va="bottom")
    return png(picture)


def draw_sizes(churn: float, arms: Arms, language: Language = "en") -> bytes:
    """Draw how large two equal groups have to be to see a rise of churn, and what a campaign at hand sees.

    Args:
        churn: of the controls (between 0 and 0.5).
        arms: the groups of the campaign at hand.
        language: of the words.

    Returns:
        A PNG.
    """
    words = WORDS[language]
    near, far = (sample_size(churn, churn * (1 + rise)).contacts for rise in (_NEAR, _FAR))
    before, after, beyond = (percent(churn * (1 + rise), language) for rise in (0, _NEAR, _FAR))
    headline = words["sizes headline"].format(
        before=before, after=after, many=figure(near, language), far=beyond, few=figure(far, language)
    )
    picture = canvas(3.8, headline)
    axes = picture.add_subplot()
    rates = churn * (1 + np.linspace(_LEAST_RISE, _MOST_RISE, 181))
    axes.plot(rates, [sample_size(churn, float(rate)).contacts for rate in rates], color=BLUE, linewidth=2.2)
    for more, size in ((_NEAR, near), (_FAR, far)):
        rate = churn * (1 + more)
        axes.plot([rate], [size], "o", color=BLUE)
        axes.annotate(
            f"{percent(rate, language)}: {figure(size, language)}", (rate, size), xytext=(8, 6),
            textcoords="offset points", color=BLUE,
        )  # fmt: skip
    rise = visible_change(churn, arms).rise
    text = words["this campaign"].format(
        contacts=figure(arms.contacts, language), controls=figure(arms.controls, language)
    )
    if rise is not None:
        text += f"\n{words['this campaign sees'].format(rise=percent(rise, language, 1))}"
        axes.plot([rise], [min(arms)], "D", color=ULTRA)
        axes.annotate(
            text, (rise, min(arms)), xytext=(25, 45), textcoords="offset points", color=ULTRA, va="bottom",
            arrowprops={"arrowstyle": "-", "color": ULTRA},
        )  # fmt: skip
    axes.set_yscale("log")
    quiet(axes)
    axes.set(xlabel=words["churn after"], ylabel=words["sizes"])
    axes.yaxis.set_major_formatter(lambda value, _: figure(value, language))
    axes.xaxis.set_major_formatter(lambda value, _: percent(value, language))
    return png(picture)


def _draw_effects(
    axes: Axes, found: Sequence[Difference], true: Sequence[float], written: Callable[[float], str]
) -> None:
    for place, (difference, value) in enumerate(zip(found, true, strict=True)):
        axes.plot([value], [place], "|", color=ULTRA, markersize=17, markeredgewidth=3)
        axes.plot([difference.low, difference.high], [place, place], color=BLUE, linewidth=1.6)
        axes.plot([difference.difference], [place], "o", color=BLUE)
        text = f"{written(difference.difference)}  [{written(difference.low)}; {written(difference.high)}]"
        axes.annotate(
            text, (difference.difference, place), xytext=(0, 10), textcoords="offset points", ha="center", color=INK,
            fontsize="small",
        )  # fmt: skip
    axes.axvline(0, color=GREY, linewidth=1, linestyle="--")
    without_scale(axes)
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(lambda value, _: written(value))
