"""Losses: from predictions and targets to one number."""

import builtins
from collections.abc import Iterable
from typing import Any

import numpy as np

from microgradopt.engine.composites import log_softmax
from microgradopt.engine.graph import Array, Node
from microgradopt.engine.ops.elementwise import absolute, log, relu, where
from microgradopt.engine.ops.shapes import expand_dims, index, sum
from microgradopt.engine.quiet import quietly
from microgradopt.engine.reductions import mean
from microgradopt.engine.rules import Fused, data_of, shape_of as shape
from microgradopt.errors import DTypeError, ShapeError, UsageError
from microgradopt.nn.arguments import operand


def _softmax_loss(logits: Any, labels: Any) -> tuple[Any, Any]:
    """The mean cross-entropy; and, for the pullback, probabilities and the places of the labels."""
    n, classes = logits.shape
    few = classes < 32  # NumPy reduces a short last axis slowly: then classes go first
    x = np.array(logits.T if few else logits, order="C")
    axis = 0 if few else 1
    places = labels * n + np.arange(n) if few else np.arange(n) * classes + labels
    x -= np.maximum.reduce(x, axis, keepdims=True)
    picked = x.reshape(-1)[places]
    e = np.exp(x, out=x)
    total = np.add.reduce(e, axis, keepdims=True)
    loss = (np.add.reduce(np.log(total), None) - np.add.reduce(picked)) / n
    e /= total
    return loss, (e, places, few)


def _pull_softmax_loss(g: Any, out: Any, logits: Any, labels: Any, saved: Any) -> Any:
    probabilities, places, few = saved
    scale = g / len(labels)
    cotangent = probabilities * scale
    cotangent.reshape(-1)[places] -= scale
    return cotangent.T if few else cotangent


softmax_cross_entropy = Fused(
    "softmax_cross_entropy",
    symbol="cross-entropy",
    array=_softmax_loss,
    saves=True,
    pullback=_pull_softmax_loss,
    composite=lambda logits, labels: (
        -mean(index(log_softmax(logits), (np.arange(len(labels)), labels)))
    ),
    sample=lambda rng: [((3.0 * rng.normal(size=(4, 3)),), {"labels": np.array([0, 2, 1, 2])})],
)


def cross_entropy(logits: Any, target: Any) -> Any:
    """Mean softmax cross-entropy of scores: −log of the probability of the right class.

    Args:
        logits: scores before the softmax, shape (n, classes), or (classes,) for one sample.
        target: n integer labels; or probabilities of the shape of ``logits`` (one-hot or soft),
            where 0 · log 0 counts as 0.

    Raises:
        ShapeError: if there are no samples, or shapes do not match.
        UsageError: if a label is not one of 0 … classes − 1.

    >>> import numpy as np
    >>> round(float(cross_entropy(np.zeros((2, 4)), np.array([0, 3]))), 4)  # log 4
    1.3863
    """
    logits = operand("cross_entropy", logits)
    have = shape(logits)
    if len(have) == 1:
        target = target if isinstance(target, Node) else np.asarray(target)
        logits, target = expand_dims(logits, 0), expand_dims(target, 0)
        have = (1, *have)
    if len(have) != 2 or 0 in have:
        raise ShapeError(
            f"cross_entropy: logits must have shape (samples, classes), none 0; got {have}"
        )
    if _are_probabilities(target, have):
        target, logs = _like(logits, target, "cross_entropy"), log_softmax(logits)
        void = (data_of(target) == 0.0) & (data_of(logs) == -np.inf)
        return -mean(sum(target * where(void, 0.0, logs), axis=1))
    return softmax_cross_entropy(logits, labels=_labels(target, have, "cross_entropy"))


def _are_probabilities(target: Any, have: tuple[int, ...]) -> bool:
    """Whether a target is floats of the scores' shape; otherwise it must be labels."""
    data = np.asarray(data_of(target))
    return data.shape == have and data.dtype.kind == "f"


def _like(prediction: Any, target: Any, user: str) -> Any:
    """A plain target as an array of the prediction's dtype: float32 stays float32."""
    if isinstance(target, Node):
        return target
    dtype = getattr(data_of(prediction), "dtype", np.float64)
    target = operand(user, target, dtype)
    return target.astype(dtype, copy=False) if isinstance(target, np.ndarray) else target


def _labels(target: Any, have: tuple[int, ...], user: str) -> Array:
    """Integer labels, one per row of scores of shape ``have``."""
    if isinstance(target, Node):
        raise DTypeError(f"{user}: labels are plain integers, got a {type(target).__name__}")
    labels = np.asarray(target)
    if labels.shape != have[:1]:
        raise ShapeError(
            f"{user}: scores of shape {have} need {have[0]} integer labels, or float "
            f"probabilities of shape {have}; got shape {labels.shape} of dtype {labels.dtype}"
        )
    if labels.dtype.kind not in "iu":
        raise DTypeError(
            f"{user}: labels must be integers, got dtype {labels.dtype}; use y.astype(int)"
        )
    if np.minimum.reduce(labels) < 0 or np.maximum.reduce(labels) >= have[1]:
        bad = labels[(labels < 0) | (labels >= have[1])][0]
        raise UsageError(f"{user}: label {bad} is not one of the classes 0 to {have[1] - 1}")
    return labels.astype(np.intp, copy=False)  # int8 would overflow where places are counted


