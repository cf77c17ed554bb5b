"""Matrix primitives: inverse, solution, determinant, factorisations; batched over leading axes.

A row has one result and a factorisation has several parts, so these travel in one array: the
eigenvalues as a row above the eigenvectors, U above s above V, Q above R. ``parts`` cuts them out.

LAPACK reads one triangle of a matrix that it takes to be symmetric. The derivative is that of this
very function: 0 for each entry of the other triangle, and twice for one that stands for two.

Where two eigenvalues are equal their eigenvectors are any basis, and have no derivative. Rounding
hides which are equal: those closer than :func:`_blur` count. What depends on eigenvalues alone, or
on none of the vectors of such a group, has its derivative all the same; anything else gets NaN.
"""

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np

from microgradopt.engine.graph import Node
from microgradopt.engine.modes import settled
from microgradopt.engine.ops.arranging import split
from microgradopt.engine.ops.elementwise import absolute, exp, less_equal, where
from microgradopt.engine.ops.indexing import tril
from microgradopt.engine.ops.products import diagonal
from microgradopt.engine.ops.shapes import (
    concatenate,
    expand_dims,
    index,
    matrix_transpose as flipped,
    ndim,
    reshape,
)
from microgradopt.engine.rules import Fused, General, Plain, data_of, shape_of as shape
from microgradopt.errors import DTypeError, LinAlgError, ShapeError

Rng: TypeAlias = "np.random.Generator"  # in quotes, so that np.random is not imported with this


# Operands


def as_array(x: Any, user: str, like: Any = None) -> Any:
    """A node as it is, anything else as an array; in a dtype that LAPACK has.

    Lists and whole numbers become float64, or what the node ``like`` is. Plain complex arrays are
    computed with, so that the complex step of a check gets through.
    """
    data = data_of(x)
    if not isinstance(data, np.ndarray) or data.dtype.kind in "iub":
        given = np.asarray(data)
        if not isinstance(x, Node) and given.dtype.kind in "iubf":
            return given.astype(data_of(like).dtype if isinstance(like, Node) else np.float64)
        data = given
    if data.dtype not in (np.float32, np.float64) and data.dtype.kind != "c":
        raise DTypeError(
            f"{user}: linear algebra is done in float32 and float64, not in {data.dtype}; "
            "convert with mg.astype(x, float)"
        )
    return x if isinstance(x, Node) else data


def as_matrices(x: Any, user: str) -> Any:
    """Matrices in the last two axes."""
    x = as_array(x, user)
    if ndim(x) < 2:
        raise ShapeError(
            f"{user}: needs a matrix, or a batch of them in the last two axes; got shape {shape(x)}"
        )
    return x


def as_square(x: Any, user: str) -> Any:
    """Square matrices in the last two axes."""
    x = as_matrices(x, user)
    if shape(x)[-1] != shape(x)[-2]:
        raise ShapeError(
            f"{user}: needs square matrices, got shape {shape(x)}; for others there are "
            "linalg.lstsq, linalg.pinv, linalg.svd and linalg.qr"
        )
    return x


# Pieces of matrices


def mirrored(x: Any) -> Any:
    """The symmetric matrix of which only the lower triangle is read."""
    return tril(x) + flipped(tril(x, -1))


def _folded(x: Any) -> Any:
    """The transpose of :func:`mirrored`: what a lower triangle gets that stands for both."""
    return tril(x) + tril(flipped(x), -1)


def _halved(x: Any) -> Any:
    """The lower triangle with half of the diagonal."""
    return 0.5 * (tril(x) + tril(x, -1))


def columns(x: Any, start: int, stop: int) -> Any:
    """Columns ``start`` to ``stop`` of each matrix."""
    return index(x, (Ellipsis, slice(start, stop)))


def rows(x: Any, start: int, stop: int) -> Any:
    """Rows ``start`` to ``stop`` of each matrix."""
    return index(x, (Ellipsis, slice(start, stop), slice(None)))


