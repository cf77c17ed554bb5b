"""Linear algebra: inverses, determinants, factorisations, norms, chains of products."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

import microgradopt as mg
from function_cases.build import Cases

CASES = Cases(seed=23)
normal = CASES.normal
RESULTS = {"slogdet": [1], "lstsq": [0, 3]}  # the differentiable ones, where not all are


def add(name: str, *args: Any, **options: Any) -> None:
    """``linalg.name`` of the library and of NumPy at ``args``, with keyword ``options``."""

    def chosen(function: Any, *operands: Any) -> Any:
        found = function(*operands, **options)
        return [found[i] for i in RESULTS.get(name, range(len(found)))] if isinstance(
            found, tuple
        ) else found  # fmt: skip

    shapes = "×".join(str(np.shape(x)).replace(" ", "") for x in args)
    shown = ",".join(f"{key}={value!r}" for key, value in options.items()) or "plain"
    CASES.add_call(
        f"linalg.{name}", f"{shapes}:{shown}",
        partial(chosen, getattr(mg.linalg, name)), partial(chosen, getattr(np.linalg, name)), *args,
    )  # fmt: skip


def regular(*dims: int) -> Any:
    """Square matrices far from singular."""
    return normal(*dims) + 4.0 * np.eye(dims[-1])


def symmetric(*dims: int) -> Any:
    x = normal(*dims)
    return x + np.swapaxes(x, -1, -2)


def positive(*dims: int) -> Any:
    x = normal(*dims)
    return x @ np.swapaxes(x, -1, -2) + np.eye(dims[-1])


SQUARES = [(1, 1), (3, 3), (2, 1, 2, 2), (0, 0), (0, 2, 2)]
SHAPES = [(1, 1), (3, 3), (4, 2), (2, 3), (2, 3, 2), (0, 2), (2, 0), (0, 2, 3)]

for dims in SQUARES:
    for name in ("inv", "det", "slogdet"):
        add(name, regular(*dims))
    add("cholesky", positive(*dims))
    add("eigh", symmetric(*dims))
    add("eigvalsh", symmetric(*dims))
    for n in (0, 1, 3, -2):
        add("matrix_power", regular(*dims), n=n)
add("matrix_power", 0.5 * regular(2, 2), n=6)
add("inv", np.asfortranarray(regular(3, 3)))
add("det", regular(2, 3, 3)[:, ::-1, ::-1])
add("det", np.array([[1.0, 2.0], [2.0, 4.0]]))
add("cholesky", positive(2, 3, 3), upper=True)
add("cholesky", regular(3, 3))  # not symmetric: only a triangle is read
add("eigh", normal(3, 3), UPLO="U")
add("eigvalsh", normal(3, 3), UPLO="U")

for a, b in [
    ((3, 3), (3,)), ((3, 3), (3, 1)), ((3, 3), (3, 2)), ((2, 3, 3), (3,)), ((2, 3, 3), (3, 2)),
    ((2, 2), (3, 2, 2)), ((3, 1, 2, 2), (2, 2, 1)), ((1, 1), (1,)), ((0, 0), (0, 2)),
    ((2, 2), (2, 0)), ((0, 2, 2), (2, 1)),
]:  # fmt: skip
    add("solve", regular(*a), normal(*b))
for a, b in [((4, 2), (4,)), ((4, 2), (4, 3)), ((2, 4), (2, 1)), ((3, 3), (3,)), ((1, 1), (1, 1))]:
    add("lstsq", normal(*a), normal(*b))
CASES.add_call(
    "linalg.lstsq", "residuals",
    lambda a, b: mg.linalg.lstsq(a, b).residuals, lambda a, b: np.linalg.lstsq(a, b)[1],
    normal(4, 2), normal(4, 3),
)  # fmt: skip
CASES.add_call(
    "linalg.lstsq", "of rank 1",
    lambda u, v, b: mg.linalg.lstsq(u @ v, b, 1e-6).x,
    lambda u, v, b: np.linalg.lstsq(u @ v, b, 1e-6)[0], normal(4, 1), normal(1, 2), normal(4),
)  # fmt: skip
add("tensorsolve", normal(2, 3, 6), normal(2, 3))
add("tensorsolve", normal(2, 6, 3), normal(2, 3), axes=(1,))
add("tensorinv", normal(2, 3, 6))
add("tensorinv", normal(4, 2, 2), ind=1)

for dims in SHAPES:
    add("svd", normal(*dims), full_matrices=False)
    add("svdvals", normal(*dims))
    add("qr", normal(*dims))
    add("qr", normal(*dims), mode="r")
    add("pinv", normal(*dims))
    for order in ("fro", "nuc", 2, 1, np.inf, *((-2, -1, -np.inf) if 0 not in dims[-2:] else ())):
        add("norm", normal(*dims), ord=order, axis=(-2, -1))
add("svd", normal(3, 3))
add("svd", normal(4, 2), compute_uv=False)
add("svd", positive(3, 3), hermitian=True, compute_uv=False)
add("qr", normal(2, 3), mode="complete")
CASES.add_call(
    "linalg.pinv", "of rank 2", lambda u, v: mg.linalg.pinv(u @ v, 1e-6),
    lambda u, v: np.linalg.pinv(u @ v, 1e-6), normal(4, 2), normal(2, 3),
)  # fmt: skip
add("pinv", normal(2, 3, 2), rtol=None)
add("pinv", normal(2, 3, 2), rcond=np.array([1e-6, 1e-7]))
add("pinv", positive(3, 3), hermitian=True)

X = normal(2, 3, 4)
add("norm", normal(3, 2), ord=2)
add("norm", normal(3, 2), ord=-1, keepdims=True)
for order in ("nuc", 2, -2, 1, -np.inf, None):
    add("norm", X, ord=order, axis=(2, 0), keepdims=True)
    add("matrix_norm", X, ord="fro" if order is None else order)
add("matrix_norm", X, ord=2, keepdims=True)
for order in (2, 1, np.inf, -np.inf, 3):
    add("vector_norm", X, ord=order)
    add("vector_norm", X, ord=order, axis=(0, 2), keepdims=True)
add("vector_norm", normal(3), ord=0)
add("vector_norm", np.zeros((2, 0)), ord=np.inf, axis=1)

for p in (None, 2, -2, "fro", "nuc", 1, -1, np.inf, -np.inf):
    add("cond", normal(3, 3), p=p)
add("cond", normal(2, 3, 2))
add("cond", normal(2, 1, 2, 2), p=1)

add("trace", X, offset=1)
add("trace", normal(3, 3))
add("diagonal", X, offset=-1)
add("matrix_transpose", X)
add("outer", normal(3), normal(2))
add("matmul", normal(2, 3), normal(3, 2))
add("vecdot", normal(2, 3), normal(3))
add("vecdot", normal(2, 3), normal(2, 3), axis=0)
add("cross", normal(2, 3), normal(3))
add("cross", normal(3, 2), normal(3, 2), axis=0)
add("tensordot", normal(2, 3), normal(3, 2), axes=1)
for dims in [
    [(2, 3), (3, 2)], [(2, 3), (3, 4), (4, 1), (1, 2)], [(3,), (3, 2), (2,)], [(3,), (3,)],
    [(2, 3), (3, 5), (5,)],
]:  # fmt: skip
    CASES.add_call(
        "linalg.multi_dot", str(dims),
        lambda *xs: mg.linalg.multi_dot(xs), lambda *xs: np.linalg.multi_dot(xs),
        *(normal(*shape) for shape in dims),
    )  # fmt: skip
