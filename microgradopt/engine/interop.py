"""What both kinds of node share: their order, and NumPy's protocols.

np.exp(node), np.sum(node) and array * node are the library's own functions: those of the same name.
What has no derivative, such as np.argmax, gives plain results. The rest is refused by name.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from microgradopt.engine import activations, composites, linalg, norms, padding, reductions
from microgradopt.engine.graph import Node, Primitive, describe
from microgradopt.engine.ops import (
    arranging,
    differences,
    elementwise,
    gates,
    indexing,
    polynomials,
    products,
    shapes,
    special,
    ufuncs,
)
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import Plain, alias, data_of, shape_of as shape
from microgradopt.errors import DTypeError, GraphError, ShapeError, UsageError

Function = Callable[..., Any]

# Tables: what NumPy's functions are here

FAMILIES = (
    elementwise, ufuncs, special, gates, shapes, arranging, indexing, products, differences,
    polynomials, reductions, composites, activations, padding,
)  # fmt: skip


def _namesakes(namespace: Any, modules: Iterable[Any]) -> dict[Any, Function]:
    """NumPy's functions for which there is a public one of the same name here."""
    named = [(getattr(namespace, n, None), getattr(m, n)) for m in modules for n in m.__all__]
    return {
        theirs: ours for theirs, ours in named if callable(theirs) and not isinstance(theirs, type)
    }


def _clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    return composites.clip(a, a_min if min is None else min, a_max if max is None else max)


def _einsum(subscripts: str, *operands: Any, optimize: Any = False) -> Any:
    return products.einsum(subscripts, *operands)  # in which order changes the rounding only


def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return np.nonzero(data_of(condition))
    return elementwise.where(condition, x, y)


FUNCTIONS: dict[Any, Function] = {
    **_namesakes(np, FAMILIES),
    **_namesakes(np.linalg, [linalg]),
    np.clip: _clip,
    np.einsum: _einsum,
    np.where: _where,
    np.sort: lambda a, axis=-1, kind=None, stable=None: composites.sort(a, axis),
    np.amax: reductions.max,
    np.amin: reductions.min,
    np.positive: alias,
    np.conjugate: alias,
    np.real: alias,
    np.real_if_close: alias,
}
REDUCTIONS: dict[Any, Function] = {
    np.add: shapes.sum,
    np.multiply: reductions.prod,
    np.maximum: reductions.max,
    np.minimum: reductions.min,
    np.fmax: reductions.nanmax,
    np.fmin: reductions.nanmin,
    np.logaddexp: composites.logsumexp,
    np.hypot: lambda x, axis=None, keepdims=False: norms.norm(x, None, axis, keepdims),
}
ACCUMULATIONS: dict[Any, Function] = {
    np.add: shapes.cumsum,
    np.multiply: reductions.cumprod,
    np.maximum: reductions.running_max,
    np.minimum: reductions.running_min,
}
METHODS = {"__call__": FUNCTIONS, "reduce": REDUCTIONS, "accumulate": ACCUMULATIONS}

# Functions that answer a question about numbers: no derivative, so plain arguments and results.
PLAIN_NAMES = [
    "all", "allclose", "any", "argmax", "argmin", "argpartition", "argsort", "argwhere",
    "around", "array2string", "array_equal", "array_equiv", "array_repr", "array_str",
    "bincount", "can_cast", "common_type", "count_nonzero", "diag_indices_from", "digitize",
    "empty_like", "fix", "flatnonzero", "full_like", "histogram", "histogram2d",
    "histogram_bin_edges", "histogramdd", "imag", "isclose", "iscomplex", "iscomplexobj",
    "isin", "isneginf", "isposinf", "isreal", "isrealobj", "lexsort", "may_share_memory",
    "min_scalar_type", "nanargmax", "nanargmin", "ndim", "nonzero", "ones_like", "result_type",
    "round", "searchsorted", "shape", "shares_memory", "size", "tril_indices_from",
    "triu_indices_from", "zeros_like",
]  # fmt: skip
PLAIN = {getattr(np, name) for name in PLAIN_NAMES}
NOT_PLAIN = {  # arguments of these that the result would be differentiable in
    np.histogram: "weights",
    np.histogram2d: "weights",
    np.histogramdd: "weights",
    np.bincount: "weights",
    np.full_like: "fill_value",
}

NOT_IN_PLACE = (
    "a graph cannot follow writing in place; build a new array with mg.where, mg.concatenate or "
    "mg.stack"
)
INSTEAD = {
    "fill_diagonal place put put_along_axis putmask copyto": NOT_IN_PLACE,
    "save savetxt savez savez_compressed": "a file holds plain numbers; give it node.data",
    "unique unique_all unique_counts unique_inverse unique_values union1d intersect1d setdiff1d "
    "setxor1d": "sets have no derivative; use .data, and index the node with the places it finds",
    "angle sort_complex roots": "complex numbers have no place here; use .data for plain numbers",
}


@cache
def _name(function: Any) -> str:
    return f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)


