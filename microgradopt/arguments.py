"""Checks of plain arguments, shared by all floors."""

import math
import numbers
from typing import Any

import numpy as np

from microgradopt.errors import UsageError


def is_integer(n: Any) -> bool:
    """Whether it is a whole number, of Python's or NumPy's; truth values are none."""
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool)


def check_most(user: str, name: str, most: Any) -> None:
    """Refuse what is neither a whole number above 0 nor None, which sets no limit."""
    if most is not None and not (is_integer(most) and most >= 1):
        raise UsageError(f"{user}: {name} must be a whole number above 0 or None, got {most!r}")


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
