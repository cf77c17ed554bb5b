"""Stand-ins: what takes the places of floats and arrays while a function is traced.

A stand-in holds the actual number or array, says that it is of its class, and has the tracer
record what is done with it: operators, NumPy's functions and methods, the rows of the table.
Whatever would carry its value out of the trace, into Python or into other memory, is refused.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from microgradopt.compiler.program import Call
from microgradopt.engine.graph import Node, Primitive, to_float
from microgradopt.engine.lines import is_ours
from microgradopt.engine.ops.elementwise import square
from microgradopt.engine.ops.shapes import index_row, transpose_row
from microgradopt.engine.rules import as_dtype, reshape_to
from microgradopt.errors import TraceError

# Functions whose results say something about shapes and dtypes only, and are constants therefore.
STATIC = frozenset((
    np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.empty_like, np.result_type,
    np.can_cast, np.iscomplexobj, np.isrealobj, np.common_type, np.min_scalar_type,
))  # fmt: skip
# Functions whose results have shapes that follow from those of what they are given.
OF_FIXED_SHAPE = frozenset((
    np.all, np.any, np.argmax, np.argmin, np.argsort, np.array_equal, np.atleast_1d, np.atleast_2d,
    np.broadcast_to, np.clip, np.concatenate, np.cumprod, np.cumsum, np.diagonal, np.dot,
    np.expand_dims, np.flip, np.full_like, np.hstack, np.isclose, np.linalg.norm, np.matmul, np.max,
    np.mean, np.min, np.moveaxis, np.outer, np.prod, np.ravel, np.reshape, np.roll, np.round,
    np.sort, np.squeeze, np.stack, np.std, np.sum, np.swapaxes, np.take_along_axis, np.trace,
    np.transpose, np.tril, np.triu, np.var, np.vstack,
))  # fmt: skip
WRITING = frozenset((np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal))
PROPERTIES = frozenset(("shape", "dtype", "ndim", "size", "itemsize", "nbytes"))
METHODS = frozenset((
    "all", "any", "argmax", "argmin", "argsort", "clip", "cumprod", "cumsum", "diagonal", "dot",
    "flatten", "is_integer", "max", "mean", "min", "nonzero", "prod", "ravel", "repeat", "round",
    "searchsorted", "squeeze", "std", "sum", "swapaxes", "take", "trace", "var",
))  # fmt: skip
SHOWING = frozenset(("_in_a_message", "__format__", "__repr__", "__str__"))
OF_VARYING_SHAPE = frozenset(("nonzero", "repeat"))  # of the methods


class StandIn:
    """A number or array of a call that is being traced.

    Attributes:
        value: what it stands for.
        var: the variable of the program that holds it; None where it has been overwritten.
        tracer: who records what is done with it.
        views: weak references to stand-ins that see its memory.
        source: the stand-in whose memory it sees, and how to put an array in its place there.
        argument: whether it is an array of the caller's, which is not to be written.
    """

    __slots__ = ("__weakref__", "argument", "source", "tracer", "value", "var", "views")
    __hash__ = object.__hash__
    base = None  # whether arrays share memory is the program's business

    def __init__(self, value: Any, var: Any, tracer: Any, argument: bool = False) -> None:
        self.value = value
        self.var: Any = var
        self.tracer = tracer
        self.argument = argument
        self.views: list[Any] = []
        self.source: tuple[StandIn, Callable[[Any], Any] | None] | None = None

    @property  # type: ignore[misc]  # it passes for what it stands for
    def __class__(self) -> Any:
        return type(self.value)

    def __getattr__(self, name: str) -> Any:
        value = self.value
        if not hasattr(value, name):
            raise AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}")
        if name in PROPERTIES:
            return getattr(value, name)
        if name in METHODS:
            return self._method(name)
        if name.startswith("__"):
            self.__array__()
        raise TraceError(f"uses .{name} of a traced {type(value).__name__}")

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    # What would carry the value out

    def __bool__(self) -> bool:
        truth: bool = self.tracer.guarded(self)
        return truth

    def __float__(self) -> float:
        raise TraceError(
            "makes a traced number a float of Python's; return the number itself, or use "
            ".item(), which stays traced"
        )

    def __int__(self) -> int:
        raise TraceError("makes a traced number an int of Python's")

    def __index__(self) -> int:
        raise TraceError("uses a traced number as an index or a count of Python's")

    def __complex__(self) -> complex:
        raise TraceError("makes a traced number complex")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TraceError(
            "gives a traced number or array to a function that cannot be traced; to index another "
            "array with it, use mg.take"
        )

    def __repr__(self) -> str:
        return format(self)

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        if not _in_a_message():
            raise TraceError("prints a traced number or array; return it, and print the result")
        return format(self.value, spec) if spec else repr(self.value)

    def __reduce__(self) -> Any:
        raise TraceError("copies or pickles a traced number or array")

    def __pos__(self) -> Any:
        return self.copy()

    def tolist(self) -> Any:
        """Refused."""
        raise TraceError("makes a traced array a list of Python's numbers")

    # What rows of the table stand for

    def as_float(self) -> Any:
        """What float() would be, still traced."""
        return self if type(self.value) is float else self.tracer.record(FLOAT, (self,))

    def item(self, *place: int) -> Any:
        """The one number, still traced."""
        return self.tracer.record(ITEM, (self, *place))

    def copy(self, order: str = "C") -> Any:
        """The same numbers, which may be written."""
        return self.tracer.copied(self, order)

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> Any:
        """The same numbers in another dtype."""
        wanted = np.dtype(dtype)
        if wanted == self.value.dtype and order == "K":
            return self.copy("K") if copy else self
        if order == "K" and wanted.kind == self.value.dtype.kind == "f":
            return self.tracer.record(as_dtype, (self,), {"dtype": wanted})
        return self.tracer.record(ASTYPE, (self, wanted), {"order": order})

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        """The same entries in another shape."""
        wanted = shape[0] if len(shape) == 1 else shape
        if order != "C" or not isinstance(self.value, np.ndarray):
            return self._method("reshape")(wanted, order=order)
        return self.tracer.record(reshape_to, (self,), {"shape": self.value.reshape(wanted).shape})

    def transpose(self, *axes: Any) -> Any:
        """The axes in another order."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        n = self.value.ndim
        order = tuple(int(a) % n for a in order) if order else tuple(range(n))[::-1]
        return self.tracer.record(transpose_row, (self,), {"axes": order})

    @property
    def T(self) -> Any:  # noqa: N802  # NumPy's name
        """The axes reversed."""
        return self.transpose()

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __getitem__(self, key: Any) -> Any:
        return self.tracer.record(index_row, (self,), {"key": key})

    def __setitem__(self, key: Any, value: Any) -> None:
        self.tracer.write(self, self.tracer.record(PUT, (self, key, value)))

    def _method(self, name: str) -> Callable[..., Any]:
        unbound = getattr(type(self.value), name)

        def call(*args: Any, **options: Any) -> Any:
            if options.get("out") is not None:
                raise TraceError(f"writes into an array with .{name}(out=…)")
            found = self.tracer.record(Call(name, unbound), (self, *args), options)
            return self.tracer.of_this_shape(found) if name in OF_VARYING_SHAPE else found

        return call

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(x, Node) for x in inputs):
            return NotImplemented
        (out,) = options.pop("out", None) or (None,)
        if method == "at":
            raise TraceError(f"writes into an array with np.{ufunc.__name__}.at")
        of_python = all(isinstance(x, (float, int)) for x in inputs)  # a row would give a float
        op = Call(ufunc.__name__, ufunc) if of_python and method == "__call__" else None
        op = op or operation_of(ufunc, method, options)
        result = self.tracer.record(op, inputs, options)
        if out is None:
            return result
        if type(out) is not StandIn:
            raise TraceError("writes traced numbers into an array with out=")
        return self.tracer.write(out, result)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if any(issubclass(t, Node) for t in types):
            return NotImplemented
        if function in STATIC:
            return self.tracer.concretely(function, args, options)
        if function in WRITING or options.get("out") is not None:
            raise TraceError(f"writes into an array with np.{function.__name__}")
        if function in AS_METHODS and args and type(args[0]) is StandIn:
            return AS_METHODS[function](*args, **options)
        found = self.tracer.record(Call(function.__name__, function), args, options)
        return found if function in OF_FIXED_SHAPE else self.tracer.of_this_shape(found)


