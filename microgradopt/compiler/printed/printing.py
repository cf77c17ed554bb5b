"""The source of a program: straight-line NumPy, with the user's names and lines."""

from __future__ import annotations

import linecache
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from microgradopt.compiler.printed.blocks import Block
from microgradopt.compiler.printed.kernels import checking
from microgradopt.compiler.printed.lowering import Form
from microgradopt.compiler.printed.names import Names
from microgradopt.compiler.printed.storage import NOTHING, Layout, Storage, layout_of
from microgradopt.compiler.program import (
    Guard,
    GuardError,
    Host,
    Instruction,
    Program,
    Var,
    variables,
)
from microgradopt.engine.graph import Array
from microgradopt.engine.lines import NOWHERE, Line
from microgradopt.engine.ops.shapes import transpose_row
from microgradopt.engine.rules import reshape_to

WIDTH = 100
INDENT = "    "
CLOCK = f"{INDENT}clock()"
VIEWS = (transpose_row, reshape_to)


@dataclass(frozen=True, slots=True)
class Statement:
    """A line of the function's body, or several that belong together: what they do, in short."""

    text: str
    instructions: Sequence[Instruction] = ()
    title: str = ""


@dataclass(frozen=True)
class Source:
    """What was printed: a function ``(entries, into, kept)`` with what it reaches by name.

    ``kept`` says what the function's third argument is made of: for each array the number of its
    slot and its layout.
    """

    name: str
    head: list[str]
    body: list[Statement]
    tail: list[str]
    namespace: dict[str, Any]
    kept: list[tuple[int, Var]]

    def text(self, *, timed: bool = False) -> str:
        """The source; ``timed`` calls ``clock`` before the first instruction and after each."""
        lines = [*self.head, *([CLOCK] if timed else ())]
        for statement in self.body:
            lines.append(statement.text)
            if timed and statement.instructions:
                lines.append(CLOCK)
        return "\n".join([*lines, *self.tail, ""])


