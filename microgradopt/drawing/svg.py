"""From a Scene and a Placement to one standalone SVG text: the face of the library."""

from zlib import crc32

from microgradopt.drawing import look
from microgradopt.drawing.layout import Placement
from microgradopt.drawing.scene import Box, Line, Scene
from microgradopt.drawing.text import width
from microgradopt.drawing.wires import TIP

_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})
_CAPTION, _NOTE = 16, 12  # font sizes of title and note
_ROUND = 7  # corner radius


def escape(text: str) -> str:
    """Escape any text for XML, between tags or in an attribute."""
    return text.translate(_MARKUP)


def to_svg(scene: Scene, placement: Placement) -> str:
    """Draw the scene at its places: a background, the arrows, and the boxes on top of them."""
    top = _caption_height(scene)
    wide = max(placement.width, _caption_width(scene))
    high = placement.height + top
    tip = f"mg-tip-{crc32(repr((placement.arrows[:9], wide, high)).encode()):08x}"
    shift = f' transform="translate({_n((wide - placement.width) / 2)} {top})"'
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" class="mg-drawing" role="img" '
        f'width="{_n(wide)}" height="{_n(high)}" viewBox="0 0 {_n(wide)} {_n(high)}">\n',
        f"<title>{escape(scene.title or 'computation graph')}</title>\n",
        _head(tip),
        f'<rect width="100%" height="100%" fill="{look.BACKGROUND}"/>\n',
        _caption(scene, wide),
        f"<g{shift}>\n",
        _wires(scene, placement, tip),
    ]
    corners = (placement.centres - placement.sizes / 2).tolist()
    for box, (x, y), (w, h) in zip(scene.boxes, corners, placement.sizes.tolist(), strict=True):
        parts.append(_box(box, x, y, w, h))
    parts.append("</g>\n</svg>\n")
    return "".join(parts)


def _n(x: float) -> str:
    return f"{x:.2f}".rstrip("0").rstrip(".")


def _head(tip: str) -> str:
    return (
        f'<defs><marker id="{tip}" markerUnits="userSpaceOnUse" markerWidth="{TIP}" '
        f'markerHeight="8" refX="0.5" refY="4" orient="auto">'
        f'<path d="M0 0.5L{TIP} 4L0 7.5Z" fill="{look.WIRE}"/></marker></defs>\n'
        f"<style>{_style()}</style>\n"
    )


def _style() -> str:
    """Return the style sheet; every name begins with mg-, as a notebook shares it with the page."""
    text = f"font-family:{look.SANS};font-size"
    value = f"font-family:{look.MONO};font-size:{look.VALUE}px"
    rules = [
        f".mg-wire{{fill:none;stroke:{look.WIRE};stroke-width:1.4}}",
        ".mg-far{stroke-opacity:.35}",
        f".mg-name{{{text}:{look.NAME}px;font-weight:700}}",
        f".mg-symbol{{{text}:{look.BADGE}px;font-weight:700;fill:#fff;text-anchor:middle}}",
        f".mg-label{{{text}:{look.LABEL}px;fill:{look.MUTED}}}",
        f".mg-value{{{value};fill:{look.INK};text-anchor:end;white-space:pre}}",
        f".mg-pill{{{value};text-anchor:middle;white-space:pre}}",
        ".mg-body{fill:#fff}",
        f".mg-gradfill{{fill:{look.GRAD_FILL}}}",
        f".mg-grad{{fill:{look.GRAD_INK};font-weight:600}}",
        f".mg-alarmfill{{fill:{look.ALARM_FILL}}}",
        f".mg-alarm{{fill:{look.ALARM_INK};font-weight:700}}",
        f".mg-caption{{{text}:{_CAPTION}px;font-weight:700;fill:{look.INK};text-anchor:middle}}",
        f".mg-note{{{text}:{_NOTE}px;fill:{look.MUTED};text-anchor:middle}}",
    ]
    for kind, tint in look.TINTS.items():
        rules.append(f".mg-{kind}{{stroke:{tint.border};stroke-width:1.2}}")
        rules.append(f".mg-{kind}-head{{fill:{tint.fill}}}.mg-{kind}-ink{{fill:{tint.ink}}}")
        rules.append(f".mg-{kind}-badge{{fill:{tint.badge}}}")
    rules.append(".mg-output{stroke-width:2.4}.mg-fixed,.mg-more{stroke-dasharray:4 3}")
    rules.append(f".mg-broken{{stroke:{look.ALARM_FILL};stroke-width:2.4}}")
    return "".join(rules)


def _caption_height(scene: Scene) -> int:
    return (30 if scene.title else 0) + (22 if scene.note else 0)


