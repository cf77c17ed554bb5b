"""Products of matrices, einsum, diagonals."""

from __future__ import annotations

from functools import partial

import numpy as np

import microgradopt as mg
from function_cases.build import Cases

CASES = Cases(seed=22)
add, add_call, normal = CASES.add, CASES.add_call, CASES.normal

for a, b in [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 2)),
    ((2, 3), (4, 3, 1)), ((1, 4, 2, 3), (2, 1, 3, 2)), ((3,), (2, 3, 2)), ((4, 2, 3), (3,)),
    ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((1, 1), (1, 1)), ((2, 1, 2, 3), (3,)),
]:  # fmt: skip
    add("matmul", np.matmul, normal(*a), normal(*b))
    if len(b) < 3 or len(a) < 4:
        add("dot", np.dot, normal(*a), normal(*b))
add("matmul", np.matmul, np.asfortranarray(normal(2, 3)), normal(4, 3).T)
add("dot", np.dot, 1.5, normal(2, 2))
add("dot", np.dot, normal(3), np.array(2.5))
add("outer", np.outer, normal(3), normal(2))
add("outer", np.outer, normal(2, 2), 1.5)
add("outer", np.outer, normal(2), np.zeros(0))
for axes in (0, 1, 2, ([0, 1], [1, 0]), (-1, 0), ([2], [1])):
    add("tensordot", np.tensordot, normal(3, 2, 2), normal(2, 2, 3) if axes in (1, 2, (-1, 0), 0)
         else normal(2, 3, 2) if axes != ([2], [1]) else normal(4, 2), axes=axes)  # fmt: skip
for subscripts, *shapes in [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ba", (2, 3)), ("ij->ji", (2, 3)),
    ("ii", (3, 3)), ("ii->i", (3, 3)), ("iij->j", (2, 2, 3)), ("iii->", (2, 2, 2)),
    ("i,i->", (3,), (3,)), ("i,j->ij", (2,), (3,)), ("i,j->", (2,), (3,)),
    ("ij,kl->", (2, 3), (2, 2)), ("ij->", (2, 3)), ("...ij,...jk->...ik", (4, 2, 3), (3, 2)),
    ("...i->...", (2, 3)), ("i...->...", (2, 3, 2)), ("...,...", (2, 3), (3,)),
    ("i...,i...->i...", (2, 3), (2, 1)), ("...i,...i", (2, 1, 3), (4, 3)),
    ("ij,j->i", (2, 1), (3,)), ("ij,ij->ij", (1, 3), (2, 3)), ("jk,jk->", (1, 4), (3, 1)),
    ("ij,jk,kl->il", (2, 3), (3, 2), (2, 4)), ("i,i,i->", (3,), (3,), (3,)),
    ("ii,jj->", (2, 2), (3, 3)), ("ii,i->i", (3, 3), (3,)), ("ij,kj->i", (2, 3), (4, 3)),
    ("i,->i", (3,), ()), (",", (), ()), ("ijk,ik->kj", (2, 3, 2), (2, 2)),
    ("aB,Bc", (2, 3), (3, 2)), ("ij , jk -> ki", (2, 3), (3, 4)), ("ij,jk->ik", (0, 3), (3, 2)),
    ("ij,jk->ik", (2, 0), (0, 3)), ("iij,jji->", (2, 2, 3), (3, 3, 2)),
]:  # fmt: skip
    add_call(
        "einsum", f"{subscripts}:{shapes}",
        partial(mg.einsum, subscripts), partial(np.einsum, subscripts),
        *(normal(*shape) for shape in shapes),
    )  # fmt: skip
add_call(
    "einsum",
    "labels",
    lambda x, y: mg.einsum(x, [0, 1], y, [1, 30], [30, 0]),
    lambda x, y: np.einsum(x, [0, 1], y, [1, 30], [30, 0]),
    normal(2, 3),
    normal(3, 4),
)
add_call(
    "einsum",
    "labels alone",
    lambda x, y: mg.einsum(x, [..., 1], y, [1, 0]),
    lambda x, y: np.einsum(x, [..., 1], y, [1, 0]),
    normal(2, 3),
    normal(3, 4),
)
add_call(
    "einsum",
    "optimize",
    lambda x, y: mg.einsum("ij,jk", x, y, optimize="optimal"),
    lambda x, y: np.einsum("ij,jk", x, y, optimize="optimal"),
    normal(2, 3),
    normal(3, 4),
)

# Products of vectors and of everything

for a, b in (((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3)), ((2, 2, 3), (2, 3)), ((0, 3), (2, 3))):
    add("inner", np.inner, normal(*a), normal(*b))
add("inner", np.inner, 1.5, normal(2, 2))
add("vdot", np.vdot, normal(2, 3), normal(3, 2))
add("vdot", np.vdot, 1.5, np.array([2.5]))
for a, b, axis in (
    ((3,), (3,), -1), ((2, 3), (3,), -1), ((2, 1, 3), (4, 3), -1), ((3, 2), (3, 2), 0),
    ((0, 3), (1, 3), -1), ((2, 0), (2, 0), 1),
):  # fmt: skip
    add("vecdot", lambda x, y, axis: np.sum(np.multiply(*np.broadcast_arrays(x, y)), axis),
        normal(*a), normal(*b), axis=axis)  # fmt: skip
for a, b in (((2, 3), (3,)), ((4, 2, 3), (3,)), ((2, 3), (4, 3)), ((1, 2, 3), (4, 3))):
    add("matvec", lambda x, y: np.matmul(x, y[..., None])[..., 0], normal(*a), normal(*b))
    add("vecmat", lambda x, y: np.matmul(x[..., None, :], y)[..., 0, :],
        normal(*b), normal(*a[:-2], a[-1], a[-2]))  # fmt: skip
for a, b, axes in (
    ((3,), (3,), {}), ((2, 3), (2, 3), {}), ((2, 1, 3), (4, 3), {}), ((3, 2), (3, 2), {"axis": 0}),
    ((3, 2), (2, 3), {"axisa": 0, "axisc": 0}), ((0, 3), (3,), {}),
):  # fmt: skip
    add("cross", np.cross, normal(*a), normal(*b), **axes)
for a, b in (((2,), (3,)), ((2, 2), (1, 3)), ((2,), (2, 2)), ((2, 1, 2), (3,)), ((0, 2), (2, 2))):
    add("kron", np.kron, normal(*a), normal(*b))
add("kron", np.kron, 1.5, normal(2, 2))

for offset in (0, 1, -1, 2, -5):
    add("diagonal", np.diagonal, normal(3, 4), offset=offset)
    add("trace", np.trace, normal(3, 4), offset=offset)
for a, b in ((1, 0), (0, 2), (-1, 1), (2, 0)):
    add("diagonal", np.diagonal, normal(2, 3, 4), axis1=a, axis2=b, offset=1)
    add("trace", np.trace, normal(2, 3, 4), axis1=a, axis2=b)