def _reshape(x: StandIn, shape: Any, order: str = "C", copy: bool | None = None) -> Any:
    found = x.reshape(shape, order=order)
    return found.copy() if copy else found


def _transpose(x: StandIn, axes: Any = None) -> Any:
    return x.transpose() if axes is None else x.transpose(axes)


AS_METHODS: dict[Any, Callable[..., Any]] = {np.reshape: _reshape, np.transpose: _transpose}


def _in_a_message() -> bool:
    """Whether this library shows a number, as it does in the messages of its errors."""
    frame = sys._getframe(1)
    while frame.f_code.co_name in SHOWING and frame.f_back is not None:
        frame = frame.f_back
    return is_ours(frame.f_code)


def _put(x: Any, key: Any, value: Any) -> Any:
    new = x.copy(order="K")
    new[key] = value
    return new


FLOAT = Call("float", float)
ITEM = Call("item", lambda x, *place: x.item(*place))
ASTYPE = Call("astype", lambda x, dtype, order: x.astype(dtype, order=order))
PUT = Call("put", _put)
POWER = Call("pow", operator.pow)

_rows: dict[Any, Primitive] = {}  # by the ufunc that is their kernel


def operation_of(ufunc: Any, method: str = "__call__", options: Any = ()) -> Any:
    """The row that a ufunc is the kernel of, or a call of the ufunc or of one of its methods."""
    if method != "__call__":
        return Call(f"{ufunc.__name__}.{method}", getattr(ufunc, method))
    if not _rows:
        for row in tuple(Primitive.table.values()):
            if isinstance(row.array, np.ufunc):
                _rows.setdefault(row.array, row)
    return Call(ufunc.__name__, ufunc) if options or ufunc not in _rows else _rows[ufunc]


