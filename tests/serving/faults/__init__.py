"""The service with one fault in each module, for the tests to notice.

A module damages the service and offers it again under its name, so that BentoML serves it as it serves `service.py`:
`serving(fault("leaks"))`. Names that it takes from the service are checked by mypy as any others. Tests do not import
these modules, or their own process would have the fault.
"""

from typing import Final

WAIT_SECONDS: Final = 0.5
"""How long every request waits for its turn with the fault `waits_half_a_second`."""

SHORT_SECONDS: Final = 1.0
"""How long the worker waits for a client with the fault `impatient`."""


def fault(name: str) -> str:
    """Give what to serve for the service with this fault."""
    return f"{__name__}.{name}:PlanRecommender"
