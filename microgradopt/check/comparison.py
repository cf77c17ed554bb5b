"""Two implementations of one function: the same values, and the same derivatives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgradopt.check.arguments import Arguments, as_result, places_of
from microgradopt.check.modes import forward_of, reverse_of
from microgradopt.check.numeric import Flat, Leaves, scale, terms
from microgradopt.check.precision import narrowest
from microgradopt.check.projections import dense, random_like
from microgradopt.check.report import every_entry
from microgradopt.errors import GradientError, UsageError
from microgradopt.randomness import RandomSource, as_generator


def compare(
    f: Callable[..., Any],
    g: Callable[..., Any],
    *args: Any,
    order: int = 1,
    rtol: float | None = None,
    atol: float | None = None,
    rng: RandomSource = None,
) -> None:
    """Check that ``f`` and ``g`` have the same values and derivatives at ``args``.

    Values, the gradient of a random combination of them in reverse mode, and the slopes along a
    random direction in forward mode are compared; with ``order=2`` the same of those two, and so
    on. Nothing is approximated by differences, so a fast formula can be held against a plain one to
    the last digits. NaN and infinities must be in the same places.

    Args:
        f, g: called with nodes; both return numbers or arrays, in the same structure.
        args: as for :func:`check_grads`.
        order: the highest order of derivative; 0 compares values only.
        rtol, atol: the allowed error, relative to the larger of the two, and absolute; left out,
            1e-9 (1e-3 in float32) of each and a hundredth of that of the largest entry.
        rng: the random directions; the same ones at each call when left out.

    Raises:
        GradientError: naming what differs, where, with the two side by side.
        UsageError: if the results have different structures.

    >>> import microgradopt as mg
    >>> compare(mg.log1p, lambda x: mg.log(1.0 + x), 0.5, order=2)
    """
    if not isinstance(order, int) or order < 0:
        raise UsageError(f"compare: order must be 0, 1, 2, …, got {order!r}")
    one, two = Arguments(f, args), Arguments(g, args)
    if one.places != two.places:
        raise UsageError(
            f"compare: f is differentiated by {one.places} and g by {two.places}; give the modules "
            "whose parameters count as arguments"
        )
    eps = max(narrowest(one.call, one.xs), narrowest(two.call, two.xs))
    names, others = _names(one), _names(two)
    if names != others:
        raise UsageError(
            f"compare: f returns {', '.join(names) or 'nothing'} and g "
            f"{', '.join(others) or 'nothing'}; let both return the same structure"
        )
    relative = max(1e-9, 1e4 * eps) if rtol is None else rtol
    generator = as_generator(0 if rng is None else rng)
    pair = _Pair(one.call, two.call, one.xs, two.xs, names, [0.0] * len(names), "value")
    _Comparison(one.places, relative, atol, 100.0 * eps, generator).run(pair, order)


def _names(taken: Arguments) -> list[str]:
    """What to call the leaves of the result."""
    return [place for place, _ in places_of(taken.result(taken.xs), "result")]


@dataclass(frozen=True)
class _Pair:
    """Two functions of the same derivative, with the names of their results' leaves."""

    f: Flat
    g: Flat
    xs: Leaves
    zs: Leaves  # the same for g, which may have parameters of its own
    names: Sequence[str]
    floors: Sequence[float]  # what rounding makes of each leaf
    what: str


@dataclass(frozen=True)
class _Comparison:
    """What stays the same at every order."""

    places: Sequence[str]
    rtol: float
    atol: float | None
    noise: float
    rng: np.random.Generator

    def run(self, pair: _Pair, order: int) -> None:
        """Compare values, then the two functions that derivatives are, one order lower."""
        ys = [as_result(y) for y in pair.f(pair.xs)]
        for i, y in enumerate(pair.g(pair.zs)):
            self._compare(pair, i, ys[i], as_result(y))
        if order == 0:
            return
        u, v = [random_like(y, self.rng) for y in ys], dense(pair.xs, self.rng)
        blur = self.noise * float(np.abs(terms(u, ys)).sum()) + max(pair.floors, default=0.0)
        f, g, xs, zs = pair.f, pair.g, pair.xs, pair.zs
        back = _Pair(
            reverse_of(f, u), reverse_of(g, u), xs, zs, self.places,
            [blur / scale(x) for x in xs], f"derivative in reverse mode, of the {pair.what}",
        )  # fmt: skip
        ahead = _Pair(
            forward_of(f, v), forward_of(g, v), xs, zs, pair.names,
            [blur] * len(ys), f"derivative in forward mode, of the {pair.what}",
        )  # fmt: skip
        self.run(back, order - 1)
        self.run(ahead, order - 1)

    def _compare(self, pair: _Pair, i: int, a: Any, b: Any) -> None:
        where = f"the {pair.what}, {pair.names[i]}"
        if np.shape(a) != np.shape(b):
            raise GradientError(f"{where}: f has shape {np.shape(a)}, g has {np.shape(b)}")
        both = np.isnan(a) & np.isnan(b)
        a, b = np.where(both, 0.0, a), np.where(both, 0.0, b)
        size = np.max(np.abs(b), initial=0.0, where=np.isfinite(b))
        atol = 0.01 * self.rtol * size + pair.floors[i] if self.atol is None else self.atol
        with np.errstate(invalid="ignore"):
            allowed = self.rtol * np.fmax(np.abs(a), np.abs(b)) + atol
        found = every_entry(a, b, np.where(np.isfinite(allowed), allowed, 0.0))
        if found.wrong.any():
            count = f"{found.wrong.sum()} of {len(found.indices)} entries" if np.ndim(a) else "they"
            lines = [f"{where}: {count} disagree", *found.table(("f", "g"))]
            raise GradientError("\n".join(lines))
