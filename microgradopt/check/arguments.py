"""What a function under check is differentiated by, what stays as it is, and what to call it.

Differentiated are floats, floating-point arrays, Values, Tensors and the parameters of modules, in
any structure of lists, tuples and dicts. A module is whatever has ``named_parameters()``: the
function gets a copy of it in which nodes stand for the parameters, so that every call finds the
same buffers and generators, and the user's module stays untouched. Everything else (labels and
other whole-number arrays, truth values, strings, …) is a constant.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from microgradopt.check.numeric import Leaves
from microgradopt.engine.binding import has_parameters
from microgradopt.engine.graph import Node
from microgradopt.engine.rules import data_of
from microgradopt.engine.structure import leaves, map_structure
from microgradopt.engine.tensor import Tensor
from microgradopt.engine.value import Value
from microgradopt.errors import UsageError


class Arguments:
    """A function and its arguments, taken apart into leaves ``xs`` and their names ``places``.

    >>> import microgradopt as mg
    >>> taken = Arguments(mg.nn.Linear(2, 3, rng=0), [{"x": [1.0, True]}])
    >>> taken.places
    ['f: weight', 'f: bias', "argument 0['x'][0]"]
    """

    def __init__(self, f: Callable[..., Any], args: Sequence[Any]) -> None:
        self.f = f
        self.args = list(args)
        self.xs: Leaves = []
        self.places: list[str] = []
        self.parameters: dict[int, int] = {}  # id of a module's parameter: where it is in xs
        self.direct: list[int] = []  # where the leaves of the arguments themselves are
        self.owner = f if has_parameters(f) else getattr(f, "__self__", None)
        found = [pair for i, x in enumerate(args) for pair in places_of(x, f"argument {i}")]
        for place, x in [("f", self.owner), *found]:
            self._add(place, x)
        if not self.xs:
            for _, x in found:
                if isinstance(x, np.ndarray):
                    Tensor.leaf_data(x)  # refuses whole numbers, and says what to do
            raise UsageError("give at least one number or array to differentiate by")

    def _add(self, place: str, x: Any) -> None:
        if has_parameters(x):
            for name, parameter in x.named_parameters():
                if isinstance(parameter, Node) and id(parameter) not in self.parameters:
                    self.parameters[id(parameter)] = len(self.xs)
                    self.xs.append(parameter.data)
                    self.places.append(f"{place}: {name}")
        elif _is_differentiable(x):
            self.direct.append(len(self.xs))
            self.xs.append(_leaf(x))
            self.places.append(place)

    def call(self, values: Leaves) -> Leaves:
        """The leaves of the function's result where its own leaves are ``values``."""
        return leaves(self.result(values))

    def result(self, values: Leaves) -> Any:
        """The function's result where its own leaves are ``values``."""
        operands = [as_operand(x) for x in values]
        memo = {key: operands[k] for key, k in self.parameters.items()}
        direct = iter([operands[k] for k in self.direct])

        def fill(x: Any) -> Any:
            if has_parameters(x):
                return _copy(x, memo)
            return next(direct) if _is_differentiable(x) else x

        args = [map_structure(fill, x) for x in self.args]
        f = self.f
        if f is self.owner:
            f = _copy(f, memo)
        elif has_parameters(self.owner):
            f = getattr(_copy(self.owner, memo), f.__name__)
        return f(*args)


def as_operand(x: Any) -> Any:
    """A leaf as the function's argument: a node; complex data stay plain."""
    if isinstance(x, Node) or np.iscomplexobj(x):
        return x
    return Tensor(x) if isinstance(x, np.ndarray) else Value(x)


def as_result(y: Any) -> Any:
    """A leaf of the function's result as plain data."""
    data = data_of(y)
    if isinstance(data, np.ndarray) and data.dtype.kind == "f":
        return data
    if isinstance(data, (int, float, np.floating, np.integer)):
        return float(data)
    what = f"an array of dtype {data.dtype}" if isinstance(data, np.ndarray) else repr(data)
    raise UsageError(f"check_grads: the function must return real numbers or arrays, not {what}")


def _is_differentiable(x: Any) -> bool:
    if isinstance(x, np.ndarray):
        return x.dtype.kind not in "iubUSMm"  # mg.Tensor refuses complex numbers and objects
    return isinstance(x, (Node, int, float, np.floating, np.integer)) and not isinstance(x, bool)


def _leaf(x: Any) -> Any:
    data = data_of(x)
    kind = Tensor if isinstance(data, np.ndarray) else Value
    return kind.leaf_data(data)


def _copy(module: Any, memo: dict[int, Any]) -> Any:
    """A copy of a module with other parameters; modules that share one go on sharing it."""
    try:
        return copy.deepcopy(module, memo)
    except (TypeError, RecursionError) as error:
        raise UsageError(
            f"check_grads: {type(module).__name__} cannot be copied ({error}), and a copy with "
            "other parameters is what is called; check a function of its parameters instead"
        ) from error


def places_of(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The leaves of an argument, each with its name, such as ``argument 0['w'][1]``."""
    if isinstance(tree, (dict, list, tuple)):
        keys = tree if isinstance(tree, dict) else range(len(tree))
        fields = getattr(tree, "_fields", None)
        for key in keys:
            inner = f"{name}.{fields[key]}" if fields else f"{name}[{key!r}]"
            yield from places_of(tree[key], inner)
    elif tree is not None:
        yield name, tree
