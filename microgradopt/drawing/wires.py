"""Layered layout, step 4: arrows and shared wires as SVG path data.

A path runs level out of its box to the end of the column, swings to its new level in the gap
between the columns, and runs level into the next: pieces join smoothly wherever they meet.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from microgradopt.drawing.layers import Grid, Ints

TIP = 7  # length of an arrowhead in pixels; the path of an arrow ends this far before the box


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each layer starts, ends, and has its middle, along the direction of the arrows."""

    start: Ints
    end: Ints
    middle: Ints


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes paths. ``y`` is across the layers; ``middle`` and ``half``: boxes along."""

    grid: Grid
    columns: Columns
    y: Ints
    middle: Ints
    half: Ints
    vertical: bool

    def arrows(self, tails: Ints, heads: Ints, entries: Ints) -> list[str]:
        """Return one path per arrow: from its box, or its last joint, to its place at the head."""
        grid, columns = self.grid, self.columns
        source = self.grid.source
        whole = source < 0
        item = source.copy()
        item[whole] = tails[whole]
        boxed = item < grid.boxes
        leave = columns.end[grid.layer[item]]
        begin = leave.copy()
        begin[boxed] = (self.middle + self.half)[item[boxed]]
        arrive = columns.start[grid.layer[heads]] - TIP - 1
        finish = (self.middle - self.half)[heads] - TIP
        level, new = self.y[item], self.y[heads] + entries
        rows = zip(*(a.tolist() for a in (begin, level, leave, arrive, new, finish)), strict=True)
        return [
            self._start(a, y0) + self._swing(y0, b, c, y1) + self._level(d)
            for a, y0, b, c, y1, d in rows
        ]

    def wires(self) -> list[str]:
        """Return one path per box with long arrows: through all its joints."""
        return list(self._wires())

    def _wires(self) -> Iterator[str]:
        grid, columns = self.grid, self.columns
        layer, y = grid.layer.tolist(), self.y.tolist()
        start, end = columns.start.tolist(), columns.end.tolist()
        edge = (self.middle + self.half).tolist()
        owners = grid.joints.nonzero()[0].tolist()
        first, count = grid.first.tolist(), grid.joints.tolist()
        for box in owners:
            item, last = box, first[box] + count[box]
            parts = [self._start(edge[box], y[box])]
            for joint in range(first[box], last):
                parts.append(self._swing(y[item], end[layer[item]], start[layer[joint]], y[joint]))
                item = joint
            parts.append(self._level(end[layer[item]]))
            yield "".join(parts)

    def _start(self, x: int, y: int) -> str:
        return f"M{y} {x}" if self.vertical else f"M{x} {y}"

    def _level(self, x: int) -> str:
        return f"V{x}" if self.vertical else f"H{x}"

    def _swing(self, y0: int, leave: int, arrive: int, y1: int) -> str:
        """Go on level to ``leave``, then change from level y0 to y1 until ``arrive``."""
        if y0 == y1:
            return ""
        mid = (leave + arrive) // 2
        if self.vertical:
            return f"V{leave}C{y0} {mid} {y1} {mid} {y1} {arrive}"
        return f"H{leave}C{mid} {y0} {mid} {y1} {arrive} {y1}"
