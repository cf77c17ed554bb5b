"""Checks of plain arguments, shared by all floors."""

import math
import numbers
from typing import Any

import numpy as np

from microgradopt.errors import UsageError


def is_integer(n: Any) -> bool:
    """Whether it is a whole number, of Python's or NumPy's; truth values are none."""
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool)


def check_count(user: str, name: str, count: Any, least: int = 1) -> int:
    """A whole number of at least ``least`` as an int."""
    if not is_integer(count) or count < least:
        raise UsageError(
            f"{user}: {name} must be a whole number of at least {least}, got {count!r}; "
            f"write {name}={max(least, 10)}"
        )
    return int(count)


def check_number(
    user: str,
    name: str,
    value: Any,
    low: float = 0.0,
    high: float = math.inf,
    kind: str = "a number",
) -> None:
    """Refuse what is no number, not finite, or outside [low, high)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise UsageError(f"{user}: {name} must be {kind}, got {value!r}")
    if not (math.isfinite(value) and low <= float(value) < high):
        upper = "" if high == math.inf else f" and below {high:g}"
        raise UsageError(f"{user}: {name} must be finite, at least {low:g}{upper}; got {value!r}")
