"""Expressions as data: what a random graph is before anybody evaluates it.

An :class:`Expression` is a list of named steps. Each applies one row to operands, and an operand is
the name of an earlier variable, a constant, or a small step of its own, written in place. As it is
data it has several readers: the library itself, another library's functions (see
``benchmarks/fuzz.py``), and a printer of source that runs.
"""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from microgradopt import engine
from microgradopt.engine.graph import Node, Primitive
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import Differentiable, data_of
from microgradopt.errors import UsageError

__all__ = ["Expression", "Step", "library_rows"]

Operand: TypeAlias = "str | float | np.ndarray[Any, Any] | Step"
Apply: TypeAlias = Callable[[Any, Sequence[Any], dict[str, Any]], Any]

PUBLIC = {name: getattr(module, name) for module in engine.MODULES for name in module.__all__}
INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}

LAYOUTS: dict[str, tuple[Callable[[Any], Any], str]] = {  # how an array lies in memory
    "C": (np.array, "{}"),
    "Fortran": (lambda x: np.array(x, order="F"), "np.asfortranarray({})"),
    "reversed": (lambda x: np.asarray(np.flip(np.flip(x).copy())), "np.flip(np.flip({}).copy())"),
    "strided": (
        lambda x: np.repeat(np.atleast_1d(x), 2, axis=-1)[..., ::2].reshape(np.shape(x)),
        "np.repeat({}, 2, axis=-1)[..., ::2]",
    ),
}
READ_ONLY = "read-only"
EVERY_LAYOUT = (*LAYOUTS, READ_ONLY)


class Step(NamedTuple):
    """One row applied to operands: names of variables, constants, or steps written in place."""

    row: Primitive
    operands: tuple[Any, ...]
    params: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Expression:
    """A function made of rows, and a point to evaluate it at.

    Calling it applies the rows in order, to whatever is given: floats and arrays give plain
    results, nodes a graph. It returns the variables that no step uses: one, or a tuple of several.
    """

    variables: Mapping[str, Any]
    """The inputs' names, each with the float or array it was drawn with."""
    steps: Mapping[str, Step]
    results: tuple[str, ...]

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The point: a float or an array for each argument."""
        return tuple(self.variables.values())

    @property
    def rows(self) -> list[Primitive]:
        """The row of every application, those written in place included, in no special order."""
        found: list[Primitive] = []
        todo: list[Any] = list(self.steps.values())
        while todo:
            step = todo.pop()
            if isinstance(step, Step):
                found.append(step.row)
                todo.extend(step.operands)
        return found

    def __call__(self, *inputs: Any) -> Any:
        return self.run(inputs, _apply)

    def run(self, inputs: Sequence[Any], apply: Apply) -> Any:
        """Evaluate with ``apply(row, args, params)`` in the place of every row.

        Raises:
            UsageError: for another number of inputs than there are arguments.
        """
        if len(inputs) != len(self.variables):
            names = ", ".join(self.variables)
            raise UsageError(f"the expression takes ({names}); it got {len(inputs)} argument(s)")
        known = dict(zip(self.variables, inputs))
        for name, step in self.steps.items():
            known[name] = evaluate(step, known, apply)
        found = tuple(known[name] for name in self.results)
        return found if len(found) > 1 else found[0]

    def source(self, name: str = "f") -> str:
        """A Python program that defines the function, and calls it at the point."""
        writer = _Writer()
        self.run(self.inputs, writer.learn)
        body = self._body(writer)
        call = ", ".join(literal(x) for x in self.inputs)
        lines = [
            "import numpy as np",
            "import microgradopt as mg",
            *writer.lookups(),
            "",
            f"def {name}({', '.join(self.variables)}):",
            *(f"    {line}" for line in body),
            "",
            f"{name}({call})",
        ]
        return "\n".join(lines)

    __repr__ = source

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # asked by Hypothesis and IPython
        printer.text(f"\n{self.source()}\n")

    def _body(self, writer: _Writer) -> list[str]:
        lines: list[str] = []
        for name, step in self.steps.items():
            text = writer.text(step, top=True)
            lines.append(f"return {text}" if self.results == (name,) else f"{name} = {text}")
        last = lines[-1] if lines else ""
        if not last.startswith("return "):
            lines.append(f"return {', '.join(self.results)}")
        return lines


def _apply(row: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
    return row(*args, **params)


def evaluate(operand: Any, known: Mapping[str, Any], apply: Apply = _apply) -> Any:
    """An operand's value, given those of the variables."""
    if isinstance(operand, str):
        return known[operand]
    if isinstance(operand, Step):
        args = [evaluate(x, known, apply) for x in operand.operands]
        return apply(operand.row, args, operand.params)
    return operand


def names_in(operand: Any) -> list[str]:
    """The variables an operand is made of."""
    if isinstance(operand, Step):
        return [name for x in operand.operands for name in names_in(x)]
    return [operand] if isinstance(operand, str) else []


