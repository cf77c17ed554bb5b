"""Losses of numbers and of distances: squared and absolute errors, margins."""

import math
from typing import Any

import numpy as np

from microgradopt.arguments import check_number
from microgradopt.engine.norms import norm
from microgradopt.engine.ops.elementwise import (
    absolute,
    equal,
    exp,
    greater,
    log,
    minimum,
    relu,
    sqrt,
    where,
)
from microgradopt.engine.ops.shapes import index, sum
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import shape_of as shape
from microgradopt.errors import ShapeError, UsageError
from microgradopt.nn.arguments import operand
from microgradopt.nn.targets import labels_of, pair, reduced, signs_like

# Every loss of a prediction and a target refuses to broadcast them.


@quietly
def mse(prediction: Any, target: Any, *, reduction: str = "mean") -> Any:
    """The mean of (prediction − target)² over all entries; "sum" or "none" instead of "mean"."""
    away = _difference(prediction, target, "mse")
    return reduced(away * away, reduction, "mse")


@quietly
def half_squared_error(prediction: Any, target: Any, *, reduction: str = "sum") -> Any:
    """½ Σ (prediction − target)² over all entries, the tutorials' other squared error."""
    away = _difference(prediction, target, "half_squared_error")
    return 0.5 * reduced(away * away, reduction, "half_squared_error")


@quietly
def l1_loss(prediction: Any, target: Any, *, reduction: str = "mean") -> Any:
    """The mean of |prediction − target|; its derivative is 0 where they are equal."""
    return reduced(absolute(_difference(prediction, target, "l1_loss")), reduction, "l1_loss")


@quietly
def huber_loss(prediction: Any, target: Any, *, delta: float = 1.0, reduction: str = "mean") -> Any:
    """½d² for distances d up to ``delta``, delta·(d − ½delta) beyond (Huber 1964)."""
    check_number("huber_loss", "delta", delta)
    if delta == 0:
        raise UsageError("huber_loss: delta must be above 0; use l1_loss")
    losses = _huber(_difference(prediction, target, "huber_loss"), float(delta))
    return reduced(losses, reduction, "huber_loss")


@quietly
def smooth_l1_loss(
    prediction: Any, target: Any, *, beta: float = 1.0, reduction: str = "mean"
) -> Any:
    """½d²/``beta`` for distances d below beta, d − ½beta beyond (Girshick 2015); l1 for beta 0."""
    check_number("smooth_l1_loss", "beta", beta)
    away = _difference(prediction, target, "smooth_l1_loss")
    losses = _huber(away, float(beta)) / float(beta) if beta else absolute(away)
    return reduced(losses, reduction, "smooth_l1_loss")


def _huber(away: Any, delta: float) -> Any:
    away = absolute(away)
    near = minimum(away, delta)
    return near * (away - 0.5 * near)


def _difference(prediction: Any, target: Any, user: str) -> Any:
    prediction, target = pair(prediction, target, user)
    return prediction - target


@quietly
def poisson_nll_loss(
    prediction: Any,
    target: Any,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:
    """−log of the Poisson probability of the counts ``target``, without their own log t!; as torch.

    Args:
        prediction: the logarithm of the rate, or with ``log_input=False`` the rate.
        full: add Stirling's t·log t − t + ½·log(2πt) for counts above 1.
        eps: keeps the logarithm of a rate of 0 finite.
    """
    user = "poisson_nll_loss"
    check_number(user, "eps", eps)
    x, t = pair(prediction, target, user)
    losses = exp(x) - t * x if log_input else x - t * log(x + float(eps))
    if full:
        many = greater(t, 1.0)
        n = where(many, t, 1.0)
        stirling = n * log(n) - n + 0.5 * log(2.0 * math.pi * n)
        losses = losses + where(many, stirling, 0.0)
    return reduced(losses, reduction, user)


# Margins


@quietly
def hinge(scores: Any, target: Any, margin: float = 1.0, *, reduction: str = "mean") -> Any:
    """The mean hinge (support vector machine) loss.

    Args:
        scores: with targets −1 or 1 of the same shape, such as (n,): mean of
            max(0, margin − target·score); or shape (n, classes) with n integer labels: mean over
            samples of Σ over the wrong classes of max(0, score − right score + margin) (Weston
            and Watkins 1999).
        target: as said.
        margin: how far a right score must lead to cost nothing.
        reduction: "mean", "sum" or "none".
    """
    check_number("hinge", "margin", margin, -math.inf)
    scores = operand("hinge", scores)
    have = shape(scores)
    if not have or 0 in have:
        raise ShapeError(f"hinge: needs scores of shape (n,) or (n, classes), got {have}")
    if len(have) != 2 or shape(target) == have:
        signs = signs_like(scores, target, "hinge")
        return reduced(relu(margin - scores * signs), reduction, "hinge")
    labels, _ = labels_of(target, have, "hinge")
    right = index(scores, (np.arange(len(labels)), labels, None))
    wrong = labels[:, None] != np.arange(have[1])
    losses = sum(where(wrong, relu(scores - right + margin), 0.0), axis=1)
    return reduced(losses, reduction, "hinge")


@quietly
def margin_ranking_loss(
    first: Any, second: Any, target: Any, *, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """max(0, margin − target·(first − second)): 1 ranks the first higher, −1 the second."""
    user = "margin_ranking_loss"
    check_number(user, "margin", margin, -math.inf)
    away = _difference(first, second, user)
    return reduced(relu(margin - signs_like(away, target, user) * away), reduction, user)


@quietly
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """max(0, |anchor − positive| − |anchor − negative| + margin), lengths along the last axis.

    Schroff et al. 2015; as torch, which adds ``eps`` to every difference.

    Args:
        anchor, positive, negative: of one shape (..., features).
        p: of the norm.
        swap: count the distance from positive to negative where it is the smaller one.
    """
    user = "triplet_margin_loss"
    for name, value, low in (("margin", margin, -math.inf), ("p", p, 0.0), ("eps", eps, 0.0)):
        check_number(user, name, value, low)

    def distance(a: Any, b: Any) -> Any:
        return norm(_difference(a, b, user) + float(eps), float(p), axis=-1)

    far = distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(relu(distance(anchor, positive) - far + margin), reduction, user)


@quietly
def cosine_embedding_loss(
    first: Any, second: Any, target: Any, *, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """1 − cos of the angle of two vectors for targets 1, max(0, cos − margin) for −1.

    Args:
        first, second: of one shape (..., features).
        target: −1 or 1 for each pair, of shape (...).
    """
    user = "cosine_embedding_loss"
    check_number(user, "margin", margin, -math.inf)
    a, b = pair(first, second, user)
    if not shape(a):
        raise ShapeError(f"{user}: needs vectors, of shape (features,) or (n, features); got ()")
    tiny = 1e-12  # torch's; no direction is at right angles to all
    lengths = sqrt((sum(a * a, axis=-1) + tiny) * (sum(b * b, axis=-1) + tiny))
    cosine = sum(a * b, axis=-1) / lengths
    alike = equal(signs_like(cosine, target, user), 1.0)
    return reduced(where(alike, 1.0 - cosine, relu(cosine - margin)), reduction, user)
