"""Turning, repeating, joining, cutting and padding."""

from __future__ import annotations

from typing import Any

import numpy as np

import microgradopt as mg
from function_cases.build import Cases

CASES = Cases(seed=24)
add, add_call, normal = CASES.add, CASES.add_call, CASES.normal
X = normal(2, 3, 2)
EMPTY = np.zeros((0, 3))


def listed(name: str, label: str, call: Any, *args: Any) -> None:
    """``call`` of a function from either library, with several results; compared as a list."""
    ours, theirs = getattr(mg, name), getattr(np, name)
    add_call(name, label, lambda *xs: list(call(ours, *xs)), lambda *xs: list(call(theirs, *xs)),
             *args)  # fmt: skip


def joined(name: str, label: str, *parts: Any, **options: Any) -> None:
    ours, theirs = getattr(mg, name), getattr(np, name)
    add_call(
        name, label, lambda *xs: ours(xs, **options), lambda *xs: theirs(xs, **options), *parts
    )


# Turning

add("copy", np.copy, X)
add("copy", np.copy, 1.5)
for shift, axis in (
    (1, None), (-7, None), (2, 0), (-1, 1), ((1, 2), (0, 2)), (1, (0, -1)), ((1, 1), 1), (0, 0),
    ((1, 3), (1, 1)), (100, 2),
):  # fmt: skip
    add("roll", np.roll, X, shift=shift, axis=axis)
add("roll", np.roll, EMPTY, shift=1, axis=0)
add("roll", np.roll, 2.5, shift=3)
for name, theirs in (("fliplr", np.fliplr), ("flipud", np.flipud)):
    add(name, theirs, X)
add("flipud", np.flipud, normal(3))
for k in (0, 1, 2, 3, -1, 6):
    add("rot90", np.rot90, X, k=k)
    add("rot90", np.rot90, X, k=k, axes=(2, 0))
for axis, start in ((0, 3), (2, 0), (-1, 1), (1, -1), (1, 1), (0, -3)):
    add("rollaxis", np.rollaxis, X, axis=axis, start=start)
add("rollaxis", np.rollaxis, X, axis=2)

# Repeating

for repeats, axis in ((2, None), (3, 1), (0, 0), ([2, 0, 1], 1), ([2], 1), (1, -1), ([1, 2], 0)):
    add("repeat", np.repeat, X, repeats=repeats, axis=axis)
add("repeat", np.repeat, 1.5, repeats=3)
add("repeat", np.repeat, EMPTY, repeats=2, axis=1)
for reps in (2, (2, 1), (1, 2, 3), (2, 1, 1, 3), (0, 2), ()):
    add("tile", np.tile, X, reps=reps)
    add("tile", np.tile, normal(2), reps=reps)
add("tile", np.tile, 1.5, reps=(2, 2))
for shape in (5, (2, 2), (3, 5), (0, 2), ()):
    add("resize", np.resize, normal(2, 3), new_shape=shape)
add("resize", np.resize, EMPTY, new_shape=(2, 2))
add("resize", np.resize, 2.5, new_shape=2)

# Dimensions

for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
    for x in (1.5, np.array(0.5), normal(2), normal(2, 3), X, normal(1, 2, 1, 2)):
        add(name, getattr(np, name), x)
    listed(name, "several", lambda f, *xs: f(*xs), 0.5, normal(2), X)
listed("broadcast_arrays", "three", lambda f, *xs: f(*xs), normal(2, 1), normal(3), 0.5)
listed("broadcast_arrays", "empty", lambda f, *xs: f(*xs), normal(1, 3), EMPTY)
for indexing in ("xy", "ij"):
    for sparse in (False, True):
        for label, xs in (
            ("one", (normal(3),)), ("two", (normal(2), normal(3))),
            ("three", (normal(2), 1.5, normal(2, 2))), ("empty", (np.zeros(0), normal(2))),
        ):  # fmt: skip
            listed(
                "meshgrid", f"{label},{indexing},{sparse}",
                lambda f, *xs, i=indexing, s=sparse: f(*xs, indexing=i, sparse=s), *xs,
            )  # fmt: skip

# Joining

for name in ("hstack", "vstack", "dstack", "column_stack"):
    joined(name, "rows", normal(3), normal(3))
    joined(name, "matrices", normal(2, 3), normal(2, 3))
    if name != "column_stack":
        joined(name, "numbers", 0.5, 1.5, np.array(2.5))
        joined(name, "3-d", X, X[::-1])
