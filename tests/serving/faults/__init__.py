"""The service with one fault in each module, for the tests to notice.

A module damages the service and offers it again under its name, so that BentoML serves it as it serves `service.py`:
`serving(fault("leaks"))`. Names that it takes from the service are checked by mypy as any others.
"""


def fault(name: str) -> str:
    """Give what to serve for the service with this fault."""
    return f"{__name__}.{name}:PlanRecommender"
