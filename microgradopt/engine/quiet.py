"""Arithmetic gives IEEE results: NumPy is neither to warn nor to raise inside a kernel.

``np.errstate`` does that at half a microsecond a time, which is as long as a small array's whole
operation. NumPy keeps the setting in a context variable; setting that directly costs a tenth. Where
a NumPy has moved it, ``np.errstate`` does the work.
"""

from functools import partial
from typing import Any

import numpy as np

try:
    from numpy._core.umath import (  # type: ignore[attr-defined]  # private, hence the try
        _extobj_contextvar,
        _make_extobj,
    )
except ImportError:  # pragma: no cover  # another NumPy

    def silence() -> Any:
        """Turn floating-point warnings off; returns what :func:`restore` needs."""
        setting = np.errstate(all="ignore")
        setting.__enter__()
        return setting

    def restore(token: Any) -> None:
        """Put the setting back."""
        token.__exit__(None, None, None)

else:
    silence = partial(_extobj_contextvar.set, _make_extobj(all="ignore"))
    restore = _extobj_contextvar.reset
