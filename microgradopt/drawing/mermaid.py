"""From a Scene to Mermaid, the flowchart text that GitHub and many wikis draw in Markdown."""

import json

from microgradopt.drawing import look
from microgradopt.drawing.scene import Box, Scene

_SAFE = frozenset(" .,-+=()[]'/*")


def escape(text: str) -> str:
    """Write every character with a meaning to Mermaid, Markdown or HTML as an entity code.

    >>> escape('a"b')
    'a#34;b'
    """
    return "".join(c if c.isalnum() or c in _SAFE or ord(c) > 127 else f"#{ord(c)};" for c in text)


def to_mermaid(scene: Scene) -> str:
    """Write the scene as a Mermaid flowchart.

    Mermaid draws at most 500 arrows unless its ``maxEdges`` is raised.
    """
    title = json.dumps(scene.title, ensure_ascii=False)  # it stands in YAML, which reads JSON
    parts = [f"---\ntitle: {title}\n---\n"] if scene.title else []
    parts.append(f"flowchart {scene.direction}\n")
    parts += [_node(i, box) for i, box in enumerate(scene.boxes)]
    parts += [f"  n{arrow.tail} --> n{arrow.head}\n" for arrow in scene.arrows]
    parts += [_style(kind) for kind in look.TINTS]
    parts.append(f"  classDef alarm stroke:{look.ALARM_FILL},stroke-width:3px\n")
    return "".join(parts)


def _node(i: int, box: Box) -> str:
    left, right = ("([", "])") if look.is_pill(box) else ("(", ")")
    alarm = f"  class n{i} alarm\n" if box.alarm else ""
    return f'  n{i}{left}"{_label(box)}"{right}:::{box.kind}\n{alarm}'


def _label(box: Box) -> str:
    header = " ".join(escape(part) for part in (box.symbol, box.name, box.detail) if part)
    rows = [f"{line.label} {escape(line.text)}".strip() for line in box.lines]
    return "<br>".join(([f"<b>{header}</b>"] if header else []) + rows) or " "


def _style(kind: str) -> str:
    tint = look.TINTS[kind]  # type: ignore[index]
    return f"  classDef {kind} fill:{tint.fill},stroke:{tint.border},color:{tint.ink}\n"
