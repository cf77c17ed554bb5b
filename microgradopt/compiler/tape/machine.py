"""The loop that runs a tape's code (see codes.py), in LLVM's language: one for all tapes."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cache
from typing import Any

from microgradopt.compiler.native.compiler import built
from microgradopt.compiler.tape.codes import (
    CODE,
    FORMULAS,
    FUNCTIONS,
    SHARED,
    VECTOR,
    WIDE,
    arity,
)

SCALAR_TYPES = {"T": "double", "B": "i1", "M": "f64", "zero": "0.0"}
VECTOR_TYPES = {
    "T": f"<{WIDE} x double>", "B": f"<{WIDE} x i1>", "M": f"v{WIDE}f64", "zero": "zeroinitializer",
}  # fmt: skip


class _Text:
    """One branch of the loop: its lines, in which names get the branch's own prefix."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines = [f"{name}:"]

    def do(self, line: str) -> None:
        """Write a line; ``%names`` in it belong to this branch, ``@@names`` to its labels."""
        self.lines.append("  " + line.replace("%%", f"%{self.name}."))

    def label(self, name: str) -> None:
        """Begin a block."""
        self.lines.append(f"{self.name}.{name}:")

    def word(self, name: str, i: int, base: str = "%at") -> None:
        """Read word i of the instruction."""
        self.do(f"%%{name}.a = getelementptr i32, ptr {base}, i64 {i}")
        self.do(f"%%{name}.w = load i32, ptr %%{name}.a")
        self.do(f"%%{name} = zext i32 %%{name}.w to i64")

    def place(self, name: str, i: int, base: str = "%at") -> None:
        """The address of the number whose place is word i."""
        self.word(f"{name}.i", i, base)
        self.do(f"%%{name} = getelementptr double, ptr %v, i64 %%{name}.i")

    def formula(self, name: str, types: dict[str, str]) -> None:
        """Compute ``%%r`` of ``%%x``, …"""
        if name in FORMULAS:
            for line in FORMULAS[name]:
                self.do(line.format(**types).replace("%", "%%"))
        else:
            operands = ", ".join(f"double %%{x}" for x in "xyz"[: arity(name)])
            self.do(f"%%r = call double @{name}({operands})")

    def call(self) -> None:
        """Compute ``%%r`` by the kernel with the number ``%%k``."""
        self.do("%%f.at = getelementptr ptr, ptr %kernels, i64 %%k")
        self.do("%%f = load ptr, ptr %%f.at")
        self.do("%%r = call double %%f(double %%x, double %%y, double %%z)")

    def lanes(self) -> None:
        """Begin a loop over lanes, in which ``%%i`` is the number of one."""
        self.do("br label %%loop")
        self.label("loop")
        self.do(f"%%i = phi i64 [ 0, %{self.name} ], [ %%j, %%loop ]")

    def end_lanes(self, step: int) -> None:
        """End it; the next lane is ``step`` further on."""
        self.do(f"%%j = add nuw nsw i64 %%i, {step}")
        self.do("%%more = icmp ult i64 %%j, %%count")
        self.do("br i1 %%more, label %%loop, label %%end")
        self.label("end")

    def go_on(self, length: int | str) -> None:
        """Continue after this instruction of so many words."""
        self.do(f"%%next = getelementptr i32, ptr %at, i64 {length}")
        self.do("store ptr %%next, ptr %pc")
        self.do("br label %loop")


def _scalar(name: str) -> _Text:
    t = _Text(f"scalar.{name}")
    count = arity(name)
    for i, x in enumerate("xyz"[:count]):
        t.place(f"{x}.p", 2 + i)
        t.do(f"%%{x} = load double, ptr %%{x}.p")
    if name == "call":
        t.word("k", 2 + count)
        t.call()
    else:
        t.formula(name, SCALAR_TYPES)
    t.place("out", 1)
    t.do("store double %%r, ptr %%out")
    t.go_on(2 + count + (name == "call"))
    return t


def _vector(name: str, shared: bool) -> _Text:
    t = _Text(f"{'shared' if shared else 'vector'}.{name}")
    wide = name in FORMULAS
    kind = VECTOR_TYPES["T"] if wide else "double"
    operands = "xyz"[: arity(name)]
    t.word("count", 1)
    t.place("out", 2)
    for i, x in enumerate(operands):
        t.place(f"{x}.p", 3 + i)
    if name == "call":
        t.word("k", 3 + len(operands))
    if shared:
        x = operands[-1]
        t.do(f"%%{x}.one = load double, ptr %%{x}.p")
        t.do(f"%%{x}.in = insertelement {kind} poison, double %%{x}.one, i64 0")
        t.do(
            f"%%{x} = shufflevector {kind} %%{x}.in, {kind} poison, <{WIDE} x i32> zeroinitializer"
        )
    t.lanes()
    for x in operands[: len(operands) - shared]:
        t.do(f"%%{x}.q = getelementptr double, ptr %%{x}.p, i64 %%i")
        t.do(f"%%{x} = load {kind}, ptr %%{x}.q, align 8")
    if name == "call":
        t.call()
    else:
        t.formula(name, VECTOR_TYPES if wide else SCALAR_TYPES)
    t.do("%%to = getelementptr double, ptr %%out, i64 %%i")
    t.do(f"store {kind} %%r, ptr %%to, align 8")
    t.end_lanes(WIDE if wide else 1)
    t.go_on(3 + len(operands) + (name == "call"))
    return t


def _gather() -> _Text:
    t = _Text("gather")
    t.word("count", 1)
    t.place("out", 2)
    t.do("%%list = getelementptr i32, ptr %at, i64 3")
    t.lanes()
    t.do("%%w = getelementptr i32, ptr %%list, i64 %%i")
    t.place("from", 0, "%%w")
    t.do("%%x = load double, ptr %%from")
    t.do("%%to = getelementptr double, ptr %%out, i64 %%i")
    t.do("store double %%x, ptr %%to")
    t.end_lanes(1)
    t.do("%%length = add i64 %%count, 3")
    t.go_on("%%length")
    return t


