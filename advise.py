"""Advise every subscriber of tables of months which plan fits next month: one line each, with bills, saving and reason.

The work is done in plan_recommender/advising/: blocks of rows and ranges of subscribers on all cores, so that neither
size nor order is limited by memory. The command also backtests the advice, and compares the groups of a campaign.
"""

if __name__ == "__main__":
    from plan_recommender.start import run

    run("advise")

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path

from plan_recommender import cli
from plan_recommender.advising.files import Advised, Advising, advise_files
from plan_recommender.billing.registered import adviser_of
from plan_recommender.billing.tariffs import TARIFFS_DEFAULT, Tariffs, find_tariffs, load_tariffs
from plan_recommender.campaign.economics import USUAL_CHURN
from plan_recommender.campaign.selection import Campaign, contact_limit, read_excluded
from plan_recommender.config.table_format import TableFormat
from plan_recommender.data.cells import readable
from plan_recommender.data.outputs import require_distinct
from plan_recommender.data.table_file import open_table
from plan_recommender.data.table_options import MONTHS_AS_USUAL, add_language_option, add_table_options, format_of
from plan_recommender.data.table_output import check_names, rejects_beside
from plan_recommender.errors import OutputError
from plan_recommender.model import store
from plan_recommender.model.languages import Language
from plan_recommender.scoring.many import files_of
from plan_recommender.scoring.outputs import PIPE

REPORT = Path("artifacts") / "backtest.html"
MAX_CHURN = 0.5  # above it no rise that is planned for is possible
CONTROL = 0.1  # share of the control group of a campaign
_OF_CAMPAIGN = ("control", "top", "budget", "contact_cost", "exclude", "contacts", "churn", "campaign_file")
MAX_REJECTS = 0.1  # of the rows; with more, the exit code is 1


def main(arguments: list[str] | None = None) -> int:
    """Advise on tables, backtest the advice, or compare the groups of a campaign; returns 0, or 1 at too many rejects.

    Results and rejects appear only if the whole input could be read, and then with both exit codes.
    """
    options = _parse(arguments)
    format = format_of(options, MONTHS_AS_USUAL)
    if options.outcomes is not None:
        return _compare_groups(options, format)
    sources = files_of(options.input)
    result = options.report if options.backtest else options.output
    rejects_path = options.rejects or _rejects_beside(result)
    tariffs_path = options.tariffs or find_tariffs()
    named = [*sources, tariffs_path, result, rejects_path, options.exclude, options.contacts]
    require_distinct(*(path for path in named if path != PIPE))
    tariffs = load_tariffs(tariffs_path)
    campaign = _campaign(options, tariffs)
    model = store.find(options.model)
    adviser = adviser_of(model, tariffs)
    usual = None if options.accept_drift else model.profile()
    check_names(result, rejects_path, parquet=True)
    say = _say_on_stderr if result == PIPE else cli.say
    if options.backtest:
        # Here, because matplotlib takes most of a second, and advice does without it.
        from plan_recommender.report.backtest_file import backtest_file
        from plan_recommender.report.backtest_page import IN_SAMPLE

        with open_table(sources[0], format) as table:
            found, said, in_sample = backtest_file(table, result, rejects_path, adviser, model, usual)
        if in_sample:
            cli.warn(IN_SAMPLE)
        advised = Advised(found.rows, found.rejected, found.first_reject, Counter())
    else:
        language: Language = options.language or "en"
        origin = {"model": model.tag, "tariffs": tariffs.digest}
        advising = Advising(adviser, format, usual, language, campaign, options.contacts, origin, options.jobs)
        advised = advise_files(sources, result, rejects_path, advising)
        said = f"{result}: {_counted(advised.counts, tariffs)}"
    say(
        f"{sources[0] if len(sources) == 1 else f'{len(sources)} files'}: {advised.rows:,} rows\n"
        f"{said}\n"
        f"{rejects_path}: {advised.rejected:,} rejected\n"
        f"tariffs: {tariffs_path}, {tariffs.currency}, valid from {tariffs.valid_from}, digest {tariffs.digest[:12]}, "
        f"{', '.join(tariffs.names)}\n"
        f"model: {model.tag}"
    )
    if campaign is not None:
        _say_campaign(campaign, options, tariffs, say)
    return judge(advised, options.max_rejects)


