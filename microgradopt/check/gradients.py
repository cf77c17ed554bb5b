"""The derivatives of a function compared with numerical ones.

The data: a function under check is turned into one from a list of leaves (floats and arrays) to a
list of leaves, f. A random cotangent u makes it a number, φ(x) = ⟨u, f(x)⟩.

- Reverse mode gives x ↦ Jᵀu = ∇φ(x), which is compared, entry by entry, with differences of φ.
- Forward mode gives x ↦ Jv for a random tangent v; it must satisfy ⟨u, Jv⟩ = ⟨Jᵀu, v⟩, which
  takes no differences and so no step.
- Order 2 does the same to the two functions that order 1 consists of, x ↦ Jᵀu and x ↦ Jv: that is
  reverse over reverse, forward over reverse, reverse over forward and forward over forward.

φ is formed outside the library, so that a wrong rule for a sum cannot excuse itself.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.exceptions import ComplexWarning

from microgradopt.check.numeric import Leaves, central_slopes, complex_slopes, scale
from microgradopt.engine.derive import jvp, vjp
from microgradopt.engine.graph import Node
from microgradopt.engine.rules import data_of
from microgradopt.engine.structure import leaves, rebuild
from microgradopt.engine.tensor import Tensor
from microgradopt.engine.value import Value
from microgradopt.errors import GradientError, UsageError
from microgradopt.randomness import RandomSource, as_generator

Flat: TypeAlias = Callable[[Leaves], Leaves]

MODES = ("reverse", "forward")
METHODS = ("central", "complex")
WORST = 5  # how many wrong entries an error lists


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
            structure of them.
        args: floats, arrays, or lists, tuples and dicts of those.
        order: 1 checks the gradient, 2 also the gradient of the gradient, and so on.
        modes: "reverse", "forward" or both, which are then also checked against each other.
        method: "central" differences, extrapolated to step 0; or "complex", a step along the
            imaginary axis, exact to the last digits, where ``f`` is analytic and works on plain
            complex arrays (orders above 1 use central differences).
        rtol: allowed relative error; 1e-6, or what float32 permits.
        atol: allowed absolute error; when left out, in proportion to the gradient.
        rng: the random directions; the same ones at each call when left out.

    Raises:
        GradientError: naming the argument and index, with the claimed and the numerical
            derivative side by side.
        UsageError: if there is nothing to differentiate, or the complex step does not apply.

    >>> import microgradopt as mg
    >>> check_grads(lambda x, y: mg.sin(x) * y, 0.5, 3.0, order=2)
    """
    _refuse_unknown(order, modes, method)
    xs = [_as_leaf(x) for x in leaves(args)]
    if not xs:
        raise UsageError("check_grads: give at least one number or array to differentiate by")

    def flat(values: Leaves) -> Leaves:
        return leaves(f(*rebuild(args, [_as_operand(x) for x in values])))

    generator = as_generator(0 if rng is None else rng)
    places = [place for i, x in enumerate(args) for place in _places(x, f"argument {i}")]
    _Check(places, modes, rtol, atol, generator).run(flat, xs, order, method)


class _Check(NamedTuple):
    """What stays the same in all parts of one check."""

    places: list[str]  # what to call each leaf
    modes: Sequence[str]
    rtol: float | None
    atol: float | None
    rng: np.random.Generator

    def run(
        self, f: Flat, xs: Leaves, order: int, method: str, label: str = "", least: float = 0.0
    ) -> None:
        """Check f in every mode, then the functions its modes are, one order lower.

        ``least`` is how large the terms of φ may have been before they cancelled.
        """
        ys = [_as_result(y) for y in f(xs)]
        u, v = [self._direction(y) for y in ys], [self._direction(x) for x in xs]
        eps = max((float(np.finfo(np.asarray(x).dtype).eps) for x in [*xs, *ys]), default=0.0)
        noise = max(1e-10, 100.0 * eps)  # how far rounding takes φ, relatively
        size = max(float(np.abs(_terms(u, ys)).sum()), least)
        floor = [noise * size / scale(x) for x in xs]
        rtol = max(1e-6, 3.0 * eps**0.5) if self.rtol is None else self.rtol
        numeric, source = _slopes(f, xs, u, method)

        def reverse(values: Leaves) -> Leaves:
            return list(vjp(f, values)[1](u)[0])

        def forward(values: Leaves) -> Leaves:
            return list(jvp(f, (values,), (v,))[1])

        if "reverse" in self.modes:
            gradient = reverse(xs)
            self._compare(gradient, numeric, rtol, floor, f"reverse mode{label} against {source}")
        if "forward" in self.modes:
            if "reverse" in self.modes:
                back, slack, title = _terms(gradient, v), noise, "reverse mode, ⟨u, Jv⟩ = ⟨Jᵀu, v⟩"
            else:
                back, slack, title = _terms(numeric, v), rtol, f"{source} along one direction"
            atol = sum(floor) if self.atol is None else self.atol
            allowed = slack * float(np.abs(back).sum()) + atol
            along = _terms(u, forward(xs)).sum()
            _expect(along, back.sum(), allowed, f"forward mode{label} against {title}")
        for mode, derivative in (("reverse", reverse), ("forward", forward)):
            if order > 1 and mode in self.modes:
                least = size / max(map(scale, xs))
                self.run(derivative, xs, order - 1, "central", f"{label} over {mode} mode", least)

    def _direction(self, like: Any) -> Any:
        """A random direction in the form of a leaf, without entries near 0."""
        shape = np.shape(like)
        drawn = self.rng.uniform(0.5, 1.5, shape) * self.rng.choice([-1.0, 1.0], shape)
        return drawn.astype(like.dtype) if isinstance(like, np.ndarray) else float(drawn)

    def _compare(
        self, claimed: Leaves, true: Leaves, rtol: float, floor: list[float], what: str
    ) -> None:
        """Leaf by leaf, entry by entry."""
        wide = [np.asarray(a, np.float64) for a in claimed]
        for place, a, n, least in zip(self.places, wide, true, floor, strict=True):
            atol = 0.01 * rtol * float(np.max(np.abs(n), initial=0.0)) + least
            atol = atol if self.atol is None else self.atol
            allowed = rtol * np.maximum(np.abs(a), np.abs(n)) + atol
            _expect(a, n, allowed, f"{what}, {place}")


