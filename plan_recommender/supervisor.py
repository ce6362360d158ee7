"""BentoML's supervisor, circus, heeds a signal to end at any time."""

from functools import partial
from typing import Final

from circus.sighandler import SysHandler

_AGAIN_SECONDS: Final = 0.5


def heed_every_signal() -> None:
    """Tell circus again and again to end, until it has: while it starts its workers, it drops the first time."""
    tell = SysHandler.quit

    def quit_until_it_ends(handler: SysHandler) -> None:
        tell(handler)
        loop = handler.controller.loop
        loop.add_callback_from_signal(loop.call_later, _AGAIN_SECONDS, partial(quit_until_it_ends, handler))

    SysHandler.quit = quit_until_it_ends
