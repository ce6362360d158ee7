"""The trials of loadtest/trials.py in their short form: the service keeps its promises.

Only those promises count here that do not depend on how busy the machine is. The controls are in
test_trial_controls.py.
"""

from collections.abc import Callable

import pytest

from loadtest.trials import catalogue


@pytest.mark.slow
@pytest.mark.parametrize("name", catalogue.TRIALS)
def test_the_service_keeps_its_promises(name: str, trained_tag: str, record_property: Callable[..., None]) -> None:
    findings = catalogue.TRIALS[name](**catalogue.QUICK[name])
    for figure in findings.figures.items():
        record_property(*figure)
    assert findings.figures
    # What is promised in milliseconds is for `make soak`, on a machine that does nothing else.
    assert not set(findings.broken) - findings.timed, str(findings)
