"""What a tape does, to be read: lanes as vectors, in the user's names, long blocks cut short."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from microgradopt.compiler.tape.arrays import Number, Tape
from microgradopt.compiler.tape.order import Group, Singles, Sums, Unit
from microgradopt.engine.graph import Array

ALIKE = 3  # lines shown of those that differ in nothing but their operands
LINES = 240
ENTRIES = 4  # of a list
INFIX = {
    "add": "{} + {}", "subtract": "{} - {}", "multiply": "{} * {}", "divide": "{} / {}",
    "chain": "{} * {}", "negative": "-{}", "square": "{} ** 2", "power": "{} ** {}",
    "greater": "{} > {}", "greater_equal": "{} >= {}", "less": "{} < {}", "less_equal": "{} <= {}",
    "equal": "{} == {}", "not_equal": "{} != {}", "logical_not": "not {}", "alias": "{}",
    "where": "where({}, {}, {})", "passing": "where({}, {}, 0.0)",
}  # fmt: skip
PREFIXES = {
    "multiply": "p", "chain": "g", "relu": "h", "tanh": "h", "sigmoid": "h", "greater": "mask",
    "passing": "g",
}  # fmt: skip


def source_of(tape: Tape, stages: Sequence[Sequence[Unit]]) -> str:
    """A listing of a tape in the order in which it runs."""
    return "\n".join(_Listing(tape).lines(stages)) + "\n"


class _Listing:
    """Names for values, and lines about units."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.taken: set[str] = set()
        self.counts: dict[str, int] = {}
        self.home: dict[Number, tuple[str, int]] = {}  # of values in lanes: the vector, the lane
        self.names = {x: self.new(re.sub(r"\W+", "_", name)) for x, name in tape.names.items()}

    def new(self, wish: str) -> str:
        """A name that nothing else has: as wished, or with a number."""
        name, number = wish, 1
        while name in self.taken:
            number += 1
            name = f"{wish}_{number}"
        self.taken.add(name)
        return name

    def of(self, x: Number) -> str:
        """The text of one value."""
        if x in self.home:
            vector, lane = self.home[x]
            return f"{vector}[{lane}]"
        if self.tape.outside < x < self.tape.base:
            return repr(float(self.tape.constants[x - 1 - self.tape.outside]))
        if x not in self.names:
            self.names[x] = self.new(f"x{x}" if x < self.tape.base else f"t{x - self.tape.base}")
        return self.names[x]

    def vector(self, numbers: Array) -> str:
        """The text of one operand of all lanes."""
        if (numbers == numbers[0]).all():
            return self.of(int(numbers[0]))
        vector, _ = self.home.get(int(numbers[0]), ("", 0))
        if all(self.home.get(x) == (vector, k) for k, x in enumerate(numbers.tolist())):
            return vector
        return self._list(numbers)

    def _list(self, numbers: Array) -> str:
        shown = [self.of(x) for x in numbers[:ENTRIES].tolist()]
        return f"[{', '.join(shown)}{', …' if len(numbers) > ENTRIES else ''}]"

    def formula(self, op: int, operands: Sequence[str]) -> str:
        """A row of some operands."""
        name = self.tape.rows[op][0].name
        return INFIX[name].format(*operands) if name in INFIX else f"{name}({', '.join(operands)})"

    def lines(self, stages: Sequence[Sequence[Unit]]) -> Iterator[str]:
        """The whole listing."""
        units = [unit for stage in stages for unit in stage]
        yield from self._head(units)
        left = LINES
        for alike, block in groupby(units, self._kind):
            lines = [line for unit in block for line in self._unit(unit)]
            shown = lines if len(lines) <= ALIKE + 1 else lines[:ALIKE]
            if left > 0:
                yield from (f"    {line}" for line in shown)
                if len(lines) > len(shown):
                    yield f"    # … and {len(lines) - len(shown):,} more {alike[1]} like these"
            left -= len(shown)
        if left < 0:
            yield f"    # … and so on, for {-left:,} lines more"
        for effect in self.tape.effects:
            read = ", ".join(self.of(x) for x in effect.reads.values())
            yield f"    # {effect.instruction.op.name}({read})"
        results = [self.of(x) if kind else repr(x) for x, kind in self.tape.results]
        more = f", …  # {len(results):,} in all" if len(results) > 2 * ENTRIES else ""
        yield f"    return {', '.join(results[: 2 * ENTRIES if more else None])}{more}"

    def _head(self, units: Sequence[Unit]) -> Iterator[str]:
        total = len(self.tape)
        laned = sum(len(u.members) for u in units if isinstance(u, Group))
        summed = sum(len(s.adds) for u in units if isinstance(u, Sums) for s in u.sums)
        yield f"# {total:,} operations on floats."
        if laned:
            yield f"# {laned:,} of them are in lanes: h1[100] stands for 100 numbers side by side."
        if summed:
            yield f"# {summed:,} are the additions of sums over lanes, in order."
        entries = [self.of(x) for x in range(1, self.tape.entries + 1)]
        more = ", …" if len(entries) > 2 * ENTRIES else ""
        yield f"def step({', '.join(entries[: 2 * ENTRIES])}{more}):"

    def _kind(self, unit: Unit) -> tuple[Any, str]:
        """What units have in common that are shown as alike, and what to call them."""
        if isinstance(unit, Group):
            op = int(self.tape.op[unit.members[0] - self.tape.base])
            return (op, len(unit.members)), "vectors"
        return (type(unit), id(unit)), "sums" if isinstance(unit, Sums) else "numbers"

    def _unit(self, unit: Unit) -> Iterator[str]:
        if isinstance(unit, Singles):
            for x in unit.members.tolist():
                yield f"{self._named(x)} = {self._single(x)}"
        elif isinstance(unit, Group):
            yield self._group(unit.members)
        else:
            yield from map(self._sum, unit.sums)

    def _named(self, x: Number) -> str:
        if x not in self.names:
            name = self.tape.rows[self.tape.op[x - self.tape.base]][0].name
            self.names[x] = self._numbered(PREFIXES.get(name, "t"))
        return self.names[x]

    def _numbered(self, prefix: str) -> str:
        self.counts[prefix] = self.counts.get(prefix, 0) + 1
        return self.new(f"{prefix}{self.counts[prefix]}")

    def _single(self, x: Number) -> str:
        k = x - self.tape.base
        count = self.tape.rows[self.tape.op[k]][1]
        return self.formula(
            self.tape.op[k], [self.of(y) for y in self.tape.args[k, :count].tolist()]
        )

    def _group(self, members: Array) -> str:
        at = members - self.tape.base
        op = int(self.tape.op[at[0]])
        row, count = self.tape.rows[op]
        text = self.formula(op, [self.vector(x) for x in self.tape.args[at, :count].T])
        name = self._numbered(PREFIXES.get(row.name, "v"))
        self.home.update((x, (name, lane)) for lane, x in enumerate(members.tolist()))
        return f"{name}[{len(members)}] = {text}"

    def _sum(self, s: Any) -> str:
        text = f"{self.of(s.first)} + sum({self.vector(s.terms)})"
        name = self.names.setdefault(int(s.adds[-1]), self._numbered("s"))
        return f"{name} = {text}  # {len(s.terms)} terms"
