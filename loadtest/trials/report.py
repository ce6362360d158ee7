"""The report of a trial; `python -m loadtest.trials` prints it, and with `--out` writes it into a document."""

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
        verdict = "broken: " + "; ".join(self.broken) if self.broken else "kept"
        lines = [f"{self.trial}: {verdict}", *(f"    {name}: {figure}" for name, figure in self.figures.items())]
        return "\n".join(lines)
