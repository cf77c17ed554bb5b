"""From a compiled program to a Scene: entries, instructions, and what becomes of the results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from linecache import getline
from pathlib import Path
from typing import Any

import numpy as np

from microgradopt.compiler.program import (
    Check,
    Guard,
    Host,
    Instruction,
    Program,
    Var,
    substituted,
    variables,
)
from microgradopt.compiler.wiring import Tie, WiredProgram
from microgradopt.drawing.scene import (
    NAME_SHOWN,
    Arrow,
    Box,
    Kind,
    Line,
    Options,
    Scene,
    constant_box,
    more_box,
    nearest,
)
from microgradopt.drawing.text import clean, parameter, parameters, shape_of, shorten
from microgradopt.engine.graph import Primitive
from microgradopt.engine.lines import NOWHERE
from microgradopt.errors import UsageError

SYMBOLS = {"add.reduce": "Σ", "multiply.reduce": "Π", "pow": "xʸ", "check_finite": "finite?"}
KINDS: dict[str, Kind] = {
    "argument": "argument",
    "parameter": "leaf",
    "fixed": "fixed",
    "grad": "state",
    "state": "state",
}
ENDINGS = {"parameter": ".data", "fixed": ".data", "grad": ".grad", "state": ""}
DETAIL_SHOWN, ROW_SHOWN = 28, 34  # characters
SHAPES_SHOWN = 4  # of an instruction that makes several arrays
BOXES_PER_END = 8  # where not all is shown: a few results with what leads to them, not all results


@dataclass(eq=False, slots=True)
class Item:
    """One box to be: an entry, an instruction, or a result that no instruction makes.

    Attributes:
        reads: its operands, in order: variables and constants.
        makes: the variables that it stands for.
        ties: what the entry is, or all that the results become.
        parents: the items that make what it reads.
    """

    instruction: Instruction | None = None
    reads: list[Any] = field(default_factory=list)
    makes: tuple[Var, ...] = ()
    ties: list[Tie] = field(default_factory=list)
    parents: list[Item] = field(default_factory=list)

    @property
    def is_entry(self) -> bool:
        """Whether it comes from the outside."""
        return not self.reads and self.instruction is None


def build_program_scene(program: Program, options: Options) -> Scene:
    """Describe the instructions of a program, and the entries they read.

    If there is a limit, those nearest to the results and guards only.
    """
    items = shown = _items(program)
    if not items:
        raise UsageError(
            "this program computes nothing and has no results, so that there is nothing to draw; "
            "call the function with arguments for which it does"
        )
    if options.max_nodes is not None and len(items) > options.max_nodes:
        ends = _ends(items)[: max(options.max_nodes // BOXES_PER_END, 1)]
        kept = set(nearest(ends, options.max_nodes))
        shown = [item for item in items if item in kept]
    painter = _Painter()
    for item in shown:
        painter.add(item)
    hidden = len(items) - len(shown)
    note = f"the {len(shown):,} boxes nearest to the results, of {len(items):,}" if hidden else ""
    title = options.title
    if title is None and isinstance(program, WiredProgram):
        title = program.name
    boxes, arrows = tuple(painter.boxes), tuple(painter.arrows)
    return Scene(boxes, arrows, options.direction, clean(title or ""), note)


def _items(program: Program) -> list[Item]:
    """The boxes to be, each after those that it reads from; nothing for entries nobody reads."""
    sources, targets = _ties(program)
    entries = [
        Item(makes=(x,), ties=[tie]) for x, tie in zip(program.entries, sources, strict=True)
    ]
    items = [Item(i, _operands(i), i.outs) for i in program.instructions]
    makers = {x: item for item in (*entries, *items) for x in item.makes}
    for x, ties in zip(program.results, targets, strict=True):
        maker = makers.get(x) if isinstance(x, Var) else None
        if maker is None or maker.is_entry:
            items.append(Item(reads=[x], ties=ties))
        else:
            maker.ties += ties
    for item in items:
        item.parents = [makers[x] for x in item.reads if isinstance(x, Var)]
    read = {x for item in items for x in item.parents}
    return [item for item in entries if item in read] + items


def _ties(program: Program) -> tuple[list[Tie], list[list[Tie]]]:
    """What the entries are and what the results become; all of them plain where nobody says."""
    if isinstance(program, WiredProgram):
        return program.sources, program.targets
    places = [f"[{i}]" for i in range(len(program.results))]
    return (
        [Tie("argument", x.name or "", "", x.name or "an entry") for x in program.entries],
        [[Tie("returned", at, "", f"returned{at}")] for at in places],
    )


def _operands(i: Instruction) -> list[Any]:
    """What arrows lead from: variables wherever they are, numbers and arrays among the operands."""
    found: list[Any] = []
    for x in i.operands:
        is_number = isinstance(x, (bool, int, float, np.generic, np.ndarray))
        found += [x] if is_number else variables(x)
    return found + list(variables(i.params))


def _ends(items: Sequence[Item]) -> list[Item]:
    """Where the looking starts when not all is shown: what is returned, state, then guards."""
    results = [item for item in items if item.ties and not item.is_entry]
    results.sort(key=lambda item: all(tie.role != "returned" for tie in item.ties))
    return results + [item for item in items if isinstance(_op(item), (Guard, Check))]


def _op(item: Item) -> Any:
    return None if item.instruction is None else item.instruction.op


class _Painter:
    """Collects boxes and arrows while the items go by, operands first."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self.arrows: list[Arrow] = []
        self.place: dict[Var, int] = {}

    def add(self, item: Item) -> None:
        """Add an item, and before it the constants among its operands."""
        tails = [self._operand(x) for x in item.reads]
        head = len(self.boxes)
        self.place.update(dict.fromkeys(item.makes, head))
        self.boxes.append(_entry(item) if item.is_entry else _operation(item))
        self.arrows.extend([Arrow(tail, head, slot) for slot, tail in enumerate(tails)])

    def _operand(self, x: Any) -> int:
        place = self.place.get(x) if isinstance(x, Var) else None
        if place is not None:
            return place
        self.boxes.append(more_box(x.name) if isinstance(x, Var) else constant_box(x))
        return len(self.boxes) - 1


