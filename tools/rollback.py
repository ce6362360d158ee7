"""Let `:latest` name an earlier registered model: the one that it named before, or the one that is given.

usage: python -m tools.rollback [TAG]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.rollback")

import argparse

from plan_recommender import cli
from plan_recommender.data.outputs import writing
from plan_recommender.model import store
from plan_recommender.model.record import MODEL_NAME
from plan_recommender.training import publish


def main(arguments: list[str] | None = None) -> int:
    """Roll back once; returns 0."""
    parser = argparse.ArgumentParser(
        description="Make an earlier registered model the one that :latest names. A running service keeps the model "
        "that it started with: restart it."
    )
    parser.add_argument(
        "model", nargs="?", metavar="TAG",
        help="the model to go back to (default: the one that was the latest before)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    present = store.latest_version()
    with writing(store.store_path()):
        if options.model is None:
            target = publish.roll_back()
        else:
            target = store.find(options.model)
            publish.promote(target)
    was = f"{MODEL_NAME}:{present}"
    moved = "it was already" if was == target.tag else f"it was {was}"
    cli.say(f"{store.LATEST} is now {target.tag} (trained {target.record.trained_at}); {moved}")
    return cli.DONE
