"""From a computation graph to a Scene: what is to be drawn, as plain data and short texts.

A Scene is a snapshot. It keeps no node and no array, so it shows the graph as it was when the
Scene was made, whatever happens to the graph afterwards.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from microgradopt.drawing.text import clean, exact, kind_of, parameters, shorten, summary
from microgradopt.engine.graph import ancestors

Direction: TypeAlias = Literal["LR", "TB"]
Kind: TypeAlias = Literal[
    "leaf", "fixed", "constant", "inner", "output", "more", "argument", "state", "guard", "host"
]
# leaf: a gradient flows to it; fixed: a leaf without gradient; more: operands left out of the view;
# the last four are found in programs only, see compiled.py

NAME_SHOWN = 24  # characters of a name on the picture; the tooltip has all of it


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a box: a label such as ``data``, a short text, and whether it is NaN or inf."""

    label: str
    text: str
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A node, constant or stub of the picture: its look, its texts, and its tooltip."""

    kind: Kind
    name: str
    symbol: str
    detail: str
    lines: tuple[Line, ...]
    tooltip: str

    @property
    def alarm(self) -> bool:
        """Whether any row shows NaN or infinity."""
        return any(line.alarm for line in self.lines)


@dataclass(frozen=True, slots=True)
class Arrow:
    """Box number ``tail`` is operand number ``slot`` of box number ``head``."""

    tail: int
    head: int
    slot: int


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture without positions: boxes, every one after its operands, and arrows between them."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    direction: Direction = "LR"
    title: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """What :func:`draw` was asked to show."""

    direction: Direction = "LR"
    values: bool = True
    grads: bool = True
    max_nodes: int | None = None
    title: str | None = None


def build_scene(roots: Sequence[Any], options: Options) -> Scene:
    """Describe every node the ``roots`` depend on; only the nearest ones if there is a limit."""
    nodes = ancestors(roots)
    total = len(nodes)
    if options.max_nodes is not None and total > options.max_nodes:
        nodes = operands_first(nearest(roots, options.max_nodes))
    painter = _Painter(options, {id(root) for root in roots})
    for node in nodes:
        painter.add(node)
    hidden = total - len(nodes)
    note = f"the {len(nodes):,} nodes nearest to the output, of {total:,}" if hidden else ""
    title = clean(options.title or "")
    return Scene(tuple(painter.boxes), tuple(painter.arrows), options.direction, title, note)


def operands_first(nodes: Iterable[Any]) -> list[Any]:
    """Sort nodes so that operands come first: a leaf assigned after its use has a late number."""
    return sorted(nodes, key=lambda node: (node.op is not None, node.index))


def nearest(roots: Sequence[Any], limit: int) -> list[Any]:
    """Return the ``limit`` nodes fewest steps upstream of ``roots``, breadth first."""
    found = {id(root): root for root in roots}
    queue = list(found.values())
    for node in queue:
        if len(found) >= limit:
            break
        for parent in node.parents:
            if id(parent) not in found and len(found) < limit:
                found[id(parent)] = parent
                queue.append(parent)
    return list(found.values())


class _Painter:
    """Collects boxes and arrows while the nodes go by, operands first."""

    def __init__(self, options: Options, roots: set[int]) -> None:
        self.options = options
        self.roots = roots
        self.boxes: list[Box] = []
        self.arrows: list[Arrow] = []
        self.place: dict[int, int] = {}

    def add(self, node: Any) -> None:
        """Add a node, and before it the constants among its operands."""
        tails = [self._operand(arg, node) for arg in node.args]
        head = len(self.boxes)
        self.place[id(node)] = head
        self.boxes.append(self._box(node))
        self.arrows.extend([Arrow(tail, head, slot) for slot, tail in enumerate(tails)])

    def _operand(self, arg: Any, user: Any) -> int:
        place = self.place.get(id(arg))
        if place is not None:
            if arg.index > user.index:
                self.boxes[place] = _reassigned(self.boxes[place])
            return place
        is_node = hasattr(arg, "parents")
        self.boxes.append(more_box(arg.name) if is_node else constant_box(arg, self.options.values))
        return len(self.boxes) - 1

    def _box(self, node: Any) -> Box:
        op = node.op
        lines = self._lines(node)
        name = node.name or ""
        params = parameters(node.params) if op is not None else ""
        return Box(
            kind=self._kind(node),
            name=shorten(clean(name), NAME_SHOWN) if name else "",
            symbol=clean(op.symbol) if op is not None else "",
            detail=params,
            lines=lines,
            tooltip=_tooltip(node, params),
        )

    def _kind(self, node: Any) -> Kind:
        if node.op is None:
            return "leaf" if node.requires_grad else "fixed"
        return "output" if id(node) in self.roots else "inner"

    def _lines(self, node: Any) -> tuple[Line, ...]:
        lines = []
        if isinstance(node.data, np.ndarray):
            lines.append(Line("shape", kind_of(node.data)))
        if self.options.values:
            lines.append(Line("data", *summary(node.data)))
        if self.options.grads and node.grad is not None:
            lines.append(Line("grad", *summary(_plain(node.grad))))
        return tuple(lines)


def constant_box(value: Any, entries: bool = True) -> Box:
    """The box of a number or array; ``entries`` shows those of a small array."""
    text, alarm = summary(value)
    if isinstance(value, np.ndarray) and (value.size > 4 or not entries):
        text = f"array {kind_of(value)}"
    tooltip = f"constant\n{clean_lines(exact(value))}"
    return Box("constant", "", "", "", (Line("", clean(text), alarm),), tooltip)


def _plain(grad: Any) -> Any:
    """Return the data of a gradient that is itself a node, ready for a second derivative."""
    return grad.data if hasattr(grad, "parents") else grad


def more_box(name: str | None) -> Box:
    """The stub in the place of an operand that is not shown."""
    called = f" {clean(name)}" if name else ""
    return Box("more", "", "", "", (Line("", "\u2026"),), f"operand{called} left out by max_nodes")


def _reassigned(box: Box) -> Box:
    """Mark a leaf whose data was assigned after the graph had used the old data."""
    if box.detail:
        return box
    warning = "its data was assigned after this graph had used the old data"
    return replace(box, detail="reassigned", tooltip=f"{box.tooltip}\n{warning}")


def _tooltip(node: Any, params: str) -> str:
    made_by = f"{clean(node.op.name)} {params}".rstrip() if node.op is not None else _origin(node)
    head = f"{clean(node.name)} = {made_by}" if node.name else made_by
    parts = [head]
    if isinstance(node.data, np.ndarray):
        parts.append(f"shape {kind_of(node.data)}")
    parts.append(f"data {clean_lines(exact(node.data))}")
    if node.grad is not None:
        parts.append(f"grad {clean_lines(exact(_plain(node.grad)))}")
    return "\n".join(parts)


def _origin(node: Any) -> str:
    return "leaf" if node.requires_grad else "leaf without gradient"


def clean_lines(text: str) -> str:
    """Clean every line of a text and keep the line breaks."""
    return "\n".join(map(clean, text.split("\n"))) if "\n" in text else clean(text)