def _caption_width(scene: Scene) -> float:
    return 24 + max(width(scene.title, _CAPTION, bold=True), width(scene.note, _NOTE))


def _caption(scene: Scene, wide: float) -> str:
    middle, parts = _n(wide / 2), []
    if scene.title:
        parts.append(f'<text class="mg-caption" x="{middle}" y="26">{escape(scene.title)}</text>\n')
    if scene.note:
        y = 46 if scene.title else 20
        parts.append(f'<text class="mg-note" x="{middle}" y="{y}">{escape(scene.note)}</text>\n')
    return "".join(parts)


def _wires(scene: Scene, placement: Placement, tip: str) -> str:
    parts = ['<g class="mg-wire">\n']
    parts += [f'<path d="{path}"/>\n' for path in placement.wires]
    parts.append(f'</g>\n<g class="mg-wire" marker-end="url(#{tip})">\n')
    parts += [f'<path d="{path}"/>\n' for path in placement.arrows]
    parts.append("</g>\n")
    return "".join(parts)


def _box(box: Box, x: float, y: float, w: int, h: int) -> str:
    inside = _pill(box, w, h) if look.is_pill(box) else _card(box, w, h)
    return (
        f'<g transform="translate({_n(x)} {_n(y)})">'
        f"<title>{escape(box.tooltip)}</title>{inside}</g>\n"
    )


def _pill(box: Box, w: int, h: int) -> str:
    line = box.lines[0]
    fill, ink = f"mg-{box.kind}-head", f"mg-{box.kind}-ink"
    if line.alarm:
        fill, ink = "mg-alarmfill", "mg-alarm"
    return (
        f'<rect class="mg-{box.kind} {fill}" width="{w}" height="{h}" rx="{h // 2}"/>'
        f'<text class="mg-pill {ink}" x="{w // 2}" y="{h / 2 + 4.5:g}">{escape(line.text)}</text>'
    )


def _card(box: Box, w: int, h: int) -> str:
    top = look.header_height(box)
    broken = " mg-broken" if box.alarm else ""
    frame = f'mg-{box.kind} mg-{box.kind}-head{broken}" width="{w}" height="{h}" rx="{_ROUND}'
    parts = [f'<rect class="{frame}"/>']
    if box.lines:
        parts.append(f'<path class="mg-body" d="{_body(w, h, top)}"/>')
    if look.has_texts(box):
        parts.append(_header(box, w))
    parts += [_row(line, w, top + 2 + i * look.ROW) for i, line in enumerate(box.lines)]
    return "".join(parts)


def _body(w: int, h: int, top: int) -> str:
    """Return the outline of the white part: just inside the border, its lower corners rounded."""
    r, right, bottom = _ROUND, w - 1, h - 1
    return f"M1 {top}H{right}V{h - r}Q{right} {bottom} {w - r} {bottom}H{r}Q1 {bottom} 1 {h - r}Z"


def _header(box: Box, w: int) -> str:
    """Draw badge, name and parameters next to each other, as a group in the middle."""
    x = (w - look.header_width(box)) / 2 + 7
    parts = []
    if box.symbol:
        badge = look.badge_width(box.symbol)
        parts.append(
            f'<rect class="mg-{box.kind}-badge" x="{_n(x)}" y="4" width="{badge}" height="20" '
            f'rx="10"/><text class="mg-symbol" x="{_n(x + badge / 2)}" y="18.5">'
            f"{escape(box.symbol)}</text>"
        )
        x += badge + 7
    if box.name:
        ink = f"mg-name mg-{box.kind}-ink"
        parts.append(f'<text class="{ink}" x="{_n(x)}" y="18.5">{escape(box.name)}</text>')
        x += look.name_width(box.name) + 7
    if box.detail:
        parts.append(f'<text class="mg-label" x="{_n(x)}" y="18">{escape(box.detail)}</text>')
    return "".join(parts)


def _row(line: Line, w: int, y: int) -> str:
    """Draw one row: label on the left, value on the right, a coloured bed under some."""
    look_of = "alarm" if line.alarm else "grad" if line.label == "grad" else ""
    bed = f'<rect class="mg-{look_of}fill" x="4" y="{y}" width="{w - 8}" height="18" rx="4"/>'
    suffix = f" mg-{look_of}" if look_of else ""
    right, text = w - look.PAD, escape(line.text)
    return (
        f"{bed if look_of else ''}"
        f'<text class="mg-label{suffix}" x="{look.PAD}" y="{y + 13}">{line.label}</text>'
        f'<text class="mg-value{suffix}" x="{right}" y="{y + 13.5}">{text}</text>'
    )
