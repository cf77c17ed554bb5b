"""Arithmetic gives IEEE results: NumPy is neither to warn nor to raise inside a kernel.

``np.errstate`` does that at half a microsecond a time, which is as long as a small array's whole
operation. NumPy keeps the setting in a context variable; setting that directly costs a tenth. Where
a NumPy has moved it, ``np.errstate`` does the work.
"""

from collections.abc import Callable
from functools import partial, wraps
from operator import methodcaller
from typing import Any, TypeVar

import numpy as np

silence: Callable[[], Any]
"""Turn floating-point warnings off; returns what :func:`restore` needs."""
restore: Callable[[Any], None]
"""Put the setting back."""

try:
    from numpy._core.umath import _extobj_contextvar, _make_extobj
except ImportError:  # pragma: no cover  # another NumPy

    def _enter() -> Any:
        setting = np.errstate(all="ignore")
        setting.__enter__()
        return setting

    silence = _enter
    restore = methodcaller("__exit__", None, None, None)
else:
    silence = partial(_extobj_contextvar.set, _make_extobj(all="ignore"))
    restore = _extobj_contextvar.reset


F = TypeVar("F", bound=Callable[..., Any])


def quietly(function: F) -> F:
    """A function in which NumPy neither warns nor raises: for formulas written with operators."""

    @wraps(function)
    def quiet(*args: Any, **options: Any) -> Any:
        before = silence()
        try:
            return function(*args, **options)
        finally:
            restore(before)

    return quiet  # type: ignore[return-value]  # the same signature


@quietly
def in_ieee(function: Callable[..., Any], *numbers: float, **options: Any) -> float:
    """A function of floats by NumPy's arithmetic, for where Python's raises."""
    return float(function(*map(np.float64, numbers), **options))
