"""Paths of optimizers over the contours of a surface, still and moving."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from microgradopt.errors import NonFiniteError, ShapeError, UsageError
from microgradopt.plot.axes import LINES, color_of, given_or_current
from microgradopt.plot.reading import Floats, numbers

if TYPE_CHECKING:
    from matplotlib.animation import FuncAnimation
    from matplotlib.axes import Axes

__all__ = ["contours", "race", "trajectories"]

LEVELS = 24
LOW = 1e-4  # the height of the lowest contour beside that of the highest
DEEP, HIGH = np.array([0.42, 0.58, 0.75]), np.array([0.97, 0.98, 1.0])  # red, green, blue


def contours(
    f: Callable[[Any, Any], Any],
    *,
    ax: Axes | None = None,
    region: tuple[float, float, float, float] | None = None,
    resolution: int = 200,
) -> Axes:
    """Draw a function of two coordinates as contours, dark where it is low.

    The levels are close together near the lowest point in sight and apart high up, so that a
    valley's floor and its walls can both be seen.

    Args:
        f: called once with two arrays of shape ``(resolution, resolution)``; a
            :class:`microgradopt.surfaces.Surface` also brings its region and minimum.
        ax: the Axes to draw on; None takes the current one.
        region: (x from, x to, y from, y to).
        resolution: points along each side.

    Raises:
        UsageError: without a region, or for an empty one, or a resolution below 2.
        ShapeError: when ``f`` returns another shape than it is given.
        NonFiniteError: when ``f`` is nowhere finite.
        MissingExtraError: when ``ax`` is None and Matplotlib is not installed.
    """
    left, right, bottom, top = _region(f, region)
    if resolution < 2:
        raise UsageError(f"contours: resolution must be at least 2, got {resolution!r}")
    x, y = np.meshgrid(np.linspace(left, right, resolution), np.linspace(bottom, top, resolution))
    heights = numbers(f(x, y), "what f returned").astype(np.float64)
    if heights.shape != x.shape:
        raise ShapeError(f"f was given arrays of shape {x.shape} and returned {heights.shape}")
    finite = heights[np.isfinite(heights)]
    if not finite.size:
        raise NonFiniteError("f is nowhere finite in the region; choose another region")
    axes = given_or_current(ax)
    lowest, highest = finite.min(), finite.max()
    even = np.linspace(0.0, 1.0, LEVELS)
    rise = np.append(0.0, LOW ** (1.0 - even)) if _has_floor(f) else even
    levels = np.unique(lowest + (highest - lowest or 1.0) * rise)
    bands = np.linspace(0.0, 1.0, len(levels) - 1)[:, None]
    axes.contourf(x, y, heights, levels, colors=list(DEEP + bands * (HIGH - DEEP)))
    axes.contour(x, y, heights, levels, colors="#7c93aa", linewidths=0.4)
    minimum = getattr(f, "minimum", None)
    if minimum is not None:
        axes.plot(*minimum, "*", color="black", markersize=11, zorder=5)
    axes.set(xlim=(left, right), ylim=(bottom, top), xlabel="$x$", ylabel="$y$")
    return axes


def trajectories(paths: Mapping[str, Any], *, ax: Axes | None = None, legend: bool = True) -> Axes:
    """Draw paths in the plane, each with a dot where it ends.

    Args:
        paths: name -> points of shape (n, 2) in order. A path is drawn up to its first point that
            is not finite.
        ax: the Axes to draw on, with contours on them perhaps; their limits stay.
        legend: name the paths in a legend.

    Raises:
        UsageError: without any path.
        ShapeError: for points that are not (n, 2) with n at least 1.
        MissingExtraError: when ``ax`` is None and Matplotlib is not installed.
    """
    found = _paths(paths)
    axes = given_or_current(ax)
    limits = axes.axis() if axes.collections or axes.lines else None
    for i, (name, points) in enumerate(found.items()):
        _draw_path(axes, points, name, i)
    if limits is not None:
        axes.axis(limits)
    if legend:
        axes.legend(fontsize="small", loc="best")
    return axes


def race(
    f: Callable[[Any, Any], Any],
    paths: Mapping[str, Any],
    *,
    ax: Axes | None = None,
    frames: int = 60,
    region: tuple[float, float, float, float] | None = None,
) -> FuncAnimation:
    """Animate paths over the contours of a function: ``race(…).save("race.gif")``.

    Args:
        f, region: see :func:`contours`.
        paths: name -> points of shape (n, 2); those of the longest take all ``frames``.
        ax: the Axes to draw on; None takes the current one.
        frames: pictures in all.

    Returns:
        Matplotlib's animation; keep it until it is saved or shown.
    """
    from matplotlib.animation import FuncAnimation

    found = _paths(paths)
    axes = contours(f, ax=ax, region=region)
    limits = axes.axis()
    drawn = [_draw_path(axes, p[:1], name, i) for i, (name, p) in enumerate(found.items())]
    axes.axis(limits)
    axes.legend(fontsize="small", loc="upper left")
    longest = max(len(points) for points in found.values())

    def show(frame: int) -> list[Any]:
        steps = 1 + round((longest - 1) * frame / max(frames - 1, 1))
        axes.set_title(f"step {steps - 1}")
        for points, (line, head) in zip(found.values(), drawn):
            line.set_data(*points[:steps].T)
            head.set_data(*points[:steps][-1:].T)
        return [artist for pair in drawn for artist in pair]

    figure = axes.get_figure(root=True)
    assert figure is not None, "Axes given or current belong to a figure"
    return FuncAnimation(figure, show, frames=frames, interval=80)


def _region(f: Any, region: Any) -> tuple[float, float, float, float]:
    region = getattr(f, "region", None) if region is None else region
    if region is None:
        raise UsageError("contours: say which region to draw, region=(x from, x to, y from, y to)")
    corners = numbers(region, "the region").astype(np.float64)
    if corners.shape != (4,) or not np.isfinite(corners).all():
        raise UsageError(f"contours: the region must be four finite numbers, got {region!r}")
    left, right, bottom, top = corners.tolist()
    if not (left < right and bottom < top):
        raise UsageError(f"contours: the region {tuple(region)} is empty; each pair must rise")
    return left, right, bottom, top


def _has_floor(f: Any) -> bool:
    """Whether the levels should crowd at the lowest point; a saddle's would miss its middle."""
    return getattr(f, "minimum", True) is not None


def _paths(paths: Any) -> dict[str, Floats]:
    if not isinstance(paths, Mapping) or not paths:
        raise UsageError(f"paths must be a dict, name -> points, with at least one; got {paths!r}")
    return {name: _path(points, name) for name, points in paths.items()}


def _path(points: Any, name: str) -> Floats:
    path = numbers(points, f"the path of {name!r}").astype(np.float64)
    if path.ndim != 2 or path.shape[1] != 2 or not len(path):
        raise ShapeError(f"the path of {name!r} must have shape (n, 2), got {path.shape}")
    broken = ~np.isfinite(path).all(axis=1)
    return path[: int(np.argmax(broken))] if broken.any() else path


def _draw_path(axes: Axes, path: Floats, name: str, i: int) -> tuple[Any, Any]:
    color, style = color_of(i), LINES[(i // 10) % len(LINES)]
    (line,) = axes.plot(*path.T, style, color=color, linewidth=1.6, label=name, zorder=3)
    (head,) = axes.plot(*path[-1:].T, "o", color=color, markeredgecolor="black", zorder=4)
    return line, head