def _spread() -> _Text:
    t = _Text("spread")
    t.word("count", 1)
    t.place("out", 2)
    t.place("from", 3)
    t.do("%%x = load double, ptr %%from")
    t.lanes()
    t.do("%%to = getelementptr double, ptr %%out, i64 %%i")
    t.do("store double %%x, ptr %%to")
    t.end_lanes(1)
    t.go_on(4)
    return t


def _sums() -> _Text:
    """Sums side by side, as many at a time as do not wait for each other; each in order."""
    t = _Text("sums")
    t.word("count", 1)
    t.word("terms", 2)
    t.place("out", 3)
    t.do("%%list = getelementptr i32, ptr %at, i64 4")
    t.do("br label %%outer")
    t.label("outer")
    t.do("%%o = phi i64 [ 0, %sums ], [ %%o.wide, %%wide.end ], [ %%o.one, %%one.end ]")
    t.do("%%left = sub i64 %%count, %%o")
    t.do("%%o2 = shl i64 %%o, 1")
    t.do("%%pair = getelementptr i32, ptr %%list, i64 %%o2")
    t.do("%%to = getelementptr double, ptr %%out, i64 %%o")
    t.do(f"%%is.wide = icmp uge i64 %%left, {WIDE}")
    t.do("br i1 %%is.wide, label %%wide, label %%rest")
    t.label("rest")
    t.do("%%is.one = icmp ugt i64 %%left, 0")
    t.do("br i1 %%is.one, label %%one, label %%done")
    for name, count in (("wide", WIDE), ("one", 1)):
        t.label(name)
        for k in range(count):
            t.place(f"{name}.first{k}", 2 * k, "%%pair")
            t.do(f"%%{name}.s{k} = load double, ptr %%{name}.first{k}")
            t.place(f"{name}.terms{k}", 2 * k + 1, "%%pair")
        t.do(f"br label %%{name}.loop")
        t.label(f"{name}.loop")
        t.do(f"%%{name}.i = phi i64 [ 0, %%{name} ], [ %%{name}.j, %%{name}.loop ]")
        for k in range(count):
            t.do(
                f"%%{name}.a{k} = phi double [ %%{name}.s{k}, %%{name} ], "
                f"[ %%{name}.b{k}, %%{name}.loop ]"
            )
        for k in range(count):
            t.do(f"%%{name}.t{k} = getelementptr double, ptr %%{name}.terms{k}, i64 %%{name}.i")
            t.do(f"%%{name}.x{k} = load double, ptr %%{name}.t{k}")
            t.do(f"%%{name}.b{k} = fadd double %%{name}.a{k}, %%{name}.x{k}")
        t.do(f"%%{name}.j = add nuw nsw i64 %%{name}.i, 1")
        t.do(f"%%{name}.more = icmp ult i64 %%{name}.j, %%terms")
        t.do(f"br i1 %%{name}.more, label %%{name}.loop, label %%{name}.end")
        t.label(f"{name}.end")
        for k in range(count):
            t.do(f"%%{name}.to{k} = getelementptr double, ptr %%to, i64 {k}")
            t.do(f"store double %%{name}.b{k}, ptr %%{name}.to{k}")
        t.do(f"%%o.{name} = add i64 %%o, {count}")
        t.do("br label %%outer")
    t.label("done")
    t.do("%%n2 = shl i64 %%count, 1")
    t.do("%%length = add i64 %%n2, 4")
    t.go_on("%%length")
    return t


def _branches() -> Iterator[tuple[int, _Text]]:
    for name in (*FORMULAS, *FUNCTIONS.values(), "call"):
        yield CODE[name], _scalar(name)
        yield VECTOR + CODE[name], _vector(name, shared=False)
        if name in FORMULAS and arity(name) > 1:
            yield SHARED + CODE[name], _vector(name, shared=True)
    for name, text in (("gather", _gather()), ("spread", _spread()), ("sums", _sums())):
        yield VECTOR + CODE[name], text


def source() -> str:
    """The text of the loop."""
    branches = list(_branches())
    cases = " ".join(f"i32 {code}, label %{text.name}" for code, text in branches)
    declared = [
        f"declare {types['T']} @llvm.{f}.{types['M']}({types['T']})"
        for f in ("sqrt", "fabs")
        for types in (SCALAR_TYPES, VECTOR_TYPES)
    ]
    declared += [
        f"declare double @{f}({', '.join(['double'] * arity(f))})" for f in FUNCTIONS.values()
    ]
    return "\n".join(
        [
            *declared,
            "define void @run(ptr noalias %code, i64 %length, ptr noalias %v, ptr %kernels) {",
            "entry:",
            "  %pc = alloca ptr",
            "  store ptr %code, ptr %pc",
            "  %end = getelementptr i32, ptr %code, i64 %length",
            "  br label %loop",
            "loop:",
            "  %at = load ptr, ptr %pc",
            "  %more = icmp ult ptr %at, %end",
            "  br i1 %more, label %dispatch, label %done",
            "dispatch:",
            "  %op = load i32, ptr %at",
            f"  switch i32 %op, label %done [ {cases} ]",
            *(line for _, text in branches for line in text.lines),
            "done:",
            "  ret void",
            "}",
        ]
    )


@cache
def machine() -> Any:
    """The loop: ``run(code, length, buffer, kernels)``, all but the length being addresses."""
    functions = built(source(), ["run"])
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
    run: Any = kind(functions["run"])
    run.functions = functions  # which must not be freed
    return run
