"""The row shapes: how a primitive differentiates, in reverse and in forward mode.

A primitive is declared once, as one of

===============  =========================================================================
``elementwise``  f applied entry by entry; rule: the partial derivative per operand
``linear``       linear in all its operands together; rule: its transpose
``multilinear``  linear in each operand by itself; rule: a transpose per operand
``fused``        a fast value and first-order pullback; everything else from its composite
``general``      linear in nothing, such as an inverse; rule: the pullback, for every order
===============  =========================================================================

Rules are written with operators and the library's own functions. The engine runs them on raw
floats and arrays when only a gradient is wanted, and on nodes when the gradient is itself to be
differentiated: same rule, any order.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from microgradopt.engine.graph import Node, Primitive, constant, to_float
from microgradopt.errors import ShapeError, UsageError

__all__ = [
    "elementwise", "fused", "linear", "multilinear",
]  # fmt: skip

Rule = Callable[..., Any]


class Differentiable(Primitive):
    """A primitive with a rule. Final subclasses say how the rule gives the two modes."""

    adds: Rule | None = None  # see Linear

    def pull(
        self, g: Any, out: Any, args: Sequence[Any], params: dict[str, Any], wanted: Sequence[int]
    ) -> list[Any]:
        """The cotangents of the operands numbered in ``wanted``, given that of the result."""
        raise NotImplementedError

    def push(
        self, tangents: Sequence[Any], out: Any, args: Sequence[Any], params: dict[str, Any]
    ) -> Any:
        """The tangent of the result, given those of the operands (None where it is zero)."""
        raise NotImplementedError


class Elementwise(Differentiable):
    """Entry by entry, with broadcasting; ``partials[i]`` is ∂out/∂argument i.

    A partial is a function ``(out, *args)``, or a float where it is the same everywhere; None marks
    an operand, such as a condition, that has no derivative. A partial that is a truth value
    selects: it passes the gradient on or stops it. In the chain rule 0 times infinity or NaN is 0:
    a path that nothing comes along, or that lets nothing through, never spoils the others, so that
    a branch not taken leaks no NaN.
    """

    in_place = True

    def __init__(
        self, name: str, *, partials: Sequence[Rule | float | None], **declared: Any
    ) -> None:
        super().__init__(name, **declared)
        self.partials = tuple(float(p) if isinstance(p, (int, float)) else p for p in partials)
        self.operands = len(self.partials)
        # The scalar backward loop reads these two directly; there, no derivative is one of 0.
        self.first, self.second = (0.0 if p is None else p for p in (*self.partials, None)[:2])
        if self.scalar is None:
            self.scalar = self.rescue

    def pull(
        self, g: Any, out: Any, args: Sequence[Any], params: dict[str, Any], wanted: Sequence[int]
    ) -> list[Any]:
        return [self._times(g, self.partials[i], out, args) for i in wanted]

    def push(
        self, tangents: Sequence[Any], out: Any, args: Sequence[Any], params: dict[str, Any]
    ) -> Any:
        total: Any = None
        for t, rule in zip(tangents, self.partials, strict=True):
            if t is not None and rule is not None:
                term = self._times(t, rule, out, args)
                total = term if total is None else total + term
        return total

    def _times(self, g: Any, rule: Rule | float | None, out: Any, args: Sequence[Any]) -> Any:
        if rule is None:
            return None
        p: Any = evaluate(rule, out, args)
        if type(p) is float and p == 1.0:
            return g
        kind = p.__class__
        if kind is bool or kind is np.bool_ or (kind is np.ndarray and p.dtype == bool):
            return select(p, g)
        return chained(g, p)


def chained(g: Any, p: Any) -> Any:
    """``g * p``, but 0 where one of them is 0 and the other infinite or NaN."""
    product = g * p
    return product if _is_finite(data_of(product)) else _absorbed(product, g, p)


def _is_finite(x: Any) -> bool:
    if x.__class__ is not np.ndarray:
        return math.isfinite(x)
    flat = x.ravel(order="K")
    return bool(np.isfinite(np.dot(flat, flat)))  # one fast pass; false also for huge numbers


def _absorbed(product: Any, g: Any, p: Any) -> Any:
    g, p, product_data = data_of(g), data_of(p), data_of(product)
    lost = np.logical_and(np.logical_or(np.equal(g, 0.0), np.equal(p, 0.0)), np.isnan(product_data))
    return Primitive.table["where"](lost, 0.0, product) if lost.any() else product


def select(passed: Any, g: Any) -> Any:
    """``g`` where ``passed``, and exactly 0 elsewhere, also where ``g`` is infinite or NaN."""
    if passed.__class__ is np.ndarray and g.__class__ is np.ndarray:
        out = g * passed  # half the time of np.where; wrong only where g is not finite
        if _is_finite(out):
            return out
    return Primitive.table["where"](passed, g, 0.0)


def evaluate(rule: Any, out: Any, args: Sequence[Any]) -> Any:
    """A partial. Where Python's arithmetic on floats raises, NumPy's gives the IEEE result."""
    if rule.__class__ is float:
        return rule
    try:
        return rule(out, *args)
    except (ArithmeticError, ValueError):
        p = rule(*(np.float64(x) if x.__class__ is float else x for x in (out, *args)))
        return float(p) if isinstance(p, np.float64) else p


class Linear(Differentiable):
    """Linear in all operands together, such as a sum, a reshape or a concatenation.

    ``transpose(g, *args, **params)`` gives the cotangent, or a tuple of one per operand; of
    ``args`` it may use the shapes only. Where a cotangent is mostly zeros, ``adds(total, g,
    **params)`` may add it to the cotangents that the only operand has already, an array, in place.
    """

    def __init__(
        self, name: str, *, transpose: Rule, adds: Rule | None = None, **declared: Any
    ) -> None:
        super().__init__(name, **declared)
        self.transpose = transpose
        self.adds = adds

    def pull(
        self, g: Any, out: Any, args: Sequence[Any], params: dict[str, Any], wanted: Sequence[int]
    ) -> list[Any]:
        return _pick(self, self.transpose(g, *args, **params), wanted)

    def push(
        self, tangents: Sequence[Any], out: Any, args: Sequence[Any], params: dict[str, Any]
    ) -> Any:
        filled = [
            np.zeros_like(data_of(x)) if t is None else t
            for t, x in zip(tangents, args, strict=True)
        ]
        return self(*filled, **params)


def _pick(row: Primitive, cotangents: Any, wanted: Sequence[int]) -> list[Any]:
    """The wanted ones of a cotangent or of a tuple of them."""
    if not isinstance(cotangents, tuple):
        cotangents = (cotangents,)
    try:
        return [cotangents[i] for i in wanted]
    except IndexError:
        raise UsageError(
            f"the rule of {row.name!r} gave {len(cotangents)} cotangent(s); with several operands "
            "it must return a tuple of one per operand"
        ) from None


class Multilinear(Differentiable):
    """Linear in each operand by itself, such as a product of matrices.

    ``transposes[i](g, *args, **params)`` gives the cotangent of operand i. A single function
    serves any number of operands when it takes the operand's number first.
    """

    def __init__(self, name: str, *, transposes: Sequence[Rule] | Rule, **declared: Any) -> None:
        super().__init__(name, **declared)
        self.transposes = transposes

    def pull(
        self, g: Any, out: Any, args: Sequence[Any], params: dict[str, Any], wanted: Sequence[int]
    ) -> list[Any]:
        self._check(args)
        return [self._transpose(i)(g, *args, **params) for i in wanted]

    def _check(self, args: Sequence[Any]) -> None:
        if not callable(self.transposes) and len(self.transposes) != len(args):
            raise UsageError(
                f"{self.name} has {len(self.transposes)} transposes and was given {len(args)} "
                "operands; declare one transpose per operand"
            )

    def _transpose(self, i: int) -> Rule:
        return partial(self.transposes, i) if callable(self.transposes) else self.transposes[i]

    def push(
        self, tangents: Sequence[Any], out: Any, args: Sequence[Any], params: dict[str, Any]
    ) -> Any:
        total: Any = None
        for i, t in enumerate(tangents):
            if t is not None:
                term = self(*args[:i], t, *args[i + 1 :], **params)
                total = term if total is None else total + term
        return total


class Fused(Differentiable):
    """A fast kernel for what ``composite`` says in rows.

    ``pullback(g, out, *args, **params)`` gives the first-order cotangents on raw data: one, a
    tuple of one per operand, or ``pullback`` is a tuple of such functions, one per operand, so that
    a cotangent nobody needs is never computed. Forward mode, higher orders and the row's own test
    use ``composite(*args, **params)``.

    With ``saves=True`` the kernel returns ``(out, saved)``, and the pullback gets ``saved=``.
    """

    def __init__(
        self,
        name: str,
        *,
        pullback: Rule | Sequence[Rule],
        composite: Rule,
        saves: bool = False,
        **declared: Any,
    ) -> None:
        super().__init__(name, **declared)
        self.pullback = pullback
        self.composite = composite
        self.saves = saves

    def compute(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        result = super().compute(args, params)
        return result[0] if self.saves else result

    def forward(self, args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
        result = super().compute(args, params)
        return result if self.saves else (result, None)

    def pull(
        self, g: Any, out: Any, args: Sequence[Any], params: dict[str, Any], wanted: Sequence[int]
    ) -> list[Any]:
        if callable(self.pullback):
            return _pick(self, self.pullback(g, out, *args, **params), wanted)
        return [self.pullback[i](g, out, *args, **params) for i in wanted]


class General(Differentiable):
    """What fits no other shape, such as the inverse of a matrix: a row that says its pullback.

    ``pullback(g, out, *args, **params)`` gives the cotangent, or a tuple of one per operand. It is
    linear in ``g`` and differentiable in the rest, ``out`` included: higher orders run it on nodes.
    Forward mode is its transpose, which the sweep takes, so that there is no second rule to
    disagree with the first.
    """

    def __init__(self, name: str, *, pullback: Rule, **declared: Any) -> None:
        super().__init__(name, **declared)
        self.pullback = pullback

    def pull(
        self, g: Any, out: Any, args: Sequence[Any], params: dict[str, Any], wanted: Sequence[int]
    ) -> list[Any]:
        return _pick(self, self.pullback(g, out, *args, **params), wanted)


def elementwise(
    name: str,
    *,
    partials: Rule | Sequence[Rule | float | None],
    operands: int | None = None,
    **declared: Any,
) -> Elementwise:
    """Declare an elementwise primitive: its kernels and its partial derivatives.

    Args:
        name: a new identifier; shown in pictures unless ``symbol=`` says otherwise.
        partials: one function ``(out, *args) -> partial`` per operand, so that a partial nobody
            needs is never computed (a number where it is constant, None where there is no
            derivative); or a single function that returns all of them as a tuple.
        array: the kernel on arrays, such as a NumPy ufunc; must broadcast.
        scalar: the kernel on floats, such as a function of :mod:`math`; optional.
        sample: an interval (low, high) inside the domain for each operand, for
            :func:`microgradopt.check.check_rule`.
        kinks: ``kinks(*args)``, the distance to the nearest point without a derivative.

    >>> import numpy as np, microgradopt as mg
    >>> cube = mg.elementwise("cube_doc", array=lambda x: x * x * x,
    ...                       partials=lambda out, x: (3 * x * x,))
    >>> mg.grad(cube)(2.0)
    12.0
    """
    if callable(partials):
        count = _count_operands(name, partials) if operands is None else operands
        together = partials
        partials = [partial(_entry, name, together, i) for i in range(count)]
    return Elementwise(name, partials=partials, **declared)


def _entry(name: str, together: Rule, i: int, out: Any, *args: Any) -> Any:
    found = together(out, *args)
    if not isinstance(found, tuple) or len(found) != len(args):
        raise UsageError(
            f"{name}: partials must return a tuple of {len(args)}, one per operand; it returned "
            f"{type(found).__name__}: for one operand write partials=lambda out, x: (…,)"
        )
    return found[i]


def _count_operands(name: str, rule: Rule) -> int:
    code = getattr(rule, "__code__", None)
    if code is None or code.co_flags & 0x04:  # *args: no count to read
        raise UsageError(
            f"{name}: cannot tell how many operands {rule!r} takes; say operands=2 (for two), "
            "or give one function per operand"
        )
    return int(code.co_argcount) - 1


def linear(name: str, *, transpose: Rule, **declared: Any) -> Linear:
    """Declare a primitive that is linear in its operands together; see :class:`Linear`.

    >>> import numpy as np, microgradopt as mg
    >>> swap = mg.linear("swap_doc", array=lambda x: x[::-1], transpose=lambda g, x: swap(g))
    >>> mg.grad(lambda x: mg.sum(swap(x) * np.array([1.0, 2.0])))(np.zeros(2))
    array([2., 1.])
    """
    return Linear(name, transpose=transpose, **declared)


def multilinear(name: str, *, transposes: Sequence[Rule] | Rule, **declared: Any) -> Multilinear:
    """Declare a primitive that is linear in each operand by itself; see :class:`Multilinear`.

    >>> import numpy as np, microgradopt as mg
    >>> inner = mg.multilinear("inner_doc", array=lambda x, y: np.dot(x, y),
    ...     transposes=(lambda g, x, y: g * y, lambda g, x, y: g * x))
    >>> mg.grad(inner)(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    array([3., 4.])
    """
    return Multilinear(name, transposes=transposes, **declared)


def fused(name: str, *, pullback: Rule | Sequence[Rule], composite: Rule, **declared: Any) -> Fused:
    """Declare a fast kernel for a composite; see :class:`Fused`."""
    return Fused(name, pullback=pullback, composite=composite, **declared)


class Plain(Primitive):
    """A primitive with plain results and no derivative, such as a comparison."""

    def __call__(self, *args: Any, **params: Any) -> Any:
        raw: Sequence[Any] = args
        for x in args:
            if isinstance(x, Node):
                raw = [y._raw if isinstance(y, Node) else constant(y, self) for y in args]
                break
        return self.compute(raw, params)


# What the chain rule does to a cotangent, as operations for a compiler to record


def _chained_float(g: float, p: float) -> float:
    product = g * p
    return 0.0 if product != product and (g == 0.0 or p == 0.0) else product


chain = Plain(
    "chain",
    scalar=_chained_float,
    array=lambda g, p: chained(g, p),
    symbol="·∂",
    doc="A cotangent times a partial derivative; 0 where one of them is 0, whatever the other is.",
)
passing = Plain(
    "passing",
    scalar=lambda passed, g: g if passed else 0.0,
    array=lambda passed, g: select(passed, g),
    symbol="·∂",
    doc="A cotangent where a truth value lets it pass, else 0.",
)


def data_of(x: Any) -> Any:
    """What a node holds; anything else is itself."""
    return x._raw if isinstance(x, Node) else x


def as_float(x: Any) -> Any:
    """A plain number as a float, which does not promote float32; a node as it is."""
    return x if isinstance(x, Node) else to_float(x)


def is_floating_array(x: Any) -> bool:
    """Whether it is a plain array of floats."""
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def is_floating(x: Any) -> bool:
    """Whether it can be differentiated by: a node, a float, or an array of floats."""
    return isinstance(x, (Node, float)) or is_floating_array(x)


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a float (``()``), an array or a node."""
    data = x._raw if isinstance(x, Node) else x
    if data.__class__ is float:
        return ()
    return data.shape if isinstance(data, np.ndarray) else np.shape(data)


alias = Elementwise(
    "alias",
    symbol="=",
    scalar=lambda x: x,
    array=lambda x: x,
    partials=(1.0,),
    sample=((-3.0, 3.0),),
)

# The rows that undoing a broadcast itself needs.


def _add_up(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    if axis == 0 and not keepdims and x.ndim == 2 and x.dtype.kind == "f":
        return np.ones(len(x), x.dtype) @ x  # BLAS sums columns twice as fast
    total: Any = np.add.reduce
    return total(x, axis, keepdims=keepdims)


def _repeat(x: Any, shape: tuple[int, ...]) -> Any:
    if np.ndim(x):
        return np.broadcast_to(x, shape)
    number = np.asarray(x)
    view: Any = np.ndarray(shape, number.dtype, number, 0, (0,) * len(shape))
    view.flags.writeable = False
    return view  # as np.broadcast_to, which takes ten times as long


add_up: Linear = Linear(
    "sum",
    symbol="Σ",
    array=_add_up,
    transpose=lambda g, x, axis=None, keepdims=False: _spread(g, shape_of(x), axis, keepdims),
    sample=lambda rng: [
        ((rng.normal(size=(3, 4)),), {"axis": axis, "keepdims": keep})
        for axis, keep in ((None, False), (0, False), (1, True), ((0, 1), False))
    ],
)

reshape_to: Linear = Linear(
    "reshape",
    array=np.reshape,
    transpose=lambda g, x, shape: reshape_to(g, shape=shape_of(x)),
    sample=lambda rng: [((rng.normal(size=(2, 3)),), {"shape": s}) for s in ((3, 2), (6,))],
)

broadcast_to: Linear = Linear(
    "broadcast_to",
    symbol="broadcast",
    array=_repeat,
    transpose=lambda g, x, shape: unbroadcast(g, shape_of(x)),
    sample=lambda rng: [
        ((rng.normal(size=s),), {"shape": (2, 3)}) for s in ((), (3,), (2, 1), (1, 1))
    ],
)

as_dtype: Linear = Linear(
    "astype",
    array=np.asarray,
    transpose=lambda g, x, dtype: as_dtype(g, dtype=np.asarray(data_of(x)).dtype),
    sample=lambda rng: [((rng.normal(size=(2, 3)),), {"dtype": np.dtype(np.float64)})],
)

as_value: Linear = Linear(
    "as_value",
    symbol="value",
    array=lambda x: float(np.asarray(x).item()),
    transpose=lambda g, x: broadcast_to(g, shape=shape_of(x)),
    sample=lambda rng: [((rng.normal(size=shape),), {}) for shape in ((), (1, 1))],
)


def _spread(g: Any, shape: tuple[int, ...], axis: Any, keepdims: bool) -> Any:
    """Repeat the cotangent of a sum along the axes that were summed."""
    if axis is None:
        return broadcast_to(g, shape=shape)
    if not keepdims:
        axes = {a % len(shape) for a in ((axis,) if isinstance(axis, int) else axis)}
        g = reshape_to(g, shape=tuple(1 if i in axes else n for i, n in enumerate(shape)))
    return broadcast_to(g, shape=shape)


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum ``g`` over the axes along which an operand of ``shape`` was repeated.

    Where ``g`` is the same along an axis of the operand, it may have length 1 there.
    """
    have = shape_of(g)
    if have == shape:
        return g
    have = (1,) * (len(shape) - len(have)) + have
    extra = len(have) - len(shape)
    if len(have) > len(shape_of(g)):
        g = reshape_to(g, shape=have)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(shape) if n == 1 and have[i + extra] != 1
    )
    if axes:
        g = add_up(g, axis=axes[0] if len(axes) == 1 else axes, keepdims=False)
    kept = tuple(1 if m == 1 else n for m, n in zip(have[extra:], shape))
    if shape_of(g) != kept:
        g = reshape_to(g, shape=kept)
    return g if kept == shape else broadcast_to(g, shape=shape)


def fit(g: Any, like: Node, *, grow: bool = False) -> Any:
    """Bring a cotangent to the shape, dtype and kind of the operand it belongs to.

    A tangent may also ``grow``: one operand's may be smaller than the result.

    Raises:
        ValueError: if the shape cannot be brought about.
    """
    data = like._raw
    if data.__class__ is float:
        if shape_of(g) != ():
            g = unbroadcast(g, ())
        if data_of(g).__class__ is float:
            return g
        return as_value(g) if isinstance(g, Node) else to_float(g)
    if g.__class__ is np.ndarray and g.shape == data.shape and g.dtype is data.dtype:
        return g
    if not isinstance(data_of(g), np.ndarray):
        g = broadcast_to(g, shape=()) if isinstance(g, Node) else np.asarray(g)
    have = data_of(g)
    if have.shape != data.shape:
        if not grow and np.broadcast_shapes(have.shape, data.shape) != have.shape:
            raise ValueError
        g = unbroadcast(g, data.shape)
    return g if have.dtype == data.dtype else as_dtype(g, dtype=data.dtype)


def check_axis(axis: Any, ndim: int, user: str) -> Any:
    """An axis or tuple of axes as non-negative ints; None stays None.

    Raises:
        ShapeError: for an axis that is out of range, repeated, or not a whole number.
    """
    if axis is None:
        return None
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    for a in given:
        if not isinstance(a, (int, np.integer)) or isinstance(a, bool):
            raise ShapeError(f"{user}: axis must be an int or a tuple of ints, got {axis!r}")
        if not -ndim <= a < ndim:
            raise ShapeError(
                f"{user}: axis {a} is out of range for an array of {ndim} dimension(s); "
                f"use {-ndim} to {ndim - 1}"
                if ndim
                else f"{user}: axis {a} is out of range: the operand is 0-dimensional, "
                "leave axis out"
            )
    axes = tuple(int(a) % ndim for a in given)
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{user}: an axis is repeated in {axis!r}")
    return axes if isinstance(axis, (tuple, list)) else axes[0]
