"""From a Scene to DOT, the language of Graphviz: for ``dot``, or any tool that reads it."""

from microgradopt.drawing import look
from microgradopt.drawing.scene import Box, Kind, Line, Scene

_QUOTED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "&": "&amp;"})
# Inside an HTML-like label, too, dot replaces \\N and the like; a zero-width space prevents that.
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\\": "\\&#8203;"})
_STYLES: dict[Kind, str] = {"constant": "rounded,filled", "fixed": "rounded,filled,dashed"}
_DEFAULTS = (
    f'  bgcolor="{look.BACKGROUND}" nodesep=0.25 ranksep=0.5 fontname="Helvetica"\n'
    '  node [shape=box style="rounded,filled" fontname="Helvetica" fontsize=12 '
    'margin="0.08,0.05" height=0.3 width=0.3]\n'
    f'  edge [color="{look.WIRE}" arrowsize=0.7]\n'
)


def quote(text: str) -> str:
    r"""Quote any text for DOT, so that it is shown as it is: no escape such as ``\N`` survives.

    >>> print(quote('say "hi"'))
    "say \"hi\""
    """
    return f'"{text.translate(_QUOTED)}"'


def markup(text: str) -> str:
    """Escape any text for use inside an HTML-like label."""
    return text.translate(_MARKUP)


def to_dot(scene: Scene) -> str:
    """Write the scene as a DOT digraph; box number ``i`` is called ``n{i}``."""
    parts = ["digraph {\n", f"  rankdir={scene.direction}\n", _DEFAULTS, _caption(scene)]
    parts += [_node(i, box) for i, box in enumerate(scene.boxes)]
    parts += [f"  n{arrow.tail} -> n{arrow.head}\n" for arrow in scene.arrows]
    parts.append("}\n")
    return "".join(parts)


def _caption(scene: Scene) -> str:
    texts = [text for text in (scene.title, scene.note) if text]
    return f"  labelloc=t label={quote(chr(10).join(texts))}\n" if texts else ""


def _node(i: int, box: Box) -> str:
    tint = look.TINTS[box.kind]
    border = look.ALARM_FILL if box.alarm else tint.border
    style = f' style="{_STYLES[box.kind]}"' if box.kind in _STYLES else ""
    heavy = " penwidth=2" if box.kind == "output" or box.alarm else ""
    return (
        f'  n{i} [label=<{_label(box)}> color="{border}" fillcolor="{tint.fill}"{style}{heavy} '
        f"tooltip={quote(box.tooltip)}]\n"
    )


def _label(box: Box) -> str:
    tint = look.TINTS[box.kind]
    if look.is_pill(box):
        return _font(box.lines[0].text, tint.ink)
    rows = [f'<TR><TD COLSPAN="2">{_header(box, tint)}</TD></TR>'] if look.has_texts(box) else []
    rows += [_row(line) for line in box.lines]
    if not rows:
        return " "
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0">{"".join(rows)}</TABLE>'


def _header(box: Box, tint: look.Tint) -> str:
    parts = []
    if box.symbol:
        parts.append(f"<B>{_font(box.symbol, tint.badge)}</B>")
    if box.name:
        parts.append(f"<B>{_font(box.name, tint.ink)}</B>")
    if box.detail:
        parts.append(_font(box.detail, look.MUTED))
    return " &nbsp; ".join(parts)


def _row(line: Line) -> str:
    if line.alarm:
        return _bed(line, look.ALARM_INK, look.ALARM_FILL)
    if line.label == "grad":
        return _bed(line, look.GRAD_INK, look.GRAD_FILL)
    return f"<TR>{_cells(line, look.MUTED, look.INK)}</TR>"


def _bed(line: Line, ink: str, fill: str) -> str:
    """Put a row on a coloured bed of its own: a table within the table."""
    row = f"<TR>{_cells(line, ink, ink)}</TR>"
    return (
        '<TR><TD COLSPAN="2" CELLPADDING="0"><TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" '
        f'STYLE="ROUNDED" BGCOLOR="{fill}">{row}</TABLE></TD></TR>'
    )


def _cells(line: Line, label_ink: str, ink: str) -> str:
    label, value = _font(line.label, label_ink), _font(line.text, ink)
    return f'<TD ALIGN="LEFT">{label}</TD><TD ALIGN="RIGHT">{value}</TD>'


def _font(text: str, colour: str) -> str:
    return f'<FONT COLOR="{colour}">{markup(text)}</FONT>' if text else ""  # dot wants no empty one
