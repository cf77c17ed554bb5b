"""The two names users meet: :func:`draw`, and the :class:`Drawing` it returns."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, final

from microgradopt.compiler.program import Program
from microgradopt.drawing.compiled import build_program_scene
from microgradopt.drawing.dot import to_dot
from microgradopt.drawing.mermaid import to_mermaid
from microgradopt.drawing.renderers import RENDERERS, Engine, render_html, render_svg
from microgradopt.drawing.scene import Direction, Options, Scene, build_scene
from microgradopt.errors import DTypeError, UsageError
from microgradopt.files import write_atomically

BOXES_INLINE = 3000  # a notebook that shows more boxes than these becomes slow


def draw(
    node_or_nodes: Any,
    *,
    direction: Direction = "LR",
    values: bool = True,
    grads: bool = True,
    max_nodes: int | None = None,
    title: str | None = None,
) -> "Drawing":
    """Draw the graph of everything that one node, or each of several, was computed from.

    A jitted function is drawn as the program that replays its last traced call: arguments,
    parameters and state it reads, its instructions, what their results become.

    A graph shows data and gradients as they are now; a program has neither. ``direction`` is
    ``"LR"`` (left to right) or ``"TB"`` (top to bottom); ``values`` and ``grads`` switch the rows
    of the boxes on and off; ``max_nodes`` limits the picture to the nodes nearest to the given
    ones, or to the results. Raises DTypeError for what has neither a graph nor a program,
    UsageError for a bad option.

    >>> from microgradopt import Value
    >>> x = Value(3.0, name="x")
    >>> y = x * x
    >>> y.backward()
    >>> draw(y)
    Drawing of 2 boxes and 2 arrows; .save("graph.svg") writes it to a file
    """
    _check_choice("direction", direction, ("LR", "TB"))
    _check_flag("values", values)
    _check_flag("grads", grads)
    if max_nodes is not None and (type(max_nodes) is not int or max_nodes < 1):
        raise UsageError(f"max_nodes must be a positive int, or None for all, got {max_nodes!r}")
    if title is not None and not isinstance(title, str):
        raise UsageError(f"title must be a str or None, got {title!r}")
    options = Options(direction, values, grads, max_nodes, title)
    program = _program(node_or_nodes)
    if program is not None:
        return Drawing(build_program_scene(program, options))
    return Drawing(build_scene(_nodes(node_or_nodes), options))


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name} must be {' or '.join(map(repr, choices))}, got {value!r}")


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be True or False, got {value!r}")


def _program(given: Any) -> Program | None:
    """Return the program that was given, or that of a jitted function."""
    if isinstance(given, Program):
        return given
    function = getattr(given, "__func__", given)  # of a method
    if not hasattr(type(function), "program"):  # asked of the class, so that its errors are seen
        return None
    found = function.program
    return found if isinstance(found, Program) else None


def _is_node(thing: object) -> bool:
    return hasattr(thing, "parents") and hasattr(thing, "op")


def _nodes(given: Any) -> list[Any]:
    """Return the nodes that were given, each once."""
    if _is_node(given):
        return [given]
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        raise DTypeError(_not_a_node(given))
    nodes = list(given)
    for node in nodes:
        if not _is_node(node):
            raise DTypeError(_not_a_node(node))
    if not nodes:
        raise UsageError("draw() was given no nodes; give it a result, such as draw(loss)")
    return list({id(node): node for node in nodes}.values())


def _not_a_node(thing: object) -> str:
    return (
        f"draw() was given a {type(thing).__name__}, which has no graph; give it a Value or a "
        "Tensor, or a list of them: usually the result of a computation, such as draw(loss); or a "
        "function made by mg.jit"
    )


@final
class Drawing:
    """A picture of a graph as it was when :func:`draw` was called; notebooks show it by itself."""

    __slots__ = ("scene",)

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def dot(self) -> str:
        """Return the picture in DOT, the language of Graphviz."""
        return to_dot(self.scene)

    def mermaid(self) -> str:
        """Return the picture as a Mermaid flowchart, for Markdown."""
        return to_mermaid(self.scene)

    def svg(self, *, engine: Engine = "auto") -> str:
        """Return the picture as SVG.

        ``engine`` chooses the layout: ``"dot"`` runs Graphviz's program, ``"builtin"`` needs none,
        ``"auto"`` takes dot if it is installed, works, and the graph has at most 500 boxes.
        """
        return render_svg(self.scene, engine)

    def html(self, *, engine: Engine = "auto") -> str:
        """Return a self-contained HTML page in which the picture can be moved and zoomed."""
        return render_html(self.scene, engine)

    def save(self, path: str | os.PathLike[str], *, engine: Engine = "auto") -> Path:
        """Write the picture to a file whose suffix tells the format, and return its path.

        Suffixes: svg, html, dot, mmd (Mermaid); png and pdf need Graphviz's program. The file is
        replaced in one step, so that nobody ever sees half of it.
        """
        target = Path(path)
        renderer = RENDERERS.get(target.suffix.lower().lstrip("."))
        if renderer is None:
            choices = ", ".join(f".{name}" for name in RENDERERS)
            raise UsageError(f"cannot save to {str(target)!r}: its suffix must be one of {choices}")
        content = renderer(self.scene, engine)
        write_atomically(target, content.encode() if isinstance(content, str) else content)
        return target

    def __repr__(self) -> str:
        boxes, arrows = len(self.scene.boxes), len(self.scene.arrows)
        return (
            f"Drawing of {boxes:,} box{'es' * (boxes != 1)} and {arrows:,} "
            f'arrow{"s" * (arrows != 1)}; .save("graph.svg") writes it to a file'
        )

    def _repr_svg_(self) -> str | None:
        """Show the picture in a notebook; None, which shows the text, if that cannot be done."""
        if len(self.scene.boxes) > BOXES_INLINE:
            return None
        for engine in ("auto", "builtin"):
            try:
                return self.svg(engine=engine)
            except Exception:  # showing a value must never raise
                continue
        return None

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return every form a notebook can show: the picture if possible, and the text."""
        picture = self._repr_svg_()
        bundle = {"text/plain": repr(self)}
        return bundle if picture is None else {"image/svg+xml": picture, **bundle}
