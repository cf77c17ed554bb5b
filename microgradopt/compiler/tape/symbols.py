"""A kernel on floats, written in Python, in LLVM's language: by running it on symbols.

Every way through the kernel is run once. Where it asks for a symbol's truth it is told yes, and in
another run no: each answer begins a block. The blocks are named after the answers that lead there,
so that runs that share a beginning write the same blocks.
"""

from __future__ import annotations

import builtins
import math
import operator
import struct
from collections.abc import Callable
from types import BuiltinFunctionType, CellType, FunctionType, SimpleNamespace
from typing import Any

import numpy as np

from microgradopt.compiler.tape.codes import FUNCTIONS

WAYS = 64  # through a kernel, at most
UNKNOWN = "a kernel that does what only Python can do"
INTRINSICS = {"sqrt": 1, "fabs": 1, "floor": 1, "ceil": 1, "trunc": 1, "rint": 1, "copysign": 2}
C = {name: 2 if name in ("pow", "atan2") else 1 for name in FUNCTIONS.values()}
C |= {"hypot": 2, "fmod": 2, "erf": 1, "erfc": 1, "cbrt": 1}
OF_MATH = FUNCTIONS | {
    math.sqrt: "sqrt", math.fabs: "fabs", math.copysign: "copysign", math.hypot: "hypot",
    math.fmod: "fmod", math.erf: "erf", math.erfc: "erfc", math.cbrt: "cbrt",
}  # fmt: skip
OF_NUMPY: dict[Any, Any] = {
    np.exp: "exp", np.exp2: "exp2", np.expm1: "expm1", np.log: "log", np.log2: "log2",
    np.log10: "log10", np.log1p: "log1p", np.power: "pow", np.sin: "sin", np.cos: "cos",
    np.tan: "tan", np.arcsin: "asin", np.arccos: "acos", np.arctan: "atan", np.arctan2: "atan2",
    np.sinh: "sinh", np.cosh: "cosh", np.tanh: "tanh", np.arcsinh: "asinh", np.arccosh: "acosh",
    np.arctanh: "atanh", np.hypot: "hypot", np.cbrt: "cbrt", np.sqrt: "sqrt", np.absolute: "fabs",
    np.fabs: "fabs", np.floor: "floor", np.ceil: "ceil", np.trunc: "trunc", np.rint: "rint",
    np.copysign: "copysign", np.add: operator.add, np.subtract: operator.sub,
    np.multiply: operator.mul, np.divide: operator.truediv, np.negative: operator.neg,
    np.square: lambda x: x * x, np.reciprocal: lambda x: 1.0 / x,
    np.greater: operator.gt, np.greater_equal: operator.ge, np.less: operator.lt,
    np.less_equal: operator.le, np.equal: operator.eq, np.not_equal: operator.ne,
    np.maximum: lambda x, y: x if x > y or x != x else y,
    np.minimum: lambda x, y: x if x < y or x != x else y,
    np.isnan: lambda x: x != x, np.isfinite: lambda x: abs(x) < math.inf,
    np.isinf: lambda x: abs(x) == math.inf,
    np.logical_and: lambda x, y: bool(x) and bool(y),
    np.logical_or: lambda x, y: bool(x) or bool(y),
    np.logical_xor: lambda x, y: bool(x) != bool(y), np.logical_not: operator.not_,
}  # fmt: skip


class _Way:
    """One run of a kernel: the answers it is to get, and the blocks that it writes."""

    def __init__(self, answers: list[bool], blocks: dict[str, list[str]]) -> None:
        self.answers = answers
        self.asked = 0
        self.blocks = blocks
        self.block = "b"
        blocks.setdefault("b", [])
        self.lines: list[str] = []

    def put(self, text: str) -> Symbol:
        """Write an instruction; its value."""
        name = f"%{self.block}.{len(self.lines)}"
        self.lines.append(f"  {name} = {text}")
        return Symbol(self, name)

    def end(self, text: str) -> None:
        """End the block."""
        self.blocks[self.block] = [*self.lines, f"  {text}"]

    def answer(self, name: str) -> bool:
        """What a truth is taken to be."""
        if self.asked == len(self.answers):
            self.answers.append(True)
        found = self.answers[self.asked]
        self.asked += 1
        self.end(f"br i1 {name}, label %{self.block}1, label %{self.block}0")
        self.block += "1" if found else "0"
        self.lines = []
        return found


def _operation(text: str, flipped: bool = False) -> Callable[..., Any]:
    def operate(self: Symbol, other: Any) -> Any:
        x, y = (other, self) if flipped else (self, other)
        return self.way.put(f"{text} double {_text(x)}, {_text(y)}")

    return operate


def _comparison(text: str) -> Callable[..., Any]:
    def compare(self: Symbol, other: Any) -> Any:
        truth = self.way.put(f"fcmp {text} double {_text(self)}, {_text(other)}")
        return Truth(self.way, truth.name)

    return compare