def _expect(claimed: Any, true: Any, allowed: Any, what: str) -> None:
    """Raise unless claimed = true within what is allowed; NaN never is."""
    wrong = np.asarray(~(np.abs(claimed - true) <= allowed))
    if not wrong.any():
        return
    size = np.maximum(np.maximum(np.abs(claimed), np.abs(true)), np.finfo(np.float64).tiny)
    relative = np.asarray(np.nan_to_num(np.abs(claimed - true) / size, nan=np.inf))
    worst = np.argsort(np.where(wrong, -relative, 1.0), axis=None, kind="stable")[:WORST]
    rows = ["        index         analytic          numeric  relative error"]
    for i in worst[: wrong.sum()]:
        index = tuple(int(k) for k in np.unravel_index(i, wrong.shape))
        a, n = (float(np.asarray(x).flat[i]) for x in (claimed, true))
        place = str(index) if index else ""
        rows.append(f"{place:>13} {a:16.9g} {n:16.9g} {relative.flat[i]:15.2e}")
    count = f"{wrong.sum()} of {wrong.size} entries disagree" if wrong.ndim else "they disagree"
    raise GradientError("\n".join([f"{what}: {count}", *rows]))


def _slopes(f: Flat, xs: Leaves, u: Leaves, method: str) -> tuple[Leaves, str]:
    """The numerical gradient of φ, and what to call it."""

    def phi(values: Leaves) -> Any:
        return _terms(u, [data_of(y) for y in f(values)]).sum()

    with np.errstate(all="ignore"):
        differences = central_slopes(phi, xs)
        if method == "central":
            return differences, "central differences"
        advice = "; use method='central'"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ComplexWarning)
                exact = complex_slopes(phi, xs)
        except (TypeError, ValueError, AttributeError, ComplexWarning) as error:
            raise UsageError(
                f"check_grads: the complex step calls the function with plain complex arrays, "
                f"which it does not take ({error}){advice}"
            ) from error
    for a, b in zip(exact, differences, strict=True):
        if not np.allclose(a, b, rtol=1e-4, atol=1e-5 * scale(b)):
            raise UsageError(
                "check_grads: the complex step is not the derivative here: the function is not "
                f"analytic (abs, comparisons, …) or drops the imaginary part{advice}"
            )
    return exact, "complex step"


def _terms(u: Leaves, ys: Leaves) -> Any:
    """The terms of ⟨u, y⟩, in double precision, as one row."""
    wide = [np.asarray(y, np.result_type(np.float64, y)) for y in ys]
    return np.concatenate([np.zeros(1), *(np.ravel(c * y) for c, y in zip(u, wide, strict=True))])


# Leaves and their names


def _as_leaf(x: Any) -> Any:
    """What is differentiated: a float or an array, of whatever dtype (mg refuses what it must)."""
    x = data_of(x)
    return x if isinstance(x, np.ndarray) else Value.leaf_data(x)


def _as_operand(x: Any) -> Any:
    """A leaf as the function's argument: a node; complex data stay plain."""
    if isinstance(x, Node) or np.iscomplexobj(x):
        return x
    kind = Tensor if isinstance(x, np.ndarray) else Value
    return kind(x, requires_grad=False)


def _as_result(y: Any) -> Any:
    """A leaf of the function's result as plain data."""
    data = data_of(y)
    if isinstance(data, np.ndarray) and data.dtype.kind == "f":
        return data
    if isinstance(data, (int, float, np.floating, np.integer)):
        return float(data)
    what = f"an array of dtype {data.dtype}" if isinstance(data, np.ndarray) else repr(data)
    raise UsageError(f"check_grads: the function must return real numbers or arrays, not {what}")


def _places(tree: Any, name: str) -> Iterator[str]:
    """What to call each leaf of an argument, such as ``argument 0['w'][1]``."""
    if isinstance(tree, (dict, list, tuple)):
        for key in tree if isinstance(tree, dict) else range(len(tree)):
            yield from _places(tree[key], f"{name}[{key!r}]")
    elif tree is not None:
        yield name


def _refuse_unknown(order: int, modes: Sequence[str], method: str) -> None:
    if not isinstance(order, int) or order < 1:
        raise UsageError(f"check_grads: order must be 1, 2, …, got {order!r}")
    if not modes or isinstance(modes, str) or any(mode not in MODES for mode in modes):
        raise UsageError(f"check_grads: modes must be some of {MODES}, got {modes!r}")
    if method not in METHODS:
        raise UsageError(f"check_grads: method must be one of {METHODS}, got {method!r}")
