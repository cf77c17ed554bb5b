"""The layers that ``nn`` exports, with their samples: for the tests and for their golden files."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import numpy as np

from microgradopt import Tensor, Value, nn
from microgradopt.engine.rules import data_of
from microgradopt.engine.structure import leaves, map_structure
from microgradopt.nn.module import Sample

WITHOUT_TWIN = {  # layers that torch does not have, and why no golden file is needed
    "BatchNorm": "BatchNorm1d and BatchNorm2d are the same for some ranks",
    "MLP": "Linear layers and activations, one after the other",
    "Maxout": "a Linear layer and a maximum; torch has none",
    "Swish": "torch has SiLU, whose steepness is not learned",
    "Sequential": "the layers in it have golden files",
}
ROUNDED_BY_TORCH = {"Hardsigmoid"}  # whose gradient there holds 1/6 in float32


class Case(NamedTuple):
    """One sample of a class; made anew whenever it is asked for."""

    kind: type[nn.Module]
    number: int

    def sample(self, dtype: Any = np.float64) -> Sample:
        return self.kind.samples(dtype)[self.number]

    def __str__(self) -> str:
        module = "scalar." if self.kind.__module__ == nn.scalar.__name__ else ""
        return f"{module}{self.kind.__name__}{self.number}"


def exported(namespace: Any) -> list[type[nn.Module]]:
    """The classes of layers that a namespace exports, by name."""
    names = getattr(namespace, "__all__", [n for n in vars(namespace) if not n.startswith("_")])
    things = [getattr(namespace, name) for name in sorted(names)]
    return [
        x for x in things if inspect.isclass(x) and issubclass(x, nn.Module) and x is not nn.Module
    ]


def cases(namespace: Any) -> list[Case]:
    """Every sample of every class; a class whose samples cannot be made has none."""
    found = []
    for kind in exported(namespace):
        try:
            number = len(kind.samples(np.float64))
        except Exception:  # a test of its own says so
            number = 0
        found += [Case(kind, i) for i in range(number)]
    return found


def is_float(x: Any) -> bool:
    return np.asarray(x).dtype.kind == "f"


def as_nodes(inputs: Any) -> Any:
    """Inputs as leaves of a graph; truth values and whole numbers are none."""

    def leaf(x: Any) -> Any:
        if not is_float(x):
            return x
        return Tensor(x) if isinstance(x, np.ndarray) else Value(x)

    return map_structure(leaf, inputs)


def raw(out: Any) -> list[Any]:
    """The numbers of a layer's result, whatever its structure and kind."""
    return [data_of(x) for x in leaves(out)]


def weights(like: Any, number: int) -> Any:
    """Fixed numbers between −1 and 1 of the shape and dtype of a result's part ``number``."""
    numbers = np.cos(1.0 + 0.7 * np.arange(np.size(like)) + number).reshape(np.shape(like))
    return numbers.astype(like.dtype) if isinstance(like, np.ndarray) else float(numbers)


def weighted(out: Any) -> Any:
    """One number made of all numbers of a layer's result, each with another weight."""
    parts = leaves(out)
    total = 0.0
    for i, x in enumerate(parts):
        part = x * weights(data_of(x), i)
        total = total + (part.sum() if np.ndim(part) else part)
    return total


def modes(layer: nn.Module) -> list[str]:
    """The modes that golden files hold, one run after the other; other libraries draw otherwise."""
    draws = any(
        isinstance(x, np.random.Generator)
        for module in layer.modules()
        for x in vars(module).values()
    )
    return ["eval"] if draws else ["train", "eval"]


def given(layer: nn.Module, inputs: Any) -> dict[str, Any]:
    """What a golden file was made from: the layer, its inputs, parameters and buffers."""
    named = [*layer.named_parameters(), *layer.named_buffers()]
    arrays = {f"input {i}": np.asarray(x) for i, x in enumerate(leaves(inputs))}
    return {"layer": np.asarray(repr(layer)), **arrays, **{n: x.data.copy() for n, x in named}}
