"""Graphviz's ``dot`` program, where it is installed: for layout, and for png and pdf files."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from microgradopt.drawing.layers import Ints
from microgradopt.drawing.layout import Placement
from microgradopt.drawing.scene import Scene
from microgradopt.drawing.wires import TIP
from microgradopt.errors import GraphError, MissingExtraError

TIME_LIMIT = 10.0  # seconds a run of dot may take
EXTRA = {"png": ["-Gdpi=160"]}  # sharp on dense screens
_MARGIN = 16  # pixels around the picture


def is_available() -> bool:
    """Whether a ``dot`` program is on the PATH."""
    return shutil.which("dot") is not None


def run_dot(text: str, output: str) -> bytes:
    """Return what ``dot -T<output>`` makes of a DOT text.

    Raises MissingExtraError without a ``dot`` program, GraphError if it fails or takes too long.
    The child process reads and writes temporary files: a pipe could block when dot is stopped.
    """
    program = shutil.which("dot")
    if program is None:
        raise MissingExtraError(
            f"{output} needs Graphviz's dot program, and none is on the PATH; install Graphviz "
            "(apt install graphviz, brew install graphviz, …), or use svg or html, which need none"
        )
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as result:
        source.write(text.encode())
        source.seek(0)
        code = _wait([program, f"-T{output}", *EXTRA.get(output, ())], source, result)
        if code != 0:
            raise GraphError(f"dot ({program}) could not make {output}: it ended with code {code}")
        result.seek(0)
        return result.read()


def _wait(command: list[str], source: Any, result: Any) -> int:
    try:
        return subprocess.run(
            command,
            stdin=source,
            stdout=result,
            stderr=subprocess.DEVNULL,
            timeout=TIME_LIMIT,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        raise GraphError(
            f"dot ({command[0]}) took longer than {TIME_LIMIT:g} s; use svg or html with "
            'engine="builtin", or draw fewer nodes with max_nodes='
        ) from None
    except OSError as problem:
        raise GraphError(f"dot ({command[0]}) could not be started: {problem}") from problem


def placed_by_dot(scene: Scene, sizes: Ints) -> Placement:
    """Let ``dot`` lay out the scene; raises GraphError when its answer cannot be understood."""
    answer = run_dot(_skeleton(scene, sizes), "json0")
    try:
        return _read(json.loads(answer), scene, sizes)
    except (ValueError, KeyError, TypeError, IndexError) as problem:
        raise GraphError(f"dot gave no layout that can be read: {problem!r}") from problem


def _skeleton(scene: Scene, sizes: Ints) -> str:
    """Write the scene as empty boxes of given sizes; fields of a record are the operands' ports."""
    operands = [0] * len(scene.boxes)
    for arrow in scene.arrows:
        operands[arrow.head] += 1
    leave, enter = ("e", "w") if scene.direction == "LR" else ("s", "n")
    parts = [
        f"digraph {{ rankdir={scene.direction} nodesep=0.22 ranksep=0.58 splines=true\n"
        f"node [shape=record fixedsize=true fontsize=1 margin=0] edge [arrowsize={TIP / 10}]\n"
    ]
    for i, (w, h) in enumerate(sizes.tolist()):
        fields = "|".join(f"<p{slot}>" for slot in range(operands[i]))
        parts.append(f'n{i} [width={w / 72:.4f} height={h / 72:.4f} label="{fields}"]\n')
    for i, (tail, head, slot) in enumerate((a.tail, a.head, a.slot) for a in scene.arrows):
        parts.append(f"n{tail}:{leave} -> n{head}:p{slot}:{enter} [id=e{i}]\n")
    return "".join(parts) + "}\n"


def _read(graph: dict[str, Any], scene: Scene, sizes: Ints) -> Placement:
    left, bottom, right, top = map(float, graph["bb"].split(","))
    centres = np.full((len(scene.boxes), 2), np.nan)
    for thing in graph["objects"]:
        centres[int(thing["name"][1:])] = _points(thing["pos"], left, top)[0]
    if not np.isfinite(centres).all():
        raise ValueError("a box has no position")
    paths = [""] * len(scene.arrows)
    for edge in graph.get("edges", []):
        paths[int(edge["id"][1:])] = _path(edge["pos"], left, top)
    if not all(paths):
        raise ValueError("an arrow has no path")
    width, height = right - left + 2 * _MARGIN, top - bottom + 2 * _MARGIN
    return Placement(width, height, centres, sizes, paths, [])


def _points(text: str, left: float, top: float) -> Sequence[tuple[float, float]]:
    """Read Graphviz points, whose y grows upward, as pixels from the upper left corner."""
    pairs = [pair.split(",")[-2:] for pair in text.split()]
    return [(float(x) - left + _MARGIN, top - float(y) + _MARGIN) for x, y in pairs]


def _path(text: str, left: float, top: float) -> str:
    """Turn Graphviz's ``e,end start control control …`` into SVG path data."""
    _, start, *rest = _points(text, left, top)
    if not text.startswith("e,") or len(rest) % 3 or not rest:
        raise ValueError(f"no arrow in {text!r}")
    return f"M{start[0]:.1f} {start[1]:.1f}C" + " ".join(f"{x:.1f} {y:.1f}" for x, y in rest)
