"""Pictures of points, decisions and losses, drawn on Matplotlib Axes you give.

Every function takes ``ax=`` and returns the Axes it drew on; without it, it draws on the current
one, as ``matplotlib.pyplot`` does. Matplotlib is imported only when a picture is asked for; it
comes with ``pip install 'microgradopt[plot]'``. Class ``k`` has the same colour and marker in every
picture, from a palette that stays distinct for colour-blind readers.

    fig, ax = plt.subplots()
    plot.decision_regions(model, X, y, ax=ax)
    fig.savefig("regions.png")
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from microgradopt.errors import (
    DTypeError,
    MissingExtraError,
    NonFiniteError,
    ShapeError,
    UsageError,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["decision_regions", "loss_curve", "scatter"]

Floats: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]

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
    points, labels = _points(X), _labels(y)
    _same_length(points, labels)
    axes = _axes(ax)
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
    points, labels = _points(X), _labels(y)
    _same_length(points, labels)
    xs, ys = _grid_lines(points, resolution, padding)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1)
    decided, classes = _decide(predict(grid.reshape(-1, 2)), len(xs) * len(ys), np.unique(labels))
    slots = _slots(classes)
    axes = _axes(ax)
    tints = np.array([_tint(_color(slots[int(c)])) for c in classes])
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


def loss_curve(
    losses: Any,
    *,
    ax: Axes | None = None,
    label: str | None = None,
    log: bool = False,
    xlabel: str = "step",
    ylabel: str = "loss",
) -> Axes:
    """Draw losses against the step, one curve or several.

    A curve that becomes NaN or infinite is drawn as far as it is finite, and its last finite
    point before the first gap is marked with a cross: the run diverged there.

    Args:
        losses: numbers, one per step counted from 0, or scalar nodes; or a dict from name to such
            a sequence, drawn together. A torch-like or microgradopt vector works too.
        ax: the Axes to draw on; None takes the current one.
        label: name of a single curve in the legend.
        log: logarithmic loss axis.
        xlabel: name of the horizontal axis, for instance "epoch".
        ylabel: name of the vertical axis, for instance "accuracy".

    Returns:
        The Axes drawn on.

    Raises:
        ShapeError: when a curve is empty or not one-dimensional.
        DTypeError: when it does not hold real numbers.
        NonFiniteError: when it has no finite number at all.
        UsageError: for ``log=True`` with a number that is not positive.
        MissingExtraError: when ``ax`` is None and Matplotlib is not installed.
    """
    curves = {name: _curve(values, name, log) for name, values in _named(losses, label).items()}
    axes = _axes(ax)
    drawn_before = sum(line.get_linestyle() in LINES for line in axes.lines)
    for index, (name, values) in enumerate(curves.items(), start=drawn_before):
        _draw_curve(axes, values, name, index)
    if log:
        axes.set_yscale("log")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    if any(name is not None for name in curves):
        axes.legend()
    return axes


# --- drawing -------------------------------------------------------------------------------------


def _axes(ax: Axes | None) -> Axes:
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
            color=_color(slot),
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


def _draw_curve(axes: Axes, values: Floats, name: str | None, index: int) -> None:
    color, finite = _color(index), np.isfinite(values)
    style = LINES[index % len(LINES)]
    marker = "o" if len(values) == 1 else None
    shown = np.where(finite, values, np.nan)
    axes.plot(shown, style, color=color, label=name, linewidth=1.6, marker=marker)
    if not finite.all():
        last = max(int(np.argmin(finite)) - 1, 0)
        axes.plot([last], [shown[last]], "x", color=color, markersize=9, markeredgewidth=2.2)


def _color(slot: int) -> str:
    return COLORS[slot % len(COLORS)]


def _tint(color: str) -> list[float]:
    channels = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return [1.0 - TINT * (1.0 - channel) for channel in channels]


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


# --- what predict returned -----------------------------------------------------------------------


def _decide(result: Any, count: int, seen: Labels) -> tuple[Labels, Labels]:
    """Return the class decided on at each point, and all classes, sorted."""
    scores = _numbers(result, "what predict returned")
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


# --- reading what was given ----------------------------------------------------------------------


def _numbers(values: Any, what: str) -> NDArray[Any]:
    try:
        array = np.asarray(_plain(values))
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{what} must be numbers in a regular array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"{what} must be real numbers, got dtype {array.dtype}")
    return array


def _plain(values: Any) -> Any:
    """Replace nodes, alone or in lists, by the numbers they hold."""
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    if isinstance(values, np.ndarray):
        return _plain(values.tolist()) if values.dtype == object else values
    if hasattr(values, "detach"):
        values = values.detach()
    if hasattr(values, "numpy"):
        return values.numpy()
    if hasattr(values, "item") and not hasattr(values, "__array__"):
        return values.item()
    return values


def _points(X: Any) -> Floats:
    points = _numbers(X, "X").astype(np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        hint = "write X[:, :2] to draw two of its columns" if points.ndim == 2 else "one row each"
        raise ShapeError(
            f"X must be points in the plane, shape (n, 2) with n at least 1, got shape "
            f"{points.shape}; {hint}"
        )
    if not np.isfinite(points).all():
        row = int(np.argmin(np.isfinite(points).all(axis=1)))
        raise NonFiniteError(
            f"X must be finite, but row {row} is {points[row].tolist()}; "
            "write keep = np.isfinite(X).all(axis=1) and draw X[keep], y[keep]"
        )
    return points


def _labels(y: Any) -> Labels:
    labels = _numbers(y, "y")
    if labels.ndim != 1 or labels.size == 0:
        hint = "; write y.argmax(axis=1) if it is one-hot" if labels.ndim == 2 else ""
        raise ShapeError(f"y must be one class per point, shape (n,), got {labels.shape}{hint}")
    whole = labels.astype(np.int64) if np.isfinite(labels).all() else None
    if whole is None or (whole != labels).any():
        raise UsageError(
            f"y must be integer classes, got {labels.dtype} such as "
            f"{labels[np.argmax(labels != np.trunc(labels))]}; "
            "write _, y = np.unique(y, return_inverse=True)"
        )
    return whole


def _same_length(points: Floats, labels: Labels) -> None:
    if len(points) != len(labels):
        raise ShapeError(
            f"X has {len(points)} points but y has {len(labels)} classes; give one class per point"
        )


def _named(losses: Any, label: str | None) -> dict[str | None, Any]:
    if not isinstance(losses, Mapping):
        return {label: losses}
    if label is not None:
        raise UsageError(
            f"label={label!r} names a single curve, but losses is a dict, whose keys are the "
            "names; leave label out"
        )
    if not losses:
        raise UsageError("losses is an empty dict; give at least one curve, name -> losses")
    return {str(name): values for name, values in losses.items()}


def _curve(losses: Any, name: str | None, log: bool) -> Floats:
    what = "losses" if name is None else f"losses of {name!r}"
    values = _numbers(losses, what)
    if values.ndim != 1 or values.size == 0:
        raise ShapeError(
            f"{what} must be one number per step, shape (n,) with n at least 1, got shape "
            f"{values.shape}; write a dict name -> losses for several curves"
        )
    curve = values.astype(np.float64)
    finite = np.isfinite(curve)
    if not finite.any():
        raise NonFiniteError(
            f"{what} has no finite number, it starts with {curve[0]}; the run diverged at once: "
            "try a smaller learning rate"
        )
    if log and (curve[finite] <= 0).any():
        step = int(np.argmax(finite & (curve <= 0)))
        raise UsageError(
            f"{what} is {curve[step]} at step {step}, which a logarithmic axis cannot show; "
            "write log=False"
        )
    return curve