joined("hstack", "of lengths", normal(2), 1.5, np.zeros(0))
joined("column_stack", "row and matrix", normal(2), normal(2, 2))
joined("vstack", "row and matrix", normal(2), normal(3, 2))
for label, layout, parts in (
    ("one", lambda a: a, (normal(2),)),
    ("list", lambda a, b: [a, b], (normal(2), 1.5)),
    ("nested", lambda a, b, c, d: [[a, b], [c, d]],
     (normal(2, 2), normal(2, 1), normal(1, 2), 7.5)),
    ("deep", lambda a, b: [[[a]], [[b]]], (normal(2, 1, 2), normal(1, 2))),
    ("shallow", lambda a, b: [a, b], (normal(2, 1), normal(2, 3))),
):  # fmt: skip
    add_call("block", label, lambda *xs, f=layout: mg.block(f(*xs)),
             lambda *xs, f=layout: np.block(f(*xs)), *parts)  # fmt: skip

# Cutting

for sections, axis in ((3, 0), ([1, 4], 0), ([2, 2, 9], 0), ([-2], 0), (2, 1), ((1,), -1)):
    listed("split", f"{sections},{axis}", lambda f, x, s=sections, a=axis: f(x, s, axis=a),
           normal(6, 2))  # fmt: skip
listed("split", "empty", lambda f, x: f(x, 2), np.zeros((0, 2)))
for sections in (1, 4, 7, [3]):
    listed("array_split", f"{sections}", lambda f, x, s=sections: f(x, s), normal(5))
listed("array_split", "axis", lambda f, x: f(x, 2, axis=1), normal(2, 3))
for name, x in (("hsplit", normal(2, 4)), ("hsplit", normal(4)), ("vsplit", normal(4, 2)),
                ("dsplit", normal(2, 1, 4))):  # fmt: skip
    listed(name, f"2 of {x.shape}", lambda f, x: f(x, 2), x)
    listed(name, f"at 1 of {x.shape}", lambda f, x: f(x, [1]), x)
for axis in (0, 1, -1):
    add_call("unstack", f"{axis}", lambda x, a=axis: list(mg.unstack(x, axis=a)),
             lambda x, a=axis: list(np.moveaxis(x, a, 0)), X)  # fmt: skip

# Padding

PADDED = normal(3, 2)
for width in (1, (2, 1), ((1, 0), (0, 3)), ((1, 2),), 0):
    for mode in ("constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "mean",
                 "maximum", "minimum", "median"):  # fmt: skip
        add("pad", np.pad, PADDED, pad_width=width, mode=mode)
add("pad", np.pad, normal(2, 1), pad_width=2, mode="symmetric")
add("pad", np.pad, normal(2, 3), pad_width=((4, 5), (3, 4)), mode="reflect")
for values in (7.0, -np.inf, (1.0, 2.0), ((1.0, 2.0), (3.0, 4.0)), ((5.0,), (6.0,)), [[8.0, 9.0]]):
    add("pad", np.pad, PADDED, pad_width=(1, 2), constant_values=values)
    if np.all(np.isfinite(np.ravel(values))):
        add("pad", np.pad, PADDED, pad_width=(3, 0), mode="linear_ramp", end_values=values)
for mode in ("mean", "maximum", "minimum", "median"):
    for length in (1, (2, 1), ((1, 2), (3, 9))):
        add("pad", np.pad, normal(4, 3), pad_width=(1, 2), mode=mode, stat_length=length)
for mode in ("reflect", "symmetric"):
    for n in (1, 2, 4):
        add("pad", np.pad, normal(n, 2), pad_width=((5, 9), (0, 1)), mode=mode, reflect_type="odd")
    add("pad", np.pad, normal(3), pad_width=2, mode=mode, reflect_type="even")
    add("pad", np.pad, PADDED, pad_width=((0, 0), (0, 3)), mode=mode, reflect_type="odd")
add("pad", np.pad, PADDED, pad_width=((2, 1), (0, 0)), constant_values=0.5)
add("pad", np.pad, EMPTY, pad_width=((1, 1), (0, 2)), constant_values=1.5)
add("pad", np.pad, EMPTY, pad_width=((0, 0), (0, 2)), mode="mean", stat_length=1)
for mode, option in (("constant", "constant_values"), ("linear_ramp", "end_values")):
    for label, given in (
        ("number", lambda a, b: a), ("pair", lambda a, b: (a, b)),
        ("pairs", lambda a, b: ((a, 1.0), (b, a))),
    ):  # fmt: skip
        add_call(
            "pad", f"{mode} of nodes, {label}",
            lambda x, a, b, m=mode, o=option, g=given: mg.pad(x, 2, m, **{o: g(a, b)}),
            lambda x, a, b, m=mode, o=option, g=given: np.pad(x, 2, m, **{o: g(a, b)}),
            normal(2, 3), 1.5, np.array(-0.5),
        )  # fmt: skip