class Printer:
    """Prints a program, instruction by instruction."""

    def __init__(
        self,
        program: Program,
        forms: Sequence[Form | None],
        blocks: Sequence[Block],
        storage: Storage,
        name: str,
        wishes: dict[Var, str],
    ) -> None:
        self.program, self.forms, self.storage = program, forms, storage
        self.blocks = {block.start: block for block in blocks}
        self.in_blocks = {
            program.instructions[n].outs[0] for b in blocks for n in range(b.start, b.stop)
        }
        self.names = Names(wishes)
        self.name = self.names.new(name)
        self.buffers: dict[tuple[int, Layout], str] = {}
        self.kept: list[tuple[int, Var]] = []
        self.inline = self._inline()

    def _inline(self) -> set[Var]:
        """Views that are read once: they are printed where they are read, like x.T in x.T @ y."""
        views = {
            i.outs[0]
            for i in self.program.instructions
            if i.op in VIEWS and not self.names.wish(i.outs[0])
        }
        if not views:
            return views
        reads = Counter(x for i in self.program.instructions for x in i.reads() if x in views)
        return {x for x in views if reads[x] == 1}.difference(variables(self.program.results))

    def source(self) -> Source:
        """The whole of it."""
        for x in self.program.entries:
            self.names.entry(x)
        body = list(self._body())
        tail = self._return()
        head = self.names.definitions()
        head.append(f"def {self.name}(entries, into, kept):")
        head += _unpacked([self.names.local[x] for x in self.program.entries], "entries")
        head += _unpacked(list(self.buffers.values()), "kept")
        namespace = {"np": np, "math": math, **self.names.constants}
        return Source(self.name, head, body, tail, namespace, self.kept)

    def _body(self) -> Iterator[Statement]:
        line = NOWHERE
        number = 0
        while number < len(self.program.instructions):
            i, form, block = (
                self.program.instructions[number],
                self.forms[number],
                self.blocks.get(number),
            )
            if block is not None:
                yield self._loop(block)
                line, number = NOWHERE, block.stop
                continue
            if i.line[:2] != line[:2]:
                line = i.line
                if comment := self._comment(line):
                    yield Statement(comment)
            number += 1
            if form is not None and i.outs and i.outs[0] in self.inline:
                self.names.local[i.outs[0]] = form.write(i, self.names)
                continue
            text = self._effect(i) if form is None else self._assigned(i, form)
            yield Statement(_fitted(INDENT + text), (i,), text)

    def _loop(self, block: Block) -> Statement:
        """A chain of operations, done for one block of the arrays after the other."""
        chain = self.program.instructions[block.start : block.stop]
        rooms, local = self.storage.rooms, self.names.local
        outlive = [i for i in chain if i.outs[0] not in rooms]
        made = {i.outs[0] for i in chain}
        read = dict.fromkeys(x for i in chain for x in i.reads() if x.is_array and x not in made)
        opening = [self._comment(line) for line in dict.fromkeys(i.line for i in chain)]
        opening += [INDENT + self._targets(i) + self._room(i.outs[0]) for i in outlive]
        names = {x: local[x] for x in (*read, *(i.outs[0] for i in outlive))}
        flat = {x: self.names.new(f"{name}_flat") for x, name in names.items()}
        opening += [f"{INDENT}{flat[x]} = {name}.reshape(-1)" for x, name in names.items()]
        local.update({x: self.names.new(f"{name}_part") for x, name in names.items()})
        loop = ["n = part.stop - part.start"]
        loop += [f"{local[x]} = {flat[x]}[part]" for x in names]
        homes = dict.fromkeys(self._home(i.outs[0]) for i in chain if i.outs[0] in rooms)
        cut = {home: self.names.new(f"{home}_part") for home in homes}
        loop += [f"{part} = {home}[:n]" for home, part in cut.items()]
        forms = self.forms[block.start : block.stop]
        loop += [self._link(i, form, cut) for i, form in zip(chain, forms, strict=True)]
        local.update(names)
        cuts = self.names.cuts(block.entries, block.length)
        lines = [*filter(None, opening), f"{INDENT}for part in {cuts}:"]
        lines += [_fitted(2 * INDENT + line) for line in loop]
        return Statement("\n".join(lines), chain, f"for part in {cuts}: {len(chain)} operations")

    def _room(self, x: Var) -> str:
        """The text of an array that blocks are written into."""
        home = self._home(x)
        if x not in self.storage.direct:
            return home
        room = self.names.constant(_room, "room")
        return f"{room}({home}, {self.names.of(x.shape)}, {self.names.of(x.dtype)})"

    def _link(self, i: Instruction, form: Form | None, cut: dict[str, str]) -> str:
        x = i.outs[0]
        assert form is not None
        assert form.in_block is not None
        text = form.in_block(i, self.names)[:-1]
        if x not in self.storage.rooms:
            return f"{text}, out={self.names.local[x]})"
        return f"{self._targets(i)}{text}, out={cut[self._home(x)]})"

    def _comment(self, line: Line) -> str:
        said = linecache.getline(line[0], line[1]).strip()
        return f"{INDENT}# {said}" if said else ""

    def _assigned(self, i: Instruction, form: Form) -> str:
        text = form.write(i, self.names)
        home = self._home(i.outs[0]) if i.outs else ""
        if home:
            text = f"{text[:-1]}, out={home})"  # what takes out= ends with its arguments
        return self._targets(i) + text

    def _targets(self, i: Instruction) -> str:
        names = [self.names.result(x, i) for x in i.outs]
        return f"{', '.join(names)} = " if names else ""

    def _home(self, x: Var) -> str:
        if x in self.storage.direct:
            return f"into[{self.storage.direct[x]}]"
        slot = self.storage.homes.get(x)
        if slot is None:
            return ""
        x = self.storage.rooms.get(x, x)
        key = (slot.number, layout_of(x))
        if key not in self.buffers:
            self.buffers[key] = self.names.new(f"b{len(self.buffers)}")
            self.kept.append((slot.number, x))
        return self.buffers[key]

    def _effect(self, i: Instruction) -> str:
        if isinstance(i.op, Guard):
            raising = self.names.constant(GuardError, "GuardError")
            unless = "not " if i.op.expected else ""
            return f"if {unless}{self.names.of(i.operands[0])}: raise {raising}"
        function = i.op.function if isinstance(i.op, Host) else checking(i.op)
        callee = self.names.constant(function, i.op.name)
        return f"{self._targets(i)}{callee}({self.names.arguments(i.operands, i.params)})"

    def _return(self) -> list[str]:
        seen: set[Var] = set(self.program.entries)
        parts = []
        for number, x in enumerate(self.program.results):
            parts.append(self._result(number, x, seen))
            seen |= self._roots(x)
        return _wrapped("return [", parts, "]")

    def _roots(self, x: Any) -> frozenset[Var]:
        return self.storage.roots.get(x, NOTHING) if x.__class__ is Var else NOTHING

    def _result(self, number: int, x: Any, seen: set[Var]) -> str:
        """The text of a result: arrays alias nothing that is kept, and none that was ``seen``."""
        text = self.names.of(x)
        if not _is_array(x):
            return text
        if x.__class__ is Var and self.storage.direct.get(x) == number:
            if x not in self.in_blocks:
                return text
            return f"{self.names.constant(_given, 'given')}({text}, into[{number}])"
        roots = self._roots(x)
        private = roots and roots == {x} and not roots & seen and x not in self.storage.homes
        name, give = ("given", _given) if private else ("copied", _copied)
        return f"{self.names.constant(give, name)}({text}, into[{number}])"


