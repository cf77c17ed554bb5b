"""Writing LLVM's language: loops, vectors of any width, and the operations of statements.

Vectors are written out, so that speed does not depend on what an optimizer recognises, and sums
are added in the same order on every machine of the same vector length.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from microgradopt.compiler.native.loops import DType

BOOL = np.dtype(bool)
ORDERED = {
    "greater": "ogt", "greater_equal": "oge", "less": "olt", "less_equal": "ole",
    "equal": "oeq", "not_equal": "une",
}  # fmt: skip
ON_FLOATS = {"add": "fadd", "subtract": "fsub", "multiply": "fmul", "divide": "fdiv"}
ON_WHOLE = {"add": "add", "subtract": "sub", "multiply": "mul"}
INTRINSICS = {
    "absolute": "fabs", "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "trunc": "trunc",
    "rint": "rint",
}  # fmt: skip
LOGIC = {"and": "and", "or": "or", "xor": "xor"}


def scalar_type(dtype: DType, *, stored: bool = False) -> str:
    """LLVM's name of a dtype; truth values are bits, but bytes where they are stored."""
    if dtype.kind == "b":
        return "i8" if stored else "i1"
    return (
        {8: "double", 4: "float"}[dtype.itemsize] if dtype.kind == "f" else f"i{8 * dtype.itemsize}"
    )


def vector_type(element: str, width: int) -> str:
    """The type of ``width`` numbers at once."""
    return element if width == 1 else f"<{width} x {element}>"


def literal(value: Any, dtype: DType) -> str:
    """A number as LLVM writes it."""
    if dtype.kind == "b":
        return "true" if value else "false"
    if dtype.kind != "f":
        return str(int(value))
    number = float(np.asarray(value, dtype)[()]) if math.isfinite(value) else float(value)
    return f"0x{struct.unpack('<Q', struct.pack('<d', number))[0]:016X}"


