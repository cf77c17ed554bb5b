"""What passes share: instructions with other operands, and constants as keys."""

from __future__ import annotations

import struct
from collections.abc import Hashable
from typing import Any

import numpy as np

from microgradopt.compiler.program import Instruction, Program, Var, substituted

SMALL_BYTES = 256  # arrays up to here are compared by their entries, larger ones by identity
ATOMS = frozenset((float, int, bool, type(None), str, np.dtype))  # what holds no variable


class Renaming(dict[Var, Any]):
    """Variables with what has taken their places: another variable or a constant."""

    def __missing__(self, x: Var) -> Any:
        return x

    def applied(self, i: Instruction) -> Instruction:
        """The instruction on what its operands have become; itself where nothing changes."""
        for x in i.operands:
            kind = x.__class__
            if (kind is Var and x in self) or (kind is not Var and kind not in ATOMS):
                break
        else:
            if not i.params:
                return i
        operands, params = substituted((i.operands, i.params), self.__getitem__)
        same = all(map(_is, operands, i.operands)) and all(
            map(_is, params.values(), i.params.values())
        )
        return i if same else Instruction(i.op, operands, params, i.outs, i.line)

    def finished(self, old: Program, instructions: list[Instruction]) -> Program:
        """The program of the new instructions; the old one where nothing has changed."""
        if len(instructions) == len(old.instructions) and all(
            map(_is, instructions, old.instructions)
        ):
            return old
        results = [substituted(x, self.__getitem__) for x in old.results]
        return Program(old.entries, instructions, results)


def _is(a: Any, b: Any) -> bool:
    """Whether two parts of a tree are the same; rebuilt containers compare by what they hold."""
    if a is b:
        return True
    if a.__class__ in (tuple, list) and a.__class__ is b.__class__ and len(a) == len(b):
        return all(map(_is, a, b))
    if a.__class__ is dict and b.__class__ is dict:
        return all(map(_is, a.values(), b.values()))
    if a.__class__ is slice and b.__class__ is slice:
        return _is((a.start, a.stop, a.step), (b.start, b.stop, b.step))
    return False


def key_of(x: Any) -> Hashable:
    """A key that two operands share if, and as far as is easily seen, only if they are the same.

    Zeros of both signs, NaNs and numbers of different types are different.
    """
    kind = x.__class__
    if kind is Var:
        return x  # type: ignore[no-any-return]
    if kind is float:
        # Not 0.0 and no NaN: then equality is identity.
        return x if x and x == x else struct.pack("<d", x)
    if kind in (tuple, list):
        return (kind, *map(key_of, x))
    if kind is slice:
        return (slice, key_of(x.start), key_of(x.stop), key_of(x.step))
    if kind is dict:
        return (dict, *((name, key_of(value)) for name, value in sorted(x.items())))
    if isinstance(x, (np.ndarray, np.generic)):
        if x.nbytes > SMALL_BYTES or x.dtype.hasobject:
            return (kind, id(x))
        return (kind, x.dtype.str, x.shape, x.strides, x.tobytes())
    try:
        hash(x)
    except TypeError:
        return (kind, id(x))
    return (kind, x)
