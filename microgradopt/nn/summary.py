"""What a network is made of, and what one forward pass through it costs, as a table."""

from __future__ import annotations

import copy
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np

from microgradopt.engine.graph import Node, reach, tick
from microgradopt.engine.modes import recording
from microgradopt.engine.rules import (
    Elementwise,
    Fused,
    Linear,
    Multilinear,
    data_of,
    shape_of as shape,
)
from microgradopt.engine.structure import leaves
from microgradopt.engine.tensor import Tensor
from microgradopt.engine.value import Value
from microgradopt.errors import UsageError
from microgradopt.nn.states import Buffer

TEXTS = 3  # columns before those of numbers
WIDEST = 48  # characters of a layer's description


class Row(NamedTuple):
    """One module: what is its own, and not that of a module inside it."""

    name: str
    layer: str
    output: str  # the shape; several outputs, several shapes; empty where it was not called
    parameters: int
    trainable: int
    flops: int


@dataclass(frozen=True, repr=False)
class Summary:
    """The rows of a table of modules, and totals; printed, it is that table.

    ``flops`` counts what one forward pass computes with floating-point numbers. An operation entry
    by entry counts 1 for each entry of its result, whatever function it is. A sum counts the
    numbers it adds. Products, as in ``matmul``, ``einsum`` and convolutions, count 2 for each pair
    that is multiplied and added up: 2·m·n·k for matrices; zeros that only pad an image are no
    pairs. Moving numbers around is free, and so are comparisons and what has no derivative.
    ``uncounted`` names operations for which there is no such rule, such as decompositions.
    """

    rows: tuple[Row, ...]
    nbytes: int  # of parameters and buffers
    uncounted: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """How many numbers the parameters hold, frozen ones too."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """How many of them are trained."""
        return sum(row.trainable for row in self.rows)

    @property
    def flops(self) -> int:
        """Of one forward pass."""
        return sum(row.flops for row in self.rows)

    def _cells(self) -> list[tuple[str, ...]]:
        """The table as text, headings first; what is trainable only where something is not."""
        frozen = self.parameters != self.trainable
        table = []
        for row in self.rows:
            counts = [row.parameters, *([row.trainable] if frozen else []), row.flops]
            name = row.name or "(itself)"
            table.append((name, row.layer, row.output or "not called", *map(_grouped, counts)))
        heads = ["parameters", *(["trainable"] if frozen else []), "flops"]
        return [("name", "layer", "output", *heads), *table]

    def _totals(self) -> str:
        frozen = self.parameters - self.trainable
        trained = f"{self.trainable:,} trainable" if frozen else "all trainable"
        missing = f"; not counted: {', '.join(self.uncounted)}" if self.uncounted else ""
        return (
            f"{self.parameters:,} parameters, {trained}; {self.nbytes:,} bytes; "
            f"{self.flops:,} flops{missing}"
        )

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = []
        for row in cells:
            pairs = enumerate(zip(row, widths))
            words = [x.ljust(w) if i < TEXTS else x.rjust(w) for i, (x, w) in pairs]
            lines.append("  ".join(words).rstrip())
        return "\n".join([*lines, self._totals()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The table for a notebook."""
        head, *body = self._cells()
        return (
            f"<table><thead>{_html_row(head, 'th')}</thead>"
            f"<tbody>{''.join(_html_row(row, 'td') for row in body)}</tbody>"
            f"<caption style='caption-side: bottom'>{escape(self._totals())}</caption></table>"
        )


def _grouped(n: int) -> str:
    return f"{n:,}"


def _html_row(cells: Iterable[str], tag: str) -> str:
    styled = [
        f"<{tag} style='text-align: {'left' if i < TEXTS else 'right'}'>{escape(x)}</{tag}>"
        for i, x in enumerate(cells)
    ]
    return f"<tr>{''.join(styled)}</tr>"


def summarize(module: Any, inputs: Sequence[Any]) -> Summary:
    """The table of a module called with ``inputs``; see ``Module.summary``.

    Raises:
        UsageError: without inputs.
    """
    if not inputs:
        raise UsageError(
            "summary() needs what the module is called with: model.summary(X), or the shape of "
            "one X, model.summary((32, 2))"
        )
    twin = copy.deepcopy(module)
    diary = _Diary(twin)
    owned, trained = _sizes(twin)
    nbytes = sum(_nbytes(x) for _, x in twin._state() if isinstance(x, Node))
    twin.unfreeze()  # so that what only frozen parameters go through is recorded too
    dtypes = [p.dtype for p in twin.parameters() if isinstance(p, Tensor)]
    with recording():
        try:
            twin(*(_example(x, dtypes[0] if dtypes else np.float64) for x in inputs))
        finally:
            diary.let_go(twin)
        flops, uncounted = diary.count()
    rows = []
    for name, part in twin.named_modules():
        mine = (owned[name], trained[name], flops[name])
        if any(mine) or len(part.modules()) == 1:
            layer = repr(part)
            layer = layer if len(layer) <= WIDEST else f"{type(part).__name__}(…)"
            rows.append(Row(name, layer, diary.shapes.get(name, ""), *mine))
    return Summary(tuple(rows), nbytes, uncounted)


