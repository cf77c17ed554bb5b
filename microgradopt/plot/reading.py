"""Numbers, points and classes as they are given to be drawn, brought into one form or refused."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from microgradopt.errors import DTypeError, NonFiniteError, ShapeError, UsageError

Floats: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]


def numbers(values: Any, what: str) -> NDArray[Any]:
    try:
        array = np.asarray(plain(values))
    except (TypeError, ValueError) as error:
        raise ShapeError(f"{what} must be numbers in a regular array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"{what} must be real numbers, got dtype {array.dtype}")
    return array


def plain(values: Any) -> Any:
    """Replace nodes, alone or in lists, by the numbers they hold."""
    if isinstance(values, list | tuple):
        return [plain(value) for value in values]
    if isinstance(values, np.ndarray):
        return plain(values.tolist()) if values.dtype == object else values
    if hasattr(values, "detach"):
        values = values.detach()
    if hasattr(values, "numpy"):
        return values.numpy()
    if hasattr(values, "item") and not hasattr(values, "__array__"):
        return values.item()
    return values


def points_in_plane(X: Any) -> Floats:
    points = numbers(X, "X").astype(np.float64)
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


def class_labels(y: Any) -> Labels:
    labels = numbers(y, "y")
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


def check_same_length(points: Floats, labels: Labels) -> None:
    if len(points) != len(labels):
        raise ShapeError(
            f"X has {len(points)} points but y has {len(labels)} classes; give one class per point"
        )
