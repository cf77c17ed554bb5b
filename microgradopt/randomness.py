"""One rule for randomness: it comes in through ``rng=``, never from NumPy's global state."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from microgradopt.errors import UsageError

__all__ = ["RandomSource", "as_generator"]

RandomSource: TypeAlias = "np.random.Generator | int | np.integer[Any] | None"
"""What every ``rng=`` argument takes: a generator, a seed, or None for fresh randomness.

In quotes, so that ``np.random`` is imported by the first draw and not by ``import microgradopt``.
"""


def as_generator(rng: RandomSource = None) -> np.random.Generator:
    """Return the generator that ``rng`` stands for.

    A generator is returned as it is, so drawing from the result advances the caller's own; an int
    seeds a new one; None gives one seeded by the operating system.

    Raises:
        UsageError: for anything else, among it the legacy ``np.random.RandomState``.

    >>> float(as_generator(0).random()) == float(as_generator(0).random())
    True
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None:
        return np.random.default_rng()
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer):
        raise UsageError(
            "rng must be a np.random.Generator, an int seed or None, "
            f"got {rng!r} ({type(rng).__name__}); write rng=np.random.default_rng(0) or rng=0"
        )
    if rng < 0:
        raise UsageError(f"rng as a seed must be 0 or more, got {rng}; write rng={-rng}")
    return np.random.default_rng(int(rng))
