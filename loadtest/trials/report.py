"""The report of a trial; `python -m loadtest.trials` prints it, and with `--out` writes it into a document."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class TrialReport:
    """What one trial measured, and which promises it found broken."""

    trial: str
    """Its name in `TRIALS`."""
    figures: dict[str, str] = field(default_factory=dict)
    """What was measured, by its name, as text with its unit."""
    broken: list[str] = field(default_factory=list)
    timed: set[str] = field(default_factory=set)
    """The promises about milliseconds, kept or broken. They can also break because the machine is busy."""

    def require(self, holds: bool, promise: str, *, timed: bool = False) -> None:
        """Note whether a promise holds. One that did not hold stays broken, and is listed once.

        `timed` says that it is about milliseconds.
        """
        if timed:
            self.timed.add(promise)
        if not holds and promise not in self.broken:
            self.broken.append(promise)

    def __str__(self) -> str:
        """Write the verdict and the figures as lines for a terminal."""
        lines = [
            f"{self.trial}: {verdict([self])}",
            *(f"    {name}: {figure}" for name, figure in self.figures.items()),
        ]
        return "\n".join(lines)


def verdict(reports: Sequence[TrialReport]) -> str:
    """Say of one trial, or of some of the same kind, whether the promises were kept, and in how many which ones not."""
    of = "" if len(reports) == 1 else f" in {{}} of {len(reports)} trials"
    broken = Counter(promise for report in reports for promise in report.broken)
    if not broken:
        return "kept" + of.format(len(reports))
    promises = (f"{promise} ({count})" if of else promise for promise, count in broken.items())
    return f"broken{of.format(sum(bool(report.broken) for report in reports))}: {'; '.join(promises)}"
