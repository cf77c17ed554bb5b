"""Where the arrays of a program live: how long each is needed, and which share memory.

An array that NumPy can write into (``out=``) gets a home: the array handed over for the result it
is, or a place in a slot. A slot is a piece of memory kept between runs, and is used for one array
after the other as they die.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from microgradopt.compiler.layout import alike, is_dense
from microgradopt.compiler.printed.blocks import Block
from microgradopt.compiler.printed.lowering import Form
from microgradopt.compiler.program import Instruction, Program, Var

NOTHING: frozenset[Var] = frozenset()

Layout: TypeAlias = tuple[tuple[int, ...], "np.dtype[Any] | None", tuple[int, ...]]


@dataclass(slots=True)
class Slot:
    """A piece of memory, as large as the largest array that lives in it."""

    number: int
    nbytes: int = 0
    last: Layout | None = None  # of the array that lived in it last


@dataclass
class Storage:
    """What :func:`storage_of` finds out.

    Attributes:
        slots: the pieces of memory to keep.
        homes: the slot of each array that lives in one.
        rooms: for what lives in a block only, an array of a block's length in its place.
        direct: the results whose arrays are written where the caller wants them, by variable.
        in_place: as :class:`~microgradopt.compiler.program.Runner` has it.
        roots: for each variable that may share memory with others, those that own the memory.
        dies: the number of the last instruction that reads an owner's memory.
    """

    slots: list[Slot] = field(default_factory=list)
    homes: dict[Var, Slot] = field(default_factory=dict)
    rooms: dict[Var, Var] = field(default_factory=dict)
    direct: dict[Var, int] = field(default_factory=dict)
    in_place: dict[int, int] = field(default_factory=dict)
    roots: dict[Var, frozenset[Var]] = field(default_factory=dict)
    dies: dict[Var, int] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """How many bytes the slots take."""
        return sum(slot.nbytes for slot in self.slots)


def storage_of(
    program: Program,
    forms: Sequence[Form | None],
    blocks: Sequence[Block],
    donated: Mapping[int, int],
) -> Storage:
    """Give every array a home where it can have one.

    Args:
        forms: how each instruction is printed; None for effects.
        donated: numbers of results with the numbers of the entries that they may overwrite.
    """
    found = Storage()
    found.roots, found.dies = _lives(program, forms)
    found.rooms = _rooms(program, blocks)
    writers = _writers(program, forms, blocks)
    _choose_direct(program, writers, found)
    _choose_in_place(program, forms, writers, donated, found)
    _Allocation(program, forms, writers, found).run(blocks)
    return found


def _lives(
    program: Program, forms: Sequence[Form | None]
) -> tuple[dict[Var, frozenset[Var]], dict[Var, int]]:
    """Who owns the memory of each variable that has any, and when it is read last."""
    roots: dict[Var, frozenset[Var]] = {x: frozenset((x,)) for x in program.entries if _holds(x)}
    dies: dict[Var, int] = {}
    for number, (i, form) in enumerate(zip(program.instructions, forms, strict=True)):
        shared: set[Var] = set()
        for x in i.reads():
            if x in roots:
                shared |= roots[x]
        for root in shared:
            dies[root] = number
        for x in i.outs:
            if _holds(x):
                own = form is not None and form.fresh
                roots[x] = frozenset((x,) if own else (x, *shared))
                dies[x] = number
    for x in program.results:
        for root in roots.get(x, NOTHING) if x.__class__ is Var else NOTHING:
            dies[root] = len(program.instructions)
    return roots, dies


def _holds(x: Var) -> bool:
    """Whether a variable may hold arrays: it is one, or something unknown."""
    return x.kind is np.ndarray or x.kind is object


def _rooms(program: Program, blocks: Sequence[Block]) -> dict[Var, Var]:
    """For each array that is read in its own block only, one of a block's length."""
    if not blocks:
        return {}
    block_of = {n: block for block in blocks for n in range(block.start, block.stop)}
    made = {program.instructions[n].outs[0]: block for n, block in block_of.items()}
    outlive = {x for x in program.results if x.__class__ is Var}
    for number, i in enumerate(program.instructions):
        block = block_of.get(number)
        outlive.update(x for x in i.reads() if made.get(x) is not block)
    return {
        x: Var(np.ndarray, (block.length,), x.dtype, (x.dtype.itemsize,))
        for x, block in made.items()
        if x not in outlive and x.dtype is not None
    }


def _writers(
    program: Program, forms: Sequence[Form | None], blocks: Sequence[Block]
) -> dict[Var, int]:
    """The numbers of the instructions that can write their result into a given array."""
    found = {
        program.instructions[n].outs[0]: n
        for block in blocks
        for n in range(block.start, block.stop)
    }
    for number, (i, form) in enumerate(zip(program.instructions, forms, strict=True)):
        if form is not None and form.takes_out and is_dense(i.outs[0]):
            found[i.outs[0]] = number
    return found


