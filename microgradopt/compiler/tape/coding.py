"""A tape as code for the machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from microgradopt.compiler.tape.arrays import Tape
from microgradopt.compiler.tape.codes import (
    CODE,
    FORMULAS,
    FUNCTIONS,
    SHARED,
    SWAPPED,
    VECTOR,
    arity,
)
from microgradopt.compiler.tape.fuse import Coded
from microgradopt.compiler.tape.layout import Layout, is_shared
from microgradopt.compiler.tape.order import Sums
from microgradopt.compiler.tape.runner import Piece, Step
from microgradopt.engine.graph import Array

CALL = CODE["call"]
ARITY = np.array([arity(name) for name in (*FORMULAS, *FUNCTIONS.values(), "call")])
SHARES = frozenset(CODE[name] for name in FORMULAS if arity(name) > 1)


class Coder(Layout):
    """Writes code for the machine ``run``. ``kernels`` numbers each row's in the ``table``."""

    def __init__(self, tape: Tape, coded: Coded, kernels: Array, run: Any, table: Any) -> None:
        super().__init__(tape)
        self._coded = coded
        self._kernels = kernels
        self._run = run
        self._table = table
        self._words: list[Array] = []

    def piece(self) -> Piece:
        code = np.concatenate([np.zeros(0, np.uint32), *self._words])
        self._words = []
        run, length, table = self._run, len(code), self._table

        def bound(buffer: Array) -> Step:
            start, numbers = code.ctypes.data, buffer.ctypes.data

            def step(_: Array, kept: Any = code) -> None:  # while its address is in use
                run(start, length, numbers, table)

            return step

        return bound

    def bring(self, places: Array, row: int) -> None:
        if is_shared(places):
            self._emit([VECTOR + CODE["spread"], len(places), row, int(places[0])])
        else:
            self._emit([VECTOR + CODE["gather"], len(places), row, *places.tolist()])

    def _emit(self, words: Sequence[int] | Array) -> None:
        self._words.append(np.asarray(words, np.uint32))

    def singles(self, members: Array) -> None:
        at = members - self.tape.base
        code = self._coded.code[at]
        count = ARITY[code]
        length = 2 + count + (code == CALL)
        start = np.cumsum(length) - length
        self.place[members] = self.size + np.arange(len(members))
        self.size += len(members)
        words = np.empty(int(length.sum()), np.int64)
        words[start] = code
        words[start + 1] = self.place[members]
        for i in range(int(count.max(initial=0))):
            has = count > i
            words[start[has] + 2 + i] = self.place[self._coded.args[at[has], i]]
        calls = code == CALL
        words[start[calls] + 5] = self._kernels[self.tape.op[at[calls]]]
        self._emit(words)

    def group(self, members: Array) -> None:
        at = members - self.tape.base
        code = int(self._coded.code[at[0]])
        operands = [self.place[self._coded.args[at, i]] for i in range(ARITY[code])]
        i, j = SWAPPED.get(code, (0, 0))
        if is_shared(operands[i]):
            operands[i], operands[j] = operands[j], operands[i]
        shared = code in SHARES and is_shared(operands[-1])
        words = [self.row(p) for p in operands[: len(operands) - shared]]
        if shared:
            words.append(int(operands[-1][0]))
        if code == CALL:
            words.append(int(self._kernels[self.tape.op[at[0]]]))
        out = self.block(len(members))
        self.place[members] = out + np.arange(len(members))
        self._emit([code + (SHARED if shared else VECTOR), len(members), out, *words])

    def sums(self, batch: Sums) -> None:
        starts = [self.row(self.place[s.terms]) for s in batch.sums]
        out = self.block(len(batch.sums))
        words = [VECTOR + CODE["sums"], len(batch.sums), len(batch.sums[0].terms), out]
        for i, (s, start) in enumerate(zip(batch.sums, starts)):
            words += [int(self.place[s.first]), start]
            self.place[s.adds[-1]] = out + i
        self._emit(words)
