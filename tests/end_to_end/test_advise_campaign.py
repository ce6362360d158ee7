"""`advise.py --campaign` and `--outcomes`: a campaign as an analyst runs it, from the file of months to the verdict."""

import csv
from pathlib import Path

import numpy as np
import pytest

import advise
from tests.conftest import Answer, Command, TrainedModel
from tools.server import ROOT

MONTHS = ROOT / "subscriber_months.csv"


@pytest.fixture
def run(command: Command, trained: TrainedModel, tmp_path: Path) -> "Run":
    return Run(command, trained.tag, tmp_path)


class Run:
    """Runs the command on the shipped months, into a folder of its own."""

    def __init__(self, command: Command, tag: str, folder: Path) -> None:
        self._command, self._tag, self.folder = command, tag, folder

    def __call__(self, name: str, *options: object) -> Answer:
        return self._command(
            advise.main, "--input", MONTHS, "--output", self.folder / name, "--model", self._tag, *options
        )

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def test_only_who_would_change_plan_is_contacted_or_a_control(run: Run) -> None:
    answer = run("out.csv", "--campaign", "spring", "--control", "0.3", "--contacts", run.folder / "crm.csv")
    assert (answer.code, answer.err) == (0, "")
    rows = run.rows("out.csv")
    assert len(rows) == 300
    for row in rows:
        assert (row["group"] in ("contact", "control")) == (row["advice"] == "switch")
        if row["group"]:
            assert row["plan"] != row["advised_plan"]
    contacts = [row for row in rows if row["group"] == "contact"]
    listed = run.rows("crm.csv")
    assert [row["subscriber"] for row in listed] == [row["subscriber"] for row in contacts]
    assert all(row["message"].startswith("Switch from ") and row["plan_held"] != row["plan_advised"] for row in listed)
    controls = sum(row["group"] == "control" for row in rows)
    assert f"contacts: {len(contacts)}; controls, not to be contacted: {controls}" in answer.out
    saving = sum(round(float(row["expected_saving"]) * 100) for row in rows)
    assert f"{saving / 100:,.2f}     -{saving / 100:,.2f}" in answer.out, "what subscribers save, the operator loses"
    assert "6.0% to 10.0%: 721 contacts and as many controls" in answer.out


def test_without_a_campaign_nothing_but_the_group_is_missing(run: Run) -> None:
    run("with.csv", "--campaign", "spring")
    run("without.csv")
    assert [{k: v for k, v in row.items() if k != "group"} for row in run.rows("with.csv")] == run.rows("without.csv")


def test_the_largest_savings_within_a_budget_without_the_excluded(run: Run) -> None:
    run("all.csv")
    switches = sorted(
        (row for row in run.rows("all.csv") if row["advice"] == "switch"),
        key=lambda row: -float(row["expected_saving"]),
    )
    gone = {row["subscriber"] for row in switches[:3]}
    (run.folder / "exclude.csv").write_text("\n".join(["subscriber", *gone, "nobody"]))
    answer = run(
        "some.csv", *("--campaign", "spring", "--control", "0.2", "--budget", "100", "--contact-cost", "12.5"),
        *("--exclude", run.folder / "exclude.csv", "--top", "50"),
    )  # fmt: skip
    assert answer.code == 0, answer.err
    rows = {row["subscriber"]: row for row in run.rows("some.csv")}
    chosen = [row for row in rows.values() if row["group"]]
    assert sum(row["group"] == "contact" for row in chosen) == 8
    assert not gone & {row["subscriber"] for row in chosen}
    least = min(float(row["expected_saving"]) for row in chosen)
    others = [row for row in rows.values() if row["advice"] == "switch" and not row["group"]]
    assert all(float(row["expected_saving"]) <= least for row in others if row["subscriber"] not in gone)
    assert "contacting them costs 100.00 RUB, once" in answer.out


def test_a_list_of_nobody_excludes_nobody_and_says_so(run: Run) -> None:
    path = run.folder / "exclude.csv"
    path.write_text("subscriber\n")
    answer = run("out.csv", "--campaign", " spring ", "--exclude", path, "--contacts", run.folder / "crm.csv")
    assert answer.code == 0
    assert answer.err == f"warning: {path}: nobody stands on the exclusion list, so nobody is excluded\n"
    run("other.csv", "--campaign", "spring")
    assert run.rows("out.csv") == run.rows("other.csv")
    assert {row["campaign"] for row in run.rows("crm.csv")} == {"spring"}