def _entry(item: Item) -> Box:
    (tie,), (x,) = item.ties, item.makes
    lines = _shapes(item)
    if tie.of:
        lines += (Line("of", _shown(tie.of, ROW_SHOWN)),)
    name = f"{tie.name}.grad" if tie.role == "grad" else tie.name
    tooltip = f"{clean(tie.where)}\n{_type(x)}"
    return Box(KINDS[tie.role], _shown(name, NAME_SHOWN), "", "", lines, tooltip)


def _operation(item: Item) -> Box:
    lines = _shapes(item) + tuple(map(_becomes, item.ties))
    told = [f"\u2192 {clean(tie.where)}" for tie in item.ties]
    i = item.instruction
    if i is None:
        return Box("output", "", "=", "", lines, "\n".join(told))
    detail = _detail(i)
    head = [f"{clean(i.op.name)} {detail}".rstrip()]
    if i.line != NOWHERE:
        told += _line(i)
    tooltip = "\n".join([*head, *map(_type, i.outs), *told])
    return Box(_kind(item), "", _symbol(i.op), detail, lines, tooltip)


def _kind(item: Item) -> Kind:
    if isinstance(_op(item), (Guard, Check)):
        return "guard"
    if isinstance(_op(item), Host):
        return "host"
    return "output" if item.ties else "inner"


def _symbol(op: Any) -> str:
    """That of the row, or of the row of the same name: NumPy's maximum.reduce is a max too."""
    row = Primitive.table.get(op.name.removesuffix(".reduce"))
    known = SYMBOLS.get(op.name) or getattr(op, "symbol", None) or getattr(row, "symbol", op.name)
    return clean(known)


def _detail(i: Instruction) -> str:
    """The parameters, and operands that are words or structures of such, as axes are."""
    if isinstance(i.op, Guard):
        return str(i.op.expected)
    words = [parameter(x) for x in i.operands if _is_word(x)]
    named = parameters(substituted(i.params, lambda _: ...))
    return _shown(" ".join([*words, named]).strip(), DETAIL_SHOWN)


def _is_word(x: Any) -> bool:
    if isinstance(x, (tuple, list)):
        return all(_is_word(part) or isinstance(part, (int, float)) for part in x)
    return isinstance(x, (str, slice, np.dtype))


def _shapes(item: Item) -> tuple[Line, ...]:
    lines = [
        Line("shape", shape_of(x.shape, x.dtype))
        for x in item.makes
        if x.is_array and x.dtype is not None
    ]
    if len(lines) > SHAPES_SHOWN:
        lines[SHAPES_SHOWN - 1 :] = [Line("", f"{len(lines) - SHAPES_SHOWN + 1} more")]
    return tuple(lines)


def _type(x: Var) -> str:
    if x.is_array and x.dtype is not None:
        return f"{x.dtype} array of shape {x.shape}"
    return x.kind.__name__


def _becomes(tie: Tie) -> Line:
    if tie.role == "returned":
        return Line("to", _shown(tie.where, ROW_SHOWN))
    of = f" of {tie.of}" if tie.of else ""
    return Line("to", _shown(f"{tie.name}{ENDINGS[tie.role]}{of}", ROW_SHOWN))


def _line(i: Instruction) -> Iterator[str]:
    """The user's line, as in a traceback."""
    file, number, function = i.line
    yield clean(f"{Path(file).name}, line {number}, in {function}")
    if said := getline(file, number).strip():
        yield clean(said)


def _shown(text: str, longest: int) -> str:
    return shorten(clean(text), longest)
