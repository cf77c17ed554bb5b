"""Derivatives of functions: grad, vjp, jvp, Jacobians, Hessians; nest them as you like.

Each calls your function with nodes: a Value for a float, a Tensor for an array, also inside
lists, tuples and dicts. You give floats or arrays and get floats or arrays. Where an input is
itself a node, or the function depends on an outer derivative's input, the result is a node, to be
differentiated again.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from microgradopt.engine.graph import Node, attach, describe, to_float
from microgradopt.engine.modes import in_progress, level, paused, recording
from microgradopt.engine.ops.shapes import concatenate, reshape, stack
from microgradopt.engine.rules import alias, data_of, shape_of
from microgradopt.engine.structure import aligned, leaves, map_structure, of_places, rebuild
from microgradopt.engine.sweeps import (
    as_input,
    gathered,
    own,
    pullback,
    pushforward,
    seed_for,
)
from microgradopt.errors import ShapeError, UsageError

__all__ = [
    "ggnvp", "grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp",
]  # fmt: skip

Function = Callable[..., Any]


class Trace:
    """One call of a function on marked inputs, kept to be swept in either direction."""

    def __init__(self, f: Function, primals: Sequence[Any], bit: int) -> None:
        self.bit = bit
        self.primals = [map_structure(lambda x: as_input(x, bit), p) for p in primals]
        self.inputs: list[Node] = [x for p in self.primals for x in leaves(p)]
        given = [x for p in primals for x in leaves(p)]
        with recording():
            self.out = f(*self.primals)
        self.outs: list[Any] = leaves(self.out)
        self.lift = not paused() and (
            any(isinstance(x, Node) for x in given)
            or any(isinstance(y, Node) and in_progress(y._bits & ~bit) for y in self.outs)
        )

    def value(self) -> Any:
        """The function's result: plain, unless it is to be differentiated further."""
        return map_structure(self._released if self.lift else _own_data, self.out)

    def _released(self, x: Any) -> Any:
        """A node without this transform's bit, which another one will use; the rest as it is."""
        if isinstance(x, Node) and x._bits & self.bit:
            return attach(alias, [x], x._raw, x._bits & ~self.bit, {})
        return x

    def pull(self, cotangents: Sequence[Any], late: bool = False) -> list[Any]:
        """Cotangents of the results → cotangents of the inputs; ``late``, after the transform."""
        taken = late and in_progress(self.bit)  # by another one, whose bit has to stay
        pairs = zip(self.outs, cotangents)
        seeds = gathered((y, c) for y, c in pairs if isinstance(y, Node) and y._bits & self.bit)
        lift = self.lift or any(isinstance(c, Node) for c in cotangents)
        with level(self.bit):
            found = pullback(seeds, self.bit, lift=lift, wanted=set(self.inputs))
        pulled = _plain([found.get(x, 0.0) for x in self.inputs], self.inputs)
        return pulled if taken else [self._released(g) for g in pulled]

    def push(self, tangents: Sequence[Any]) -> list[Any]:
        """Tangents of the inputs → tangents of the results."""
        nodes = [y for y in self.outs if isinstance(y, Node)]
        seeds: dict[Node, Any] = dict(zip(self.inputs, tangents))
        lift = self.lift or any(isinstance(t, Node) for t in tangents)
        with level(self.bit):
            found = dict(zip(nodes, pushforward(nodes, seeds, self.bit, lift=lift)))
        moved = [found.get(y) if isinstance(y, Node) else None for y in self.outs]
        pushed = _plain([0.0 if t is None else t for t in moved], self.outs)
        return [self._released(t) for t in pushed]


def _plain(results: list[Any], likes: Sequence[Any]) -> list[Any]:
    """Raw results as floats, or as arrays that alias nothing; nodes as they are."""
    kept: set[int] = set()
    out: list[Any] = []
    for g, like in zip(results, likes):
        if isinstance(g, Node):
            out.append(g)
        elif isinstance(like, Node):
            out.append(own(g, like, kept))
        else:
            out.append(np.zeros_like(like) if isinstance(like, np.ndarray) else to_float(g))
    return out


def _own_data(x: Any) -> Any:
    """What a node holds, as an array of its own where it is a view; the rest as it is."""
    data = data_of(x)
    return data.copy() if isinstance(data, np.ndarray) and data.base is not None else data


def _one_number(y: Any, user: str) -> Any:
    """The seed of a function that must return a single number."""
    if isinstance(y, Node):
        if np.size(y._raw) != 1:
            raise ShapeError(
                f"{user}: the function must return one number, it returned {describe(y)}; "
                "reduce it with mg.sum or mg.mean, or use mg.jacobian"
            )
        return seed_for(y, None)
    if isinstance(y, (int, float, np.number, np.ndarray)) and np.size(y) == 1:
        return 1.0  # it does not depend on its inputs
    raise UsageError(
        f"{user}: the function must return one number, it returned {type(y).__name__}"
        + ("; did it forget to return?" if y is None else "")
    )


