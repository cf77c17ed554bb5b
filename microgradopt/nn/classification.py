"""Losses of classes and probabilities: cross-entropies, divergences, entropy."""

import math
from typing import Any

import numpy as np

from microgradopt.arguments import check_number
from microgradopt.engine.composites import floating, log_softmax
from microgradopt.engine.graph import Array, Node, to_float
from microgradopt.engine.ops.elementwise import exp, log, log1p, softplus, where
from microgradopt.engine.ops.shapes import expand_dims, index, moveaxis, reshape, sum
from microgradopt.engine.quiet import quietly
from microgradopt.engine.reductions import mean
from microgradopt.engine.rules import Fused, shape_of as shape
from microgradopt.errors import DTypeError, ShapeError, UsageError
from microgradopt.nn.arguments import dtype_of, flag, one_of, operand
from microgradopt.nn.targets import (
    REDUCTIONS,
    absorbing,
    are_probabilities,
    factor,
    labels_of,
    like,
    pair,
    reduced,
)


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


def cross_entropy(
    logits: Any,
    target: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """Softmax cross-entropy of scores: −log of the probability of the right class.

    Args:
        logits: scores before the softmax, shape (n, classes), (classes,) for one sample, or
            (n, classes, d1, …), such as one image of scores per class.
        target: integer labels of shape (n,), () or (n, d1, …); or probabilities of the shape of
            ``logits`` (one-hot or soft), where 0 · log 0 counts as 0.
        weight: a number for each class, by which its losses are multiplied.
        ignore_index: a label that costs nothing.
        label_smoothing: the part, from 0 to 1, of each target that is spread over all classes
            (Szegedy et al. 2016).
        reduction: "mean", "sum", or "none" for a loss per label. As torch's, the mean of labels is
            weighted (the sum divided by that of the labels' weights), that of probabilities not.

    Raises:
        ShapeError: if there are no samples, or shapes do not match.
        UsageError: if a label is not one of 0 … classes − 1, or the mean is of ignored ones only.

    >>> import numpy as np
    >>> round(float(cross_entropy(np.zeros((2, 4)), np.array([0, 3]))), 4)  # log 4
    1.3863
    """
    user = "cross_entropy"
    logits, target, reduction = _batched(operand(user, logits), target, reduction, "logits", user)
    have = shape(logits)
    if are_probabilities(target, have):
        logs = log_softmax(logits, axis=1)
        return _of_probabilities(logs, target, weight, label_smoothing, reduction, user)
    labels, some_ignored = labels_of(target, have, user, ignore_index)
    plain = weight is None and label_smoothing == 0.0 and reduction == "mean"
    if plain and len(have) == 2 and not some_ignored:
        return softmax_cross_entropy(logits, labels=labels)
    logs = log_softmax(logits, axis=1)
    return _of_labels(logs, labels, weight, ignore_index, label_smoothing, reduction, user)


def nll_loss(
    log_probabilities: Any,
    target: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    """−log of the probability of the right class, from logarithms such as log_softmax gives.

    Arguments and errors are those of :func:`cross_entropy`, which is ``nll_loss`` of
    ``log_softmax(logits, axis=1)``; a target of probabilities is not taken.
    """
    user = "nll_loss"
    given = operand(user, log_probabilities)
    logs, target, reduction = _batched(given, target, reduction, "log_probabilities", user)
    labels, _ = labels_of(target, shape(logs), user, ignore_index)
    return _of_labels(logs, labels, weight, ignore_index, 0.0, reduction, user)


def cross_entropy_from_probabilities(
    probabilities: Any,
    target: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    """−log p[right class] where the network gives probabilities already.

    From scores, use :func:`cross_entropy`: it is exact where a probability underflows to 0.
    Arguments and errors are the same.
    """
    user = "cross_entropy_from_probabilities"
    given = operand(user, probabilities)
    probabilities, target, reduction = _batched(given, target, reduction, "probabilities", user)
    logs = log(probabilities)
    if are_probabilities(target, shape(logs)):
        return _of_probabilities(logs, target, weight, label_smoothing, reduction, user)
    labels, _ = labels_of(target, shape(logs), user, ignore_index)
    return _of_labels(logs, labels, weight, ignore_index, label_smoothing, reduction, user)


def _batched(
    scores: Any, target: Any, reduction: str, what: str, user: str
) -> tuple[Any, Any, str]:
    """Scores and target with an axis of samples, and the reduction.

    A single sample gets an axis of length 1; its loss is a number, "none" means the sum of one.
    """
    have = shape(scores)
    if len(have) == 1:
        target = target if isinstance(target, Node) else np.asarray(target)
        scores, target = expand_dims(scores, 0), expand_dims(target, 0)
        reduction = "sum" if reduction == "none" else reduction
    if not have or 0 in have:
        raise ShapeError(
            f"{user}: {what} must have shape (samples, classes, ...), none 0; got {have}"
        )
    return scores, target, reduction


@quietly
def _of_labels(
    logs: Any,
    labels: Array,
    weight: Any,
    ignore_index: int,
    smoothing: float,
    reduction: str,
    user: str,
) -> Any:
    """The losses −log p[label] of logarithms of shape (n, classes, ...), reduced."""
    one_of(user, "reduction", reduction, REDUCTIONS)
    classes = shape(logs)[1]
    rows = reshape(moveaxis(logs, 1, -1), (-1, classes))
    flat = labels.ravel()
    live = flat != ignore_index
    places = np.where(live, flat, 0)
    weights = _class_weights(weight, logs, classes, user)
    counted = index(weights, places) * live
    losses = -absorbing(counted, where(live, index(rows, (np.arange(len(flat)), places)), 0.0))
    if _checked_smoothing(smoothing, user):
        spread = where(live, sum(absorbing(weights, rows), axis=1), 0.0)
        losses = (1.0 - smoothing) * losses - (smoothing / classes) * spread
    if reduction == "none":
        return reshape(losses, labels.shape)
    if reduction == "sum":
        return sum(losses)
    if not live.any():
        raise UsageError(
            f"{user}: all {len(flat)} labels are ignore_index={ignore_index}, and there is no mean "
            'of nothing; skip the batch, or use reduction="sum"'
        )
    return sum(losses) / to_float(counted.sum())


@quietly
def _of_probabilities(
    logs: Any, target: Any, weight: Any, smoothing: float, reduction: str, user: str
) -> Any:
    """The losses −Σ target·log p of logarithms of shape (n, classes, ...), reduced."""
    one_of(user, "reduction", reduction, REDUCTIONS)
    have = shape(logs)
    target = like(logs, target, user)
    if _checked_smoothing(smoothing, user):
        target = (1.0 - smoothing) * target + smoothing / have[1]
    if weight is not None:
        weights = _class_weights(weight, logs, have[1], user)
        target = target * weights.reshape(-1, *(1 for _ in have[2:]))
    return reduced(-sum(absorbing(target, logs), axis=1), reduction, user)


def _class_weights(weight: Any, logs: Any, classes: int, user: str) -> Array:
    """A plain weight for each class, in the dtype of the logarithms; ones for None."""
    dtype = dtype_of(logs)
    if weight is None:
        return np.ones(classes, dtype)
    if isinstance(weight, Node):
        raise DTypeError(
            f"{user}: class weights are plain numbers, got a {type(weight).__name__}; "
            "use weight.numpy()"
        )
    weight = np.asarray(weight)
    if weight.shape != (classes,) or weight.dtype.kind not in "fiu":
        raise ShapeError(
            f"{user}: weight must be one number for each of the {classes} classes, got shape "
            f"{weight.shape} of dtype {weight.dtype}"
        )
    weights: Array = weight.astype(dtype)
    return weights


def _checked_smoothing(smoothing: float, user: str) -> bool:
    """Whether there is any smoothing; refused unless from 0 to 1."""
    check_number(user, "label_smoothing", smoothing)
    if smoothing > 1.0:
        raise UsageError(f"{user}: label_smoothing is a part from 0 to 1, got {smoothing!r}")
    return smoothing > 0.0


# Two classes


@quietly
def binary_cross_entropy(
    probabilities: Any, target: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    """−t·log p − (1 − t)·log(1 − p) of probabilities p and targets t, both from 0 to 1.

    0 · log 0 counts as 0, and a certain error is infinite, where torch cuts logarithms at −100.
    From scores, use :func:`binary_cross_entropy_with_logits`.

    Args:
        probabilities, target: of one shape.
        weight: multiplies the losses; of a shape that can be broadcast to theirs.
        reduction: "mean", "sum" or "none".
    """
    user = "binary_cross_entropy"
    p, t = pair(probabilities, target, user)
    losses = -(absorbing(t, log(p)) + absorbing(1.0 - t, log1p(-p)))
    return _weighted(losses, weight, reduction, user)


@quietly
def binary_cross_entropy_with_logits(
    logits: Any,
    target: Any,
    *,
    weight: Any = None,
    pos_weight: Any = None,
    reduction: str = "mean",
) -> Any:
    """The binary cross-entropy of the probabilities σ(logits), precise however far out.

    Args:
        logits, target: scores, and what their σ should be, of one shape.
        weight: multiplies the losses; of a shape that can be broadcast to theirs.
        pos_weight: multiplies the part of the targets of 1, likewise.
        reduction: "mean", "sum" or "none".
    """
    user = "binary_cross_entropy_with_logits"
    x, t = pair(logits, target, user)
    positive = t if pos_weight is None else t * factor(pos_weight, x, user)
    losses = absorbing(positive, softplus(-x)) + absorbing(1.0 - t, softplus(x))
    return _weighted(losses, weight, reduction, user)


def _weighted(losses: Any, weight: Any, reduction: str, user: str) -> Any:
    if weight is not None:
        losses = losses * factor(weight, losses, user)
    return reduced(losses, reduction, user)


# Distributions


@quietly
def kl_div(
    log_probabilities: Any, target: Any, *, log_target: bool = False, reduction: str = "mean"
) -> Any:
    """The Kullback–Leibler divergence: entries t·(log t − log p), 0 where t is 0; as torch's.

    Args:
        log_probabilities: log p.
        target: t, of the same shape; or log t with ``log_target``.
        reduction: "batchmean" is the divergence itself: the sum over the number of samples, the
            length of the first axis. "mean" divides by that of all entries; "sum", "none".
    """
    user = "kl_div"
    one_of(user, "reduction", reduction, (*REDUCTIONS, "batchmean"))
    logs, t = pair(log_probabilities, target, user)
    t, own = (exp(t), t) if flag(user, "log_target", log_target) else (t, log(t))
    losses = absorbing(t, own) - absorbing(t, logs)
    if reduction != "batchmean":
        return reduced(losses, reduction, user)
    if not shape(losses) or not shape(losses)[0]:
        raise ShapeError(f'{user}: "batchmean" needs samples on axis 0, got {shape(losses)}')
    return sum(losses) / float(shape(losses)[0])


@quietly
def entropy(probabilities: Any, axis: int = -1, *, base: float = math.e) -> Any:
    """−Σ p·log p along ``axis``, where 0 · log 0 counts as 0; in bits with ``base=2``.

    >>> entropy([0.5, 0.25, 0.25], base=2)
    np.float64(1.5)
    """
    check_number("entropy", "base", base, 1.0)
    if base == 1:
        raise UsageError("entropy: base must be above 1; use 2 for bits, or leave it out")
    p = floating(operand("entropy", probabilities))
    return -sum(absorbing(p, log(p)), axis=axis) / math.log(base)
