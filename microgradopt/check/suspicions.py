"""What a wrong derivative looks like: each suspicion is a question to the numbers at hand.

A suspicion says nothing unless it fits. They are asked in order; the first that fits is reported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from microgradopt.check.arguments import as_operand
from microgradopt.check.numeric import (
    Flat,
    Leaves,
    Line,
    Phi,
    difference,
    extrapolated,
    one_sided,
    scale,
)
from microgradopt.check.report import Entries
from microgradopt.engine.derive import vjp
from microgradopt.engine.graph import Node, ancestors
from microgradopt.engine.rules import data_of, shape_of

CLOSE = 1e-3  # how well numbers must fit a pattern, relatively
NEAR = 1e-6  # of the input's scale: how far to look for a kink to the left and right
SMALL_STEPS = 10.0 ** -np.arange(5, 14)  # of the input's scale


@dataclass(frozen=True)
class Case:
    """A disagreement: the function, the point and the entries of one leaf side by side.

    ``entries`` are those looked at, right ones among them; ``whole`` is the claimed gradient of the
    leaf where it is known. The worst entry is seen along ``line``, with steps up to ``reach``.
    """

    f: Flat
    xs: Leaves
    u: Leaves
    mode: str
    k: int | None
    entries: Entries
    whole: Any
    line: Line
    reach: float
    blur: float  # what rounding makes of it

    @property
    def phi(self) -> Phi:
        """The number whose slopes are compared."""
        return Phi(self.f, self.xs, self.u)

    def nodes(self) -> Leaves:
        """The leaves as nodes, so that the function records a graph."""
        return [as_operand(x) for x in self.xs]

    def fits(self, claimed: Any, true: Any) -> bool:
        """Whether numbers are the same, as far as a pattern needs."""
        size = float(np.max(np.abs(true), initial=0.0))
        return bool(np.allclose(claimed, true, rtol=CLOSE, atol=1e-6 * size))


Suspicion: TypeAlias = Callable[[Case], str | None]


def unsteady(case: Case) -> str | None:
    """The function is not one: two calls at the same point differ."""
    once, again = case.phi.at(case.xs), case.phi.at(case.xs)
    if once == again or (np.isnan(once) and np.isnan(again)):
        return None
    return (
        "two calls at the same point give different results: the function draws random numbers or "
        "keeps a state; seed it inside"
    )


def not_finite(case: Case) -> str | None:
    """The function is not a number here, or right beside."""
    if not np.isfinite(case.line(0.0)):
        return "the function itself is NaN or infinite at this point"
    h = NEAR * case.reach
    sides = [side for side, t in (("left", -h), ("right", h)) if not np.isfinite(case.line(t))]
    if sides:
        return (
            f"the edge of the domain: {' and '.join(sides)} of this point the function is NaN or "
            "infinite; check at a point inside"
        )
    return None


def undefined(case: Case) -> str | None:
    """The derivative is not a number, where the function is one."""
    if np.all(np.isfinite(case.entries.claimed)):
        return None
    return (
        "the analytic derivative is NaN or infinite where the function is finite: there is none "
        "at this point, or the rule is wrong"
    )


def kink(case: Case) -> str | None:
    """The slopes to the left and to the right differ, and not because of curvature."""
    for size in {case.reach, case.reach if case.k is None else scale(case.xs[case.k])}:
        (low, high), (left, right) = (one_sided(case.line, h * size) for h in (NEAR, 0.1 * NEAR))
        jump, closer = high - low, right - left
        rounding = 1e3 * np.finfo(float).eps * abs(case.line(0.0)) / (NEAR * size)
        if abs(jump) > CLOSE * (abs(low) + abs(high)) + rounding and 0.5 < closer / jump < 2.0:
            return (
                f"a kink here: the slope is {left:.6g} to the left and {right:.6g} to the right; "
                "check at a point beside it"
            )
    return None


def rough(case: Case) -> str | None:
    """The numerical slope itself is uncertain."""
    found, again = (extrapolated(case.line, s * case.reach, case.blur) for s in (1.0, 0.7))
    doubt = max(found.doubt, again.doubt, abs(found.slope - again.slope))
    bad = case.entries.only_wrong()
    if doubt <= 0.3 * float(np.max(np.abs(bad.claimed - bad.true), initial=0.0)):
        return None
    return (
        f"the function is noisy or not smooth here: its numerical slope is uncertain by "
        f"±{doubt:.1e}; check at another point, in float64, or allow more with rtol and atol"
    )


def narrow(case: Case) -> str | None:
    """Differences agree after all, at steps that nobody would begin with."""
    claimed, true = case.entries.claimed, case.entries.true
    worst = int(np.argmax(np.abs(claimed - true)))
    apart = abs(claimed[worst] - true[worst])
    slopes = (difference(case.line, h * case.reach) for h in SMALL_STEPS)
    near = [abs(slope - claimed[worst]) < 0.01 * apart for slope in slopes]
    if not any(map(all, pairwise(near))):
        return None
    return (
        "differences with far smaller steps agree: the function varies much faster than the size "
        "of its argument suggests (a pole, a narrow bump); check at another point, or rescale it"
    )


def cut(case: Case) -> str | None:
    """Nothing arrives where something should."""
    bad = case.entries.only_wrong()
    if np.any(bad.claimed != 0.0):
        return None
    if np.any(case.entries.claimed != 0.0):
        return (
            "the analytic derivative is 0 here but not in other entries: a branch, a mask or an "
            "index leaves these out, or .data cuts them off"
        )
    return (
        "the analytic derivative is 0: the graph is cut between here and the result (.data, "
        ".item(), stop_gradient, detach, no_grad), or a rule drops this operand"
    )


def transposed(case: Case) -> str | None:
    """The gradient would be right if two axes were swapped."""
    whole = case.whole
    if whole is None or whole.ndim < 2 or whole.shape[-1] != whole.shape[-2]:
        return None
    swapped = np.swapaxes(whole, -1, -2)
    if case.fits([swapped[index] for index in case.entries.indices], case.entries.true):
        return "the analytic gradient is the transpose of the numerical one"
    return None


def lost_digits(case: Case) -> str | None:
    """The same rule is right in double precision."""
    arrays = [x for x in case.xs if isinstance(x, np.ndarray)]
    if case.mode != "reverse" or case.k is None or all(x.dtype == np.float64 for x in arrays):
        return None
    wide = [x.astype(np.float64) if isinstance(x, np.ndarray) else x for x in case.xs]
    whole = np.asarray(vjp(case.f, wide)[1](case.u)[0][case.k])
    if not case.fits([whole[index] for index in case.entries.indices], case.entries.true):
        return None
    return (
        "digits are lost in float32: with the same inputs in float64 the analytic derivative is "
        "right; reformulate what cancels, or compute it in float64"
    )


def one_row(case: Case) -> str | None:
    """A cotangent that looks at one row of the result's, where it should add up all."""
    if case.mode != "reverse" or case.k is None or len(case.u) != 1:
        return None
    u = np.asarray(case.u[0])
    for axis, length in enumerate(u.shape):
        for row, what in ((0, "first"), (length - 1, "last")):
            masked = np.zeros_like(u)
            place = (slice(None),) * axis + (row,)
            masked[place] = u[place]
            whole = vjp(case.f, case.xs)[1]([masked])[0][case.k]
            if length > 1 and np.array_equal(whole, case.whole):
                return (
                    f"the sum over a broadcast axis is missing: of the {length} rows along axis "
                    f"{axis} of the result, only the {what} counts"
                )
    return None