def _select(
    f: Function, argnums: int | Sequence[int], args: Sequence[Any], options: dict[str, Any]
) -> tuple[Function, list[Any]]:
    """``f`` as a function of the chosen arguments alone, and those arguments."""
    chosen = tuple(argnums) if isinstance(argnums, (tuple, list)) else (argnums,)
    for i in chosen:
        if not isinstance(i, (int, np.integer)) or not -len(args) <= i < len(args):
            raise UsageError(
                f"argnums={argnums!r}: the function was called with {len(args)} positional "
                f"argument(s); use {list(range(len(args)))}"
            )
    places = [i % len(args) for i in chosen]

    return of_places(f, args, places, options), [args[i] for i in places]


def _as_asked(argnums: int | Sequence[int], results: list[Any]) -> Any:
    """One result for one argument, a tuple for several."""
    return tuple(results) if isinstance(argnums, (tuple, list)) else results[0]


def value_and_grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """A function that returns ``(f(...), gradient)``; see :func:`grad`."""

    @wraps(f)
    def both(*args: Any, **options: Any) -> tuple[Any, Any]:
        of_chosen, primals = _select(f, argnums, args, options)
        with level() as bit:
            trace = Trace(of_chosen, primals, bit)
            grads = trace.pull([_one_number(trace.out, "grad")])
            result = rebuild(primals, grads)
            return trace.value(), _as_asked(argnums, result)

    return both


