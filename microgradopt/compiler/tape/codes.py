"""The code that a tape is translated to: whole numbers, read in order by one compiled loop.

Operands and results are places in one buffer of numbers. What follows the number of an instruction:

=================  =================================================================
scalar             where its result goes, where its operands are
``VECTOR`` +       how many lanes, where its result goes, where its operands are
``call``           result, three operands, number of the kernel; as a vector likewise
``gather``         how many, result, the place of each
``spread``         how many, result, the place of the number that all of them get
``sums``           how many sums, how many terms, result, first number and terms of each
=================  =================================================================

Lanes are next to each other in the buffer. With ``SHARED`` in the place of ``VECTOR``, the last
operand is one number for all lanes. Vectors are worked on ``WIDE`` numbers at a time, also where
some of these are beyond the last lane: rows of lanes keep that much distance.
"""

from __future__ import annotations

import math
from typing import Any

from microgradopt.engine.graph import Primitive

WIDE = 8
VECTOR, SHARED = 128, 256

# Rows as LLVM has them, {T} being the type of the numbers, one or WIDE of them, {B} that of truths.
TRUTH = "%r = uitofp {B} %c to {T}"
PRODUCT = (
    "%p = fmul {T} %x, %y",
    "%n = fcmp uno {T} %p, %p",
    "%a = fcmp oeq {T} %x, {zero}",
    "%b = fcmp oeq {T} %y, {zero}",
    "%o = or {B} %a, %b",
    "%c = and {B} %n, %o",
    "%r = select {B} %c, {T} {zero}, {T} %p",
)
FORMULAS: dict[str, tuple[str, ...]] = {
    "add": ("%r = fadd {T} %x, %y",),
    "subtract": ("%r = fsub {T} %x, %y",),
    "multiply": ("%r = fmul {T} %x, %y",),
    "divide": ("%r = fdiv {T} %x, %y",),
    "negative": ("%r = fneg {T} %x",),
    "square": ("%r = fmul {T} %x, %x",),
    "sqrt": ("%r = call {T} @llvm.sqrt.{M}({T} %x)",),
    "absolute": ("%r = call {T} @llvm.fabs.{M}({T} %x)",),
    "relu": ("%c = fcmp ugt {T} %x, {zero}", "%r = select {B} %c, {T} %x, {T} {zero}"),
    "maximum": (
        "%g = fcmp ogt {T} %x, %y",
        "%n = fcmp uno {T} %x, %x",
        "%c = or {B} %g, %n",
        "%r = select {B} %c, {T} %x, {T} %y",
    ),
    "minimum": (
        "%g = fcmp olt {T} %x, %y",
        "%n = fcmp uno {T} %x, %x",
        "%c = or {B} %g, %n",
        "%r = select {B} %c, {T} %x, {T} %y",
    ),
    "greater": ("%c = fcmp ogt {T} %x, %y", TRUTH),
    "greater_equal": ("%c = fcmp oge {T} %x, %y", TRUTH),
    "less": ("%c = fcmp olt {T} %x, %y", TRUTH),
    "less_equal": ("%c = fcmp ole {T} %x, %y", TRUTH),
    "equal": ("%c = fcmp oeq {T} %x, %y", TRUTH),
    "not_equal": ("%c = fcmp une {T} %x, %y", TRUTH),
    "logical_not": ("%c = fcmp oeq {T} %x, {zero}", TRUTH),
    "passing": ("%c = fcmp une {T} %x, {zero}", "%r = select {B} %c, {T} %y, {T} {zero}"),
    "where": ("%c = fcmp une {T} %x, {zero}", "%r = select {B} %c, {T} %y, {T} %z"),
    "chain": PRODUCT,
    "multiply_add": ("%p = fmul {T} %y, %z", "%r = fadd {T} %x, %p"),
    "chain_add": (
        *(line.replace("%y", "%z").replace("%x", "%y").replace("%r", "%q") for line in PRODUCT),
        "%r = fadd {T} %x, %q",
    ),
}
FUNCTIONS: dict[Any, str] = {  # of C's, as Python calls them
    math.exp: "exp", math.exp2: "exp2", math.expm1: "expm1", math.log: "log", math.log2: "log2",
    math.log10: "log10", math.log1p: "log1p", math.pow: "pow", math.sin: "sin", math.cos: "cos",
    math.tan: "tan", math.asin: "asin", math.acos: "acos", math.atan: "atan", math.atan2: "atan2",
    math.sinh: "sinh", math.cosh: "cosh", math.tanh: "tanh", math.asinh: "asinh",
    math.acosh: "acosh", math.atanh: "atanh",
}  # fmt: skip
FUSED = {"multiply": "multiply_add", "chain": "chain_add"}  # with an add; rounded twice
CODE = {
    name: number
    for number, name in enumerate(
        (*FORMULAS, *FUNCTIONS.values(), "call", "gather", "spread", "sums")
    )
}
SWAPPED = {  # operands that may change places
    CODE["add"]: (0, 1), CODE["multiply"]: (0, 1), CODE["chain"]: (0, 1),
    CODE["multiply_add"]: (1, 2), CODE["chain_add"]: (1, 2),
}  # fmt: skip


def arity(name: str) -> int:
    """How many operands an instruction has."""
    if name == "call":
        return 3
    if name not in FORMULAS:
        return 2 if name in ("pow", "atan2") else 1
    text = " ".join(FORMULAS[name])
    return max(i + 1 for i, x in enumerate("xyz") if f"%{x}" in text)


def code_of(row: Primitive) -> int:
    """The code that computes a row; that of a call where it needs a kernel of its own."""
    if row.name in FORMULAS:
        return CODE[row.name]
    return CODE[FUNCTIONS.get(row.scalar, "call")]
