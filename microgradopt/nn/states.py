"""What a module's state is made of: leaves and random generators, copied, compared and restored."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from microgradopt.engine.graph import Array, Node
from microgradopt.engine.tensor import Tensor
from microgradopt.errors import DTypeError, StateError, UsageError
from microgradopt.randomness import check_generator_state, generator_state


class Buffer(Tensor):
    """An array of a module's state that is never trained: a running average, a count, a mask.

    Args:
        data: as for a Tensor; an array of whole numbers or truth values keeps its dtype.
        dtype: that of the array, or float64, when left out.
        name: what pictures and messages call it.

    Whole numbers and truth values are no operands of a graph: compute with ``.data``.

    Raises:
        UsageError: when it is told to require a gradient.
        DTypeError: for numbers that the dtype cannot hold, such as 1.5 among whole ones.

    >>> import numpy as np
    >>> seen = Buffer(np.array(0))
    >>> seen.data = seen.data + 1
    >>> seen.data, seen.dtype
    (array(1), dtype('int64'))
    """

    __slots__ = ()

    def __init__(self, data: Any, *, dtype: Any = None, name: str | None = None) -> None:
        super().__init__(data, dtype=dtype, name=name, requires_grad=False)

    @classmethod
    def leaf_data(cls, data: Any, dtype: Any = None) -> Array:
        """``data`` as a Tensor has it, or as whole numbers or truth values, if it is such."""
        wanted = np.dtype(getattr(data, "dtype", np.float64) if dtype is None else dtype)
        if wanted.kind not in "iub":
            return super().leaf_data(data, dtype)
        super().leaf_data(data, np.float64)  # refuses what is no array of numbers
        array = np.asarray(data)
        held = array.astype(wanted)
        if array.dtype.kind not in "iub" or not np.array_equal(held, array):
            raise DTypeError(
                f"a Buffer of dtype {wanted} cannot hold these numbers of dtype {array.dtype} as "
                "they are; round them first, or make a new Buffer of another dtype"
            )
        return held

    @property
    def requires_grad(self) -> bool:
        """False; a Buffer is never trained."""
        return False

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if wanted:
            raise UsageError(
                "a Buffer is never trained, so it cannot require a gradient; make it a Tensor, "
                "which freeze() and unfreeze() keep from training and let train"
            )


def is_generator(x: Any) -> bool:
    """Whether it is a ``np.random.Generator``; asked so that nobody has to import that yet."""
    random = sys.modules.get("numpy.random")
    return random is not None and isinstance(x, random.Generator)


def state_of(x: Any) -> Any:
    """The state of a node or a random generator, as data of its own."""
    return _copied(x._raw) if isinstance(x, Node) else generator_state(x)


def _copied(data: Any) -> Any:
    """Laid out in memory as it was: products are the same to the last bit then."""
    return data.copy(order="K") if isinstance(data, np.ndarray) else data


def check_state(user: str, own: dict[str, Any], state: Any) -> None:
    """Refuse a state that does not fit nodes and random generators, saying all that differs."""
    if not isinstance(state, dict):
        raise StateError(f"{user}: a state is a dict, got {type(state).__name__}")
    wrong = [f"{name} is missing" for name in own if name not in state]
    wrong += [f"{name} is not expected" for name in state if name not in own]
    for name, x in own.items():
        problem = _misfit(x, state[name]) if name in state else ""
        if problem:
            wrong.append(f"{name} {problem}")
    if wrong:
        listed = "".join(f"\n  {line}" for line in wrong[:20])
        more = f"\n  and {len(wrong) - 20} more" if len(wrong) > 20 else ""
        raise StateError(f"{user}: the state is of another model:{listed}{more}")


def _misfit(x: Any, given: Any) -> str:
    """Why a node or a random generator cannot take a state; empty when it can."""
    if not isinstance(x, Node):
        try:
            check_generator_state(x, given)
        except StateError as error:
            return f"does not fit: {error}"
        return ""
    have, need = _kind(given), _kind(x._raw)
    return "" if have == need else f"is {need} here, {have} in the state"


def _kind(x: Any) -> str:
    """What an entry of a state is, such as ``float64 of shape (2, 3)``."""
    if isinstance(x, np.ndarray):
        return f"{x.dtype} of shape {x.shape}"
    return type(x).__name__


def restore(x: Any, given: Any) -> None:
    """Set a node's or a generator's state, which fits."""
    if isinstance(x, Node):
        x.assign(_copied(given))
    else:
        x.bit_generator.state = given