def _unpacked(names: list[str], whole: str) -> list[str]:
    if len(names) <= 1:
        return [f"{INDENT}({name},) = {whole}" for name in names]
    return _wrapped("", names, f" = {whole}", "(", ")")


def _wrapped(
    before: str, parts: list[str], after: str, left: str = "", right: str = ""
) -> list[str]:
    """A line of parts with commas between them; over several lines where it is long."""
    line = INDENT + before + ", ".join(parts) + after
    if len(line) <= WIDTH:
        return [line]
    return [INDENT + before + left, *_filled(parts, 2 * INDENT), INDENT + right + after]


def _fitted(line: str) -> str:
    """A call, over several lines where it is too long for one."""
    opening = line.find("(")
    if len(line) <= WIDTH or not line.endswith(")"):
        return line
    margin = line[: len(line) - len(line.lstrip())]
    parts = _parts(line[opening + 1 : -1])
    if not parts:
        return line
    return "\n".join([line[: opening + 1], *_filled(parts, margin + INDENT), f"{margin})"])


def _parts(arguments: str) -> list[str]:
    """The text of arguments, at the commas that are in no string; none if it is no list."""
    parts, depth, quote = [""], 0, ""
    for sign in arguments:
        if quote or sign in "'\"":
            quote = "" if sign == quote else quote or sign
        else:
            depth += (sign in "([{") - (sign in ")]}")
            if depth < 0:
                return []
        if sign == "," and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _filled(parts: list[str], margin: str) -> list[str]:
    """Lines of parts, each with a comma behind it."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 2 <= WIDTH:
            lines[-1] += f" {part},"
        else:
            lines.append(f"{margin}{part},")
    return lines


def _is_array(x: Any) -> bool:
    return x.is_array if x.__class__ is Var else isinstance(x, np.ndarray)


def _given(x: Array, into: Array | None) -> Array:
    """A result in the caller's array, or as it is."""
    if into is None or into is x:
        return x
    np.copyto(into, x)
    return into


def _room(into: Array | None, shape: tuple[int, ...], dtype: Any) -> Array:
    """The caller's array, or a new one where that cannot be written block by block."""
    if into is None or not into.flags.c_contiguous:
        return np.empty(shape, dtype)
    return into


def _copied(x: Array, into: Array | None) -> Array:
    """A result in the caller's array, or in a new one."""
    if into is None:
        return x.copy(order="K")
    if into is not x:
        np.copyto(into, x)
    return into