def _instead(function: Any) -> str:
    if function.__module__ == "numpy.fft":
        return "Fourier transforms have no place here; use .data for plain numbers"
    for names, advice in INSTEAD.items():
        if function.__name__ in names.split():
            return advice
    return "use a function of microgradopt, or .data for plain numbers"


# NumPy's arguments for functions of ours

NEUTRAL = {  # options of ufuncs that say nothing
    "casting": "same_kind",
    "dtype": None,
    "initial": None,
    "keepdims": False,
    "out": None,
    "where": True,
}
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@cache
def _parameters(function: Any) -> dict[str, inspect.Parameter]:
    if isinstance(function, Primitive):  # called with operands only
        return {}
    try:
        return dict(inspect.signature(function).parameters)
    except ValueError:  # pragma: no cover  # a NumPy that does not say
        return {}


@cache
def _positional(function: Any) -> list[str]:
    return [name for name, p in _parameters(function).items() if p.kind in POSITIONAL]


def _accepted(ours: Function, user: str, options: dict[str, Any], neutral: Any) -> dict[str, Any]:
    """The options that our function takes. Others must say nothing, or they are refused."""
    accepted = {}
    for option, value in options.items():
        if value is np._NoValue:
            continue
        if option in _parameters(ours):
            accepted[option] = value
        elif not _says_nothing(value, neutral.get(option, np._NoValue)):
            hint = "; use what it returns" if option == "out" else ""
            raise UsageError(f"{user} on graph nodes does not take {option}={hint}")
    return accepted


@cache
def _defaults(theirs: Any) -> dict[str, Any]:
    return {name: p.default for name, p in _parameters(theirs).items()}


def _says_nothing(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, (bool, str, int)) and value == default)


class _Match(NamedTuple):
    """How the arguments of a function of NumPy's go with those of ours."""

    same: int  # how many of the leading ones mean the same to both
    called: dict[str, str]  # what ours calls them
    named: list[str]  # what NumPy calls those that may be given by position
    operands_only: bool  # whether all there is are operands, by position


@cache
def _match(theirs: Any, ours: Function) -> _Match:
    """Operands, which have no default, go together by position; all other arguments by name."""
    called = {}
    for theirs_name, ours_name in zip(_positional(theirs), _positional(ours)):
        operand = _parameters(theirs)[theirs_name].default is inspect.Parameter.empty
        if theirs_name != ours_name and (not operand or theirs_name in _parameters(ours)):
            break
        called[theirs_name] = ours_name
    if any(p.kind is p.VAR_POSITIONAL for p in _parameters(theirs).values()):
        return _Match(sys.maxsize, {}, [], operands_only=False)
    return _Match(len(called), called, _positional(theirs), isinstance(ours, Primitive))


