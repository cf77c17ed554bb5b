"""Axes to draw on, and the colours, markers and lines that every picture shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microgradopt.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Ten colours told apart under common colour-vision deficiencies: M. A. Petroff, "Accessible Color
# Sequences for Data Visualization", arXiv:2107.02270 (2021). After ten classes they repeat; the
# markers, seven of them, then still differ.
COLORS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")
TINT = 0.35  # share of the class colour in its region, the rest is white


def given_or_current(ax: Axes | None) -> Axes:
    if ax is None:
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise MissingExtraError(
                "drawing needs Matplotlib, which is not installed; "
                "write pip install 'microgradopt[plot]'"
            ) from error
        return pyplot.gca()
    if not hasattr(ax, "imshow"):
        raise UsageError(
            f"ax must be one Matplotlib Axes, got {type(ax).__name__}; "
            "write ax=axes[0, 0] to pick one of several, ax=figure.gca() for a figure"
        )
    return ax


def middle_lines(axes: Axes) -> None:
    axes.axhline(0.0, color="#dddddd", linewidth=0.8)
    axes.axvline(0.0, color="#dddddd", linewidth=0.8)


def color_of(slot: int) -> str:
    return COLORS[slot % len(COLORS)]


def tint(color: str) -> list[float]:
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return [1.0 - TINT * (1.0 - channel) for channel in channels]
