"""Who is a contact and who is a control: drawn by a keyed hash of the subscriber, not by a random number generator.

The draw of a subscriber is BLAKE2b (RFC 7693) of 16 bytes. Its message is the subscriber in UTF-8, its key the name of
the campaign in UTF-8, both without blanks around them, and its personalisation the 16 bytes `plan-recommender`. The
first 8 bytes, as a big-endian whole number divided by 2⁶⁴, are a share from 0 to 1: below `control` it is a control,
otherwise a contact. So a group depends on nothing but these three, on every machine and in any order of rows; a larger
`control` only moves contacts to the controls; and campaigns with different names draw independently.

The last 8 bytes order subscribers of equal saving. They are other bytes, so that this order says nothing of the group.
"""

import unicodedata
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

from plan_recommender.data.cells import readable
from plan_recommender.errors import ConfigError

Group = Literal["contact", "control"]

_PERSON: Final = b"plan-recommender"
_SHARES: Final = 2**64
_NOT_IN_A_LINE: Final = frozenset({"Cc", "Zl", "Zp"})
"""Categories of Unicode of control characters and of line and paragraph separators."""

_MAX_NAME: Final = 64
"""Bytes of a key of BLAKE2b."""


class Draw(NamedTuple):
    """What the hash says of one subscriber: two independent whole numbers from 0 to 2⁶⁴ - 1."""

    share: int
    order: int


class Lottery:
    """Draws the groups of one campaign."""

    def __init__(self, campaign: str, control: float) -> None:
        """Take the campaign's name and the share of controls.

        Args:
            campaign: a name of 1 to 64 bytes in UTF-8.
            control: share of the control group (0 to less than 1).

        Raises:
            ConfigError: the name or the share is not possible.
        """
        self._key = campaign.strip().encode("utf-8", "surrogateescape")
        if not 1 <= len(self._key) <= _MAX_NAME:
            raise ConfigError(
                f"campaign: expected a name of 1 to {_MAX_NAME} bytes in UTF-8, found {len(self._key)} bytes"
            )
        if any(unicodedata.category(sign) in _NOT_IN_A_LINE for sign in campaign):
            raise ConfigError(
                f"campaign: expected a name without line breaks, tabs and other control characters, found "
                f"{readable(campaign)}"
            )
        if not 0 <= control < 1:
            raise ConfigError(f"control: expected a share of at least 0 and less than 1, found {control}")
        self._controls = int(control * _SHARES)  # exact: a double times a power of two

    def draw(self, subscriber: str) -> Draw:
        """Give the draw of a subscriber."""
        message = subscriber.strip().encode("utf-8", "surrogateescape")
        digest = blake2b(message, digest_size=16, key=self._key, person=_PERSON).digest()
        return Draw(int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big"))

    def group(self, draw: Draw) -> Group:
        """Turn a draw into a group."""
        return "control" if draw.share < self._controls else "contact"


def group_of(campaign: str, subscriber: str, control: float) -> Group:
    """Say in which group a subscriber would be; who takes part in the campaign is decided by `selection`.

    Args:
        campaign: a name of 1 to 64 bytes in UTF-8.
        subscriber: as the table writes it, apart from blanks around it.
        control: share of the control group (0 to less than 1).

    Raises:
        ConfigError: the name or the share is not possible.
    """
    lottery = Lottery(campaign, control)
    return lottery.group(lottery.draw(subscriber))
