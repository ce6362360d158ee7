"""What one trial measured, and which of its promises it found broken."""

from dataclasses import dataclass, field


@dataclass
class TrialReport:
    """What one trial measured, and which promises it found broken."""

    trial: str
    """Its name in `TRIALS`."""
    figures: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    timed: set[str] = field(default_factory=set)
    """Promises about milliseconds. A machine that is busy with something else can break them as well."""

    def require(self, holds: bool, promise: str, *, timed: bool = False) -> None:
        """Check a promise; it is reported as broken once, however often it does not hold."""
        if timed:
            self.timed.add(promise)
        if not holds and promise not in self.broken:
            self.broken.append(promise)

    def __str__(self) -> str:
        """Give the verdict and the figures as lines for a terminal."""
        verdict = "broken: " + "; ".join(self.broken) if self.broken else "kept"
        lines = [f"{self.trial}: {verdict}", *(f"    {name}: {figure}" for name, figure in self.figures.items())]
        return "\n".join(lines)