class Writer:
    """The text of one function, line by line, and the declarations that it needs."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.first: list[str] = []  # what belongs at the function's entry: memory on the stack
        self.declared: dict[str, None] = {}
        self.block = "entry"
        self._count = 0

    def name(self) -> str:
        """A new name for a value or block."""
        self._count += 1
        return f"v{self._count}"

    def put(self, text: str) -> str:
        """An instruction; the name of its value."""
        name = f"%{self.name()}"
        self.lines.append(f"  {name} = {text}")
        return name

    def do(self, text: str) -> None:
        """An instruction without a value."""
        self.lines.append(f"  {text}")

    def label(self, name: str) -> None:
        """Begin a block."""
        self.lines.append(f"{name}:")
        self.block = name

    def stack(self, kind: str, count: int = 1) -> str:
        """Memory on the stack, allocated once."""
        name = f"%{self.name()}"
        self.first.append(f"  {name} = alloca {kind}, i64 {count}, align 64")
        return name

    def loop(self, count: int, body: Callable[[str], None]) -> None:
        """``for i in range(count): body(i)``, where the count is known."""
        if count == 1:
            body("0")
            return
        head, done = self.name(), self.name()
        before, i, following = self.block, f"%{self.name()}", f"%{self.name()}"
        self.do(f"br label %{head}")
        self.label(head)
        at = len(self.lines)
        self.lines.append("")
        body(i)
        self.do(f"{following} = add nuw nsw i64 {i}, 1")
        self.lines[at] = f"  {i} = phi i64 [ 0, %{before} ], [ {following}, %{self.block} ]"
        more = self.put(f"icmp ult i64 {following}, {count}")
        self.do(f"br i1 {more}, label %{head}, label %{done}")
        self.label(done)

    def call(self, result: str, function: str, *args: tuple[str, str]) -> str:
        """Call a function of LLVM's or of C's."""
        kinds = ", ".join(kind for kind, _ in args)
        self.declared[f"declare {result} @{function}({kinds})"] = None
        return self.put(f"call {result} @{function}({', '.join(f'{k} {v}' for k, v in args)})")

    # Numbers

    def constant(self, value: Any, dtype: DType, width: int) -> str:
        """The same literal in all lanes."""
        text = literal(value, dtype)
        return text if width == 1 else f"splat ({scalar_type(dtype)} {text})"

    def splat(self, value: str, element: str, width: int) -> str:
        """The same value in all lanes."""
        if width == 1:
            return value
        kind = vector_type(element, width)
        one = self.put(f"insertelement {kind} poison, {element} {value}, i64 0")
        zeros = f"<{width} x i32> zeroinitializer"
        return self.put(f"shufflevector {kind} {one}, {kind} poison, {zeros}")

    def cast(self, value: str, old: DType, new: DType, width: int) -> str:
        """A number in another dtype, as NumPy converts it."""
        if old == new:
            return value
        a, b = (vector_type(scalar_type(d), width) for d in (old, new))
        if new.kind == "b":
            return self.truth(value, old, width)
        if old.kind == "b":
            how = "uitofp" if new.kind == "f" else "zext"
        elif old.kind == "f":
            how = "fpext" if new.itemsize > old.itemsize else "fptrunc"
        elif new.kind == "f":
            how = "uitofp" if old.kind == "u" else "sitofp"
        elif old.itemsize == new.itemsize:
            return value
        else:
            wider = "zext" if old.kind == "u" else "sext"
            how = "trunc" if new.itemsize < old.itemsize else wider
        return self.put(f"{how} {a} {value} to {b}")

    def truth(self, value: str, dtype: DType, width: int) -> str:
        """Whether numbers are not 0."""
        if dtype.kind == "b":
            return value
        return self.compare("not_equal", value, self.constant(0, dtype, width), dtype, width)

    def compare(self, op: str, x: str, y: str, dtype: DType, width: int) -> str:
        """A comparison of numbers of one dtype."""
        kind = vector_type(scalar_type(dtype), width)
        if dtype.kind == "f":
            return self.put(f"fcmp {ORDERED[op]} {kind} {x}, {y}")
        if op in ("equal", "not_equal"):
            return self.put(f"icmp {'eq' if op == 'equal' else 'ne'} {kind} {x}, {y}")
        sign = "s" if dtype.kind == "i" else "u"
        return self.put(f"icmp {sign}{ORDERED[op][1:]} {kind} {x}, {y}")

    def select(self, condition: str, x: str, y: str, dtype: DType, width: int) -> str:
        """``x`` where the condition holds, else ``y``."""
        kind, bits = vector_type(scalar_type(dtype), width), vector_type("i1", width)
        return self.put(f"select {bits} {condition}, {kind} {x}, {kind} {y}")

    def operation(self, op: str, args: list[str], dtype: DType, width: int) -> str:
        """One operation on operands of one dtype."""
        kind = vector_type(scalar_type(dtype), width)
        if op == "copy":
            return args[0]
        if op in ORDERED:
            return self.compare(op, args[0], args[1], dtype, width)
        if op in LOGIC or op == "not":
            return self._logic(op, [self.truth(x, dtype, width) for x in args], width)
        if dtype.kind == "b":
            return self._logic("or" if op in ("add", "maximum") else "and", args, width)
        if op in ON_WHOLE or op in ON_FLOATS:
            table = ON_FLOATS if dtype.kind == "f" else ON_WHOLE
            return self.put(f"{table[op]} {kind} {args[0]}, {args[1]}")
        if op in ("maximum", "minimum", "fmax", "fmin"):
            return self._extreme(op, args[0], args[1], dtype, width)
        return self._unary(op, args, dtype, width)

    def _logic(self, op: str, bits: list[str], width: int) -> str:
        kind = vector_type("i1", width)
        if op == "not":
            return self.put(f"xor {kind} {bits[0]}, {self.constant(True, BOOL, width)}")
        return self.put(f"{LOGIC[op]} {kind} {bits[0]}, {bits[1]}")

    def _extreme(self, op: str, x: str, y: str, dtype: DType, width: int) -> str:
        """As NumPy's: of two zeros the second; "maximum" spreads NaN, "fmax" avoids it."""
        order = "greater" if op in ("maximum", "fmax") else "less"
        found = self.select(self.compare(order, x, y, dtype, width), x, y, dtype, width)
        if dtype.kind != "f":
            return found
        kind = vector_type(scalar_type(dtype), width)
        asked = y if op.startswith("f") else x
        nan = self.put(f"fcmp uno {kind} {asked}, {asked}")
        return self.select(nan, x, found, dtype, width)

    def _unary(self, op: str, args: list[str], dtype: DType, width: int) -> str:
        x, kind = args[0], vector_type(scalar_type(dtype), width)
        if op == "square":
            return self.operation("multiply", [x, x], dtype, width)
        if dtype.kind != "f":  # "negative" is what is left
            return self.put(f"sub {kind} {self.constant(0, dtype, width)}, {x}")
        if op == "negative":
            return self.put(f"fneg {kind} {x}")
        if op == "reciprocal":
            return self.put(f"fdiv {kind} {self.constant(1.0, dtype, width)}, {x}")
        if op == "isnan":
            return self.put(f"fcmp uno {kind} {x}, {x}")
        if op in ("isfinite", "isinf"):
            size = self.intrinsic("fabs", [x], dtype, width)
            order = "olt" if op == "isfinite" else "oeq"
            return self.put(f"fcmp {order} {kind} {size}, {self.constant(math.inf, dtype, width)}")
        if op == "sign":
            return self._sign(x, dtype, width)
        if op == "signbit":
            whole = vector_type(f"i{8 * dtype.itemsize}", width)
            bits = self.put(f"bitcast {kind} {x} to {whole}")
            return self.put(f"icmp slt {whole} {bits}, {'0' if width == 1 else 'zeroinitializer'}")
        if op == "copysign":
            return self.intrinsic("copysign", args, dtype, width)
        return self.intrinsic(INTRINSICS[op], args, dtype, width)

    def _sign(self, x: str, dtype: DType, width: int) -> str:
        zero, one, less = (self.constant(c, dtype, width) for c in (0.0, 1.0, -1.0))
        kind = vector_type(scalar_type(dtype), width)
        nan = self.put(f"fcmp uno {kind} {x}, {x}")
        out = self.select(nan, x, zero, dtype, width)
        out = self.select(self.compare("less", x, zero, dtype, width), less, out, dtype, width)
        return self.select(self.compare("greater", x, zero, dtype, width), one, out, dtype, width)

    def intrinsic(self, name: str, args: list[str], dtype: DType, width: int) -> str:
        """A function that LLVM knows, such as the square root."""
        suffix = f"{'' if width == 1 else f'v{width}'}f{8 * dtype.itemsize}"
        kind = vector_type(scalar_type(dtype), width)
        return self.call(kind, f"llvm.{name}.{suffix}", *((kind, x) for x in args))

    # Lanes

    def lanes(self, value: str, kind: str, start: int, count: int, width: int) -> str:
        """Some of a vector's lanes."""
        picked = ", ".join(f"i32 {start + n}" for n in range(count))
        if count == 1:
            return self.put(f"extractelement {kind} {value}, i64 {start}")
        return self.put(f"shufflevector {kind} {value}, {kind} poison, <{count} x i32> <{picked}>")

    def blend(self, few: str, all_: str, element: str, count: int, width: int) -> str:
        """A vector with its first lanes replaced."""
        kind = vector_type(element, width)
        if count == 1:
            return self.put(f"insertelement {kind} {all_}, {element} {few}, i64 0")
        part = vector_type(element, count)
        spread = ", ".join(f"i32 {n}" if n < count else "i32 poison" for n in range(width))
        wide = self.put(f"shufflevector {part} {few}, {part} poison, <{width} x i32> <{spread}>")
        mask = ", ".join(f"i32 {n if n < count else width + n}" for n in range(width))
        return self.put(f"shufflevector {kind} {wide}, {kind} {all_}, <{width} x i32> <{mask}>")
