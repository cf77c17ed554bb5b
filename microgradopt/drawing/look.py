"""The look of the pictures, in one place: colours, font sizes, and how large each box is."""

from dataclasses import dataclass
from functools import lru_cache

from microgradopt.drawing.scene import Box, Kind, Line
from microgradopt.drawing.text import width

SANS = "'Segoe UI','Helvetica Neue',Helvetica,Arial,'DejaVu Sans',sans-serif"
MONO = "ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace"

BACKGROUND = "#ffffff"
WIRE = "#64748b"
INK = "#0f172a"
MUTED = "#64748b"
GRAD_INK, GRAD_FILL = "#9a3412", "#ffedd5"
ALARM_INK, ALARM_FILL = "#ffffff", "#dc2626"


@dataclass(frozen=True, slots=True)
class Tint:
    """The colours of one kind of box: border, header fill, header text, operation badge."""

    border: str
    fill: str
    ink: str
    badge: str


TINTS: dict[Kind, Tint] = {
    "leaf": Tint("#3b82f6", "#dbeafe", "#1e3a8a", "#1d4ed8"),
    "fixed": Tint("#0d9488", "#ccfbf1", "#134e4a", "#0f766e"),
    "constant": Tint("#94a3b8", "#f8fafc", "#475569", "#475569"),
    "inner": Tint("#94a3b8", "#eef2f7", "#0f172a", "#334155"),
    "output": Tint("#16a34a", "#dcfce7", "#14532d", "#15803d"),
    "more": Tint("#cbd5e1", "#ffffff", "#94a3b8", "#94a3b8"),
    "argument": Tint("#8b5cf6", "#ede9fe", "#4c1d95", "#6d28d9"),
    "state": Tint("#ea580c", "#ffedd5", "#7c2d12", "#c2410c"),
    "guard": Tint("#db2777", "#fce7f3", "#831843", "#be185d"),
    "host": Tint("#ca8a04", "#fef9c3", "#713f12", "#a16207"),
}
MEANINGS: dict[Kind, str] = {
    "leaf": "leaf with gradient",
    "fixed": "leaf without gradient",
    "constant": "constant",
    "inner": "operation",
    "output": "output",
    "more": "operands left out",
    "argument": "argument",
    "state": "state",
    "guard": "guard",
    "host": "call of Python",
}

NAME, VALUE, LABEL, BADGE = 13, 12.5, 10.5, 13  # font sizes in pixels
HEADER, STRIP, ROW, PILL = 28, 9, 20, 24  # heights: header, header without texts, row, constant
PAD = 10  # between the border and a text


def is_pill(box: Box) -> bool:
    """Whether the box is a one-line capsule, as constants and stubs are."""
    return box.kind in ("constant", "more")


def has_texts(box: Box) -> bool:
    """Whether the header holds anything."""
    return bool(box.name or box.symbol or box.detail)


@lru_cache(maxsize=1024)
def badge_width(symbol: str) -> int:
    """Return the width of the badge around an operation's symbol."""
    return max(20, round(width(symbol, BADGE, bold=True)) + 12)


@lru_cache(maxsize=64)
def label_width(label: str) -> float:
    """Return the width of a row's label and the gap after it."""
    return width(label, LABEL) + 12 if label else 0.0


@lru_cache(maxsize=4096)
def name_width(name: str) -> float:
    """Return the width of a name in the header."""
    return width(name, NAME, bold=True)


def header_height(box: Box) -> int:
    """Return the height of the coloured part of a box."""
    return HEADER if has_texts(box) else STRIP


def header_width(box: Box) -> float:
    """Return the width that badge, name and parameters of a box need."""
    parts = []
    if box.symbol:
        parts.append(float(badge_width(box.symbol)))
    if box.name:
        parts.append(name_width(box.name))
    if box.detail:
        parts.append(width(box.detail, LABEL))
    return sum(parts) + 7 * max(0, len(parts) - 1) + 14


def row_width(line: Line) -> float:
    """Return the width of one row: label, gap, text in a monospaced font."""
    return label_width(line.label) + width(line.text, VALUE, mono=True) + 2 * PAD


def box_size(box: Box) -> tuple[int, int]:
    """Return width and height of a box in pixels, both even."""
    if is_pill(box):
        return 2 * round(row_width(box.lines[0]) / 2), PILL
    widest = max([header_width(box), *map(row_width, box.lines), 44.0])
    rows = ROW * len(box.lines) + 4 if box.lines else 0
    height = header_height(box) + rows
    return 2 * round(widest / 2), height + height % 2
