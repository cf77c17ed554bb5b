"""Penalties of large weights, to be added to a loss."""

import builtins
from collections.abc import Iterable
from typing import Any

import numpy as np

from microgradopt.arguments import check_number
from microgradopt.engine.graph import Node
from microgradopt.engine.ops.elementwise import absolute
from microgradopt.engine.ops.shapes import sum
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import Fused, data_of
from microgradopt.errors import DTypeError


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
    check_number(user, "strength", given.item() if isinstance(given, np.ndarray) else given)
    return weights