def parts(packed: Any, *heights: int) -> list[Any]:
    """The blocks of rows of a packed result, from the top."""
    return split(packed, np.cumsum(heights[:-1]).tolist(), axis=-2)


def _used(x: Any) -> Any:
    """Whether a cotangent asks for anything."""
    return np.any(data_of(x))


# Errors


def _guarded(kernel: Callable[..., Any], reason: Callable[[Any], str]) -> Callable[..., Any]:
    """``kernel`` with NumPy's LinAlgError turned into one that names the matrix and a remedy."""

    def array(x: Any, *others: Any, **params: Any) -> Any:
        try:
            return kernel(x, *others, **params)
        except np.linalg.LinAlgError:
            place, matrix = _first_failing(kernel, x, others)
            raise LinAlgError(f"{reason(matrix)}{place}") from None

    return array


def _first_failing(kernel: Callable[..., Any], x: Any, others: Sequence[Any]) -> tuple[str, Any]:
    """Which matrix of a batch a kernel fails on, and how to say so."""
    columns = [np.ones((x.shape[-1], 1), x.dtype) for _ in others]
    i = next(i for i in np.ndindex(x.shape[:-2]) if _fails(kernel, x[i], *columns))
    return (f" (the matrix at index {i} of the batch {x.shape[:-2]})" if i else ""), x[i]


def _fails(kernel: Callable[..., Any], *args: Any) -> bool:
    try:
        kernel(*args)
    except np.linalg.LinAlgError:
        return True
    return False


def _singular(matrix: Any) -> str:
    return (
        f"a {len(matrix)}×{len(matrix)} matrix is singular: it has no inverse, and what is solved "
        "with it no unique solution; use linalg.lstsq or linalg.pinv, or add a small multiple of "
        "the identity"
    )


def _indefinite(matrix: Any) -> str:
    smallest = np.linalg.eigvalsh(matrix)[0]
    return (
        f"cholesky: a {len(matrix)}×{len(matrix)} matrix is not positive definite: the smallest "
        f"eigenvalue of its lower triangle, mirrored, is {smallest:.3g}; add a multiple of the "
        "identity that is larger than that is negative, or use linalg.eigh"
    )


# Inverse and solution


def _well_conditioned(rng: Rng, *dims: int) -> Any:
    """Random square matrices far from singular."""
    return rng.normal(size=dims) + 3.0 * np.eye(dims[-1])


inv_row: General = General(
    "inv",
    symbol="⁻¹",
    array=_guarded(np.linalg.inv, _singular),
    pullback=lambda g, out, x: -(flipped(out) @ g @ flipped(out)),
    sample=lambda rng: [
        ((_well_conditioned(rng, *dims),), {}) for dims in ((1, 1), (3, 3), (2, 2, 2), (0, 0))
    ],
)


def _pull_solve(g: Any, out: Any, a: Any, b: Any) -> tuple[Any, Any]:
    moved = solve_row(flipped(a), g)
    return -(moved @ flipped(out)), moved


solve_row: General = General(
    "solve",
    symbol="A⁻¹b",
    array=_guarded(np.linalg.solve, _singular),
    pullback=_pull_solve,
    sample=lambda rng: [
        ((_well_conditioned(rng, *a), rng.normal(size=b)), {})
        for a, b in [
            ((3, 3), (3, 1)),
            ((2, 3, 3), (3, 2)),
            ((2, 2), (3, 2, 1)),
            ((2, 1, 2, 2), (3, 2, 2)),
        ]
    ],
)

# Determinants


def _slogdet(x: Any) -> Any:
    sign, size = np.linalg.slogdet(x)
    return np.stack([sign, size], -1)


slogdet_row: General = General(
    "slogdet",
    symbol="log|det|",
    array=_slogdet,  # the sign, whose derivative is 0, and log|det|
    pullback=lambda g, out, x: (
        reshape(columns(g, 1, 2), (*shape(g)[:-1], 1, 1)) * flipped(inv_row(x))
    ),
    sample=lambda rng: [((_well_conditioned(rng, *dims),), {}) for dims in ((3, 3), (2, 2, 2))],
)


