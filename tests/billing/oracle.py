"""A second biller, written from the words of tariffs.yaml with decimal numbers, to which the real one is compared."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

import yaml


def read(path: Path) -> dict[str, Any]:
    """Read tariffs without the project's code; every number becomes a `Decimal` of what is written."""

    def decimals(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: decimals(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [decimals(inner) for inner in value]
        return Decimal(str(value)) if isinstance(value, int | float) else value

    document: dict[str, Any] = decimals(yaml.safe_load(path.read_text()))
    return document


def bill(
    tariffs: dict[str, Any],
    calls: float,
    minutes: float,
    messages: float,
    mb_used: float,
    billed_minutes: float | None = None,
) -> list[tuple[Decimal, Decimal, Decimal, Decimal]]:
    """Bill a month: for each plan the fee, and what minutes, messages and data cost beyond it, in the currency."""
    spoken = _up(minutes)
    if tariffs["minutes"]["rounding"] == "call":
        if billed_minutes is None:
            added = Decimal(calls).to_integral_value(ROUND_FLOOR) * tariffs["minutes"]["call_share"]
            spoken += added.to_integral_value(ROUND_FLOOR)
        else:
            spoken = _up(billed_minutes)
    sent, size = _up(messages), tariffs["data"]["step_mb"]
    steps = (Decimal(mb_used) / size).to_integral_value(ROUND_CEILING)
    return [
        (
            plan["fee"],
            max(Decimal(0), spoken - plan["included"]["minutes"]) * plan["beyond"]["minute"],
            max(Decimal(0), sent - plan["included"]["messages"]) * plan["beyond"]["message"],
            max(Decimal(0), steps - plan["included"]["mb_used"] / size) * plan["beyond"]["data_step"],
        )
        for plan in tariffs["plans"]
    ]


def _up(value: float) -> Decimal:
    return Decimal(value).to_integral_value(ROUND_CEILING)
