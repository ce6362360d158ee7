"""Pictures of the bill and of the advice, in English or Spanish; headlines say what was found, with its numbers."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from plan_recommender.billing.advice import Advice
from plan_recommender.billing.bill import Biller
from plan_recommender.billing.tariffs import Tariffs
from plan_recommender.campaign.economics import Economics
from plan_recommender.campaign.simulation import Case
from plan_recommender.errors import ConfigError
from plan_recommender.evaluation.backtest import ADVICE, CLAIRVOYANT, KEEP, LAST, Backtest
from plan_recommender.model.languages import Language
from plan_recommender.report.canvas import (
    BLUE,
    GREY,
    INK,
    MB_PER_GB,
    PALE,
    PLAN_COLORS,
    canvas,
    png,
    quiet,
    without_scale,
)
from plan_recommender.report.picture_words import WORDS, figure, percent

_MAX_STEPS: Final = 40
"""Steps of data up to which bills are drawn."""


def draw_bills(tariffs: Tariffs, language: Language = "en") -> bytes:
    """Draw what a month costs on both plans against the data used, and from where on the dearer fee costs less.

    Args:
        tariffs: of two plans, the one with the lower fee first.
        language: of the words.

    Returns:
        A PNG.

    Raises:
        ConfigError: there are more plans, or one of them always costs less.
    """
    words = WORDS[language]
    steps = np.arange(_MAX_STEPS + 1)
    billed = np.stack([np.zeros_like(steps), np.zeros_like(steps), steps])
    totals = Biller(tariffs).totals(billed) / 10**tariffs.decimals
    if len(totals) != 2 or not totals[0, 0] < totals[1, 0] or not totals[0, -1] > totals[1, -1]:
        raise ConfigError("expected two plans of which the first costs less with little data, and the other with much")
    (last,) = np.flatnonzero(totals[0] <= totals[1])[-1:]
    gb = figure(last * tariffs.data.step_mb / MB_PER_GB, language)
    cheap, dear = tariffs.names
    picture = canvas(3.8, words["break-even"].format(gb=gb, dear=dear, cheap=cheap))
    axes = picture.add_subplot()
    across = steps * tariffs.data.step_mb / MB_PER_GB
    for name, color, bills in zip(tariffs.names, PLAN_COLORS, totals, strict=True):
        axes.step(across, bills, where="pre", color=color, linewidth=2.2)
        axes.text(across[-1] + 0.4, bills[-1], name, color=color, va="center", fontweight="bold")
    both = f"{figure(totals[0, last], language)} {tariffs.currency}"
    axes.plot([across[last]], [totals[0, last]], "o", color=INK)
    axes.annotate(
        words["break-even point"].format(gb=gb, amount=both), (float(across[last]), float(totals[0, last])),
        xytext=(-10, 10), textcoords="offset points", ha="right", color=INK,
    )  # fmt: skip
    quiet(axes)
    axes.set(
        xlabel=words["data"], ylabel=words["fee and extras"].format(currency=tariffs.currency), xlim=(0, across[-1])
    )
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: figure(value, language))
    return png(picture)


def draw_forecast(advice: Advice, tariffs: Tariffs, headline: str, language: Language = "en") -> bytes:
    """Draw the expected next bill on every plan with its 90 % interval; returns a PNG."""
    picture = canvas(1.2 + 0.5 * len(tariffs.names), headline)
    axes = picture.add_subplot()
    unit = 10**tariffs.decimals
    for place, (plan, color) in enumerate(zip(advice.plans, PLAN_COLORS, strict=True)):
        axes.plot([plan.low / unit, plan.high / unit], [place, place], color=color, linewidth=5, alpha=0.35)
        axes.plot([plan.expected / unit], [place], "o", color=color, markersize=8)
        axes.annotate(
            f"{figure(plan.expected / unit, language)} {tariffs.currency}", (plan.expected / unit, place),
            xytext=(0, 9), textcoords="offset points", ha="center", color=color,
        )  # fmt: skip
    axes.set_yticks(range(len(tariffs.names)), tariffs.names)
    axes.set_ylim(len(tariffs.names) - 0.5, -0.75)
    axes.set_xlim(left=0)
    without_scale(axes)
    axes.set(xlabel=WORDS[language]["bill"].format(currency=tariffs.currency))
    axes.xaxis.set_major_formatter(lambda value, _: figure(value, language))
    return png(picture)


def draw_kinds(found: Economics, tariffs: Tariffs, language: Language = "en") -> bytes:
    """Draw how many holders of each of two plans are advised to keep it or to switch; returns a PNG."""
    words = WORDS[language]
    share = found.everybody.switches / found.everybody.subscribers
    picture = canvas(2.4, words["advised headline"].format(share=percent(share, language)))
    axes = picture.add_subplot()
    colors = dict(zip(tariffs.names, PLAN_COLORS, strict=True))
    labels = []
    for place, (plan, figures) in enumerate(found.by_plan):
        (other,) = (name for name in tariffs.names if name != plan)
        switch = figures.switches / figures.subscribers
        labels.append(words["held"].format(plan=plan, count=figure(figures.subscribers, language)))
        axes.barh(place, 1 - switch, color=PALE, height=0.6)
        axes.barh(place, switch, left=1 - switch, color=colors[other], height=0.6)
        axes.text((1 - switch) / 2, place, f"{words['keep']} {percent(1 - switch, language)}", ha="center", va="center")
        text = f"{words['switch to'].format(plan=other)} {percent(switch, language)}"
        axes.text(1.01, place, text, color=colors[other], ha="left", va="center", fontweight="bold")
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    without_scale(axes)
    axes.set(xlabel=words["share of subscribers"], xlim=(0, 1))
    axes.xaxis.set_major_formatter(lambda value, _: percent(value, language))
    return png(picture)


def draw_advised(cases: Sequence[Case], tariffs: Tariffs, language: Language = "en") -> bytes:
    """Draw subscribers by mean data and call time, coloured by the plan that they are advised to switch to; a PNG."""
    words = WORDS[language]
    data = np.array([case.mb_used for case in cases]) / MB_PER_GB
    minutes = np.array([case.minutes for case in cases])
    to = np.array([case.advice.advised if case.advice.kind == "switch" else -1 for case in cases])
    low, high = (figure(float(np.median(data[to == plan])), language) for plan in (0, 1))
    cheap, dear = tariffs.names
    picture = canvas(4.6, words["map headline"].format(dear=dear, high=high, cheap=cheap, low=low))
    axes = picture.add_subplot()
    axes.scatter(data[to < 0], minutes[to < 0], s=4, color=PALE, linewidths=0)
    for plan, color in enumerate(PLAN_COLORS):
        axes.scatter(data[to == plan], minutes[to == plan], s=7, color=color, alpha=0.75, linewidths=0)
        text = words["on, to"].format(held=tariffs.names[1 - plan], advised=tariffs.names[plan])
        axes.text(
            0.99, 0.95 - 0.07 * plan, f"{text} ({figure(int((to == plan).sum()), language)})",
            color=color, ha="right", va="top", transform=axes.transAxes, fontweight="bold",
        )  # fmt: skip
    axes.text(
        0.99, 0.81, f"{words['keep either']} ({figure(int((to < 0).sum()), language)})",
        color=GREY, ha="right", va="top", transform=axes.transAxes,
    )  # fmt: skip
    quiet(axes)
    axes.set(
        xlabel=words["mean data"], ylabel=words["mean minutes"],
        xlim=(0, float(np.quantile(data, 0.998)) * 1.1), ylim=(0, float(np.quantile(minutes, 0.998)) * 1.1),
    )  # fmt: skip
    axes.yaxis.set_major_formatter(lambda value, _: figure(value, language))
    return png(picture)


def draw_overpaid(found: Backtest, tariffs: Tariffs, language: Language = "en") -> bytes:
    """Draw what each rule overpays a month, with 95 % intervals, the largest first; returns a PNG."""
    words = WORDS[language]
    ratio = found.rule(ADVICE).ratio
    assert ratio is not None  # a backtest of somebody who overpays
    picture = canvas(3.4, words["overpaid headline"].format(ratio=percent(ratio, language)))
    axes = picture.add_subplot()
    names = {KEEP: "rule keep", LAST: "rule last", ADVICE: "rule advice", CLAIRVOYANT: "rule clairvoyant"}
    rules = sorted(found.rules, key=lambda rule: -rule.overpaid)
    labels = []
    for place, rule in enumerate(rules):
        plan = rule.name.removeprefix("everybody on ")
        labels.append(words[names.get(rule.name, "rule everybody")].format(plan=plan))
        color = BLUE if rule.name == ADVICE else GREY
        axes.barh(place, rule.overpaid, color=color, alpha=1 if rule.name == ADVICE else 0.45, height=0.62)
        axes.plot([rule.low, rule.high], [place, place], color=INK, linewidth=1.2)
        told = words["right"].format(
            amount=f"{figure(rule.overpaid, language)} {tariffs.currency}", share=percent(rule.right, language)
        )
        axes.annotate(
            told, (max(rule.high, rule.overpaid), place), xytext=(6, 0), textcoords="offset points", va="center",
            color=BLUE if rule.name == ADVICE else INK,
        )  # fmt: skip
    axes.set_yticks(range(len(rules)), labels)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.55 * max(rule.high for rule in rules))
    without_scale(axes)
    axes.set(xlabel=words["overpaid"].format(currency=tariffs.currency))
    axes.xaxis.set_major_formatter(lambda value, _: figure(value, language))
    return png(picture)


def draw_expectations(found: Backtest, tariffs: Tariffs, language: Language = "en") -> bytes:
    """Draw what advised switches were expected to save and what they saved, by the months that were known; a PNG."""
    words = WORDS[language]
    everything = found.expectations[0]
    headline = words["expectations headline"].format(
        cases=figure(everything.cases, language),
        saved=percent(everything.saved, language),
        real=percent(everything.real / everything.expected, language),
    )
    picture = canvas(3.0, headline)
    axes = picture.add_subplot()
    labels = []
    for place, group in enumerate(found.expectations):
        name = words[f"group {group.group}"]
        labels.append(words["switches"].format(group=name, count=figure(group.cases, language)))
        axes.plot([group.real, group.expected], [place, place], color=PALE, linewidth=5)
        for value, color, side in ((group.expected, GREY, 1), (group.real, BLUE, -1)):
            axes.plot([value], [place], "o", color=color, markersize=8)
            outside = side if group.expected >= group.real else -side
            axes.annotate(
                figure(value, language), (value, place), xytext=(9 * outside, 0), textcoords="offset points",
                ha="left" if outside > 0 else "right", va="center", color=color,
            )  # fmt: skip
    for value, key, color in ((everything.expected, "expected", GREY), (everything.real, "real", BLUE)):
        aligned = "left" if value == max(everything.expected, everything.real) else "right"
        axes.annotate(words[key], (value, 0), xytext=(0, 11), textcoords="offset points", ha=aligned, color=color)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.9)
    axes.set_xlim(left=0)
    axes.margins(x=0.15)
    without_scale(axes)
    axes.set(xlabel=words["saving"].format(currency=tariffs.currency))
    axes.xaxis.set_major_formatter(lambda value, _: figure(value, language))
    return png(picture)