def _cofactors(x: Any, det: Any) -> Any:
    """∂det/∂x, for singular matrices too.

    det(x)·x⁻ᵀ for matrices in good condition. Otherwise the products of all singular values but
    one, in the basis of the singular vectors: nothing is divided by, and for rank n − 2 or less
    nothing is left but rounding.
    """
    try:
        inverse = np.linalg.inv(x)
    except np.linalg.LinAlgError:
        inverse = np.full_like(x, np.inf)
    condition = _row_sums(x) * _row_sums(inverse)
    fine = (condition < np.finfo(x.dtype).eps ** -0.25) & np.isfinite(det) & (det != 0.0)
    if fine.all():
        return np.swapaxes(inverse, -1, -2) * det[..., None, None]
    left, s, right = _svd(x)
    before = np.cumprod(np.concatenate([np.ones_like(s[..., :1]), s[..., :-1]], -1), -1)
    after = np.cumprod(np.concatenate([np.ones_like(s[..., :1]), s[..., :0:-1]], -1), -1)[..., ::-1]
    turn = np.linalg.det(left) * np.linalg.det(right)
    return turn[..., None, None] * ((left * (before * after)[..., None, :]) @ right)


def _row_sums(x: Any) -> Any:
    return np.abs(x).sum(-1).max(-1, initial=0.0)


cofactors = Plain("cofactors", array=_cofactors)


def _det_in_rows(x: Any) -> Any:
    """The determinant in rows that are differentiable for singular matrices too.

    Matrices of one rank go together, flattened to one batch and put back in order afterwards.
    """
    n, batch = shape(x)[-1], shape(x)[:-2]
    flat = reshape(x, (int(np.prod(batch, dtype=int)), n, n))
    ranks = settled(_ranks(data_of(flat)))
    kinds = np.unique(ranks)
    if len(kinds) <= 1:
        return reshape(_det_of_rank(flat, int(kinds[0]) if len(kinds) else n), batch)
    places = [np.flatnonzero(ranks == r) for r in kinds]
    found = [_det_of_rank(index(flat, i), int(r)) for i, r in zip(places, kinds)]
    return reshape(index(concatenate(found), np.argsort(np.concatenate(places))), batch)


def _ranks(x: Any) -> Any:
    """How many singular values of each matrix stand out of rounding; all of one with a NaN."""
    s = _svd(x)[1]
    return np.where(np.isnan(s) | (s > _blur(s)), 1, 0).sum(-1)


def _det_of_rank(x: Any, rank: int) -> Any:
    """det of matrices of one rank: of a regular block times its Schur complement, which is ≈ 0."""
    n = shape(x)[-1]
    if rank == n:
        found = slogdet_row(x)
        return data_of(index(found, (Ellipsis, 0))) * exp(index(found, (Ellipsis, 1)))
    left, _, right = _svd(data_of(x))
    turned = flipped(left) @ x @ flipped(right)  # diagonal, with the singular values
    top, bottom = rows(turned, 0, rank), rows(turned, rank, n)
    a, b = columns(top, 0, rank), columns(top, rank, n)
    c, d = columns(bottom, 0, rank), columns(bottom, rank, n)
    turn = np.linalg.det(left) * np.linalg.det(right)
    return turn * _det_of_rank(a, rank) * _det_without_division(d - c @ solve_row(a, b))


def _det_without_division(x: Any) -> Any:
    """det as a polynomial: every derivative is right, also at the zero matrix.

    R. S. Bird, Information Processing Letters 111 (2011) 1072.
    """
    n = shape(x)[-1]
    strictly = np.triu(np.ones((n, n), data_of(x).dtype), 1)
    eye = np.eye(n, dtype=bool)
    power = x
    for _ in range(n - 1):
        below = strictly @ expand_dims(diagonal(power, 0, -2, -1), -1)
        power = where(eye, -below, where(strictly, power, 0.0)) @ x
    return (-1.0) ** (n - 1) * index(power, (Ellipsis, 0, 0))


