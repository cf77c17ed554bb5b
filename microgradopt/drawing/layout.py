"""The built-in layered layout: a Scene with box sizes becomes positions and wires.

The steps are those of K. Sugiyama, S. Tagawa and M. Toda, *Methods for Visual Understanding of
Hierarchical System Structures*, 1981: layers (layers.py), order within them (order.py),
positions (coordinates.py), and here the wires. Nothing recurses, and work is capped by size, so
a picture of 20,000 boxes takes about a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from microgradopt.drawing.coordinates import place_items, straighten
from microgradopt.drawing.layers import Floats, Grid, Ints, build_grid
from microgradopt.drawing.look import is_pill
from microgradopt.drawing.order import order_layers
from microgradopt.drawing.scene import Arrow, Scene
from microgradopt.drawing.wires import Columns, Pen

BOX_GAP, JOINT_GAP, MIXED_GAP = 16, 10, 14  # least distances across a layer, in pixels
LAYER_GAP, WIDEST_GAP = 42, 150  # room for arrows between layers: more where they are steep
JOINTS_PER_BOX = 3
MARGIN = 16
PILL_PULL = 0.001  # a constant hardly bends the chain of operations it enters


@dataclass(frozen=True, slots=True)
class Placement:
    """Where everything goes, in pixels: a canvas, box centres and sizes, and SVG path data.

    ``arrows`` get an arrowhead at their end; ``wires`` the parts that arrows from one box share.
    """

    width: float
    height: float
    centres: npt.NDArray[Any]
    sizes: Ints
    arrows: list[str]
    wires: list[str]


def layered(scene: Scene, sizes: Ints) -> Placement:
    """Lay out the scene; ``sizes`` holds the width and height of each box, shape (boxes, 2)."""
    along, across = (0, 1) if scene.direction == "LR" else (1, 0)
    boxes = len(scene.boxes)
    tails = [arrow.tail for arrow in scene.arrows]
    heads = [arrow.head for arrow in scene.arrows]
    fractions = entry_fractions(scene.arrows, boxes)
    grid = build_grid(boxes, tails, heads, fractions, JOINTS_PER_BOX * boxes + 1000)
    order = order_layers(grid)
    breadth = np.zeros(grid.layer.size, np.int64)
    breadth[:boxes] = sizes[:, across]
    side = np.maximum(breadth - 12, 0)  # arrows keep off the rounded corners
    from_pill = np.array([is_pill(box) for box in scene.boxes] + [False] * (side.size - boxes))
    weight = np.where(from_pill[grid.tail], grid.weight * PILL_PULL, grid.weight)
    grid = replace(grid, port=np.rint(grid.port * side[grid.head]), weight=weight)
    apart = distances(grid, order, breadth)
    y = np.floor(place_items(grid, order, apart) + 0.5).astype(np.int64)
    straighten(grid, order, apart, y)
    y -= empty_bands(y, breadth)
    y += MARGIN - int((y - breadth // 2).min())
    columns = line_up(grid, y, sizes[:, along])
    centres = np.empty((boxes, 2), np.int64)
    centres[:, along] = columns.middle[grid.layer[:boxes]]
    centres[:, across] = y[:boxes]
    canvas = np.empty(2, np.int64)
    canvas[along] = columns.end[-1] + MARGIN
    canvas[across] = (y + breadth // 2).max() + MARGIN
    entries = np.rint(fractions * side[heads]).astype(np.int64)
    pen = Pen(grid, columns, y, centres[:, along], sizes[:, along] // 2, scene.direction == "TB")
    arrows = pen.arrows(np.array(tails, np.int64), np.array(heads, np.int64), entries)
    return Placement(int(canvas[0]), int(canvas[1]), centres, sizes, arrows, pen.wires())


def entry_fractions(arrows: Sequence[Arrow], boxes: int) -> Floats:
    """Return where each arrow enters its head, as a fraction of the side, 0 in the middle."""
    head = np.array([arrow.head for arrow in arrows], np.int64)
    slot = np.array([arrow.slot for arrow in arrows], np.int64)
    operands = np.bincount(head, minlength=boxes)
    fractions: Floats = (slot + 1) / (operands[head] + 1) - 0.5
    return fractions


def distances(grid: Grid, order: Ints, breadth: Ints) -> Floats:
    """Return the least distance of each item of ``order`` from the one before it in its layer."""
    is_joint = (order >= grid.boxes).astype(np.int64)
    gaps = np.array([BOX_GAP, MIXED_GAP, JOINT_GAP])[is_joint[1:] + is_joint[:-1]]
    half = breadth[order] // 2
    apart = np.zeros(order.size)
    apart[1:] = half[1:] + half[:-1] + gaps
    apart[np.flatnonzero(np.diff(grid.layer[order])) + 1] = 0
    return apart


def empty_bands(y: Ints, breadth: Ints) -> Ints:
    """Return how far each item may move up to close the bands across the picture nothing is in.

    Unconnected parts have nothing that pulls them toward each other.
    """
    order = np.argsort(y - breadth // 2)
    top, bottom = (y - breadth // 2)[order], (y + breadth // 2)[order]
    gap = top[1:] - np.maximum.accumulate(bottom)[:-1]
    closed = np.zeros(y.size, np.int64)
    closed[order[1:]] = np.cumsum(np.maximum(gap - 2 * BOX_GAP, 0))
    return closed


def line_up(grid: Grid, y: Ints, length: Ints) -> Columns:
    """Place the layers one after the other, further apart where arrows between them are steep."""
    layers = int(grid.layer.max()) + 1
    longest = np.zeros(layers, np.int64)
    np.maximum.at(longest, grid.layer[: grid.boxes], length)
    climb = np.zeros(layers, np.int64)
    np.maximum.at(climb, grid.layer[grid.tail], np.abs(y[grid.head] - y[grid.tail]))
    gap = np.minimum(LAYER_GAP + climb // 12, WIDEST_GAP)
    end = MARGIN + np.cumsum(longest) + np.cumsum(gap) - gap
    return Columns(end - longest, end, end - longest // 2)
