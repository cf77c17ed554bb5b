"""Shapes and joining."""

from __future__ import annotations

from typing import Any

import numpy as np

import microgradopt as mg
from function_cases.build import Cases

CASES = Cases(seed=21)
add, add_call, normal = CASES.add, CASES.add_call, CASES.normal
X = normal(2, 3, 2)

for shape in (6, (3, 4), (-1, 2), (2, 1, -1, 3), [12]):
    source = X if np.prod(shape) != 6 else normal(2, 3)
    add_call("reshape", repr(shape), lambda x, s=shape: mg.reshape(x, s),
              lambda x, s=shape: np.reshape(x, s), source)  # fmt: skip
add_call("reshape", "fortran", lambda x: mg.reshape(x, (3, 2)), lambda x: np.reshape(x, (3, 2)),
          np.asfortranarray(normal(2, 3)))  # fmt: skip
add_call("reshape", "to 0-d", lambda x: mg.reshape(x, ()), lambda x: np.reshape(x, ()), normal(1))
add_call("reshape", "empty", lambda x: mg.reshape(x, (3, 0)), lambda x: np.reshape(x, (3, 0)),
          np.zeros((0, 2)))  # fmt: skip
add_call("reshape", "order F", lambda x: mg.reshape(x, (-1, 4), order="F"),
          lambda x: np.reshape(x, (-1, 4), order="F"), X)  # fmt: skip
add_call("reshape", "copy", lambda x: mg.reshape(x, shape=(4, 3), copy=True),
          lambda x: np.reshape(x, (4, 3)), X)  # fmt: skip
add("matrix_transpose", np.matrix_transpose, X)
add("permute_dims", np.permute_dims, X, axes=(1, 2, 0))
for axes in (None, (2, 0, 1), (-1, 0, -2)):
    add("transpose", np.transpose, X, axes=axes)
for source, target in ((0, -1), (-1, 0), ((0, 1), (-1, 0)), ([2, 0], [0, 1])):
    add("moveaxis", np.moveaxis, X, source=source, destination=target)
for a, b in ((0, 1), (-1, 0), (1, 1)):
    add("swapaxes", np.swapaxes, X, axis1=a, axis2=b)
for axis in (0, 1, -1, (0, 2), (-1, 0)):
    add("expand_dims", np.expand_dims, normal(2, 3), axis=axis)
add("expand_dims", np.expand_dims, np.array(2.5), axis=0)
for axis in (None, 1, -1, (1, 3), ()):
    add("squeeze", np.squeeze, normal(2, 1, 3, 1), axis=axis)
add("ravel", np.ravel, X.T)
add("ravel", np.ravel, X[::-1], order="F")
add("ravel", np.ravel, np.array(3.5))
for axis in (None, 0, -1, (0, 2)):
    add("flip", np.flip, X, axis=axis)
for shape in ((4, 2, 3), (2, 3), (1, 2, 3)):
    add("broadcast_to", np.broadcast_to, normal(2, 1), shape=shape)
add("broadcast_to", np.broadcast_to, np.array(0.7), shape=(2, 2))
add("broadcast_to", np.broadcast_to, normal(1, 3), shape=(0, 3))
add("astype", lambda x, dtype: x.astype(dtype), X, dtype=np.float64)

# Joining


def _joined(name: str, **options: Any) -> tuple[Any, Any]:
    ours, theirs = getattr(mg, name), getattr(np, name)
    return (lambda *xs: ours(xs, **options)), (lambda *xs: theirs(xs, **options))


for axis in (0, 1, -1, None):
    parts = (
        normal(2, 3),
        normal(2, 3) if axis != 0 else normal(1, 3),
        normal(2, 3),
    )
    add_call("concatenate", f"axis={axis}", *_joined("concatenate", axis=axis), *parts)
add_call("concatenate", "empty part", *_joined("concatenate"), normal(2), np.zeros(0))
for axis in (0, 1, -1, -3):
    add_call(
        "stack",
        f"axis={axis}",
        *_joined("stack", axis=axis),
        normal(2, 3),
        normal(2, 3),
    )
add_call("stack", "numbers", *_joined("stack"), 0.5, 1.5, np.array(-2.0))
add_call("concat", "plain", *_joined("concat"), normal(2), normal(1))
