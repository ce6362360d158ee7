"""Measure how much ROC AUC on held-out real rows is lost by training on synthetic instead of real subscribers.

usage: python -m tools.fidelity --real CSV [--folds 4] [--repeats 5] [--draws 4] [--seed 42] [--out docs/fidelity.md]

On each fold the generator is calibrated on the training rows and draws as many synthetic rows. The same gradient
boosting is fitted once on the real and once on the synthetic rows, and both score the fold's held-out real rows.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("tools.fidelity")

import argparse
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import sklearn
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold
from tqdm import tqdm

from plan_recommender import cli
from plan_recommender.data.csv_table import LabelledTable, check_trainable, read_labelled
from plan_recommender.data.outputs import replacing
from plan_recommender.data.synthesis import calibrate, generate
from plan_recommender.data.table_options import add_table_options, format_of

_PAGE = """# How close the synthetic table is

Written by `python -m tools.fidelity --out docs/fidelity.md` on {date}, with scikit-learn {scikit_learn}: on each fold
of the real rows, calibrate the generator, draw as many synthetic rows, fit the same gradient boosting (200 trees of
depth 2) once on the real and once on the synthetic rows, and score both on real rows held out.

| | |
| --- | --- |
{table}"""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the loss, and write the page if `--out` names one; returns 0."""
    parser = argparse.ArgumentParser(description="Measure the ROC AUC lost by training on synthetic subscribers.")
    parser.add_argument("--real", type=Path, required=True, metavar="CSV", help="labelled table without empty cells")
    parser.add_argument("--folds", type=cli.positive_int, default=4, help="folds (default: %(default)s)")
    parser.add_argument("--repeats", type=cli.positive_int, default=5, help="repeats (default: %(default)s)")
    parser.add_argument("--draws", type=cli.positive_int, default=4, help="tables drawn a fold (default: %(default)s)")
    parser.add_argument("--seed", type=cli.seed, default=42, help="seed (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="MD", help="write the result as a page, too")
    add_table_options(parser)
    options = parser.parse_args(arguments)
    real = read_labelled(options.real, format=format_of(options))
    check_trainable(real, max_missing_share=0)
    folds = RepeatedStratifiedKFold(n_splits=options.folds, n_repeats=options.repeats, random_state=options.seed)
    losses, baselines = [], []
    splits = list(folds.split(real.features, real.target))
    for number, (training, held_out) in enumerate(tqdm(splits, unit="fold", disable=None, leave=False)):
        part = LabelledTable(real.path, real.sha256, real.features[training], real.target[training])
        calibration = calibrate(part, "fold")

        def auc(features: np.ndarray, target: np.ndarray, test: np.ndarray = held_out) -> float:
            model = GradientBoostingClassifier(n_estimators=200, max_depth=2, random_state=options.seed)
            model.fit(features, target)
            return float(roc_auc_score(real.target[test], model.predict_proba(real.features[test])[:, 1]))

        baselines.append(auc(part.features, part.target))
        for draw in range(options.draws):
            seed = options.seed + 1000 * number + draw
            chunks = list(generate(len(training), seed, calibration=calibration))
            losses.append(baselines[-1] - auc(*map(np.concatenate, zip(*chunks, strict=True))))
    loss = np.array(losses)
    rows = [
        ("real rows to train on, a fold", f"{len(splits[0][0]):,}"),
        ("real rows held out, a fold", f"{len(splits[0][1]):,}"),
        ("folds, draws a fold", f"{len(splits)}, {options.draws}"),
        ("ROC AUC, trained on the real rows", f"{np.mean(baselines):.4f}"),
        ("lost by training on as many synthetic rows, mean", f"{loss.mean():.4f}"),
        ("its standard deviation over draws", f"{loss.std():.4f}"),
        ("draws that lose at most 0.03", f"{np.mean(loss <= 0.03):.0%}"),
    ]
    for what, found in rows:
        cli.say(f"{what}: {found}")
    if options.out is not None:
        table = "".join(f"| {what} | {found} |\n" for what, found in rows)
        with replacing(options.out) as file:
            file.write(_PAGE.format(date=datetime.now(UTC).date(), scikit_learn=sklearn.__version__, table=table))
    return cli.DONE