def judge(advised: Advised, max_rejects: float) -> int:
    """Give the exit code that the share of rejected rows asks for, and say why if it is not 0."""
    accepted = advised.rows - advised.rejected
    if advised.rejected / advised.rows <= max_rejects and accepted:
        return cli.DONE
    limit = f"more than --max-rejects {max_rejects:.4g}" if accepted else "which is all of them"
    found = f"{advised.rejected:,} of {advised.rows:,} rows were rejected"
    cli.warn(f"{found}, {limit}; the first: {advised.first_reject}")
    return cli.ANSWER_IS_NO


def _rejects_beside(result: Path) -> Path:
    if result == PIPE:
        raise OutputError(f"{result}: expected --rejects FILE with standard output, found no place for the rejects")
    return rejects_beside(result)


def _say_on_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.outcomes is not None:
        if options.campaign_file is None:
            parser.error("expected --campaign-file beside --outcomes: the output of the campaign")
        return options
    if options.input is None:
        parser.error("expected --input, or --outcomes of a campaign; found neither")
    if options.campaign is None and (
        given := [f"--{name.replace('_', '-')}" for name in _OF_CAMPAIGN if getattr(options, name) is not None]
    ):
        parser.error(f"expected --campaign beside {', '.join(given)}, found it without")
    if options.churn is not None and not 0 < options.churn <= MAX_CHURN:
        parser.error(f"expected --churn above 0 and at most {MAX_CHURN:g}, found {options.churn:g}")
    if options.campaign is not None and options.backtest:
        parser.error("expected --campaign or --backtest, found both")
    if options.language is not None and options.backtest:
        parser.error("expected --language or --backtest, found both")
    if options.backtest == (options.output is not None):
        parser.error("expected --output for advice, or --backtest, which writes a report instead; found " + (
            "both" if options.backtest else "neither"
        ))  # fmt: skip
    if options.backtest and (
        len(options.input) > 1 or options.input[0] == str(PIPE) or Path(options.input[0]).is_dir()
    ):
        parser.error("expected one file as --input of --backtest, found a folder, standard input, or several files")
    if options.report is not None and not options.backtest:
        parser.error("expected --report together with --backtest, found it without")
    options.report = options.report or REPORT
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="advise.py",
        description="Advise every subscriber of a file of months which plan fits next month, by what the months before "
        "cost on every plan. There is one line a subscriber, sorted by subscriber. Every row of the input counts for "
        "its subscriber or goes to the rejects, with its row number (from 1 after the header) and the reason.",
        epilog="The input is CSV, also compressed with gzip or zstd, or Parquet. The output is CSV with the same "
        "separator and decimal sign, compressed if OUT ends in .gz or .zst; or Parquet, if OUT ends in .parquet. Exit "
        "code 0: done; 1: done, but too many rows were rejected, or all; 2: could not be done.",
    )
    parser.add_argument(
        "--input", nargs="+", metavar="MONTHS",
        help="table, several of them with equal columns, a folder, or - for standard input: with subscriber, month "
        "(YYYY-MM) and the four usage columns, and if they are known plan, billed_minutes and active_share (of the "
        "month's days, 0.01 to 1)",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, metavar="OUT",
        help="file to write, once complete; or - for standard output, which is written at once",
    )  # fmt: skip
    parser.add_argument(
        "--backtest",
        action="store_true",
        help="instead of advising, advise on every whole month of the file from the months before it, bill it, and say "
        "what was overpaid by this and by other rules",
    )
    parser.add_argument(
        "--report", type=Path, metavar="HTML", help=f"page that --backtest writes, with pictures (default: {REPORT})"
    )
    parser.add_argument(
        "--tariffs", type=Path, metavar="YAML",
        help=f"what each plan costs (default: {TARIFFS_DEFAULT})",
    )  # fmt: skip
    parser.add_argument("--model", default=store.LATEST, metavar="TAG", help="registered model (default: %(default)s)")
    parser.add_argument(
        "--rejects",
        type=Path,
        metavar="FILE",
        help="CSV for rows that are no months (default: the result with .rejects.csv); of several inputs, its first "
        "column names the file",
    )
    parser.add_argument(
        "--jobs", type=cli.positive_int, default=_cores(), metavar="N",
        help="number of processes (default: all cores that this one may use, here %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--max-rejects", type=cli.share, default=MAX_REJECTS, metavar="SHARE",
        help="largest share of rejected rows with which the exit code is 0: 0.1 or 10%% (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--accept-drift", action="store_true",
        help="advise although the first rows look as if they had a mistake, such as another unit than in training",
    )  # fmt: skip
    _add_campaign_options(parser.add_argument_group("a campaign, which contacts only who is advised to switch"))
    add_language_option(parser, "reason")
    add_table_options(parser, MONTHS_AS_USUAL)
    return parser


