"""Points in the plane, by class, and the regions a model decides on."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from microgradopt.errors import NonFiniteError, ShapeError, UsageError
from microgradopt.plot.axes import MARKERS, color_of, given_or_current, tint
from microgradopt.plot.reading import (
    Floats,
    Labels,
    check_same_length,
    class_labels,
    numbers,
    points_in_plane,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["decision_regions", "scatter"]


def scatter(
    X: Any, y: Any, *, ax: Axes | None = None, size: float = 28.0, legend: bool = True
) -> Axes:
    """Draw points in the plane, each class with its own colour and marker.

    Args:
        X: points, shape ``(n, 2)``: an array, a nested list or a Tensor.
        y: classes, n integers.
        ax: the Axes to draw on; None takes the current one.
        size: area of a marker, in points squared.
        legend: name the classes in a legend.

    Returns:
        The Axes drawn on.

    Raises:
        ShapeError: when ``X`` is not ``(n, 2)`` or ``y`` is not ``(n,)``, or n is 0.
        DTypeError: when they are not real numbers.
        NonFiniteError: when a coordinate is NaN or infinite.
        UsageError: when ``y`` holds fractions or ``ax`` is not Axes.
        MissingExtraError: when ``ax`` is None and Matplotlib is not installed.
    """
    points, labels = points_in_plane(X), class_labels(y)
    check_same_length(points, labels)
    axes = given_or_current(ax)
    _draw_points(axes, points, labels, _slots(np.unique(labels)), size, legend)
    axes.set(xlabel="$x_1$", ylabel="$x_2$")
    return axes


def decision_regions(
    predict: Callable[[Floats], Any],
    X: Any,
    y: Any,
    *,
    ax: Axes | None = None,
    resolution: int = 200,
    padding: float = 0.1,
    size: float = 28.0,
    legend: bool = True,
) -> Axes:
    """Tint the plane by the class a model decides on, and draw the points on top.

    Args:
        predict: called once with float64 points of shape ``(m, 2)``. It returns, as an array, a
            Tensor or a list, one of

            - scores of shape ``(m, K)``, K at least 2: the largest decides;
            - float scores of shape ``(m,)`` or ``(m, 1)``: above 0 is the upper of two classes
              (so give logits, or a probability minus a half);
            - integer or boolean classes of shape ``(m,)``.
        X: points, shape ``(n, 2)``.
        y: classes, n integers; 0 … K-1 where ``predict`` returns ``(m, K)`` scores.
        ax: the Axes to draw on; None takes the current one.
        resolution: points along each side, so ``m = resolution ** 2``.
        padding: margin around the points, as a share of their extent.
        size: area of a marker, in points squared.
        legend: name the classes in a legend.

    Returns:
        The Axes drawn on.

    Raises:
        ShapeError: when ``X``, ``y`` or what ``predict`` returns has another shape.
        DTypeError: when they are not real numbers.
        NonFiniteError: when a coordinate or a score is NaN or infinite.
        UsageError: when the classes do not fit the scores, or an option is outside its range.
        MissingExtraError: when ``ax`` is None and Matplotlib is not installed.
    """
    points, labels = points_in_plane(X), class_labels(y)
    check_same_length(points, labels)
    xs, ys = _grid_lines(points, resolution, padding)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1)
    decided, classes = _decide(predict(grid.reshape(-1, 2)), len(xs) * len(ys), np.unique(labels))
    slots = _slots(classes)
    axes = given_or_current(ax)
    tints = np.array([tint(color_of(slots[int(c)])) for c in classes])
    axes.imshow(
        tints[np.searchsorted(classes, decided)].reshape(*grid.shape[:2], 3),
        extent=(*_edges(xs), *_edges(ys)),
        origin="lower",
        aspect=axes.get_aspect(),
        interpolation="bilinear",
    )
    _draw_points(axes, points, labels, slots, size, legend)
    axes.set(xlabel="$x_1$", ylabel="$x_2$", xlim=_edges(xs), ylim=_edges(ys))
    return axes


def _draw_points(
    axes: Axes, points: Floats, labels: Labels, slots: dict[int, int], size: float, legend: bool
) -> None:
    shown = np.unique(labels).tolist()
    for label in shown:
        slot = slots[label]
        x1, x2 = points[labels == label].T
        axes.scatter(
            x1,
            x2,
            s=size,
            color=color_of(slot),
            marker=MARKERS[slot % len(MARKERS)],
            edgecolors="black",
            linewidths=0.5,
            label=str(label),
        )
    if legend:
        columns = 1 + (len(shown) - 1) // 5
        axes.legend(
            title="class", fontsize="small", ncols=columns, columnspacing=0.8, handletextpad=0.2
        )


def _slots(classes: Labels) -> dict[int, int]:
    """Place every class in the palette: at its number, or at its rank if some are negative."""
    by_rank = classes.min() < 0
    return {label: rank if by_rank else label for rank, label in enumerate(classes.tolist())}


def _grid_lines(points: Floats, resolution: int, padding: float) -> tuple[Floats, Floats]:
    try:
        count = operator.index(resolution)
    except TypeError:
        count = 0
    if count < 2:
        raise UsageError(
            f"resolution must be an int of at least 2, got {resolution!r}; write resolution=200"
        )
    if not 0.0 <= padding < np.inf:
        raise UsageError(
            f"padding must be a finite number of at least 0, got {padding!r}; write padding=0.1"
        )
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.where(high > low, high - low, 1.0)
    margin = np.where(high > low, padding * extent, max(padding, 0.5))
    lines = np.linspace(low - margin, high + margin, count)
    return lines[:, 0], lines[:, 1]


def _edges(centres: Floats) -> tuple[float, float]:
    half = 0.5 * float(centres[1] - centres[0])
    return float(centres[0]) - half, float(centres[-1]) + half


def _decide(result: Any, count: int, seen: Labels) -> tuple[Labels, Labels]:
    """Return the class decided on at each point, and all classes, sorted."""
    scores = numbers(result, "what predict returned")
    if scores.shape == (count, 1):
        scores = scores[:, 0]
    if scores.ndim not in (1, 2) or len(scores) != count or scores.size == 0:
        raise ShapeError(
            f"predict was given points of shape ({count}, 2) and returned shape {scores.shape}; "
            f"it must return scores of shape ({count}, K) or ({count},), or {count} classes"
        )
    if not np.isfinite(scores).all():
        bad = int(np.argmin(np.isfinite(scores.reshape(count, -1)).all(axis=1)))
        raise NonFiniteError(
            f"predict returned a number that is not finite ({scores[bad]} at point {bad} of "
            f"{count}); check the parameters, or draw with padding=0"
        )
    if scores.ndim == 2:
        return _largest(scores, seen)
    if scores.dtype.kind == "f":
        return _by_sign(scores, seen)
    labels = scores.astype(np.int64)
    return labels, np.union1d(labels, seen)


def _largest(scores: NDArray[Any], seen: Labels) -> tuple[Labels, Labels]:
    columns = scores.shape[1]
    if seen[0] < 0 or seen[-1] >= columns:
        raise UsageError(
            f"predict returned {columns} scores per point, for classes 0 to {columns - 1}, but y "
            f"has class {seen[0] if seen[0] < 0 else seen[-1]}; write y counted from 0, or let "
            "predict return classes"
        )
    return scores.argmax(axis=1).astype(np.int64), np.arange(columns, dtype=np.int64)


def _by_sign(scores: NDArray[Any], seen: Labels) -> tuple[Labels, Labels]:
    if len(seen) > 2:
        raise UsageError(
            f"predict returned one score per point, which tells two classes apart, but y has "
            f"{len(seen)}; return scores of shape (m, {len(seen)}), or integer classes"
        )
    if set(seen.tolist()) <= {0, 1}:
        classes = np.array([0, 1])
    elif set(seen.tolist()) <= {-1, 1}:
        classes = np.array([-1, 1])
    elif len(seen) == 2:
        classes = seen
    else:
        raise UsageError(
            f"predict returned one score per point, but y has only class {seen[0]}, so the other "
            "one is unknown; write y with classes 0 and 1, or -1 and 1"
        )
    return classes[(scores > 0).astype(np.int64)], classes
