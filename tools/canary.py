"""Compare a canary with the stable service, by their series: promote it, hold it, or roll it back.

usage: python -m tools.canary --stable URL --canary URL [--seconds S]
       python -m tools.canary --stable BEFORE AFTER --canary BEFORE AFTER
       python -m tools.canary --prometheus URL --stable LABELS --canary LABELS [--seconds S]

Exit code 0: promote. 1: roll back. 2: hold, because too little was seen, or the series could not be read.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.canary")

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from plan_recommender import cli
from plan_recommender.campaign.intervals import Difference, rate_difference
from plan_recommender.errors import ConfigError
from tools.canary_readings import Counts, of_files, of_prometheus, of_urls

CONFIDENCE: Final = 0.95
"""Share of the intervals that cover the true difference, about. Each end by itself is a test at 2.5 %."""

Verdict = Literal["promote", "hold", "roll back"]

_EXIT_CODES: Final[dict[Verdict, int]] = {
    "promote": cli.DONE,
    "roll back": cli.ANSWER_IS_NO,
    "hold": cli.COULD_NOT_DECIDE,
}


@dataclass(frozen=True)
class Measure:
    """One share of both instances, and how far the canary's may be from the stable one's."""

    name: str
    stable: tuple[int, int]
    """Events, and how many there could have been."""
    canary: tuple[int, int]
    tolerance: float
    """Difference of the shares that does not matter."""
    both_ways: bool
    """Whether a lower share of the canary matters as a higher one does."""

    @property
    def difference(self) -> Difference | None:
        """The canary's share less the stable one's, with its interval; None if one of them saw nothing."""
        if not self.stable[1] or not self.canary[1]:
            return None
        return rate_difference(self.canary, self.stable, CONFIDENCE)

    @property
    def verdict(self) -> Verdict:
        """Promote if the whole interval is within what is tolerated, roll back if all of it is beyond.

        This is a test of non-inferiority by a confidence interval (Piaggio et al. 2012, "Reporting of noninferiority
        and equivalence randomized trials", JAMA 308), and both ways one of equivalence (Schuirmann 1987, "A comparison
        of the two one-sided tests procedure", Journal of Pharmacokinetics and Biopharmaceutics 15).
        """
        found = self.difference
        if found is None:
            return "hold"
        lowest = -self.tolerance if self.both_ways else -math.inf
        if found.low > self.tolerance or found.high < lowest:
            return "roll back"
        return "promote" if lowest < found.low and found.high < self.tolerance else "hold"


def main(arguments: list[str] | None = None) -> int:
    """Compare once; returns 0 to promote, 1 to roll back, 2 to hold."""
    options = _parse(arguments)
    stable, canary = _read(options)
    measures = measure(stable, canary, options)
    verdict = decide(measures)
    for each in measures:
        cli.say(_line(each))
    cli.say(f"verdict: {verdict}{_why(measures, verdict)}")
    return _EXIT_CODES[verdict]


def measure(stable: Counts, canary: Counts, options: argparse.Namespace) -> list[Measure]:
    """Give the four shares that are compared, with the tolerances of the options."""
    return [
        Measure("failed", (stable.failed, stable.requests), (canary.failed, canary.requests), options.failed, False),
        Measure(
            "refused", (stable.refused, stable.requests), (canary.refused, canary.requests), options.refused, False
        ),
        Measure("slow", (stable.slow, stable.timed), (canary.slow, canary.timed), options.slow, False),
        Measure("Ultra", (stable.ultra, stable.rows), (canary.ultra, canary.rows), options.ultra, True),
    ]


def decide(measures: Sequence[Measure]) -> Verdict:
    """Roll back if one measure says so, promote if all of them do, and otherwise hold.

    To promote, every measure has to pass, so the risk to promote a canary that is worse than tolerated in one of them
    stays 2.5 %. To roll back, one is enough, so the risk to do so with a canary that is not is at most that of all
    four together, 10 % (Bonferroni).
    """
    verdicts = {each.verdict for each in measures}
    if "roll back" in verdicts:
        return "roll back"
    return "hold" if "hold" in verdicts else "promote"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.canary",
        description="Compare a canary with the stable service by their series. Exit code 0: promote it. 1: roll it "
        "back. 2: hold, because too little was seen to decide, or the series could not be read.",
    )
    source = "URL, or two files of its /metrics (the earlier first), or with --prometheus the labels of its instances"
    parser.add_argument("--stable", nargs="+", required=True, metavar="SOURCE", help=f"the stable service: {source}")
    parser.add_argument("--canary", nargs="+", required=True, metavar="SOURCE", help="the canary: the same")
    parser.add_argument("--prometheus", metavar="URL", help="read from this Prometheus, which sees every instance")
    parser.add_argument(
        "--seconds", type=cli.positive_int, default=300,
        help="between two readings of a URL, or until now in Prometheus (default: %(default)s)",
    )  # fmt: skip
    for name, default, what in (
        ("failed", 0.005, "requests that end with a fault or are refused as overload or stopping"),
        ("refused", 0.01, "requests refused for another reason, such as a wrong API key or usage that is not valid"),
        ("slow", 0.01, "requests answered later than 100 ms (/predict) or 1 s (other routes)"),
        ("ultra", 0.05, "subscribers with Ultra as the recommended plan, more or fewer"),
    ):
        parser.add_argument(
            f"--{name}", type=cli.share, default=default, metavar="SHARE",
            help=f"difference that is tolerated in the share of {what} (default: {default:g})",
        )  # fmt: skip
    return parser.parse_args(arguments)


def _read(options: argparse.Namespace) -> list[Counts]:
    """Read both instances.

    Raises:
        ConfigError: the sources are neither two URLs nor two times two files.
    """
    sources: list[list[str]] = [options.stable, options.canary]
    lengths = [len(each) for each in sources]
    if options.prometheus is not None and lengths == [1, 1]:
        return [of_prometheus(options.prometheus, labels, options.seconds) for (labels,) in sources]
    urls = [source for each in sources for source in each if source.startswith(("http://", "https://"))]
    if options.prometheus is None and lengths == [1, 1] and len(urls) == 2:
        return of_urls(urls, options.seconds)
    if options.prometheus is None and lengths == [2, 2] and not urls:
        return [of_files(Path(before), Path(after)) for before, after in sources]
    raise ConfigError(
        "--stable and --canary: expected a URL each, or two files each, or --prometheus and the labels of each, found "
        f"{' '.join(options.stable)!r} and {' '.join(options.canary)!r}"
    )


def _line(each: Measure) -> str:
    sides = ", ".join(
        f"{name} {events:,} of {of:,}" + (f" ({events / of:.2%})" if of else "")
        for name, (events, of) in (("stable", each.stable), ("canary", each.canary))
    )
    found = each.difference
    if found is None:
        return f"{each.name}: {sides}: {each.verdict}"
    sign = "+/-" if each.both_ways else "+"
    interval = f"95 % interval {_points(found.low)} to {_points(found.high)}"
    return (
        f"{each.name}: {sides}; difference {_points(found.difference)} points, {interval}, "
        f"tolerated {sign}{100 * each.tolerance:g}: {each.verdict}"
    )


def _points(share: float) -> str:
    return f"{100 * share:+.2f}"


def _why(measures: Sequence[Measure], verdict: Verdict) -> str:
    unseen = ", ".join(each.name for each in measures if each.difference is None)
    if unseen and verdict == "hold":
        return f" ({unseen}: one of the two has seen nothing; look for longer, or at other instances)"
    names = ", ".join(each.name for each in measures if each.verdict == verdict)
    if verdict == "promote":
        return ""
    if verdict == "roll back":
        return f" ({names}: the whole interval is beyond what is tolerated)"
    return f" ({names}: an end of the interval is within what is tolerated and the other beyond; look for longer)"