class _Writer:
    """Writes steps as source: by public names where these do the same as the row."""

    def __init__(self) -> None:
        self.public: dict[tuple[str, str], bool] = {}
        self.looked_up: set[str] = set()

    def learn(self, row: Primitive, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """Apply a row, and see whether the public function of its name does the same."""
        same = _same(row, PUBLIC.get(row.name), args, params)
        key = row.name, repr(params)
        self.public[key] = same and self.public.get(key, True)
        return _apply(row, args, params)

    def text(self, operand: Any, *, top: bool = False) -> str:
        if isinstance(operand, str):
            return operand
        if not isinstance(operand, Step):
            return literal(operand)
        row, operands, params = operand
        if row.name in INFIX and not top:
            left, right = (self.text(x) for x in operands)
            return f"({left} {INFIX[row.name]} {right})"
        if row.name == "index" and isinstance(operands[0], str):
            return f"{operands[0]}[{literal(params['key'])}]"
        function = f"mg.{row.name}"
        if not self.public[row.name, repr(params)]:
            function = _own_name(row.name)
            self.looked_up.add(row.name)
        args = [_bare(self.text(x)) for x in operands]
        args += [f"{key}={literal(x)}" for key, x in params.items()]
        return f"{function}({', '.join(args)})"

    def lookups(self) -> list[str]:
        """Where the rows come from that have no public name."""
        if not self.looked_up:
            return []
        found = [f"{_own_name(x)} = Primitive.table[{x!r}]" for x in sorted(self.looked_up)]
        return ["from microgradopt.engine.graph import Primitive", "", *found]


def _own_name(name: str) -> str:
    """A row's name as that of a variable, which no other variable has."""
    return f"row_{name}" if len(name) <= 2 or keyword.iskeyword(name) else name


def _bare(text: str) -> str:
    """An infix expression without the brackets it does not need as an argument."""
    return text[1:-1] if text.startswith("(") else text


@quietly
def _same(row: Primitive, function: Any, args: Sequence[Any], params: dict[str, Any]) -> bool:
    if function is None or function is row:
        return function is row
    try:
        ours, theirs = row(*args, **params), function(*args, **params)
    except Exception:  # whatever it says, it does not take the row's arguments
        return False
    return type(ours) is type(theirs) and bool(np.array_equal(ours, theirs, equal_nan=True))


def literal(x: Any) -> str:
    """Python source for a number, an array with its dtype and layout, an index, or a node's data.

    >>> literal((np.array([1.0, -0.5], np.float32), slice(None), np.dtype(np.float64)))
    "(np.array([1.0, -0.5], dtype=np.float32), slice(None, None, None), np.dtype('float64'))"
    """
    if isinstance(x, Node):
        return f"mg.{type(x).__name__}({literal(data_of(x))})"
    if isinstance(x, np.ndarray):
        return LAYOUTS[_layout(x)][1].format(_array_literal(x))
    if isinstance(x, (tuple, list)):
        inside = ", ".join(map(literal, x)) + ("," if isinstance(x, tuple) and len(x) == 1 else "")
        return f"({inside})" if isinstance(x, tuple) else f"[{inside}]"
    if isinstance(x, dict):
        return "{" + ", ".join(f"{key!r}: {literal(value)}" for key, value in x.items()) + "}"
    if isinstance(x, np.dtype):
        return f"np.{x!r}"
    if isinstance(x, float) and not np.isfinite(x):
        return f"float('{x}')"
    return repr(x.item() if isinstance(x, np.generic) else x)


def _array_literal(x: Any) -> str:
    dtype = "" if x.dtype in (np.float64, np.int64, bool) else f", dtype=np.{x.dtype}"
    if x.size == 0:
        return f"np.zeros({x.shape}, dtype={'bool' if x.dtype == bool else f'np.{x.dtype}'})"
    lines = np.array2string(
        x, separator=", ", formatter={"all": str}, threshold=sys.maxsize,
        max_line_width=sys.maxsize,
    )  # fmt: skip
    entries = re.sub(r"\s+", " ", lines)
    return f"np.array({entries}{dtype})"


def laid_out(x: Any, layout: str) -> Any:
    """A copy of an array that lies in memory as one of :data:`EVERY_LAYOUT` says."""
    build = LAYOUTS["C" if layout == READ_ONLY else layout][0]
    found = build(x)
    if layout == READ_ONLY:
        found.flags.writeable = False
    return found


def _layout(x: Any) -> str:
    """What :data:`LAYOUTS` calls the way an array lies in memory."""
    if x.flags.c_contiguous or x.size == 0:
        return "C"
    if x.flags.f_contiguous:
        return "Fortran"
    return "reversed" if min(x.strides) < 0 else "strided"


def library_rows() -> tuple[Differentiable, ...]:
    """The differentiable rows that modules of this library hold and that declare a ``sample``."""
    modules = [m for name, m in sys.modules.items() if name.split(".")[0] == "microgradopt"]
    ours = {id(thing) for module in modules for thing in list(vars(module).values())}
    return tuple(
        row
        for row in Primitive.table.values()
        if id(row) in ours and isinstance(row, Differentiable) and row.sample is not None
    )
