"""Products and running reductions along the first axis: rows that are linear in nothing.

A running result uses the one before it. So does the way back: zⱼ = gⱼ + aⱼ₊₁ · zⱼ₊₁, a recurrence
again, which divides by nothing and is exact with zeros, at every order.
"""

from typing import Any

import numpy as np

from microgradopt.engine.ops.elementwise import where
from microgradopt.engine.ops.shapes import concatenate, flip, index
from microgradopt.engine.rules import General, data_of, shape_of as shape


def float_dtype(x: Any) -> Any:
    """The dtype of floats that go with ``x``: its own, or float64 beside whole numbers."""
    dtype = np.asarray(data_of(x)).dtype
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def _shifted(x: Any, first: float) -> Any:
    """``first``, then all entries along the first axis but the last."""
    n, *rest = shape(x)
    start = np.full((1 if n else 0, *rest), first, float_dtype(x))
    return concatenate([start, index(x, slice(0, -1))])


def _recurrence(a: Any, b: Any) -> Any:
    y = np.array(b)
    for j in range(1, len(y)):
        y[j] += a[j] * y[j - 1]
    return y


def _pull_recurrence(g: Any, out: Any, a: Any, b: Any) -> Any:
    reached = _backwards(a, g)
    return reached * _shifted(out, 0.0), reached


def _backwards(a: Any, g: Any) -> Any:
    """zⱼ = gⱼ + aⱼ₊₁ · zⱼ₊₁: what each entry of a recurrence passes on to the end."""
    return flip(recurrence_row(_shifted(flip(a, 0), 0.0), flip(g, 0)), 0)


recurrence_row: General = General(
    "recurrence",
    array=_recurrence,
    pullback=_pull_recurrence,
    sample=lambda rng: [
        ((rng.normal(size=(4, 2)), rng.normal(size=(4, 2))), {}),
        ((np.array([2.0, 0.0, 3.0]), rng.normal(size=3)), {}),
    ],
    doc="yⱼ = bⱼ + aⱼ · yⱼ₋₁ along the first axis",
)
cumprod_row: General = General(
    "cumprod",
    array=lambda x: np.cumprod(x, axis=0),
    # The product of what comes before, times what later ones make of it: exact with zeros.
    pullback=lambda g, out, x: _shifted(out, 1.0) * _backwards(x, g),
    sample=lambda rng: [((rng.normal(size=(4, 2)),), {}), ((np.array([2.0, 0.0, 3.0, 0.0]),), {})],
    doc="The running product along the first axis",
)


def _pull_prod(g: Any, out: Any, x: Any) -> Any:
    before, after = cumprod_row(_shifted(x, 1.0)), cumprod_row(_shifted(flip(x, 0), 1.0))
    return g * (before * flip(after, 0))


prod_row: General = General(
    "prod",
    symbol="Π",
    array=lambda x: np.multiply.reduce(x, axis=0),
    pullback=_pull_prod,
    sample=lambda rng: [((rng.normal(size=(4, 2)),), {}), ((np.array([2.0, 0.0, 3.0, 0.0]),), {})],
    doc="The product over the first axis",
)


# Extremes so far


def _running(name: str, ufunc: Any) -> General:
    def pullback(g: Any, out: Any, x: Any) -> Any:
        # While the extreme stays the same, each result belongs to the entries that tie so far.
        best = data_of(out)
        ties = np.equal(data_of(x), best)
        starts = np.concatenate([np.ones_like(ties[:1]), best[1:] != best[:-1]])
        before = np.maximum.accumulate(np.where(starts, np.cumsum(ties, axis=0) - ties, 0), axis=0)
        so_far = (np.cumsum(ties, axis=0) - before).astype(best.dtype)
        return where(ties, _sums_to_the_end(g / so_far, np.cumsum(starts, axis=0)), 0.0)

    return General(
        name,
        array=lambda x: ufunc.accumulate(x, axis=0),
        pullback=pullback,
        sample=lambda rng: [((rng.normal(size=(5, 2)),), {}), ((rng.normal(size=(8,)),), {})],
        doc=f"numpy.{ufunc.__name__}.accumulate along the first axis",
    )


def _sums_to_the_end(x: Any, run: Any) -> Any:
    """Sums along the first axis from each entry to the end of its run, by doubling their reach."""
    reach = 1
    while reach < len(run):
        later = where(run[:-reach] == run[reach:], index(x, slice(reach, None)), 0.0)
        x = concatenate([index(x, slice(0, -reach)) + later, index(x, slice(-reach, None))])
        reach *= 2
    return x


running_max_row = _running("running_max", np.maximum)
running_min_row = _running("running_min", np.minimum)
