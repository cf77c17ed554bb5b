"""What losses share: targets brought into form or refused, and the way losses become one number."""

from typing import Any

import numpy as np

from microgradopt.engine.graph import Array, Node
from microgradopt.engine.ops.elementwise import equal, logical_and, where
from microgradopt.engine.ops.shapes import sum
from microgradopt.engine.ops.ufuncs import isinf
from microgradopt.engine.reductions import mean
from microgradopt.engine.rules import data_of, shape_of as shape
from microgradopt.errors import DTypeError, ShapeError, UsageError
from microgradopt.nn.arguments import dtype_of, integer, one_of, operand

REDUCTIONS = ("mean", "sum", "none")


def reduced(losses: Any, reduction: str, user: str) -> Any:
    """The mean or the sum of all losses, or the losses themselves."""
    one_of(user, "reduction", reduction, REDUCTIONS)
    if reduction == "mean":
        return mean(losses)
    return sum(losses) if reduction == "sum" else losses


def like(prediction: Any, target: Any, user: str) -> Any:
    """A plain target as an array of the prediction's dtype: float32 stays float32."""
    if isinstance(target, Node):
        return target
    dtype = dtype_of(prediction)
    target = operand(user, target, dtype)
    return target.astype(dtype, copy=False) if isinstance(target, np.ndarray) else target


def pair(prediction: Any, target: Any, user: str) -> tuple[Any, Any]:
    """A prediction and its target, in one shape and dtype."""
    prediction = operand(user, prediction)
    target = like(prediction, target, user)
    same_shape(prediction, target, user)
    return prediction, target


def same_shape(prediction: Any, target: Any, user: str) -> None:
    """Refuse to broadcast a prediction and its target."""
    a, b = shape(prediction), shape(target)
    if a != b:
        raise ShapeError(
            f"{user}: prediction has shape {a} and target {b}; broadcasting them would average "
            "over pairs that do not belong together, so reshape one of them"
        )


def signs_like(scores: Any, target: Any, user: str) -> Any:
    """Targets of −1 and 1, of the shape of the scores."""
    signs = like(scores, data_of(target), user)
    same_shape(scores, signs, user)
    if not np.all(np.abs(signs) == 1):
        raise UsageError(
            f"{user}: targets of scores of shape {shape(scores)} must be -1 or 1; use 2 * y - 1"
        )
    return signs


def factor(weight: Any, losses: Any, user: str) -> Any:
    """A weight that is broadcast to the losses, in their dtype."""
    weight = like(losses, weight, user)
    try:
        fits = np.broadcast_shapes(shape(weight), shape(losses)) == shape(losses)
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(
            f"{user}: a weight of shape {shape(weight)} cannot be broadcast to losses of shape "
            f"{shape(losses)}"
        )
    return weight


def absorbing(part: Any, x: Any) -> Any:
    """``part`` · x, where no part of infinity is 0: 0 · log 0 = 0."""
    return part * where(logical_and(equal(data_of(part), 0.0), isinf(x)), 0.0, x)


def are_probabilities(target: Any, have: tuple[int, ...]) -> bool:
    """Whether a target is floats of the scores' shape; otherwise it must be labels."""
    data = np.asarray(data_of(target))
    return data.shape == have and data.dtype.kind == "f"


def labels_of(
    target: Any, have: tuple[int, ...], user: str, ignore_index: int | None = None
) -> tuple[Array, bool]:
    """Integer labels for scores of shape (n, classes, ...), and whether some are to be ignored."""
    if ignore_index is not None:
        integer(user, "ignore_index", ignore_index)
    if isinstance(target, Node):
        raise DTypeError(f"{user}: labels are plain integers, got a {type(target).__name__}")
    labels = np.asarray(target)
    wanted = have[:1] + have[2:]
    if labels.shape != wanted:
        needed = f"{have[0]} integer labels" if len(have) == 2 else f"integer labels {wanted}"
        raise ShapeError(
            f"{user}: scores of shape {have} need {needed}, or float "
            f"probabilities of shape {have}; got shape {labels.shape} of dtype {labels.dtype}"
        )
    if labels.dtype.kind not in "iu":
        raise DTypeError(
            f"{user}: labels must be integers, got dtype {labels.dtype}; use y.astype(int)"
        )
    inside = np.minimum.reduce(labels, None) >= 0 and np.maximum.reduce(labels, None) < have[1]
    if inside and (ignore_index is None or ignore_index < 0):
        return labels.astype(np.intp, copy=False), False  # int8 would overflow in counting places
    ignored = np.zeros(labels.shape, bool) if ignore_index is None else labels == ignore_index
    bad = labels[((labels < 0) | (labels >= have[1])) & ~ignored]
    if bad.size:
        raise UsageError(f"{user}: label {bad[0]} is not one of the classes 0 to {have[1] - 1}")
    return labels.astype(np.intp, copy=False), bool(ignored.any())