def grad(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """The gradient of ``f``, a function that returns one number.

    Args:
        f: called with nodes in place of the numbers it is differentiated by.
        argnums: which positional argument, or which ones (then a tuple comes back). Each may be
            a float, an array, or a list, tuple or dict of those; the gradient has its structure.

    Raises:
        ShapeError: if ``f`` returns more than one number.
        DTypeError: if an input is an integer array.

    >>> import microgradopt as mg
    >>> mg.grad(lambda x: x * x * x)(2.0)
    12.0
    >>> mg.grad(mg.grad(lambda x: x * x * x))(2.0)
    12.0
    """
    both = value_and_grad(f, argnums)

    @wraps(f)
    def gradient(*args: Any, **options: Any) -> Any:
        return both(*args, **options)[1]

    return gradient


def vjp(f: Function, *primals: Any) -> tuple[Any, Function]:
    """``f(*primals)``, and the function from a cotangent of it to those of the primals.

    The cotangent has the structure and shapes of the result; a tuple of cotangents comes back.

    >>> import numpy as np, microgradopt as mg
    >>> y, pull = mg.vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pull(np.array([1.0, 10.0]))
    (array([ 2., 40.]),)
    """
    with level() as bit:
        trace = Trace(f, primals, bit)

    def pull(cotangent: Any) -> tuple[Any, ...]:
        cotangents = _matching(cotangent, trace.out, "the cotangent", "the result")
        return tuple(rebuild(list(primals), trace.pull(cotangents, late=True)))

    return trace.value(), pull


def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """``f(*primals)`` and its derivative along ``tangents``, in forward mode.

    >>> import microgradopt as mg
    >>> mg.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 10.0))
    (6.0, 23.0)
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise UsageError("jvp: give primals and tangents as tuples, one entry per argument of f")
    with level() as bit:
        trace = Trace(f, primals, bit)
        moved = trace.push(_matching(tangents, list(trace.primals), "the tangents", "the primals"))
        return trace.value(), rebuild(trace.out, moved)


def _matching(given: Any, tree: Any, what: str, whose: str) -> list[Any]:
    """The leaves of ``given``, checked against those of ``tree`` and brought to their form."""
    try:
        pairs = aligned(given, tree)
    except LookupError as error:
        raise UsageError(f"{what}{error.args[0]}; {whose} has another structure") from None
    return [_match(x, like, what, whose) for x, like in pairs]


def _match(x: Any, like: Any, what: str, whose: str) -> Any:
    data, have = data_of(like), shape_of(x)
    if have != np.shape(data):
        raise ShapeError(f"{what} has shape {have} where {whose} has {np.shape(data)}")
    if isinstance(x, Node):
        return x
    return np.array(x, data.dtype) if isinstance(data, np.ndarray) else to_float(x)


def hvp(f: Function, x: Any, v: Any) -> Any:
    """The Hessian of ``f`` at ``x`` times ``v``, without the Hessian: forward over reverse.

    >>> import numpy as np, microgradopt as mg
    >>> mg.hvp(lambda x: mg.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """
    return jvp(grad(f), (x,), (v,))[1]


def ggnvp(f: Function, loss: Function, x: Any, v: Any) -> Any:
    """The Gauss–Newton matrix Jᵀ H J times ``v``, without the matrix (Schraudolph 2002).

    J is the derivative of ``z = f(x)`` at ``x``, such as of a model's outputs by its parameters, H
    the Hessian of ``loss(z)`` at z. Where the loss is convex, the product never points backwards:
    v·(Jᵀ H J v) ≥ 0. The Hessian of ``loss(f(x))`` has the curvature of ``f`` besides.

    Args:
        f: gives an array or number, or a structure of them.
        loss: gives one number; what else it needs, such as targets, it has from around it.
        x: a float, an array, or a structure of them; ``v`` and the result are like it.

    Raises:
        ShapeError: if ``v`` has another shape than ``x``, or ``loss`` gives more than one number.
        UsageError: if ``v`` has another structure than ``x``.

    >>> import numpy as np, microgradopt as mg
    >>> x, v = np.array([1.0, 2.0]), np.array([1.0, 1.0])
    >>> mg.ggnvp(lambda x: x**2, lambda z: 0.5 * mg.sum(z * z), x, v)  # (2x)² v
    array([ 4., 16.])
    """
    with level() as bit:
        trace = Trace(f, [x], bit)
        moved = trace.push(_matching(v, trace.primals[0], "v", "x"))
        bent = hvp(loss, trace.value(), rebuild(trace.out, moved))
        return rebuild(x, trace.pull(leaves(bent)))


def jacobian(f: Function, argnums: int | Sequence[int] = 0) -> Function:
    """The derivative of every entry of the result by every entry of an argument.

    The returned function gives an array of shape ``result.shape + argument.shape`` (a float when
    both are scalars), or a tuple of them for several ``argnums``. It sweeps once per entry of the
    smaller side: forward where the argument is smaller, else in reverse.

    >>> import numpy as np, microgradopt as mg
    >>> mg.jacobian(lambda x: mg.stack([x[0] * x[1], x[0]]))(np.array([2.0, 3.0]))
    array([[3., 2.],
           [1., 0.]])
    """

    @wraps(f)
    def jacobian_of(*args: Any, **options: Any) -> Any:
        of_chosen, primals = _select(f, argnums, args, options)
        with level() as bit:
            trace = Trace(of_chosen, primals, bit)
            if len(trace.outs) != 1 or len(trace.inputs) != len(primals):
                raise UsageError(
                    "jacobian: the function must take and return single arrays or numbers, "
                    "not structures of them"
                )
            blocks = [_zeros(trace.out, x) for x in trace.inputs]  # of what depends on nothing
            if isinstance(trace.out, Node):
                blocks = _blocks(trace)
        return _as_asked(argnums, blocks)

    return jacobian_of


def matrix(f: Function, x: Any) -> Any:
    """The Jacobian at a structure ``x`` of ``f``, which returns a vector, as one matrix (m, n)."""
    with level() as bit:
        trace = Trace(f, [x], bit)
        (y,) = trace.outs
        if isinstance(y, Node) and y._bits & bit:
            blocks = _blocks(trace)
        else:  # it depends on nothing
            blocks = [_zeros(y, x) for x in trace.inputs]
        columns = [reshape(b, (np.size(data_of(y)), -1)) for b in blocks]
        return columns[0] if len(columns) == 1 else concatenate(columns, axis=1)


def _blocks(trace: Trace) -> list[Any]:
    """The Jacobian of the one result by each input."""
    rows = np.size(trace.out._raw)
    columns = sum(np.size(x._raw) for x in trace.inputs)
    if rows <= columns:
        pulled = [trace.pull([unit]) for unit in _units(trace.out._raw)]
        return [
            _assemble([row[i] for row in pulled], 0, trace.out, x)
            for i, x in enumerate(trace.inputs)
        ]
    blocks = []
    for i, x in enumerate(trace.inputs):
        zeros = [_zero(y._raw) for y in trace.inputs]
        pushed = []
        for unit in _units(x._raw):
            zeros[i] = unit
            pushed.append(trace.push(zeros)[0])
        blocks.append(_assemble(pushed, -1, trace.out, x))
    return blocks


def _zero(data: Any) -> Any:
    return 0.0 if isinstance(data, float) else np.zeros_like(data)


def _units(data: Any) -> list[Any]:
    """The unit vectors of the space ``data`` lives in."""
    if isinstance(data, float):
        return [1.0]
    basis = np.eye(data.size, dtype=data.dtype)
    return [row.reshape(data.shape) for row in basis]


def _assemble(pieces: list[Any], axis: int, out: Node, x: Node) -> Any:
    shape = shape_of(out) + shape_of(x)
    if not shape and not isinstance(pieces[0], np.ndarray) and shape_of(pieces[0]) == ():
        return pieces[0]
    return reshape(stack(pieces, axis), shape) if pieces else _zeros(out, x)


def _zeros(out: Any, x: Node) -> Any:
    """The Jacobian of a constant."""
    shape = shape_of(out) + shape_of(x)
    return np.zeros(shape, np.result_type(x._raw, data_of(out))) if shape else 0.0


def hessian(f: Function, argnums: int = 0) -> Function:
    """The matrix of second derivatives of ``f``, which returns one number: forward over reverse.

    For an argument of shape s the result has shape s + s.

    >>> import numpy as np, microgradopt as mg
    >>> mg.hessian(lambda x: x[0] * x[0] * x[1])(np.array([1.0, 2.0]))
    array([[4., 2.],
           [2., 0.]])
    """
    return jacobian(grad(f, argnums), argnums)
