"""What was counted while a file was scored."""

from dataclasses import dataclass, field

from plan_recommender.model.features import FEATURE_NAMES
from plan_recommender.scoring.line_scorer import ScoredBlock


@dataclass
class Counts:
    """Numbers of rows, of one file or of several."""

    rows: int = 0
    scored: int = 0
    rejected: int = 0
    ultra: int = 0
    missing: list[int] = field(default_factory=lambda: [0] * len(FEATURE_NAMES))
    """Scored rows in which each feature is missing."""
    first_reject: str | None = None
    """Which row was rejected first, and why."""
    earlier: int = 0
    """Rows that a run which was killed had scored or rejected."""

    def add(self, block: ScoredBlock) -> None:
        """Count the next block of the file."""
        if block.rejects and self.first_reject is None:
            self.first_reject = f"row {self.rows + block.rejects[0].row + 1}, {block.rejects[0].reason}"
        self.rows += block.rows
        self.rejected += len(block.rejects)
        self.scored += block.rows - len(block.rejects)
        self.ultra += block.ultra
        self.missing = [a + b for a, b in zip(self.missing, block.missing, strict=True)]