det_row: Fused = Fused(
    "det",
    symbol="det",
    array=np.linalg.det,
    pullback=lambda g, out, x: reshape(g, (*shape(g), 1, 1)) * cofactors(x, out),
    composite=_det_in_rows,
    sample=lambda rng: [
        *[((_well_conditioned(rng, *dims),), {}) for dims in ((1, 1), (3, 3), (2, 2, 2))],
        ((np.stack([np.diag([3.0, *d])[::-1] for d in ((2, 1), (0, 0), (-2, 0), (1, 0))]),), {}),
    ],
)


# Factorisations


def _pull_cholesky(g: Any, out: Any, x: Any) -> Any:
    inverse = inv_row(out)
    return _folded_half(flipped(inverse) @ _halved(flipped(out) @ g) @ inverse)


def _folded_half(x: Any) -> Any:
    """The cotangent of a lower triangle that was read as a symmetric matrix."""
    return 0.5 * _folded(x + flipped(x))


def _positive_definite(rng: Rng, *dims: int) -> Any:
    x = rng.normal(size=dims)
    return x @ np.swapaxes(x, -1, -2) + np.eye(dims[-1])


cholesky_row: General = General(
    "cholesky",
    symbol="LLᵀ",
    array=_guarded(np.linalg.cholesky, _indefinite),
    pullback=_pull_cholesky,  # I. Murray, arXiv:1602.07527
    sample=lambda rng: [
        ((_positive_definite(rng, *dims),), {}) for dims in ((1, 1), (3, 3), (2, 2, 2))
    ],
)


def _blur(s: Any) -> Any:
    """How far rounding moves the eigenvalues or singular values of each matrix."""
    most = np.max(np.abs(s), -1, keepdims=True, initial=0.0)
    return (s.shape[-1] * np.finfo(s.dtype).eps * most).astype(s.dtype)


def _reciprocal(gap: Any, blur: Any, used: Any) -> Any:
    """1/gap; where the gap is lost in rounding, NaN if its vectors are used and 0 if not."""
    lost = less_equal(absolute(data_of(gap)), blur)
    return where(lost & used, np.nan, where(lost, 0.0, 1.0 / where(lost, 1.0, gap)))


def _pairs_used(*inner: Any) -> Any:
    """For which pairs (i, j) of vectors, i ≠ j, the cotangent asks for either."""
    found = reduce(operator.or_, [data_of(x) != 0.0 for x in inner])
    return (found | np.swapaxes(found, -1, -2)) & ~np.eye(found.shape[-1], dtype=bool)


def _eigh(x: Any, UPLO: Any) -> Any:
    values, vectors = np.linalg.eigh(x, UPLO)
    return np.concatenate([values[..., None, :], vectors], -2)


def _pull_eigh(g: Any, out: Any, x: Any, UPLO: str) -> Any:
    n = shape(x)[-1]
    (w, v), (gw, gv) = parts(out, 1, n), parts(g, 1, n)
    core = v * gw
    if _used(gv):
        inner = flipped(v) @ gv
        blur = _blur(data_of(w))
        slopes = _reciprocal(w - flipped(w), blur, _pairs_used(inner))
        core = core + v @ (0.5 * (inner - flipped(inner)) * slopes)
    found = _folded_half(core @ flipped(v))
    return found if UPLO == "L" else flipped(found)


eigh_row: General = General(
    "eigh",
    symbol="VΛVᵀ",
    array=_eigh,
    pullback=_pull_eigh,
    sample=lambda rng: [
        ((rng.normal(size=dims),), {"UPLO": triangle})
        for dims, triangle in (((1, 1), "L"), ((3, 3), "L"), ((3, 3), "U"), ((2, 2, 2), "L"))
    ],
)


def _svd(x: Any) -> tuple[Any, Any, Any]:
    """The reduced decomposition; all NaN for a matrix that holds one, where LAPACK gives up."""
    whole = np.isfinite(x).all((-2, -1), keepdims=True)
    u, s, vt = np.linalg.svd(x if whole.all() else np.where(whole, x, 0.0), full_matrices=False)
    if whole.all():
        return u, s, vt
    return (
        np.where(whole, u, np.nan),
        np.where(whole[..., 0], s, np.nan),
        np.where(whole, vt, np.nan),
    )


