"""The weights and the bias that a layer starts with, and how a kernel adds the latter."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from microgradopt.engine.tensor import Tensor
from microgradopt.errors import ShapeError, UsageError
from microgradopt.nn import init as initialisers
from microgradopt.nn.arguments import flag
from microgradopt.nn.init import Initialiser
from microgradopt.randomness import RandomSource, as_generator


def started(call: str, name: str, size: tuple[int, ...], init: Any, rng: Any, dtype: Any) -> Tensor:
    """A parameter of some shape as ``init`` starts it; ``call`` says for which layer.

    Raises:
        UsageError: if ``init`` is not a function.
        ShapeError: if it gives another shape.
    """
    if not callable(init):
        user = call.partition("(")[0]
        raise UsageError(f"{user}: init must be a function such as nn.init.he_normal, got {init!r}")
    parameter = Tensor(init(size, rng, dtype), dtype=dtype, name=name)
    if parameter.shape != size:
        raise ShapeError(
            f"{call} needs {name} of shape {size}, init gave one of shape {parameter.shape}"
        )
    return parameter


def weight_and_bias(
    call: str,
    size: Sequence[int],
    outs: int,
    bias: bool,
    init: Initialiser | None,
    rng: RandomSource,
    dtype: Any,
) -> tuple[Tensor, Tensor | None]:
    """Parameters as torch starts them, uniform between ±1/√fan_in; or by ``init``, the bias at 0.

    Raises what :func:`started` does, and UsageError where ``bias`` is neither True nor False.
    """
    size = tuple(size)
    bias = flag(call.partition("(")[0], "bias", bias)
    rng = as_generator(rng)
    weight = started(call, "weight", size, init or initialisers.torch_default, rng, dtype)
    if not bias:
        return weight, None
    bound = 0.0 if init else 1.0 / np.sqrt(initialisers.fans(size)[0])
    start = initialisers.uniform((outs,), rng, dtype, bound=bound)
    return weight, Tensor(start, name="bias")


def with_bias(out: Any, bias: Any) -> Any:
    """``out + bias`` of arrays, in the place of ``out`` where that can hold it."""
    if not np.can_cast(bias.dtype, out.dtype):
        return out + bias
    out += bias
    return out
