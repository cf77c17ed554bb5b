"""Changes that are made whole, whatever interrupts them."""

from collections.abc import Callable

__all__ = ["made_whole"]


def made_whole(change: Callable[[], None]) -> None:
    """Make a change that may be made twice; Ctrl-C in the middle waits until it is complete."""
    try:
        change()
    except BaseException:
        change()
        raise
