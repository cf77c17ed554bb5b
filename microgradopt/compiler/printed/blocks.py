"""Chains of elementwise operations on long arrays, a block at a time, in the cache.

One operation after the other, each would read and write whole arrays; ten of them, twenty times
the memory. Cut into blocks, what is made for the next operation only is as long as a block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from microgradopt.compiler.layout import in_c_order
from microgradopt.compiler.printed.lowering import BLOCK_BYTES, Form
from microgradopt.compiler.program import EFFECTS, Instruction, Program, Var


@dataclass(frozen=True, slots=True)
class Block:
    """A chain: the instructions from number ``start`` to before ``stop``.

    They are done on ``length`` of ``entries`` at a time.
    """

    start: int
    stop: int
    entries: int
    length: int


def with_blocks(
    program: Program, forms: Sequence[Form | None], nbytes: int = BLOCK_BYTES
) -> tuple[Program, list[Form | None], list[Block]]:
    """The program with chains of elementwise instructions put together, its forms, and the chains.

    What stands between two links of a chain without depending on it comes before the chain.
    """
    out: list[tuple[Instruction, Form | None]] = []
    blocks: list[Block] = []
    chain: list[tuple[Instruction, Form | None]] = []
    made: set[Var] = set()

    def close() -> None:
        if len(chain) > 1:
            entries = math.prod(chain[0][0].outs[0].shape)
            length = nbytes // max(_largest(i) for i, _ in chain)
            blocks.append(Block(len(out), len(out) + len(chain), entries, length))
        out.extend(chain)
        chain.clear()
        made.clear()

    for i, form in zip(program.instructions, forms, strict=True):
        link = form is not None and is_link(i, form, 2 * nbytes)
        if chain and not _goes_before(i, link, made) and not _goes_on(i, link, chain[0][0]):
            close()
        if link:
            chain.append((i, form))
            made.update(i.outs)
        else:
            out.append((i, form))
    close()
    if not blocks:
        return program, list(forms), blocks
    ordered = Program(program.entries, [i for i, _ in out], program.results)
    return ordered, [form for _, form in out], blocks


def _goes_before(i: Instruction, link: bool, made: set[Var]) -> bool:
    return not link and made.isdisjoint(i.reads())


def _goes_on(i: Instruction, link: bool, first: Instruction) -> bool:
    return link and i.outs[0].shape == first.outs[0].shape


def is_link(i: Instruction, form: Form, least: int) -> bool:
    """Whether it works entry by entry, on numbers and long arrays of one shape in C's order."""
    if form.in_block is None or isinstance(i.op, EFFECTS) or len(i.outs) != 1:
        return False
    out = i.outs[0]
    if not out.is_array or not in_c_order(out) or not all(_fits(x, out) for x in i.operands):
        return False
    return math.prod(out.shape) * _largest(i) >= least


def _largest(i: Instruction) -> int:
    """The bytes of an entry of the widest array among the operands and the result."""
    dtypes = [x.dtype for x in (*i.outs, *i.reads()) if x.is_array]
    return max(dtype.itemsize for dtype in dtypes if dtype is not None)


def _fits(x: object, out: Var) -> bool:
    if isinstance(x, Var):
        if not x.is_array:
            return x.kind is not object
        return x.shape == out.shape and in_c_order(x)
    return isinstance(x, (bool, int, float, np.generic))