def _translated(theirs: Any, ours: Function, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Call our function with the arguments of NumPy's."""
    match = _match(theirs, ours)
    if match.operands_only:
        return ours(*args, *(options[name] for name in match.named if name in options))
    if len(args) > match.same:
        options = {**dict(zip(match.named[match.same :], args[match.same :])), **options}
        args = args[: match.same]
    if not options:
        return ours(*args)
    options = {match.called.get(name, name): value for name, value in options.items()}
    return ours(*args, **_accepted(ours, _name(theirs), options, _defaults(theirs)))


# Plain results


def _without_nodes(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return type(x)(map(_without_nodes, x))
    return data_of(x)


@quietly
def _plainly(function: Any, user: str, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """A function of NumPy on the numbers of nodes."""
    given = {**dict(zip(_positional(function), args)), **options}
    out = given.get("out")
    if any(isinstance(x, Node) for x in (out if isinstance(out, tuple) else (out,))):
        raise UsageError(f"{user}: out= cannot be a graph node, whose numbers others still need")
    followed = NOT_PLAIN.get(function, "")
    if isinstance(given.get(followed), Node):
        raise UsageError(
            f"{user} does not follow the gradient of {followed}=; use .data for plain numbers, or "
            "mg.where, mg.sum and mg.broadcast_to to build the same"
        )
    plain = {name: _without_nodes(value) for name, value in options.items()}
    return function(*map(_without_nodes, args), **plain)


# Ufuncs: where=, out=, dtype=, and their methods


def _apply(function: Function, user: str, inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    """Call a ufunc's counterpart; ``where`` chooses entries, and ``out`` has the others."""
    options = dict(options)
    where = options.pop("where", True)
    out = next((o for o in options.pop("out", ()) if o is not None), None)
    dtype, casting = options.pop("dtype", None), options.pop("casting", "same_kind")
    for how in ("order", "subok"):  # where in memory and in what class says nothing about a value
        options.pop(how, None)
    if where is True and out is not None:
        raise UsageError(
            f"{user} with out=, as in an operator like +=, would put a node's numbers into an "
            "array and lose their gradient; use the result: y = x + node, not x += node"
        )
    if dtype is not None or casting not in ("same_kind", "unsafe"):
        inputs = [_cast(x, dtype, casting, inputs, user) for x in inputs]
    result = function(*inputs, **_accepted(function, user, options, NEUTRAL))
    return result if where is True else _chosen(where, result, out, user)


def _cast(x: Any, dtype: Any, casting: Any, inputs: Sequence[Any], user: str) -> Any:
    data = data_of(x)
    wanted = np.dtype(dtype or np.result_type(*map(data_of, inputs)))
    if isinstance(data, np.ndarray) and not np.can_cast(data.dtype, wanted, casting):
        raise DTypeError(
            f"{user}: casting={casting!r} does not allow to go from {data.dtype} to {wanted}"
        )
    return shapes.astype(x, wanted)


def _chosen(where: Any, result: Any, out: Any, user: str) -> Any:
    """``result`` where ``where`` holds; elsewhere what ``out`` has, or 0 where there is none."""
    mask = np.asarray(data_of(where))
    if mask.dtype != bool:
        raise DTypeError(f"{user}: where= takes truth values, got {mask.dtype}")
    if isinstance(result, tuple):
        raise UsageError(f"{user} on graph nodes does not take where=; use mg.where on its results")
    if out is None:
        return elementwise.where(mask, result, 0.0)
    if not isinstance(out, np.ndarray) or out.dtype.kind != "f":
        raise UsageError(
            f"{user}: out= beside where= gives the other entries as a plain array of floats; "
            "it got " + (describe(out) if isinstance(out, Node) else f"dtype {out.dtype}")
        )
    result = elementwise.where(mask, result, out.copy())
    if shape(result) != out.shape:
        raise ShapeError(f"{user}: out= of shape {out.shape} cannot hold {shape(result)}")
    if data_of(result).dtype != out.dtype:
        result = shapes.astype(result, out.dtype)
    out[...] = data_of(result)
    return result


def _outer(function: Function, user: str, inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    x, y = inputs
    if shape(y):
        x = shapes.reshape(x, shape(x) + (1,) * len(shape(y)))
    return _apply(function, user, (x, y), options)


def _with_options(ufunc: Any, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    """A call of a ufunc with options, or a call of a method of it."""
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if method == "at":
        raise UsageError(f"{name} is not supported on graph nodes: {NOT_IN_PLACE}")
    function = FUNCTIONS.get(ufunc)
    if isinstance(function, Plain):
        return _plainly(getattr(ufunc, method), name, inputs, options)
    if function is not None and method == "outer":
        return _outer(function, name, inputs, options)
    function = METHODS.get(method, {}).get(ufunc)
    if function is None:
        raise UsageError(
            f"{name} is not supported on graph nodes; use .data for plain numbers, or declare a "
            "primitive for it with mg.elementwise(...)"
        )
    if method == "__call__":
        return _apply(function, name, inputs, options)
    return function(*inputs, **_accepted(function, name, {"axis": 0, **options}, NEUTRAL))


class Interoperable:
    """What orders nodes, and what lets NumPy hand its functions over to this library."""

    __slots__ = ()
    __array_priority__ = 1000.0
    _raw: Any
    _bits: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the dimensions; ``()`` for a scalar."""
        return np.shape(self._raw)

    # Order is that of the numbers; == stays identity, so that nodes can be keys of a dict.

    def __lt__(self, other: Any) -> Any:
        return elementwise.less(self, other)

    def __le__(self, other: Any) -> Any:
        return elementwise.less_equal(self, other)

    def __gt__(self, other: Any) -> Any:
        return elementwise.greater(self, other)

    def __ge__(self, other: Any) -> Any:
        return elementwise.greater_equal(self, other)

    def __mod__(self, other: Any) -> Any:
        return ufuncs.remainder(self, other)

    def __rmod__(self, other: Any) -> Any:
        return ufuncs.remainder(other, self)

    def __floordiv__(self, other: Any) -> Any:
        return ufuncs.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return ufuncs.floor_divide(other, self)

    def __divmod__(self, other: Any) -> Any:
        return ufuncs.divmod(self, other)

    def __rdivmod__(self, other: Any) -> Any:
        return ufuncs.divmod(other, self)

    def __round__(self, digits: int | None = None) -> Any:
        data = self._raw
        return round(data, digits) if isinstance(data, float) else np.round(data, digits or 0)

    def __int__(self) -> int:
        assert isinstance(self, Node)
        return int(float(self))

    __trunc__ = __int__

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        function = FUNCTIONS.get(ufunc)
        if method == "__call__" and function is not None and not options:
            return function(*inputs)
        return _with_options(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        ours = FUNCTIONS.get(function)
        if ours is not None:
            return _translated(function, ours, args, options)
        if function in PLAIN:
            return _plainly(function, _name(function), args, options)
        raise UsageError(f"{_name(function)} is not supported on graph nodes: {_instead(function)}")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self._bits:
            assert isinstance(self, Node)
            raise GraphError(
                f"{describe(self)} is part of a graph; turning it into a plain array would lose "
                "its gradient. Use .data or .numpy() if you mean that, or mg.stack to join nodes"
            )
        return np.array(self._raw, dtype, copy=copy)
