"""Let `:champion` name a registered model: the one that is given, or the one that `:latest` names now.

usage: python -m tools.promote [TAG]
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.promote")

import argparse

from plan_recommender import cli
from plan_recommender.data.outputs import writing
from plan_recommender.model import store
from plan_recommender.training import publish


def main(arguments: list[str] | None = None) -> int:
    """Choose once; returns 0."""
    parser = argparse.ArgumentParser(
        description="Choose the registered model that :champion names. A service that is started with "
        f"PLAN_RECOMMENDER_MODEL={store.CHAMPION} serves it, and takes another on SIGHUP; training and rolling back "
        "move :latest, and leave :champion alone."
    )
    parser.add_argument(
        "model", nargs="?", default=store.LATEST, metavar="TAG", help="the model to choose (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    chosen, present = store.find(options.model), store.champion_version()
    with writing(store.store_path()):
        publish.choose_champion(chosen)
    if present is None:
        moved = f"before, it followed {store.LATEST}"
    elif chosen.tag.partition(":")[2] == present:
        moved = "it was already"
    else:
        moved = f"it was {chosen.tag.partition(':')[0]}:{present}"
    cli.say(f"{store.CHAMPION} is now {chosen.tag} (trained {chosen.record.trained_at}); {moved}")
    return cli.DONE
