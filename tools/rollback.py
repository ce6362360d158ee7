"""Make an earlier registered model the one that `:latest` names.

usage: python -m tools.rollback [TAG]
"""

import argparse

from plan_recommender import cli, registry
from plan_recommender.files import writing


def main(arguments: list[str] | None = None) -> int:
    """Roll back once; returns the exit code."""
    parser = argparse.ArgumentParser(
        description="Make an earlier registered model the one that :latest names. A running service keeps the model "
        "that it started with: restart it."
    )
    parser.add_argument(
        "model", nargs="?", metavar="TAG",
        help="the model to go back to (default: the newest one registered before the present one)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    present = registry.find()
    target = registry.earlier_than(present) if options.model is None else registry.find(options.model)
    with writing(registry.store_path()):
        registry.promote(target)
    cli.say(f"{registry.LATEST} is now {target.tag} (trained {target.record.trained_at}); it was {present.tag}")
    return cli.DONE


if __name__ == "__main__":
    cli.run(main)