# Operators: Python's own between whole numbers, rows for everything else.

BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide,
    "floordiv": np.floor_divide, "mod": np.remainder, "matmul": np.matmul,
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
}  # fmt: skip
COMPARISONS = {
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip
UNARY = {"neg": np.negative, "abs": np.absolute, "invert": np.invert}


def _applied(name: str, ufunc: Any, args: tuple[Any, ...]) -> Any:
    for x in args:
        if isinstance(x, Node) or x is None or type(x) is str:
            return NotImplemented
    ours = next(x for x in args if type(x) is StandIn)
    if name == "pow":
        squares = isinstance(args[0], np.ndarray) and type(args[1]) in (int, float)
        if squares and args[1] == 2:
            return ours.tracer.record(square, args[:1])
        return ours.tracer.record(POWER, args)
    if all(isinstance(x, int) for x in args):
        return ours.tracer.record(Call(ufunc.__name__, getattr(operator, f"__{name}__")), args)
    if all(isinstance(x, (int, float)) for x in args):  # NumPy would give a number of its own
        args = tuple(to_float(x) if isinstance(x, int) else x for x in args)
    return ours.tracer.record(operation_of(ufunc), args)


def _install(name: str, ufunc: Any, swapped: bool) -> None:
    def method(self: StandIn, *other: Any) -> Any:
        return _applied(name, ufunc, (self, *other))

    def reflected(self: StandIn, other: Any) -> Any:
        return _applied(name, ufunc, (other, self))

    def in_place(self: StandIn, other: Any) -> Any:
        result = _applied(name, ufunc, (self, other))
        if result is NotImplemented or not isinstance(self.value, np.ndarray):
            return result
        return self.tracer.write(self, result)

    setattr(StandIn, f"__{name}__", method)
    if swapped:
        setattr(StandIn, f"__r{name}__", reflected)
        setattr(StandIn, f"__i{name}__", in_place)


for _name, _ufunc in {**BINARY, "pow": None}.items():
    _install(_name, _ufunc, swapped=True)
for _name, _ufunc in {**COMPARISONS, **UNARY}.items():
    _install(_name, _ufunc, swapped=False)