def _packed_svd(x: Any) -> Any:
    u, s, vt = _svd(x)
    return np.concatenate([u, s[..., None, :], np.swapaxes(vt, -1, -2)], -2)


def _pull_svd(g: Any, out: Any, x: Any) -> Any:
    m, n = shape(x)[-2:]
    (u, s, v), (gu, gs, gv) = parts(out, m, 1, n), parts(g, m, 1, n)
    found = (u * gs) @ flipped(v)
    if not _used(gu) and not _used(gv):
        return found
    blur = _blur(data_of(s))
    in_u, in_v = flipped(u) @ gu, flipped(v) @ gv
    turn_u, turn_v = in_u - flipped(in_u), in_v - flipped(in_v)
    used = _pairs_used(in_u, in_v)
    apart = (turn_u + turn_v) * _reciprocal(s - flipped(s), blur, used)
    along = (turn_u - turn_v) * _reciprocal(s + flipped(s), blur, used)
    found = found + u @ (0.5 * (apart + along)) @ flipped(v)
    if m > n:  # the part of U's motion that leaves the space of its columns
        found = found + ((gu - u @ in_u) * _reciprocal(s, blur, _columns_used(gu))) @ flipped(v)
    if n > m:
        found = found + u @ flipped((gv - v @ in_v) * _reciprocal(s, blur, _columns_used(gv)))
    return found


def _columns_used(g: Any) -> Any:
    return np.any(data_of(g) != 0.0, -2, keepdims=True)


def singular_values(packed: Any, m: int) -> Any:
    """The singular values out of the packed decomposition of matrices with m rows."""
    return index(packed, (Ellipsis, m, slice(None)))


svd_row: General = General(
    "svd",
    symbol="USVᵀ",
    array=_packed_svd,
    pullback=_pull_svd,  # J. Townsend, "Differentiating the singular value decomposition" (2016)
    sample=lambda rng: [
        ((rng.normal(size=dims),), {}) for dims in ((1, 1), (3, 3), (4, 2), (2, 3), (2, 2, 2))
    ],
)


def _qr(x: Any) -> Any:
    return np.concatenate(np.linalg.qr(x), -2)


def _pull_qr(g: Any, out: Any, x: Any) -> Any:
    m, n = shape(x)[-2:]
    (q, r), (gq, gr) = parts(out, m, n), parts(g, m, n)
    inner = r @ tril(flipped(gr)) - flipped(gq) @ q
    return flipped(solve_row(r, flipped(gq + q @ mirrored(inner))))


qr_row: General = General(
    "qr",
    symbol="QR",
    array=_qr,  # of matrices with no more columns than rows
    pullback=_pull_qr,  # S. Walter and L. Lehmann, arXiv:1009.6112
    sample=lambda rng: [
        ((rng.normal(size=dims),), {}) for dims in ((1, 1), (3, 3), (4, 2), (2, 3, 2))
    ],
)


def _pull_pinv(g: Any, out: Any, x: Any, rcond: Any) -> Any:
    """At constant rank. G. Golub and V. Pereyra, SIAM Journal on Numerical Analysis 10 (1973)."""
    p, pt, gt = out, flipped(out), flipped(g)
    right, left = p @ pt, pt @ p  # p pᵀ and pᵀ p
    back, forth = gt @ right, left @ gt
    return back - x @ (p @ back) + forth - (forth @ p) @ x - pt @ g @ pt


pinv_row: General = General(
    "pinv",
    symbol="⁺",
    array=lambda x, rcond: np.linalg.pinv(x, rcond),
    pullback=_pull_pinv,
    sample=lambda rng: [
        ((rng.normal(size=dims),), {"rcond": 1e-6}) for dims in ((1, 1), (3, 2), (2, 3), (2, 3, 3))
    ],
)
