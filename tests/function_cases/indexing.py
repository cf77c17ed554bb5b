"""Picking entries and putting others in, diagonals and triangles."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import microgradopt as mg
from function_cases.build import Cases

CASES = Cases(seed=23)
add, add_call, normal = CASES.add, CASES.add_call, CASES.normal
X = normal(2, 3, 2)


def both(name: str, label: str, *arrays: Any, before: tuple[Any, ...] = (), **options: Any) -> None:
    """A function with plain arguments ``before`` its arrays."""
    ours, theirs = (partial(getattr(m, name), *before, **options) for m in (mg, np))
    add_call(name, label, ours, theirs, *arrays)


# Picking

for indices in (1, -2, [2, 0, 2], [[0, -1], [1, 1]], [], np.array([1, 2], np.uint8), True):
    add("take", np.take, X, indices=indices)
    add("take", np.take, X, indices=indices, axis=1)
add("take", np.take, X, indices=[5, -7, 1], axis=-1, mode="wrap")
add("take", np.take, X, indices=[5, -7, 1], axis=0, mode="clip")
add("take", np.take, np.array(1.5), indices=[0, 0])
add("take", np.take, 1.5, indices=0)
add("take", np.take, np.zeros((0, 2)), indices=[1], axis=1)
add("take", np.take, np.asfortranarray(normal(3, 2)), indices=[0, 5, 5])

for axis in (0, 1, -1):
    both("take_along_axis", f"argsort {axis}", X, indices=np.argsort(X, axis), axis=axis)
    both("take_along_axis", f"argmax {axis}", X, indices=X.argmax(axis, keepdims=True), axis=axis)
both("take_along_axis", "broadcast", X, indices=np.array([[[0], [0], [-1], [2]]]), axis=1)
both("take_along_axis", "flat", X, indices=np.array([3, 3, 11]), axis=None)
both("take_along_axis", "of length 1", normal(1, 3), indices=np.array([[0], [2]]), axis=1)
for kth, axis in ((1, -1), ((0, 2), 1), (-1, 0), (5, None)):
    add("partition", np.partition, X, kth=kth, axis=axis)
add("partition", np.partition, normal(7)[::-1], kth=3)

for condition, axis in (
    ([True, False], 0), ([False, True, True], 1), ([True], 2), ([0, 2, 0], 1), ([], 0),
    ([True, False, True, True], None), ([False, True, False, False], 1),
):  # fmt: skip
    both("compress", f"{condition},{axis}", X, before=(condition,), axis=axis)
both("extract", "mask", X, before=(X > 0,))
both("extract", "whole numbers", normal(2, 2), before=(np.array([[0, 3], [1, 0]]),))
both("extract", "nothing", normal(3), before=(np.zeros(3, bool),))
for trim in ("fb", "f", "B"):
    add_call("trim_zeros", f"row {trim}", lambda x, t=trim: mg.trim_zeros(mg.pad(x, (1, 2)), t),
             lambda x, t=trim: np.trim_zeros(np.pad(x, (1, 2)), t), normal(3))  # fmt: skip
for axis in (None, -1, (0,)):
    add_call("trim_zeros", f"axis={axis}", lambda x, a=axis: mg.trim_zeros(mg.pad(x, 1), axis=a),
             lambda x, a=axis: np.trim_zeros(np.pad(x, 1), axis=a), normal(2, 2))  # fmt: skip
add_call("trim_zeros", "nothing left", lambda x: mg.trim_zeros(0.0 * x),
         lambda x: np.trim_zeros(0.0 * x), normal(3))  # fmt: skip

# Choosing

A, B, C = normal(2, 3), normal(3), normal(2, 1)
for default in (0, -1.5):
    add_call(
        "select", f"default={default}",
        lambda a, b, d=default: mg.select([A > 1, A > 0], [a, 2.0 * b], d),
        lambda a, b, d=default: np.select([A > 1, A > 0], [a, 2.0 * b], d), A, B,
    )  # fmt: skip
add_call(
    "select", "default array",
    lambda a, b, c: mg.select([np.array(True), B > 0], [mg.where(A > 0, a, b), b], c),
    lambda a, b, c: np.select([np.array(True), B > 0], [np.where(A > 0, a, b), b], c), A, B, C,
)  # fmt: skip
add_call("select", "numbers", lambda v: mg.select([np.array(False), np.array(True)], [v, 2.0 * v]),
         lambda v: np.select([np.array(False), np.array(True)], [v, 2.0 * v]), 1.5)  # fmt: skip
for label, chosen, mode in (
    ("grid", np.array([[0, 1, 2], [2, 1, 0]]), "raise"),
    ("wrap", np.array([-1, 4, 3]), "wrap"),
    ("clip", np.array([[-1], [9]]), "clip"),
    ("one", 1, "raise"),
):
    add_call("choose", label, lambda *xs, c=chosen, m=mode: mg.choose(c, xs, mode=m),
             lambda *xs, c=chosen, m=mode: np.choose(c, xs, mode=m), A, B, C)  # fmt: skip
add_call("choose", "array of choices", lambda x: mg.choose([1, 0, 1], x),
         lambda x: np.choose([1, 0, 1], x), normal(2, 3))  # fmt: skip
add_call("choose", "numbers", lambda x, y: mg.choose([[1], [0]], [x, y]),
         lambda x, y: np.choose([[1], [0]], [x, y]), 0.5, -1.5)  # fmt: skip
add("nan_to_num", np.nan_to_num, X)
add("nan_to_num", np.nan_to_num, 1.5, nan=3.0)

# Diagonals and triangles

for k in (0, 1, -2):
    add("diag", np.diag, normal(3), k=k)
    add("diag", np.diag, normal(3, 4), k=k)
    add("diag", np.diag, np.zeros(0), k=k)
    add("diagflat", np.diagflat, normal(2, 2), k=k)
    for shape in ((3, 4), (2, 3, 2), (0, 2), (3,), (2, 0)):
        add("tril", np.tril, normal(*shape), k=k)
        add("triu", np.triu, normal(*shape), k=k)
add("diag", np.diag, np.asfortranarray(normal(3, 3)))
add("diagflat", np.diagflat, 2.5)
add("tril", np.tril, normal(3, 3).T[::-1])

# Putting in and leaving out

for obj in (1, -1, [0, 2], [], slice(None, None, 2), np.array([False, True, False])):
    add("delete", np.delete, normal(2, 3), obj=obj, axis=1)
add("delete", np.delete, normal(2, 3), obj=[4, 4, -6])
add("delete", np.delete, X, obj=0, axis=0)
for label, obj, values, axis in (
    ("number", 1, 2.5, 1),
    ("rows", 1, normal(2), 1),
    ("several at one place", 0, normal(2, 3), 0),
    ("a list of one", [1], normal(2, 1), 1),
    ("several at a list of one", [1], normal(2, 4), 1),
    ("end", 3, normal(1), 1),
    ("from the end", -1, 0.5, -1),
    ("places", [0, 2, 2], normal(2, 3), 1),
    ("one number at places", [3, 1], 1.5, 1),
    ("slice", slice(0, 2), normal(2), 1),
    ("flat", [1, 5], normal(2), None),
    ("nowhere", [], np.zeros(0), None),
):
    add_call("insert", label, lambda x, v, o=obj, a=axis: mg.insert(x, o, v, axis=a),
             lambda x, v, o=obj, a=axis: np.insert(x, o, v, axis=a),
             normal(2, 3), values)  # fmt: skip
add_call("append", "flat", mg.append, np.append, normal(2, 2), normal(3))
add_call("append", "number", mg.append, np.append, normal(2, 2), 1.5)
add_call("append", "numbers", mg.append, np.append, 0.5, 1.5)
add_call("append", "axis", partial(mg.append, axis=1), partial(np.append, axis=1),
         normal(2, 2), normal(2, 1))  # fmt: skip
