"""Names in printed source: the user's where there are any, else short ones by what a value is."""

from __future__ import annotations

import builtins
import keyword
import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from microgradopt.compiler.program import Instruction, Var

PREFIXES = {
    "matmul": "z", "relu": "h", "maximum": "h", "tanh": "h", "sigmoid": "h",
    "exp": "e", "log": "log", "sum": "s", "sqrt": "root", "square": "sq",
    "greater": "mask", "greater_equal": "mask", "less": "mask", "less_equal": "mask",
    "equal": "mask", "not_equal": "mask", "logical_and": "mask", "logical_or": "mask",
}  # fmt: skip
TAKEN = {
    "np",
    "math",
    "clock",
    "entries",
    "into",
    "kept",
    "n",
    "part",
    *keyword.kwlist,
    *dir(builtins),
}
SPELLED = frozenset(("float16", "float32", "float64"))  # as floats, without losing digits
FINITE = frozenset((int, bool, type(None), str))


class Names:
    """The local names of variables, and the constants that the source reaches by name."""

    def __init__(self, wishes: dict[Var, str]) -> None:
        self.wishes = wishes  # for variables without a name
        self.taken = set(TAKEN)
        self.counts: dict[str, int] = {}
        self.local: dict[Var, str] = {}
        self.constants: dict[str, Any] = {}
        self.definition: dict[str, str] = {}  # of constants, with their names
        self.known: dict[int, str] = {}  # names of constants, by id: ``constants`` keeps them alive

    def of(self, x: Any) -> str:
        """The text of an operand: a variable's name, a number, or the name of a constant."""
        kind = x.__class__
        if kind is Var:
            return self.local[x]
        if kind is float and math.isfinite(x):
            return repr(x)
        if kind in FINITE:
            return repr(x)
        if kind is tuple:
            return f"({', '.join(map(self.of, x))}{',' if len(x) == 1 else ''})"
        if kind is list:
            return f"[{', '.join(map(self.of, x))}]"
        if kind is dict:
            return "{" + ", ".join(f"{key!r}: {self.of(v)}" for key, v in x.items()) + "}"
        if kind is slice:
            return f"slice({self.of(x.start)}, {self.of(x.stop)}, {self.of(x.step)})"
        if x is Ellipsis:
            return "..."
        if isinstance(x, np.floating) and np.isfinite(x) and x.dtype.name in SPELLED:
            return self.defined(f"np.{x.dtype.name}({float(x)!r})", "k")
        return self.constant(x, _what(x))

    def owner(self, x: Any) -> str:
        """The text of an operand whose method is called."""
        return self.of(x) if x.__class__ is Var else f"({self.of(x)})"

    def arguments(self, operands: Iterable[Any], params: dict[str, Any]) -> str:
        """The text of the arguments of a call."""
        given = [self.of(x) for x in operands]
        given += [f"{key}={self.of(value)}" for key, value in params.items()]
        return ", ".join(given)

    def index(self, part: Any) -> str:
        """The text of a part of an index."""
        if part.__class__ is not slice:
            return self.of(part)
        start, stop = ("" if x is None else self.of(x) for x in (part.start, part.stop))
        return f"{start}:{stop}" + ("" if part.step is None else f":{self.of(part.step)}")

    def constant(self, value: Any, name: str) -> str:
        """The name under which the source reaches a constant, a function for instance."""
        known = self.known.get(id(value))
        if known is None:
            known = self.known[id(value)] = self.new(name)
            self.constants[known] = value
        return known

    def defined(self, text: str, name: str) -> str:
        """The name of a constant that the source defines itself, before the function."""
        if text not in self.definition:
            self.definition[text] = self.new(name)
        return self.definition[text]

    def definitions(self) -> list[str]:
        """The lines that define constants; and those that say what the other arrays are."""
        lines = [
            f"# {name}: a constant, {value.dtype} of shape {value.shape}"
            for name, value in self.constants.items()
            if isinstance(value, np.ndarray)
        ]
        return [*lines, *(f"{name} = {text}" for text, name in self.definition.items())]

    def filled(self, number: float, shape: tuple[int, ...], dtype: Any) -> str:
        """The name of an array of equal numbers."""
        kind = "ones" if number else "zeros"
        size = "x".join(map(str, shape))
        return self.defined(f"np.{kind}({self.of(shape)}, np.{dtype.name})", f"{kind}_{size}")

    def cuts(self, entries: int, length: int) -> str:
        """The name of the slices that cut a row of entries into blocks."""
        text = f"[slice(a, min(a + {length}, {entries})) for a in range(0, {entries}, {length})]"
        return self.defined(text, f"blocks_{entries}")

    def new(self, wanted: str) -> str:
        """A name that nothing has yet: the one wanted, or with a number behind."""
        name = wanted = re.sub(r"\W+", "_", wanted).strip("_") or "x"
        if name[0].isdigit():
            name = wanted = f"x_{name}"
        while name in self.taken:
            self.counts[wanted] = self.counts.get(wanted, 1) + 1
            name = f"{wanted}_{self.counts[wanted]}"
        self.taken.add(name)
        return name

    def entry(self, x: Var) -> None:
        """Name an entry."""
        self.local[x] = self.new(x.name or "x")

    def result(self, x: Var, i: Instruction) -> str:
        """Name what an instruction makes."""
        wish = self.wish(x)
        self.local[x] = self.new(wish) if wish else self.numbered(PREFIXES.get(i.op.name, "t"))
        return self.local[x]

    def wish(self, x: Var) -> str | None:
        """The name that somebody gave a variable."""
        return x.name or self.wishes.get(x)

    def numbered(self, prefix: str) -> str:
        """The next of the names of one kind, such as t1, t2, t3."""
        while True:
            self.counts[prefix] = self.counts.get(prefix, 0) + 1
            name = f"{prefix}{self.counts[prefix]}"
            if name not in self.taken:
                self.taken.add(name)
                return name


def _what(x: Any) -> str:
    if isinstance(x, np.dtype):
        return x.name
    if isinstance(x, np.ndarray):
        return {"i": "index", "u": "index", "b": "mask"}.get(x.dtype.kind, "c")
    if isinstance(x, (float, np.floating)):
        return "nan" if x != x else "inf" if x > 0 else "minus_inf"
    return getattr(x, "__name__", "c")
