"""Reads a sentence on a reason back into what it claims, in every language, to be compared with a table."""

import math
import re
from typing import Final, NamedTuple

from plan_recommender.model.languages import Language


class Span(NamedTuple):
    """A range of usage as a sentence prints it."""

    kind: str
    ends: list[float]
    in_billions: bool


class Claim(NamedTuple):
    """What a sentence says of the training table; of each kind some fields are set."""

    kind: str
    less: bool = False
    """Whether the usage is less than the smallest of the table, and not more than the largest."""
    number: float = math.nan
    """The smallest or the largest; or the months that the table has."""
    months: tuple[tuple[str, float], ...] = ()
    """The months on each plan that is named; the plan is empty for both together."""
    span: Span | None = None
    shares: tuple[tuple[str, str], ...] = ()
    """Plans and their shares, in English; the larger one first."""
    ordered: bool = False
    """Whether the first share is said to be larger."""
    only: bool = False
    """Whether the smaller one is called "only"."""


class Effect(NamedTuple):
    """What a sentence says of probability and odds."""

    plan: str | None
    """Whose probability is raised; None: hardly any."""
    points: tuple[float, float] | None
    """The fewest and the most percentage points; None: nothing changes."""
    factor: float
    """Of the odds; NaN: none is told, or more than a million."""
    speaks_for: str | None
    hardly: bool
    warns: bool


class Grammar:
    """The patterns of one language. `SPAN`, `USED` and `SHARE` in a pattern stand for a range, its verb and a share."""

    def __init__(
        self, number: str, ranges: str, nouns: str, nothing: str, verbs: str, share: str, translated: dict[str, str],
        **patterns: str,
    ) -> None:  # fmt: skip
        self._translated, self._number = translated, re.compile(number)
        span = rf"(?P<span>(?:{ranges.replace('N', number)}) (?:{nouns})|{nothing})"
        used = rf"(?:(?:{verbs}) )?{span}"
        for name, pattern in patterns.items():
            filled = pattern.replace("SPAN", span).replace("USED", used).replace("NUMBER", number)
            filled = filled.replace("SHARE1", f"(?P<share1>{share})").replace("SHARE2", f"(?P<share2>{share})")
            setattr(self, f"_{name}", re.compile(filled))

    _beyond: re.Pattern[str]
    _scarce: re.Pattern[str]
    _months: re.Pattern[str]
    _counted: re.Pattern[str]
    _common: re.Pattern[str]
    _both: re.Pattern[str]
    _one_range: re.Pattern[str]
    _kinds: re.Pattern[str]
    _effect: re.Pattern[str]
    _small_effect: re.Pattern[str]
    _no_effect: re.Pattern[str]
    _points: re.Pattern[str]
    _speaks: re.Pattern[str]
    _hardly: re.Pattern[str]
    _warns: re.Pattern[str]

    def claim(self, said: str) -> Claim:
        """Read what a sentence says of the training table."""
        if self._one_range.search(said):
            return Claim("one range")
        if found := self._beyond.search(said):
            return Claim("beyond", less=self._english(found["how"]) == "less", number=self.value(found["end"]))
        if found := self._scarce.search(said):
            listed = self._months.finditer(found[0])
            return Claim("scarce", months=tuple((each["plan"] or "", self.value(each["months"])) for each in listed))
        if found := self._counted.search(said):
            rows = self.value(found["rows"])
            plan, smart, ultra = found["one"] or found["all"], found["smart"], found["ultra"]
            told = {"Smart": 0.0, "Ultra": 0.0, plan: rows} if plan else {"Smart": float(smart), "Ultra": float(ultra)}
            assert sum(told.values()) == rows
            return Claim(
                "counted", number=self.value(found["total"]), months=tuple(told.items()), span=self._span(found["span"])
            )
        if found := self._both.search(said):
            share = self._english(found["share1"])
            return Claim("common", span=self._span(found["span"]), shares=(("Smart", share), ("Ultra", share)))
        found = self._common.search(said)
        assert found, said
        assert {found["first"], found["second"]} == {"Smart", "Ultra"}
        shares = ((found["first"], self._english(found["share1"])), (found["second"], self._english(found["share2"])))
        only = found["only"] is not None
        return Claim("common", span=self._span(found["span"]), shares=shares, ordered=True, only=only)

    def effect(self, said: str) -> Effect:
        """Read what a sentence says of probability and odds."""
        plan, points, factor = None, None, math.nan
        if found := self._effect.search(said):
            plan, points = found["plan"], self._points_of(found["points"])
            factor = self.value(found["factor"]) if self._number.fullmatch(found["factor"]) else math.nan
        elif found := self._small_effect.search(said):
            points = self._points_of(found["points"])
        else:
            assert self._no_effect.search(said), said
        speaks, hardly = self._speaks.search(said), self._hardly.search(said)
        assert (speaks is None) != (hardly is None), said
        speaks_for = speaks["plan"] if speaks else None
        return Effect(plan, points, factor, speaks_for, hardly is not None, self._warns.search(said) is not None)

    def value(self, text: str) -> float:
        """Read a number, or a word for one."""
        english = self._english(text)
        known = {"no": 0.0, "one": 1.0, "billion": 1e9}
        if english in known:
            return known[english]
        digits, _, billion = english.partition(" ")
        return float(digits) * (1e9 if billion else 1)

    def _english(self, text: str) -> str:
        for local, english in self._translated.items():
            text = text.replace(local, english)
        return text

    def _span(self, text: str) -> Span:
        kind = self._kinds.match(text)
        ends = [self.value(end) for end in self._number.findall(text)]
        return Span(self._english(kind[0]) if kind else "no", ends, "billion" in self._english(text))

    def _points_of(self, text: str) -> tuple[float, float]:
        found = self._points.fullmatch(text)
        assert found, text
        if found["less"]:
            return 0.0, 1.0
        if found["more"]:
            return 99.0, 100.0
        points = 1.0 if found["one"] else float(found["whole"])
        assert bool(found["one"]) == (points == 1)
        return points - 0.5, points + 0.5


