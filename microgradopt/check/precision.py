"""How precise a function is here: its least precise array decides what both sides can agree on."""

from typing import NamedTuple

import numpy as np

from microgradopt.check.arguments import as_result
from microgradopt.check.numeric import Flat, Leaves
from microgradopt.engine.graph import Node, ancestors


class Precision(NamedTuple):
    """The precision of the two sides, and the relative error that both permit."""

    analytic: float
    numeric: float
    rtol: float


def precision(f: Flat, xs: Leaves) -> Precision:
    """How precise a function is here; the numeric side gives it its inputs in float64."""
    analytic, numeric = narrowest(f, xs), narrowest(f, widened(xs))
    return Precision(analytic, numeric, max(1e-6, 1e3 * analytic, 3.0 * numeric**0.5))


def widened(xs: Leaves) -> Leaves:
    """The leaves in float64."""
    return [np.asarray(x, np.float64) if isinstance(x, np.ndarray) else x for x in xs]


def narrowest(f: Flat, xs: Leaves) -> float:
    """The precision of the least precise array on the way from the leaves to the result."""
    results = f(xs)
    passed = [x.data for x in ancestors([y for y in results if isinstance(y, Node)])]
    arrays = [x for x in [*xs, *passed, *map(as_result, results)] if isinstance(x, np.ndarray)]
    dtypes = {x.dtype for x in arrays} | {np.dtype(np.float64)}
    return max(float(np.finfo(dtype).eps) for dtype in dtypes if dtype.kind == "f")