def _example(x: Any, dtype: Any) -> Any:
    """An input that is recorded: a node in place of an array, zeros in place of a shape.

    A tuple of others, such as the two states of an LSTM, is one of such inputs.
    """
    if isinstance(x, tuple) and all(type(n) is int for n in x):
        x = np.zeros(x, dtype)
    elif isinstance(x, tuple):
        return tuple(_example(y, dtype) for y in x)
    floating = isinstance(x, np.ndarray) and x.dtype.kind == "f"
    return Tensor(x) if floating else copy.deepcopy(x)


def _sizes(module: Any) -> tuple[Counter[str], Counter[str]]:
    """How many numbers of parameters each module has itself, and how many are trained."""
    modules = {name for name, _ in module.named_modules()}
    owned: Counter[str] = Counter()
    trained: Counter[str] = Counter()
    for name, x in module._state():
        if isinstance(x, Node) and not isinstance(x, Buffer):
            owner = name
            while owner not in modules:
                owner = owner.rpartition(".")[0]
            owned[owner] += np.size(data_of(x))
            trained[owner] += np.size(data_of(x)) * x.requires_grad
    return owned, trained


def _nbytes(x: Node) -> int:
    return x._raw.nbytes if isinstance(x._raw, np.ndarray) else 8


class _Diary:
    """Whose turn it was at every number of the counter, and what each module returned."""

    def __init__(self, module: Any) -> None:
        self.turns = [(0, "")]
        self.shapes: dict[str, str] = {}
        self.outputs: list[Node] = []
        self.running: list[str] = [""]
        for name, part in module.named_modules():
            vars(part)["forward"] = self._noted(name, part.forward)

    def let_go(self, module: Any) -> None:
        """Make the modules forget the diary, and so the cycles of references to themselves."""
        for part in module.modules():
            vars(part).pop("forward", None)

    def _noted(self, name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **options: Any) -> Any:
            self.running.append(name)
            self.turns.append((tick(), name))
            out = forward(*args, **options)
            self.running.pop()
            self.turns.append((tick(), self.running[-1]))
            self.shapes[name] = _shapes(out)
            self.outputs += [x for x in leaves(out) if isinstance(x, Node)]
            return out

        return noted

    def count(self) -> tuple[Counter[str], tuple[str, ...]]:
        """Flops by module, and the operations that could not be counted."""
        starts = [number for number, _ in self.turns]
        flops: Counter[str] = Counter()
        uncounted: dict[str, None] = {}
        for node in reach(self.outputs)[0]:
            work = _work(node, uncounted)
            flops[self.turns[bisect_right(starts, node.index) - 1][1]] += work
        return flops, tuple(uncounted)


def _shapes(out: Any) -> str:
    """The shape of a result, or those of several; of equal ones, how many."""
    if isinstance(out, dict):
        out = list(out.values())
    if not isinstance(out, (list, tuple)):
        return str(shape(out)) if out is not None else "None"
    inner = [_shapes(x) for x in out]
    if len(inner) > 1 and len(set(inner)) == 1:
        return f"{len(inner)} × {inner[0]}"
    return ", ".join(inner) or "nothing"


ADDING = {"sum", "cumsum", "overlap_add"}  # linear rows that do more than move numbers


def _work(node: Node, uncounted: dict[str, None]) -> int:
    """The floating-point operations of one node, by the shape of its row."""
    row: Any = node.op
    if isinstance(row, Elementwise):
        return int(np.size(node._raw))
    if isinstance(row, Linear):
        return math.prod(shape(node.args[0])) if row.name in ADDING else 0
    if isinstance(row, Multilinear):
        return _products(row, node)
    if isinstance(row, Fused):
        return sum(_work(inner, uncounted) for inner in _inside(row, node))
    uncounted[row.name] = None
    return 0


def _products(row: Any, node: Node) -> int:
    """How many products a multilinear row adds up: its sum, if every number were 1."""
    ones = [np.broadcast_to(1.0, shape(x)) for x in node.args]
    return len(ones) * int(np.sum(row.compute(ones, node.params)))


def _inside(row: Any, node: Node) -> list[Node]:
    """The nodes of the composite that a fused row stands for."""
    operands = [_leaf(data_of(x)) for x in node.args]
    out = row.composite(*operands, **node.params)
    return reach([x for x in leaves(out) if isinstance(x, Node)])[0]


def _leaf(data: Any) -> Any:
    if isinstance(data, float):
        return Value(data)
    floating = isinstance(data, np.ndarray) and data.dtype.kind == "f"
    return Tensor(data) if floating else data
