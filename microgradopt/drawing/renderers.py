"""The registry of formats: a new one costs a file with its renderer and a line here."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np

from microgradopt.drawing.dot import to_dot
from microgradopt.drawing.html import to_html
from microgradopt.drawing.layout import Placement, layered
from microgradopt.drawing.look import box_size
from microgradopt.drawing.mermaid import to_mermaid
from microgradopt.drawing.program import is_available, placed_by_dot, run_dot
from microgradopt.drawing.scene import Scene
from microgradopt.drawing.svg import to_svg
from microgradopt.errors import GraphError, UsageError

Engine: TypeAlias = Literal["auto", "dot", "builtin"]
Renderer: TypeAlias = Callable[[Scene, Engine], str | bytes]

ENGINES = ("auto", "dot", "builtin")
BOXES_FOR_DOT = 500  # beyond these dot gets slow: "auto" takes the built-in layout


def place(scene: Scene, engine: Engine) -> Placement:
    """Lay out the scene with ``dot``, the built-in layout, or whichever suits."""
    if engine not in ENGINES:
        raise UsageError(f'engine must be "auto", "dot" or "builtin", got {engine!r}')
    sizes = np.array([box_size(box) for box in scene.boxes], np.int64)
    if engine == "dot":
        return placed_by_dot(scene, sizes)
    if engine == "auto" and len(scene.boxes) <= BOXES_FOR_DOT and is_available():
        try:
            return placed_by_dot(scene, sizes)
        except GraphError:
            pass  # the built-in layout is as good; a broken dot is no reason to show nothing
    return layered(scene, sizes)


def render_svg(scene: Scene, engine: Engine) -> str:
    """Draw the scene as a standalone SVG."""
    return to_svg(scene, place(scene, engine))


def render_html(scene: Scene, engine: Engine) -> str:
    """Draw the scene as an HTML page."""
    return to_html(scene, render_svg(scene, engine))


RENDERERS: dict[str, Renderer] = {
    "svg": render_svg,
    "png": lambda scene, engine: run_dot(to_dot(scene), "png"),
    "pdf": lambda scene, engine: run_dot(to_dot(scene), "pdf"),
    "html": render_html,
    "dot": lambda scene, engine: to_dot(scene),
    "mmd": lambda scene, engine: to_mermaid(scene),
}