def _choose_direct(program: Program, writers: dict[Var, int], found: Storage) -> None:
    for number, x in enumerate(program.results):
        if x.__class__ is Var and x in writers:
            found.direct.setdefault(x, number)


def _choose_in_place(
    program: Program,
    forms: Sequence[Form | None],
    writers: dict[Var, int],
    donated: Mapping[int, int],
    found: Storage,
) -> None:
    """Which of the donated entries can be overwritten: nothing reads them later, nothing raises."""
    last_stop = max((n for n, form in enumerate(forms) if not form or form.raises), default=-1)
    for result, number in donated.items():
        x, entry = program.results[result], program.entries[number]
        if x is entry:
            found.in_place[result] = number  # there is nothing to write
        elif x.__class__ is Var and alike(x, entry):
            end = len(program.instructions)
            written = writers[x] if found.direct.get(x) == result else end
            read = found.dies.get(entry, -1)
            over = written < end and _may_overwrite(
                program.instructions[written], forms[written], entry, found
            )
            if last_stop < written and (read < written or (read == written and over)):
                found.in_place[result] = number


def _may_overwrite(i: Instruction, form: Form | None, owner: Var, found: Storage) -> bool:
    """Whether an instruction may write its result over what ``owner`` holds.

    It must read that in no other way than entry by entry. In another order of memory, NumPy would
    first make a copy.
    """
    if form is None or not alike(i.outs[0], owner):
        return False
    readers = [x for x in i.reads() if owner in found.roots.get(x, NOTHING)]
    over = sum(x is owner for x in i.operands[: form.over])
    return len(readers) == over


class _Allocation:
    """Gives each writable array a slot for the time it lives: the one that fits it best."""

    def __init__(
        self,
        program: Program,
        forms: Sequence[Form | None],
        writers: dict[Var, int],
        found: Storage,
    ) -> None:
        self.program, self.forms, self.writers, self.found = program, forms, writers, found
        self.free: list[Slot] = []
        self.dying: dict[int, list[Var]] = defaultdict(list)
        for x, number in found.dies.items():
            self.dying[number].append(x)

    def run(self, blocks: Sequence[Block]) -> None:
        """Go through the program."""
        starts = {block.start: block for block in blocks}
        number = 0
        while number < len(self.program.instructions):
            block = starts.get(number)
            if block is None:
                self._settle(number)
                number += 1
            else:
                self._settle_block(block)
                number = block.stop

    def _settle(self, number: int) -> None:
        """Find a home for what an instruction makes, and give back what dies with it."""
        i, homes = self.program.instructions[number], self.found.homes
        ends = [y for y in self.dying[number] if y in homes]
        for x in i.outs:
            if x not in self.writers or x in self.found.direct or x in homes:
                continue
            over = [y for y in ends if _may_overwrite(i, self.forms[number], y, self.found)]
            homes[x] = homes[over[0]] if over else self._slot_for(self.found.rooms.get(x, x))
            if over:
                ends.remove(over[0])
            if self.found.dies[x] == number:
                ends.append(x)  # nobody reads it
        self.free += [homes[y] for y in ends]

    def _settle_block(self, block: Block) -> None:
        """Whole arrays made or read here have homes for the whole block, the others as usual.

        For one block may still read where another has written: entries of different sizes lie at
        different places.
        """
        numbers = range(block.start, block.stop)
        for number in numbers:
            x = self.program.instructions[number].outs[0]
            if x not in self.found.rooms and x not in self.found.direct:
                self.found.homes[x] = self._slot_for(x)
        later: list[Var] = []
        for number in numbers:
            ends = self.dying[number]
            later += [y for y in ends if y not in self.found.rooms]
            self.dying[number] = [y for y in ends if y in self.found.rooms]
            self._settle(number)
        self.free += [self.found.homes[y] for y in later if y in self.found.homes]

    def _slot_for(self, x: Var) -> Slot:
        layout = layout_of(x)
        slot = _best(self.free, layout, x.nbytes)
        if slot is None:
            slot = Slot(len(self.found.slots))
            self.found.slots.append(slot)
        else:
            self.free.remove(slot)
        slot.nbytes = max(slot.nbytes, x.nbytes)
        slot.last = layout
        return slot


def layout_of(x: Var) -> Layout:
    """What tells arrays apart that live in the same memory."""
    return x.shape, x.dtype, x.strides


def _best(free: Iterable[Slot], layout: Layout, nbytes: int) -> Slot | None:
    """The slot used last for the same layout; else the smallest large enough, else the largest."""
    same = [slot for slot in free if slot.last == layout]
    if same:
        return same[-1]
    enough = [slot for slot in free if slot.nbytes >= nbytes]
    if enough:
        return min(enough, key=_size)
    return max(free, key=_size, default=None)


def _size(slot: Slot) -> int:
    return slot.nbytes