class Symbol:
    """A float in a kernel."""

    def __init__(self, way: _Way, name: str) -> None:
        self.way = way
        self.name = name

    __add__, __radd__ = _operation("fadd"), _operation("fadd", True)
    __sub__, __rsub__ = _operation("fsub"), _operation("fsub", True)
    __mul__, __rmul__ = _operation("fmul"), _operation("fmul", True)
    __truediv__, __rtruediv__ = _operation("fdiv"), _operation("fdiv", True)
    __gt__, __ge__, __lt__, __le__ = map(_comparison, ("ogt", "oge", "olt", "ole"))
    __eq__, __ne__ = _comparison("oeq"), _comparison("une")
    __hash__ = None  # type: ignore[assignment]

    def __neg__(self) -> Symbol:
        return self.way.put(f"fneg double {_text(self)}")

    def __abs__(self) -> Symbol:
        return _call("fabs", self)

    def __pow__(self, other: Any) -> Symbol:
        return _call("pow", self, other)

    def __rpow__(self, other: Any) -> Symbol:
        return _call("pow", other, self)

    def __bool__(self) -> bool:
        return bool(self != 0.0)

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **options: Any) -> Any:
        if method != "__call__" or options or ufunc not in OF_NUMPY:
            raise TypeError(UNKNOWN)
        made = OF_NUMPY[ufunc]
        return _call(made, *args) if isinstance(made, str) else made(*args)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function is not np.where or len(args) != 3:
            raise TypeError(UNKNOWN)
        return args[1] if args[0] else args[2]


class Truth(Symbol):
    """The result of a comparison: a question, or the number 0 or 1."""

    def __bool__(self) -> bool:
        return self.way.answer(self.name)


def _text(x: Any) -> str:
    if isinstance(x, Truth):
        return x.way.put(f"uitofp i1 {x.name} to double").name
    if isinstance(x, Symbol):
        return x.name
    if not isinstance(x, (float, int, np.generic, np.ndarray)):
        raise TypeError(UNKNOWN)
    return f"0x{struct.unpack('<Q', struct.pack('<d', float(x)))[0]:016X}"


def _call(name: str, *args: Any) -> Symbol:
    way = next(x.way for x in args if isinstance(x, Symbol))
    function = f"llvm.{name}.f64" if name in INTRINSICS else name
    operands = ", ".join(f"double {_text(x)}" for x in args)
    return way.put(f"call double @{function}({operands})")


def traced_kernel(function: Callable[..., Any], operands: int) -> str | None:
    """The text of ``double @kernel(double %x, double %y, double %z)``; None where it has none."""
    blocks: dict[str, list[str]] = {}
    answers: list[bool] = []
    try:
        kernel = _on_symbols(function)
        for _ in range(WAYS):
            way = _Way(answers, blocks)
            out = kernel(*(Symbol(way, f"%{x}") for x in "xyz"[:operands]))
            result = _text(out)
            way.end(f"ret double {result}")
            while answers and not answers[-1]:
                answers.pop()
            if not answers:
                return _module(blocks)
            answers[-1] = False
    except Exception:  # whatever the kernel makes of operands that are no floats
        return None
    return None


def _module(blocks: dict[str, list[str]]) -> str:
    arities = {**C, **{f"llvm.{name}.f64": count for name, count in INTRINSICS.items()}}
    body = "\n".join(f"{name}:\n" + "\n".join(lines) for name, lines in blocks.items())
    declared = [
        f"declare double @{name}({', '.join(['double'] * count)})"
        for name, count in arities.items()
        if f"@{name}(" in body
    ]
    head = "define double @kernel(double %x, double %y, double %z) {"
    return "\n".join([*declared, head, body, "}", ""])


def _on_symbols(function: Any, known: dict[Any, Any] | None = None) -> Any:
    """A function in which those of math, and the functions it calls, work on symbols."""
    known = {} if known is None else known
    if function in OF_MATH:
        return _of_either(function, OF_MATH[function])
    if function is float:
        return _as_float
    if not isinstance(function, FunctionType):
        return function
    if function not in known:
        known[function] = made = FunctionType(
            function.__code__,
            scope := dict(function.__globals__),
            function.__name__,
            function.__defaults__,
            _cells(function, known),
        )
        made.__kwdefaults__ = function.__kwdefaults__
        for name in function.__code__.co_names:
            x = scope.get(name, getattr(builtins, name, None))
            if x is math:
                scope[name] = MATH
            elif isinstance(x, (FunctionType, BuiltinFunctionType)) or x is float:
                scope[name] = _on_symbols(x, known)
    return known[function]


def _as_float(x: Any) -> Any:
    return x if isinstance(x, Symbol) else float(x)


def _cells(function: FunctionType, known: dict[Any, Any]) -> tuple[CellType, ...] | None:
    def of_symbols(cell: CellType) -> CellType:
        x = cell.cell_contents
        return CellType(_on_symbols(x, known) if callable(x) else x)

    return tuple(map(of_symbols, function.__closure__)) if function.__closure__ else None


def _of_either(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        if any(isinstance(x, Symbol) for x in args):
            return _call(name, *args)
        return function(*args)

    return call


MATH: Any = SimpleNamespace(
    **{name: getattr(math, name) for name in dir(math)},
)
for _function, _c_name in OF_MATH.items():
    setattr(MATH, _function.__name__, _of_either(_function, _c_name))
MATH.isnan = lambda x: x != x
MATH.isfinite = lambda x: abs(x) < math.inf
MATH.isinf = lambda x: abs(x) == math.inf
