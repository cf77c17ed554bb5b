"""The Taylor test: what some terms of a function's series leave over falls as a power of h."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from microgradopt.check.numeric import Line, length

STEPS = 0.1 * 0.5 ** np.arange(33)  # from a tenth of the input's scale down to 2e-11
POINTS = 3  # the smallest remainders above rounding, through which the rate is fitted
ABOVE = 30.0  # times rounding, where a remainder says something
NOISY = 1e-4  # of φ's size
SLACK = 0.25  # of the rate
CLIFF = 1.5  # powers of h by which a remainder may fall too fast for a smooth function
SAMPLES = 9  # for the noise of the function
SPACINGS = (STEPS[-1], 1e-5)  # the wider one where a function that cancels within is flat


def remainders(line: Line, coefficients: Sequence[float]) -> Any:
    """|φ(h) − Σ cₖhᵏ| at the steps."""
    found = np.array([float(line(h)) for h in STEPS])
    with np.errstate(all="ignore"):
        return np.abs(found - np.polynomial.polynomial.polyval(STEPS, coefficients))


def noise_of(line: Line) -> float:
    """How much the function jitters from point to point, by fourth differences.

    J. J. Moré, S. M. Wild, SIAM J. Sci. Comput. 33 (2011) 1292.
    """
    noise = 0.0
    for spacing in SPACINGS:
        near = np.array([float(line(t)) for t in spacing * np.arange(SAMPLES)])
        with np.errstate(all="ignore"):
            fourth = np.diff(near, 4)
            noise = length(fourth) / float(np.sqrt(70.0 * len(fourth)))
        if noise != 0.0:
            break
    return noise


def observed_rate(
    line: Line, coefficients: Sequence[float], sizes: Sequence[float], eps: float, own: float
) -> float | None:
    """The power of h with which the remainder falls; None where there is only rounding left.

    NaN where nothing can be told: a coefficient is not finite, or the function is noise. ``sizes``
    says how large the terms of each coefficient are; derivatives are computed with precision
    ``eps``, the function and its argument are rounded with ``own``. Where the remainder drops to
    rounding from one step to the next, the larger steps went across a kink and say nothing.
    """
    if not np.all(np.isfinite(coefficients)):
        return float("nan")
    left = remainders(line, coefficients)
    spread = [own * (sizes[0] + sizes[1]), *(eps * size for size in sizes[1:])]
    rounding = noise_of(line) + np.polynomial.polynomial.polyval(STEPS, spread)
    with np.errstate(all="ignore"):
        telling = np.flatnonzero(np.isfinite(left) & (left > ABOVE * rounding))[-POINTS:]
    if len(telling) < POINTS:
        return None if rounding[-1] <= NOISY * sizes[0] else float("nan")
    last, beyond = telling[-1], telling[-1] + 1
    if beyond < len(STEPS):
        drop = np.log2(left[last] / max(left[beyond], rounding[beyond]))
        if drop > len(coefficients) + CLIFF:
            return None
    return float(np.polyfit(np.log(STEPS[telling]), np.log(left[telling]), 1)[0])