def test_outcomes_of_strangers_are_no_comparison(run: Run, command: Command) -> None:
    run("out.csv", "--campaign", "spring", "--control", "0.4")
    outcomes = run.folder / "outcomes.csv"
    for rows in ("", "stranger,5,0\n"):
        outcomes.write_text(f"subscriber,bill,left\n{rows}")
        answer = command(advise.main, "--outcomes", outcomes, "--campaign-file", run.folder / "out.csv")
        assert (answer.code, answer.out) == (2, "")
        assert "expected outcomes of contacts and controls, found none of them" in answer.err


def test_groups_stay_whatever_the_order_of_the_rows(run: Run, command: Command, trained: TrainedModel) -> None:
    run("out.csv", "--campaign", "spring")
    header, *lines = MONTHS.read_text().splitlines()
    shuffled = np.random.default_rng(1).permutation(lines).tolist()
    (run.folder / "shuffled.csv").write_text("\n".join([header, *shuffled]) + "\n")
    command(
        advise.main, "--input", run.folder / "shuffled.csv", "--output", run.folder / "other.csv",
        "--model", trained.tag, "--campaign", "spring",
    )  # fmt: skip
    assert (run.folder / "other.csv").read_bytes() == (run.folder / "out.csv").read_bytes()


def test_outcomes_are_compared_by_the_groups_that_were_drawn(run: Run, command: Command) -> None:
    run("out.csv", "--campaign", "spring", "--control", "0.4")
    rng = np.random.default_rng(5)
    with (run.folder / "outcomes.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["subscriber", "bill", "left"])
        for row in run.rows("out.csv"):
            bill = float(row["expected_ultra" if row["plan"] == "Ultra" else "expected_smart"])
            if row["group"] == "contact":  # every one of them switches
                bill -= float(row["expected_saving"])
            out.writerow([row["subscriber"], f"{bill + rng.normal(0, 20):.2f}", 0])
    asked = ("--outcomes", run.folder / "outcomes.csv", "--campaign-file", run.folder / "out.csv")
    answer = command(advise.main, *asked, "--campaign", "spring", "--control", "0.4")
    assert (answer.code, answer.err) == (0, "")
    assert "bill: lower. The bills of contacts are lower than those of controls." in answer.out
    assert "churn: cannot tell." in answer.out
    other = command(advise.main, *asked, "--campaign", "autumn", "--control", "0.4")
    assert other.code == 2
    assert "campaign autumn: expected the groups that its name draws with control 0.4" in other.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--top", "3"], "expected --campaign beside --top, found it without"),
        (["--campaign", "spring", "--budget", "10"], "expected the cost of a contact beside it (--contact-cost)"),
        (["--campaign", "spring", "--budget", "x"], "expected an amount such as 12.50, found 'x'"),
        (
            ["--campaign", "spring", "--contact-cost", "1.005"],
            "contact cost: expected an amount with at most 2 decimals",
        ),
        (["--campaign", "spring\nsummer"], "campaign: expected a name without line breaks, tabs and other control"),
        (["--campaign", "spring", "--control", "1"], "control"),
        (["--campaign", "spring", "--churn", "0"], "expected --churn above 0 and at most 0.5, found 0"),
        (["--campaign", "spring", "--churn", "97%"], "expected --churn above 0 and at most 0.5, found 0.97"),
        (["--campaign", "spring", "--exclude", "no.csv"], "no.csv: expected a readable CSV file"),
        (["--outcomes", "o.csv"], "expected --campaign-file beside --outcomes"),
        (["--backtest", "--language", "es"], "expected --language or --backtest, found both"),
    ],
)
def test_options_that_do_not_go_together_are_refused(run: Run, options: list[str], said: str) -> None:
    answer = run("out.csv", *options)
    assert answer.code == 2
    assert said in answer.err
    assert not (run.folder / "out.csv").exists()
