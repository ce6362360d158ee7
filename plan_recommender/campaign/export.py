"""The list of contacts for a CRM: the contacts of a campaign and nobody else, one line each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TextIO

from plan_recommender.campaign.groups import Group
from plan_recommender.data.csv_file import write_rows
from plan_recommender.data.outputs import replacing

COLUMNS: Final = ("campaign", "subscriber", "plan_held", "plan_advised", "saving", "currency", "message")


class ContactList:
    """An open list of contacts."""

    def __init__(self, file: TextIO, campaign: str, currency: str) -> None:
        self._file, self._campaign, self._currency = file, campaign, currency

    def add(
        self, group: Group | Literal[""], subscriber: str, held: str, advised: str, saving: str, message: str
    ) -> None:
        """Write a subscriber who is a contact; a control, and who takes no part, is left out.

        Args:
            group: as `Campaign.assign` gives it.
            subscriber: who it is.
            held: name of the plan held.
            advised: name of the plan advised.
            saving: expected (currency per month).
            message: the sentence of the advice.
        """
        if group == "contact":
            row = [self._campaign, subscriber, held, advised, saving, self._currency, message]
            write_rows(self._file, [row])


@contextmanager
def contact_list(path: Path, campaign: str, currency: str) -> Iterator[ContactList]:
    """Open a CSV file of contacts that replaces `path` when the block ends; it has the columns `COLUMNS`.

    Raises:
        OutputError: the file cannot be written.
    """
    with replacing(path) as file:
        write_rows(file, [list(COLUMNS)])
        yield ContactList(file, campaign, currency)
