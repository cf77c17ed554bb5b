"""Changes that are made whole, whatever interrupts them."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["made_whole", "uninterrupted"]


def made_whole(change: Callable[[], None]) -> None:
    """Make a change that may be made twice; Ctrl-C in the middle waits until it is complete."""
    try:
        change()
    except BaseException:
        change()
        raise


class uninterrupted:  # noqa: N801  # reads like the keyword it is
    """Inside, Ctrl-C waits until the end: for what cannot be made twice. It costs some 3 µs."""

    def __enter__(self) -> None:
        self.pressed: tuple[int, FrameType | None] | None = None
        self.before: Any = None
        if threading.current_thread() is threading.main_thread():  # no other is interrupted
            self.before = signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pressed = number, frame

    def __exit__(self, *exception: object) -> None:
        if self.before is None:
            return
        signal.signal(signal.SIGINT, self.before)
        if self.pressed and callable(self.before):
            self.before(*self.pressed)
