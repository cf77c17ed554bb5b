"""The derivatives of a function compared with numerical ones.

The data: a function under check is turned into one from a list of leaves (floats and arrays) to a
list of leaves, f. A random cotangent u makes it a number, φ(x) = ⟨u, f(x)⟩.

- Reverse mode gives x ↦ Jᵀu = ∇φ(x), which is compared with differences of φ: entry by entry, or
  along random directions where there are many entries.
- Forward mode gives x ↦ Jv for a random tangent v; it must satisfy ⟨u, Jv⟩ = ⟨Jᵀu, v⟩, which
  takes no differences and so no step.
- Order 2 does the same to the two functions that order 1 consists of, x ↦ Jᵀu and x ↦ Jv: that is
  reverse over reverse, forward over reverse, reverse over forward and forward over forward.

φ is formed outside the library, so that a wrong rule for a sum cannot excuse itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from microgradopt.check.arguments import Arguments
from microgradopt.check.blame import blame
from microgradopt.check.modes import Check, Disagreement
from microgradopt.check.numeric import METHODS, Flat, Leaves
from microgradopt.check.precision import precision, widened
from microgradopt.check.report import Report
from microgradopt.check.suspicions import Case, suspect
from microgradopt.errors import GradientError, UsageError
from microgradopt.randomness import RandomSource, as_generator

MODES = ("reverse", "forward")


def check_grads(
    f: Callable[..., Any],
    *args: Any,
    order: int = 1,
    modes: Sequence[str] = MODES,
    method: str = "central",
    rtol: float | None = None,
    atol: float | None = None,
    rng: RandomSource = None,
) -> None:
    """Check the derivatives of ``f`` at ``args`` against numerical ones; silent if they agree.

    Args:
        f: called with nodes, as by :func:`microgradopt.grad`; returns numbers or arrays, or a
            structure of them. Of a module, or a method of one, the parameters are checked too.
        args: floats, arrays, Values, Tensors and modules, or lists, tuples and dicts of those.
            Whole-number arrays, truth values and strings are constants.
        order: 1 checks the gradient, 2 also the gradient of the gradient, and so on.
        modes: "reverse", "forward" or both, which are then also checked against each other.
        method: "central" differences, extrapolated to step 0; "complex", a step along the
            imaginary axis, exact to the last digits, where ``f`` is analytic and works on plain
            complex arrays (orders above 1 use central differences); or "taylor", which has no
            step and no tolerance: what is left of φ(x + hv) after ``order`` terms of its series
            must fall as the next power of h (float32 is widened for it).
        rtol: allowed relative error; 1e-6, or what float32 permits.
        atol: allowed absolute error; when left out, in proportion to the gradient.
        rng: the random directions; the same ones at each call when left out.

    With more than 200 entries in all, slopes along random directions and a few single entries are
    compared, and a wrong entry is searched for by bisection.

    Raises:
        GradientError: naming the argument and index, with the claimed and the numerical
            derivative side by side, what that looks like, and the operation whose rule is wrong.
        UsageError: if there is nothing to differentiate, or the complex step does not apply.
        DTypeError: if a whole-number array is all there is.

    >>> import microgradopt as mg
    >>> check_grads(lambda x, y: mg.sin(x) * y, 0.5, 3.0, order=2)
    """
    examine(f, args, order=order, modes=modes, method=method, rtol=rtol, atol=atol, rng=rng)


def examine(
    f: Callable[..., Any],
    args: Sequence[Any],
    *,
    order: int = 1,
    modes: Sequence[str] = MODES,
    method: str = "central",
    rtol: float | None = None,
    atol: float | None = None,
    rng: RandomSource = None,
    named: bool = True,
) -> Report:
    """What :func:`check_grads` does, with a report of what it looked at.

    Unless ``named``, the operation that is wrong is not searched for: the caller knows it.
    """
    if not callable(f):
        raise UsageError(f"check_grads: give a function first, then its arguments; got {f!r}")
    _refuse_unknown(order, modes, method)
    taken = Arguments(f, args)
    xs = widened(taken.xs) if method == "taylor" else taken.xs
    found = precision(taken.call, xs)
    generator = as_generator(0 if rng is None else rng)
    check = Check(
        taken.places,
        modes,
        method,
        found.rtol if rtol is None else rtol,
        atol,
        found.analytic,
        found.numeric,
        generator,
        Report(),
    )
    try:
        check.run(taken.call, xs, order)
    except Disagreement as wrong:
        raise GradientError(_explained(wrong, named)) from None
    return check.report


def _explained(found: Disagreement, named: bool) -> str:
    """The error's text: the two sides, what that looks like, and which operation it was."""
    lines = [found.head, *found.case.entries.table()]
    what = suspect(found.case)
    if what is not None:
        lines.append(f"suspicion: {what.text}")
    if named and (what is None or what.kind not in ("unsteady", "narrow")):
        lines.append(f"operation: {blame(found.case, _of_operation, what and what.text)}")
    return "\n".join(lines)


def _of_operation(f: Flat, xs: Leaves, mode: str) -> Case | None:
    """One operation by itself, looked at along a few directions."""
    eps, own, rtol = precision(f, xs)
    places = [f"operand {k}" for k in range(len(xs))]
    rng = np.random.default_rng(0)
    try:
        Check(places, (mode,), "central", rtol, None, eps, own, rng, Report(), 0).run(f, xs, 1)
    except Disagreement as found:
        return found.case
    return None


def _refuse_unknown(order: int, modes: Sequence[str], method: str) -> None:
    if not isinstance(order, int) or order < 1:
        raise UsageError(f"check_grads: order must be 1, 2, …, got {order!r}")
    if not modes or isinstance(modes, str) or any(mode not in MODES for mode in modes):
        raise UsageError(f"check_grads: modes must be some of {MODES}, got {modes!r}")
    if method not in METHODS:
        raise UsageError(f"check_grads: method must be one of {METHODS}, got {method!r}")