GRAMMARS: Final[dict[Language, Grammar]] = {
    "en": Grammar(
        number=r"(?:(?:\d[\d,.]*\d|\d)(?: billion)?)",
        ranges="at most N|more than N|at least N|between N and N|exactly N|about N",
        nouns=r"calls?|minutes?|text messages?|MB",
        nothing=r"no (?:calls|minutes of calls|text messages|MB of data)",
        verbs="made|had|sent|used",
        share=r"(?:all|none|less than 1%|more than 99%|\d+%) of (?:their months|theirs)",
        translated={",": "", " of their months": "", " of theirs": "", "only ": ""},
        beyond=r"but this is a guess: no month in the training table had (?P<how>less|more) than (?P<end>NUMBER) ",
        scarce=r"the training table has [^;]+;",
        months=r"(?P<months>no|only one|only \d+) months?(?: on (?P<plan>Smart|Ultra))?",
        counted=r"only (?P<rows>one|\d+) of the (?P<total>NUMBER) months in the training table had SPAN, (?:which was "
        r"on (?P<one>Smart|Ultra)|all of them on (?P<all>Smart|Ultra)|(?P<smart>\d+) on Smart and (?P<ultra>\d+) on "
        r"Ultra);",
        common=r"(?P<first>Smart|Ultra) subscribers USED(?: more often,)? in SHARE1,? and (?P<second>Smart|Ultra) "
        r"subscribers in (?P<only>only )?SHARE2;",
        both=r"subscribers of both plans USED in SHARE1;",
        one_range=r": all of the training table falls into one range;",
        kinds=r"at most|more than|at least|between|exactly|about",
        effect=r"; this raises the probability of (?P<plan>Smart|Ultra) by (?P<points>[^;]+) and multiplies its odds "
        r"by (?P<factor>NUMBER|more than a million)\.$",
        small_effect=r"; this changes the probability of Ultra by (?P<points>[^;]+) and its odds by 5% at most\.$",
        no_effect=r"; this changes neither the probability nor the odds\.$",
        points=r"(?P<less>less than one percentage point)|(?P<one>one percentage point)|(?P<whole>\d+) percentage "
        r"points|(?P<more>more than 99 percentage points)",
        speaks=r" speaks? for (?P<plan>Smart|Ultra)\b",
        hardly=r" hardly matters?\b",
        warns=r" but ",
    ),
    "es": Grammar(
        number=r"(?:(?:\d[\d,\u202f]*\d|\d)(?: mil millones)?|mil millones)",
        ranges="como máximo N|más de N|al menos N|entre N y N|exactamente N|alrededor de N",
        nouns=r"(?:de )?(?:llamadas?|minutos?|mensajes? de texto|MB)",
        nothing=r"no (?:hicieron llamadas|hablaron ni un minuto|enviaron mensajes de texto|consumieron datos)|"
        r"cero (?:llamadas|minutos de llamadas|mensajes de texto|MB de datos)",
        verbs="hicieron|hablaron|enviaron|consumieron",
        share=r"(?:todos|ninguno de|menos del 1 % de|más del 99 % de|el \d+ % de) (?:sus meses|los suyos)",
        translated={
            "\u202f": "", ",": ".", "menos del 1 %": "less than 1%", "más del 99 %": "more than 99%", " %": "%",
            " de sus meses": "", " de los suyos": "", " sus meses": "", " los suyos": "", "el ": "",
            "mil millones": "billion",
            "todos": "all", "ninguno": "none", "como máximo": "at most", "más de": "more than", "al menos": "at least",
            "entre": "between", "exactamente": "exactly", "alrededor de": "about", "menos": "less", "más": "more",
            "no tiene ningún": "no", "tiene un solo": "one", "tiene solo ": "", "uno": "one",
        },
        beyond=r"pero es una conjetura: ningún mes de la tabla de entrenamiento tiene (?P<how>menos|más) de "
        r"(?P<end>NUMBER) ",
        scarce=r": la tabla de entrenamiento (?:no )?tiene [^;]+;",
        months=r"(?P<months>no tiene ningún|tiene un solo|tiene solo \d+) mes(?:es)?(?: de (?P<plan>Smart|Ultra))?",
        counted=r"solo (?P<rows>uno|\d+) de los (?P<total>NUMBER) meses de la tabla de entrenamiento tienen? SPAN, "
        r"(?:y es de (?P<one>Smart|Ultra)|todos de (?P<all>Smart|Ultra)|(?P<smart>\d+) de Smart y (?P<ultra>\d+) de "
        r"Ultra);",
        common=r"(?:clientes de |más habitual con )(?P<first>Smart|Ultra)(?:: sus clientes)? USED en SHARE1,? y los de "
        r"(?P<second>Smart|Ultra), (?P<only>solo )?en SHARE2;",
        both=r"clientes de ambos planes USED en SHARE1;",
        one_range=r": toda la tabla de entrenamiento cae en un solo intervalo;",
        kinds=r"como máximo|más de|al menos|entre|exactamente|alrededor de",
        effect=r"; esto aumenta la probabilidad de (?P<plan>Smart|Ultra) en (?P<points>[^;]+) y multiplica su razón de "
        r"probabilidades \(odds\) por (?P<factor>NUMBER|más de un millón)\.$",
        small_effect=r"; esto cambia la probabilidad de Ultra en (?P<points>[^;]+) y su razón de probabilidades "
        r"\(odds\) en un 5 % como máximo\.$",
        no_effect=r"; esto no cambia ni la probabilidad ni la razón de probabilidades \(odds\)\.$",
        points=r"(?P<less>menos de un punto porcentual)|(?P<one>un punto porcentual)|(?P<whole>\d+) puntos "
        r"porcentuales|(?P<more>más de 99 puntos porcentuales)",
        speaks=r" apuntan? a (?P<plan>Smart|Ultra)\b",
        hardly=r" apenas influyen?\b",
        warns=r" pero ",
    ),
}  # fmt: skip
