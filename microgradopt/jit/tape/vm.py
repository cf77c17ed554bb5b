"""The compiled loop that runs a tape's code; see codes.py for what it reads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, types

from microgradopt.jit.tape.codes import CODE, SHARED, VECTOR

ADD, SUBTRACT, MULTIPLY, DIVIDE = (CODE[x] for x in ("add", "subtract", "multiply", "divide"))
NEGATIVE, SQUARE, ABSOLUTE, RELU = (CODE[x] for x in ("negative", "square", "absolute", "relu"))
MAXIMUM, MINIMUM, CHAIN, PASSING = (CODE[x] for x in ("maximum", "minimum", "chain", "passing"))
WHERE, MULTIPLY_ADD, CHAIN_ADD = (CODE[x] for x in ("where", "multiply_add", "chain_add"))
GREATER, GREATER_EQUAL, LESS = (CODE[x] for x in ("greater", "greater_equal", "less"))
LESS_EQUAL, EQUAL, NOT_EQUAL = (CODE[x] for x in ("less_equal", "equal", "not_equal"))
LOGICAL_NOT, SQRT, EXP, LOG, TANH = (CODE[x] for x in ("logical_not", "sqrt", "exp", "log", "tanh"))
CALL, GATHER, SPREAD, SUM = (CODE[x] for x in ("call", "gather", "spread", "sum"))

# Unsigned places need no test for negative ones, which would keep loops from being vectorized.
U1, U2, U3, U4, U5, U6, U7 = map(np.uint64, range(1, 8))
BLOCK = np.uint64(8)

compiled = njit(error_model="numpy", nogil=True)
Kernel = types.FunctionType(types.float64(types.int64, *[types.float64] * 3))


@compiled
def _relu(x: float) -> float:
    return x if x > 0.0 or x != x else 0.0


@compiled
def _maximum(x: float, y: float) -> float:
    return x if x > y or x != x else y


@compiled
def _minimum(x: float, y: float) -> float:
    return x if x < y or x != x else y


@compiled
def _chain(g: float, p: float) -> float:
    product = g * p
    return 0.0 if product != product and (g == 0.0 or p == 0.0) else product


@njit(
    types.void(types.uint32[::1], types.uint64, types.uint64, types.float64[::1], Kernel),
    error_model="numpy", nogil=True, cache=True,
)  # fmt: skip
def run(code: Any, pc: Any, end: Any, v: Any, kernel: Any) -> None:
    """Run ``code`` from ``pc`` to ``end`` on the buffer ``v``."""
    while pc < end:
        op = code[pc]
        if op >= VECTOR:
            pc = _run_vector(code, pc, v, kernel)
            continue
        o = code[pc + U1]
        x = v[code[pc + U2]]
        if op == ADD:
            v[o] = x + v[code[pc + U3]]
            pc += U4
        elif op == MULTIPLY_ADD:
            v[o] = x + v[code[pc + U3]] * v[code[pc + U4]]
            pc += U5
        elif op == CHAIN_ADD:
            v[o] = x + _chain(v[code[pc + U3]], v[code[pc + U4]])
            pc += U5
        elif op == MULTIPLY:
            v[o] = x * v[code[pc + U3]]
            pc += U4
        elif op == CHAIN:
            v[o] = _chain(x, v[code[pc + U3]])
            pc += U4
        elif op == SUBTRACT:
            v[o] = x - v[code[pc + U3]]
            pc += U4
        elif op == DIVIDE:
            v[o] = x / v[code[pc + U3]]
            pc += U4
        elif op == NEGATIVE:
            v[o] = -x
            pc += U3
        elif op == SQUARE:
            v[o] = x * x
            pc += U3
        elif op == ABSOLUTE:
            v[o] = abs(x)
            pc += U3
        elif op == RELU:
            v[o] = _relu(x)
            pc += U3
        elif op == MAXIMUM:
            v[o] = _maximum(x, v[code[pc + U3]])
            pc += U4
        elif op == MINIMUM:
            v[o] = _minimum(x, v[code[pc + U3]])
            pc += U4
        elif op == PASSING:
            v[o] = v[code[pc + U3]] if x != 0.0 else 0.0
            pc += U4
        elif op == WHERE:
            v[o] = v[code[pc + U3]] if x != 0.0 else v[code[pc + U4]]
            pc += U5
        elif op == GREATER:
            v[o] = 1.0 if x > v[code[pc + U3]] else 0.0
            pc += U4
        elif op == GREATER_EQUAL:
            v[o] = 1.0 if x >= v[code[pc + U3]] else 0.0
            pc += U4
        elif op == LESS:
            v[o] = 1.0 if x < v[code[pc + U3]] else 0.0
            pc += U4
        elif op == LESS_EQUAL:
            v[o] = 1.0 if x <= v[code[pc + U3]] else 0.0
            pc += U4
        elif op == EQUAL:
            v[o] = 1.0 if x == v[code[pc + U3]] else 0.0
            pc += U4
        elif op == NOT_EQUAL:
            v[o] = 1.0 if x != v[code[pc + U3]] else 0.0
            pc += U4
        elif op == LOGICAL_NOT:
            v[o] = 1.0 if x == 0.0 else 0.0
            pc += U3
        elif op == SQRT:
            v[o] = math.sqrt(x)
            pc += U3
        elif op == EXP:
            v[o] = math.exp(x)
            pc += U3
        elif op == LOG:
            v[o] = math.log(x)
            pc += U3
        elif op == TANH:
            v[o] = math.tanh(x)
            pc += U3
        else:  # CALL
            number = np.int64(code[pc + U5])
            v[o] = kernel(number, x, v[code[pc + U3]], v[code[pc + U4]])
            pc += U6