def _add_campaign_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--campaign", metavar="NAME",
        help="draw the contacts and a control group of the campaign with this name, add the column `group`, and say "
        "what subscribers would save, what the operator would lose, and what such groups can show",
    )  # fmt: skip
    group.add_argument(
        "--control", type=cli.share, metavar="SHARE", help=f"share of the control group (default: {CONTROL:g})"
    )
    group.add_argument("--top", type=cli.positive_int, metavar="N", help="contact at most N, who save most")
    group.add_argument("--budget", type=_amount, metavar="AMOUNT", help="contact as many as this pays for (currency)")
    group.add_argument("--contact-cost", type=_amount, metavar="AMOUNT", help="cost of one contact (currency)")
    group.add_argument("--exclude", type=Path, metavar="CSV", help="subscribers who take no part (column `subscriber`)")
    group.add_argument("--contacts", type=Path, metavar="FILE", help="list of the contacts for a CRM, CSV")
    group.add_argument(
        "--churn", type=cli.share, metavar="SHARE",
        help=f"churn without the campaign, for the size of an experiment (default: {USUAL_CHURN:g})",
    )  # fmt: skip
    group.add_argument(
        "--outcomes", type=Path, metavar="CSV",
        help="instead of advising, compare the groups of --campaign-file by what became of them: a table with "
        "subscriber, bill (currency per month) and left (0 or 1); with --campaign and --control also check the groups",
    )  # fmt: skip
    group.add_argument("--campaign-file", type=Path, metavar="OUT", help="the output of the campaign")


def _amount(text: str) -> Decimal:
    """Parse an amount, for argparse."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"expected an amount such as 12.50, found {text!r}") from None


def _campaign(options: argparse.Namespace, tariffs: Tariffs) -> Campaign | None:
    """Set up the campaign that the options describe, if they name one."""
    if options.campaign is None:
        return None
    excluded: frozenset[str] = frozenset()
    if options.exclude is not None:
        with open_table(options.exclude) as table:
            excluded = read_excluded(table)
        if not excluded:
            cli.warn(f"{options.exclude}: nobody stands on the exclusion list, so nobody is excluded")
    return Campaign(
        options.campaign,
        CONTROL if options.control is None else options.control,
        tariffs,
        limit=contact_limit(options.top, options.budget, options.contact_cost, tariffs.decimals),
        contact_cost=options.contact_cost,
        excluded=excluded,
    )


def _say_campaign(
    campaign: Campaign, options: argparse.Namespace, tariffs: Tariffs, say: Callable[[str], None]
) -> None:
    # Here, because scipy takes a quarter of a second, and advice without a campaign does without it.
    from plan_recommender.report.campaign_tables import design_lines, economics_table, summary_lines

    summary = campaign.summary()
    control = CONTROL if options.control is None else options.control
    churn = USUAL_CHURN if options.churn is None else options.churn
    say(f"\ncampaign {readable(campaign.name)}")
    say(economics_table(campaign.economics(), tariffs))
    say(summary_lines(summary, tariffs))
    say(design_lines(summary.contacts, summary.controls, churn, control))
    if options.contacts is not None:
        say(f"{options.contacts}: the contacts, for a CRM")


def _compare_groups(options: argparse.Namespace, format: TableFormat) -> int:
    """Compare the groups of a campaign by their outcomes; returns 0."""
    # Here, as in `_say_campaign`.
    from plan_recommender.campaign.outcomes import check_groups, compare, read_members, read_outcomes
    from plan_recommender.report.campaign_tables import effect_table

    tariffs = load_tariffs(options.tariffs or find_tariffs())
    written = format.model_copy(update={"map": {}})
    with open_table(options.campaign_file, written) as table:
        members = read_members(table)
    if options.campaign is not None:
        check_groups(members, options.campaign, CONTROL if options.control is None else options.control)
    with open_table(options.outcomes, written) as table:
        cli.say(effect_table(compare(members, read_outcomes(table, members)), tariffs.currency))
    return cli.DONE


def _cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _counted(counts: Counter[str], tariffs: Tariffs) -> str:
    advised = sum(counts[kind] for kind in ("keep", "switch", "choose"))
    saving = Decimal(counts["saving"]).scaleb(-tariffs.decimals)
    return (
        f"{advised:,} subscribers advised: {counts['keep']:,} keep, {counts['switch']:,} switch, "
        f"{counts['choose']:,} choose; the switches are expected to save {saving:,.{tariffs.decimals}f} "
        f"{tariffs.currency} a month"
    )
