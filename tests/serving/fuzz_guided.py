"""What `fuzz_connection` runs in a process of its own: atheris, which ends it.

Half of the inputs are mutated as the differential test mutates requests, the other half as libFuzzer does.
"""

import logging
import os
import random
import sys

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]  # no types, and not on every machine

os.environ.setdefault("PLAN_RECOMMENDER_MAX_BATCHES", "1000")
with atheris.instrument_imports(include=["plan_recommender.serving"]):
    import service  # noqa: F401  # which imports all of it
    from plan_recommender.serving import connection  # noqa: F401
from tests.serving.fuzz_connection import Trial
from tests.serving.mutations import mutated


def main() -> None:
    """Fuzz with the options of libFuzzer."""
    logging.disable(logging.CRITICAL)
    trial = Trial()

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)  # noqa: S311  # nothing secret
        if chance.random() < 0.5:
            return mutated(data, chance)[:max_size]
        return bytes(atheris.Mutate(data, max_size))

    atheris.Setup(sys.argv, trial.one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