def cross_entropy_from_probabilities(probabilities: Any, target: Any) -> Any:
    """Mean of −log p[right class] where the network gives probabilities already.

    From scores, use :func:`cross_entropy`: it is exact where a probability underflows to 0.

    Args:
        probabilities: shape (n, classes).
        target: n integer labels, or probabilities of the same shape; 0 · log 0 counts as 0.
    """
    user = "cross_entropy_from_probabilities"
    probabilities = operand(user, probabilities)
    have = shape(probabilities)
    if len(have) != 2 or 0 in have:
        raise ShapeError(
            f"{user}: probabilities must have shape (samples, classes), none 0; got {have}"
        )
    if _are_probabilities(target, have):
        target = _like(probabilities, target, user)
        void = (data_of(target) == 0.0) & (data_of(probabilities) == 0.0)
        return -mean(sum(target * log(where(void, 1.0, probabilities)), axis=1))
    labels = _labels(target, have, user)
    return -mean(log(index(probabilities, (np.arange(len(labels)), labels))))


@quietly
def mse(prediction: Any, target: Any) -> Any:
    """The mean of (prediction − target)² over all entries."""
    away = _difference(prediction, target, "mse")
    return mean(away * away)


@quietly
def half_squared_error(prediction: Any, target: Any) -> Any:
    """½ Σ (prediction − target)² over all entries, the tutorials' other squared error."""
    away = _difference(prediction, target, "half_squared_error")
    return 0.5 * sum(away * away)


def _difference(prediction: Any, target: Any, user: str) -> Any:
    prediction = operand(user, prediction)
    target = _like(prediction, target, user)
    _same_shape(prediction, target, user)
    return prediction - target


def _same_shape(prediction: Any, target: Any, user: str) -> None:
    a, b = shape(prediction), shape(target)
    if a != b:
        raise ShapeError(
            f"{user}: prediction has shape {a} and target {b}; broadcasting them would average "
            "over pairs that do not belong together, so reshape one of them"
        )


def _half_squares(*weights: Any, strength: float) -> Any:
    half = 0.5 * strength * builtins.sum(map(_squared_length, weights))
    return np.float64(half) if half.__class__ is float else half  # a Tensor, also of Values


def _squared_length(w: Any) -> Any:
    if w.__class__ is float:
        return w * w  # beside float32 arrays the result stays float32
    flat = np.ravel(w, order="K")
    return np.dot(flat, flat)


squares = Fused(
    "half_squares",
    symbol="½λΣw²",
    array=_half_squares,
    pullback=lambda g, out, *weights, strength: tuple(g * strength * w for w in weights),
    composite=lambda *weights, strength: builtins.sum(0.5 * strength * sum(w * w) for w in weights),
    sample=lambda rng: [
        ((rng.normal(size=(2, 3)), rng.normal(size=4)), {"strength": 0.7}),
    ],
)


def l2_penalty(parameters: Iterable[Any], strength: Any) -> Any:
    """½ · strength · Σ w² over all entries of all parameters given: the penalty of weight decay.

    Raises:
        DTypeError: for anything in ``parameters`` that is not a node, an array or a number.
        UsageError: if ``strength`` is not a finite number of at least 0.

    >>> import microgradopt as mg
    >>> W = mg.Tensor([[1.0, 2.0]])
    >>> mg.nn.l2_penalty([W], strength=0.1).item()
    0.25
    """
    weights = _weights(parameters, strength, "l2_penalty")
    if isinstance(strength, Node):
        return strength * squares(*weights, strength=1.0) if weights else 0.0
    return squares(*weights, strength=float(strength)) if weights else 0.0


@quietly
def l1_penalty(parameters: Iterable[Any], strength: Any) -> Any:
    """strength · Σ |w| over all entries of all parameters given; derivative 0 where w is 0."""
    weights = _weights(parameters, strength, "l1_penalty")
    return builtins.sum((strength * _length(w) for w in weights), 0.0)


def _length(w: Any) -> Any:
    """Σ |w|, for a Value a Value: beside float32 arrays the result stays float32."""
    return absolute(w) if data_of(w).__class__ is float else sum(absolute(w))


def _weights(parameters: Any, strength: Any, user: str) -> list[Any]:
    """What a penalty is taken of, as a list; a single node is a list of one."""
    weights = [parameters] if isinstance(parameters, Node) else list(parameters)
    for w in weights:
        if not isinstance(w, (Node, np.ndarray, int, float)):
            raise DTypeError(
                f"{user}: takes parameters as model.parameters() gives them, got {w!r} among them"
            )
    given = data_of(strength)
    if not isinstance(given, (int, float, np.number, np.ndarray)) or not 0.0 <= given < np.inf:
        raise UsageError(f"{user}: strength must be a finite number of at least 0, got {given!r}")
    return weights


@quietly
def hinge(scores: Any, target: Any, margin: float = 1.0) -> Any:
    """The mean hinge (support vector machine) loss.

    Args:
        scores: with targets −1 or 1 of the same shape, such as (n,): mean of
            max(0, margin − target·score); or shape (n, classes) with n integer labels: mean over
            samples of Σ over the wrong classes of max(0, score − right score + margin) (Weston
            and Watkins 1999).
        target: as said.
        margin: how far a right score must lead to cost nothing.
    """
    scores = operand("hinge", scores)
    have = shape(scores)
    if not have or 0 in have:
        raise ShapeError(f"hinge: needs scores of shape (n,) or (n, classes), got {have}")
    if len(have) != 2 or shape(target) == have:
        signs = _like(scores, data_of(target), "hinge")
        _same_shape(scores, signs, "hinge")
        if not np.all(np.abs(signs) == 1):
            raise UsageError(
                f"hinge: targets of scores of shape {have} must be -1 or 1; use 2 * y - 1"
            )
        return mean(relu(margin - scores * signs))
    labels = _labels(target, have, "hinge")
    right = index(scores, (np.arange(len(labels)), labels, None))
    wrong = labels[:, None] != np.arange(have[1])
    return mean(sum(where(wrong, relu(scores - right + margin), 0.0), axis=1))
