"""A line of the prediction log: what the service writes for a prediction, and what is read back from it later."""

from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

LOG_FILES: Final = "predictions-*.jsonl"
"""Pattern of the names of the log's files. After `predictions-` comes the time when a file was begun, in UTC, so that
the order of the names is the order of the files."""

_Usage = Annotated[float, Field(ge=0)]


class PredictionLine(BaseModel):
    """One prediction as JSON, in the order of the names in a line; other names are ignored when it is read."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)

    time: AwareDatetime
    """When the prediction was made; written in UTC, to the millisecond."""
    id: str
    """No other prediction has it. Rows of a batch have that of the batch, a slash and their index."""
    reference: str | None
    """What the caller sent to know the prediction again, of a row with a slash and its index; None: nothing."""
    model: str
    """Tag of the model that answered."""
    calls: _Usage
    minutes: _Usage
    messages: _Usage
    mb_used: _Usage
    probability_is_ultra: Annotated[float, Field(ge=0, le=1)]
    """Reads back as the same double that was answered."""
    prediction: Literal[0, 1]