def factor(case: Case) -> str | None:
    """Every claimed entry is the same multiple of the true one."""
    claimed, true = case.entries.claimed, case.entries.true
    bad = case.entries.only_wrong()
    with np.errstate(all="ignore"):
        times = float(np.median(bad.claimed / bad.true))
    if not np.isfinite(times) or times == 0.0 or not case.fits(claimed, times * true):
        return None
    why = _meaning(times, case)
    if why is None and len(bad.indices) == 1:
        return None  # some number it always is
    return f"the analytic derivative is {times:.6g} times the numerical one" + (why or "")


def _meaning(times: float, case: Case) -> str | None:
    """Where a factor like that comes from."""
    for known, why in (
        (-1.0, ": a sign is flipped"),
        (2.0, ": something is counted twice, or a factor of ½ was forgotten"),
        (0.5, ": half of it is missing, or a factor of 2 was forgotten"),
    ):
        if abs(times / known - 1.0) < 1e-5:
            return why
    own = {*np.shape(case.xs[case.k]), np.size(case.xs[case.k])} if case.k is not None else set()
    for n in sorted(own | _lengths(case)):
        if n > 1 and abs(times * n - 1.0) < 1e-5:
            if n in own:
                return f", 1/{n}: perhaps a mean where there should be a sum"
            return f", 1/{n}: perhaps the sum over a broadcast axis of length {n} is missing"
        if n > 1 and abs(times / n - 1.0) < 1e-5:
            return f": perhaps a sum over {n} entries where there should be a mean"
    return None


def _lengths(case: Case) -> set[int]:
    """The lengths of axes, and the sizes, that occur on the way to the result."""
    results = case.f(case.nodes())
    nodes = ancestors([y for y in results if isinstance(y, Node)])
    shapes = {shape_of(x) for x in [*nodes, *map(data_of, results)]}
    return {n for shape in shapes for n in (*shape, int(np.prod(shape)))}


SUSPICIONS: tuple[Suspicion, ...] = (
    unsteady, not_finite, undefined, kink, rough, narrow, cut, transposed, lost_digits, one_row,
    factor,
)  # fmt: skip


class Suspected(NamedTuple):
    """The suspicion that fits, by the name of its question, in words."""

    kind: str
    text: str


def suspect(case: Case) -> Suspected | None:
    """What a disagreement looks like, or None where nothing fits."""
    with np.errstate(all="ignore"):
        for ask in SUSPICIONS:
            if text := ask(case):
                return Suspected(ask.__name__, text)
    return None
