"""Checks of plain arguments, shared by all floors."""

import math
import numbers
from typing import Any

from microgradopt.errors import UsageError


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
