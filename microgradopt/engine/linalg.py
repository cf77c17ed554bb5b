"""Linear algebra under NumPy's names: ``mg.linalg``, which is also ``np.linalg`` on graph nodes.

Matrices are the last two axes and all axes before them a batch; float32 stays float32. A matrix
without the inverse or factor asked for raises :class:`LinAlgError`, which is NumPy's too.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn

import numpy as np

from microgradopt.arguments import is_integer
from microgradopt.engine.graph import Node
from microgradopt.engine.norms import matrix_norm, norm, spectrum, vector_norm
from microgradopt.engine.ops.decompositions import (
    as_array,
    as_matrices,
    as_square,
    cholesky_row,
    columns,
    det_row,
    eigh_row,
    inv_row,
    mirrored,
    parts,
    pinv_row,
    qr_row,
    singular_values,
    slogdet_row,
    solve_row,
    svd_row,
)
from microgradopt.engine.ops.elementwise import where
from microgradopt.engine.ops.products import (
    cross as any_cross,
    diagonal as any_diagonal,
    matmul,
    outer as any_outer,
    tensordot,
    vecdot as any_vecdot,
)
from microgradopt.engine.ops.shapes import (
    concatenate,
    expand_dims,
    index,
    matrix_transpose as flipped,
    ndim,
    reshape,
    squeeze,
    sum,
    transpose,
)
from microgradopt.engine.quiet import quietly
from microgradopt.engine.rules import check_axis, data_of, shape_of as shape
from microgradopt.errors import LinAlgError, ShapeError, UsageError

__all__ = [
    "LinAlgError", "cholesky", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals",
    "eigvalsh", "inv", "lstsq", "matmul", "matrix_norm", "matrix_power", "matrix_rank",
    "matrix_transpose", "multi_dot", "norm", "outer", "pinv", "qr", "slogdet", "solve", "svd",
    "svdvals", "tensordot", "tensorinv", "tensorsolve", "trace", "vecdot", "vector_norm",
]  # fmt: skip


class SlogdetResult(NamedTuple):
    """What :func:`slogdet` returns."""

    sign: Any
    logabsdet: Any


class EighResult(NamedTuple):
    """What :func:`eigh` returns."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """What :func:`svd` returns."""

    U: Any
    S: Any
    Vh: Any


class QRResult(NamedTuple):
    """What :func:`qr` returns."""

    Q: Any
    R: Any


class LstsqResult(NamedTuple):
    """What :func:`lstsq` returns; NumPy's is a plain tuple in this order."""

    x: Any
    residuals: Any
    rank: int
    s: Any


# Inverses and solutions


def inv(a: Any) -> Any:
    """The inverse of square matrices (…, n, n).

    Raises:
        LinAlgError: for a singular matrix, naming it.

    >>> import numpy as np, microgradopt as mg
    >>> mg.grad(lambda a: mg.linalg.inv(a)[0, 0])(np.diag([2.0, 4.0]))
    array([[-0.25, -0.  ],
           [-0.  , -0.  ]])
    """
    return inv_row(as_square(a, "inv"))


def solve(a: Any, b: Any) -> Any:
    """The x with a @ x = b, for ``a`` (…, n, n) and ``b`` (n,) or (…, n, k); batches broadcast.

    ``b`` is a vector only if it has one dimension, as since NumPy 2.

    Raises:
        LinAlgError: for a singular matrix, naming it.
    """
    a = as_square(a, "solve")
    b = as_array(b, "solve", like=a)
    if not ndim(b) or shape(b)[-2 if ndim(b) > 1 else 0] != shape(a)[-1]:
        raise ShapeError(
            f"solve: shapes {shape(a)} and {shape(b)} do not fit: with matrices of {shape(a)[-1]} "
            f"rows the right-hand side is ({shape(a)[-1]},) or (…, {shape(a)[-1]}, k)"
        )
    if ndim(b) == 1:
        return squeeze(solve_row(a, expand_dims(b, -1)), -1)
    try:
        np.broadcast_shapes(shape(a)[:-2], shape(b)[:-2])
    except ValueError:
        raise ShapeError(
            f"solve: the batch dimensions of {shape(a)} and {shape(b)} do not broadcast"
        ) from None
    return solve_row(a, b)


def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = np._NoValue) -> Any:
    """The pseudo-inverse of matrices (…, m, n), by their singular values; as numpy.linalg.pinv.

    The derivative is that at constant rank: where the rank changes there is none.

    Args:
        rcond: singular values up to this times the largest count as 0; 1e-15 when left out.
        hermitian: read the lower triangle only, as that of a symmetric matrix.
        rtol: another name of ``rcond``; None means n·eps.
    """
    a = as_matrices(a, "pinv")
    if rcond is not None and rtol is not np._NoValue:
        raise UsageError("pinv: rcond and rtol are two names of one thing; give one of them")
    if rtol is None:
        rcond = max(shape(a)[-2:]) * np.finfo(data_of(a).dtype).eps
    elif rtol is not np._NoValue:
        rcond = rtol
    return pinv_row(
        mirrored(as_square(a, "pinv")) if hermitian else a,
        rcond=1e-15 if rcond is None else data_of(rcond),
    )


@quietly
def lstsq(a: Any, b: Any, rcond: float | None = None) -> LstsqResult:
    """The x of least length that makes |a @ x − b| least: (x, residuals, rank, singular values).

    As numpy.linalg.lstsq: ``a`` (m, n), ``b`` (m,) or (m, k), no batches. The residuals are
    the sums of squares, empty unless m > n = rank; the rank is a plain int. The derivative is that
    at constant rank.

    Args:
        rcond: singular values up to this times the largest count as 0; max(m, n)·eps if None.
    """
    a = as_matrices(a, "lstsq")
    b = as_array(b, "lstsq", like=a)
    if ndim(a) != 2 or ndim(b) not in (1, 2) or shape(b)[0] != shape(a)[0]:
        raise ShapeError(
            f"lstsq: needs a of shape (m, n) and b (m,) or (m, k), got {shape(a)} and {shape(b)}; "
            "for batches use linalg.pinv(a) @ b"
        )
    m, n = shape(a)
    cut = float(np.finfo(data_of(a).dtype).eps) * max(m, n) if rcond is None else rcond
    s = svdvals(a)
    x = matmul(pinv_row(a, rcond=cut), b)
    raw = data_of(s)
    rank = np.sum(raw > cut * np.max(raw, initial=0.0)).item()
    away = matmul(a, x) - b
    columns_of_b = away if ndim(away) == 2 else expand_dims(away, -1)
    full = m > n == rank
    return LstsqResult(
        x, sum(columns_of_b * columns_of_b, 0) if full else np.zeros(0, raw.dtype), rank, s
    )


def tensorsolve(a: Any, b: Any, axes: Sequence[int] | None = None) -> Any:
    """The x with tensordot(a, x, x.ndim) = b; as numpy.linalg.tensorsolve."""
    a, b = as_array(a, "tensorsolve"), as_array(b, "tensorsolve")
    if axes is not None:
        back = check_axis(tuple(axes), ndim(a), "tensorsolve")
        a = transpose(a, [i for i in range(ndim(a)) if i not in back] + list(back))
    unknown = shape(a)[ndim(b) :]
    size = int(np.prod(unknown, dtype=int))
    if size * size != data_of(a).size or size != data_of(b).size:
        raise ShapeError(
            f"tensorsolve: shapes {shape(a)} and {shape(b)} are no square system: the product of "
            f"the first {ndim(b)} dimensions of a must be that of the rest, and the size of b"
        )
    return reshape(solve(reshape(a, (size, size)), reshape(b, (size,))), unknown)


def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse for tensordot(·, ·, ind) of ``a``, whose first ``ind`` axes are its rows."""
    a = as_array(a, "tensorinv")
    if not isinstance(ind, (int, np.integer)) or ind < 1:
        raise UsageError(f"tensorinv: ind must be a positive int, got {ind!r}")
    first, rest = shape(a)[:ind], shape(a)[ind:]
    size = int(np.prod(rest, dtype=int))
    if size * size != data_of(a).size:
        raise ShapeError(
            f"tensorinv: with ind={ind}, shape {shape(a)} is not square: the products of {first} "
            f"and {rest} must be equal"
        )
    return reshape(inv(reshape(a, (size, size))), (*rest, *first))


def matrix_power(a: Any, n: int) -> Any:
    """The n-th power of square matrices by repeated squaring; of the inverse if n is negative."""
    a = as_square(a, "matrix_power")
    if not is_integer(n):
        raise UsageError(f"matrix_power: the exponent must be an int, got {n!r}")
    if n == 0:
        one = np.eye(shape(a)[-1], dtype=data_of(a).dtype)
        return where(True, one, a)
    base, left = (a if n > 0 else inv(a)), abs(int(n))
    result: Any = None
    while left:
        if left % 2:
            result = base if result is None else matmul(result, base)
        left //= 2
        base = matmul(base, base) if left else base
    return result


# Determinants


def det(a: Any) -> Any:
    """The determinant of square matrices (…, n, n).

    Its derivatives, the cofactors and what follows, are right for singular matrices too.

    >>> import numpy as np, microgradopt as mg
    >>> mg.grad(mg.linalg.det)(np.diag([2.0, 3.0, 0.0]))
    array([[0., 0., 0.],
           [0., 0., 0.],
           [0., 0., 6.]])
    """
    return det_row(as_square(a, "det"))


def slogdet(a: Any) -> SlogdetResult:
    """The sign of the determinant, as plain numbers, and the logarithm of its absolute value.

    Neither overflows. A singular matrix has (0, −inf), and no derivative: LinAlgError.
    """
    packed = slogdet_row(as_square(a, "slogdet"))
    return SlogdetResult(data_of(packed)[..., 0].copy()[()], index(packed, (Ellipsis, 1)))


# Factorisations


def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """The lower triangular L with positive diagonal and L @ Lᵀ = a; with ``upper``, its transpose.

    Only the lower triangle of ``a`` is read (the upper one with ``upper``), and only it gets a
    gradient.

    Raises:
        LinAlgError: for a matrix that is not positive definite, naming it.
    """
    a = as_square(a, "cholesky")
    return flipped(cholesky_row(flipped(a))) if upper else cholesky_row(a)


def eigh(a: Any, UPLO: str = "L") -> EighResult:  # NumPy's name
    """Eigenvalues (…, n), ascending, and eigenvectors in the columns of (…, n, n), of symmetric a.

    Only the triangle ``UPLO`` ("L" or "U") is read, and only it gets a gradient. The sign of an
    eigenvector is arbitrary: give the gradient functions that do not depend on it.

    Eigenvectors of equal eigenvalues have no derivative: what depends on them gets NaN, and so does
    the second derivative of a function of such eigenvalues. Its gradient is finite, and right where
    the function treats equal eigenvalues alike, as their sum does.
    """
    a = as_square(a, "eigh")
    if UPLO not in ("L", "U", "l", "u"):
        raise UsageError(f"eigh: UPLO is 'L' or 'U', the triangle to read, got {UPLO!r}")
    packed = eigh_row(a, UPLO=UPLO.upper())
    values, vectors = parts(packed, 1, shape(a)[-1])
    return EighResult(index(values, (Ellipsis, 0, slice(None))), vectors)


def eigvalsh(a: Any, UPLO: str = "L") -> Any:  # NumPy's name
    """The eigenvalues (…, n) of symmetric matrices, ascending; see :func:`eigh`."""
    return eigh(a, UPLO).eigenvalues


def eig(a: Any) -> NoReturn:
    """Not supported: eigenvalues of a general matrix are complex."""
    raise UsageError(
        "eig: the eigenvalues of a general matrix are complex, and complex numbers are not "
        "supported; use linalg.eigh for symmetric matrices, or linalg.svd"
    )


def eigvals(a: Any) -> NoReturn:
    """Not supported: eigenvalues of a general matrix are complex."""
    raise UsageError(
        "eigvals: the eigenvalues of a general matrix are complex, and complex numbers are not "
        "supported; use linalg.eigvalsh for symmetric matrices, or linalg.svdvals"
    )


def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """Singular values of matrices (…, m, n): U (…, m, k), S (…, k) descending, Vh (…, k, n).

    k is min(m, n). ``full_matrices=True``, NumPy's default, adds columns that are any basis of the
    rest and have no derivative: graph nodes need ``full_matrices=False`` unless m = n. The sign of
    a pair of singular vectors is arbitrary, and those of equal singular values have no derivative,
    as for :func:`eigh`; nor have those of the value 0 if m ≠ n.

    Args:
        compute_uv: False gives S alone.
        hermitian: read the lower triangle only, as that of a symmetric matrix.

    Raises:
        UsageError: for full matrices U and Vh of a node that is not square.
    """
    a = as_matrices(a, "svd")
    m, n = shape(a)[-2:]
    if hermitian:
        a = mirrored(as_square(a, "svd"))
    if compute_uv and full_matrices and m != n:
        if not isinstance(a, Node):
            return SVDResult(*np.linalg.svd(a))
        raise UsageError(
            f"svd: with full_matrices=True, which is the default, {'U' if m > n else 'Vh'} of a "
            f"{m}×{n} matrix has {abs(m - n)} vectors without a derivative; give "
            "full_matrices=False"
        )
    packed = svd_row(a)
    s = singular_values(packed, m)
    if not compute_uv:
        return s
    u, _, v = parts(packed, m, 1, n)
    return SVDResult(u, s, flipped(v))


def svdvals(x: Any, /) -> Any:
    """The singular values (…, min(m, n)) of matrices (…, m, n), descending."""
    return svd(as_matrices(x, "svdvals"), compute_uv=False)


def qr(a: Any, mode: str = "reduced") -> Any:
    """Q (…, m, k) with orthonormal columns and upper triangular R (…, k, n), with Q @ R = a.

    k is min(m, n). The first k columns of ``a`` must be independent for a derivative.

    Args:
        mode: "reduced"; "r" for R alone; "complete" only where that is the same, m ≤ n.

    Raises:
        UsageError: for a mode without derivative.
        LinAlgError: from the gradient, where R is singular.
    """
    a = as_matrices(a, "qr")
    m, n = shape(a)[-2:]
    if mode not in ("reduced", "r", "complete") or (mode == "complete" and m > n):
        raise UsageError(
            f"qr: mode={mode!r} of a {m}×{n} matrix has no derivative here; use 'reduced' or 'r'"
        )
    k = min(m, n)
    q, r = parts(qr_row(a if m >= n else columns(a, 0, m)), m, k)
    if m < n:
        r = concatenate([r, matmul(flipped(q), columns(a, m, n))], -1)
    return r if mode == "r" else QRResult(q, r)


# Condition and rank


@quietly
def cond(x: Any, p: Any = None) -> Any:
    """How much matrices can magnify a relative error: norm(x, p) · norm(inv(x), p).

    inf if singular. The 2-norm, used unless ``p`` says otherwise, takes matrices of any shape, the
    others square ones.
    """
    x = as_matrices(x, "cond")
    if 0 in shape(x)[-2:]:
        raise ShapeError(f"cond: of matrices without entries: the operand has shape {shape(x)}")
    if p in (None, 2, -2):
        s = spectrum(x)
        ends = index(s, (Ellipsis, 0)), index(s, (Ellipsis, -1))
        found = ends[1] / ends[0] if p == -2 else ends[0] / ends[1]
        unknown = np.isnan(data_of(found)) & ~np.isnan(data_of(x)).any((-2, -1))
    else:
        unknown = np.equal(slogdet(data_of(as_square(x, "cond"))).sign, 0.0)
        hole = np.reshape(unknown, (*np.shape(unknown), 1, 1))
        regular = where(hole, np.eye(shape(x)[-1], dtype=data_of(x).dtype), x)
        found = norm(x, p, (-2, -1)) * norm(inv(regular), p, (-2, -1))
    return where(unknown, np.inf, found)


def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """How many singular values stand out of rounding: plain ints; as numpy.linalg.matrix_rank."""
    return np.linalg.matrix_rank(data_of(as_array(A, "matrix_rank")), tol, hermitian, rtol=rtol)


# Products and parts


def trace(x: Any, /, *, offset: int = 0) -> Any:
    """The sum of the diagonal of matrices (…, m, n), the last two axes."""
    return sum(diagonal(x, offset=offset), -1)


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonal of matrices (…, m, n), the last two axes."""
    return any_diagonal(as_matrices(x, "diagonal"), offset, -2, -1)


def matrix_transpose(x: Any, /) -> Any:
    """Rows and columns exchanged, of matrices in the last two axes."""
    return flipped(as_matrices(x, "matrix_transpose"))


def outer(x1: Any, x2: Any, /) -> Any:
    """The matrix of all products of an entry of one vector with an entry of another."""
    if ndim(x1) != 1 or ndim(x2) != 1:
        raise ShapeError(
            f"linalg.outer: takes vectors, got shapes {shape(x1)} and {shape(x2)}; "
            "mg.outer flattens what it is given"
        )
    return any_outer(x1, x2)


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The inner products of vectors along ``axis``; other axes broadcast."""
    return any_vecdot(x1, x2, axis=axis)


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The vectors at right angles to pairs of vectors of 3 numbers along ``axis``."""
    return any_cross(x1, x2, axis=axis)


def multi_dot(arrays: Sequence[Any]) -> Any:
    """The product of two or more matrices, multiplied in the order that takes the least work.

    The first and the last may be vectors.
    """
    factors = [as_array(x, "multi_dot") for x in arrays]
    shapes = [shape(x) for x in factors]
    if len(factors) < 2:
        raise ShapeError(f"multi_dot: needs at least two arrays, got {len(factors)}")
    ends, inner = (shapes[0], shapes[-1]), shapes[1:-1]
    fits = all(len(s) in (1, 2) for s in ends) and all(len(s) == 2 for s in inner)
    first = (1, *shapes[0])[-2:]
    last = shapes[-1] if len(shapes[-1]) == 2 else (*shapes[-1], 1)
    table = [first, *inner, last]
    if not fits or any(a[1] != b[0] for a, b in pairwise(table)):
        raise ShapeError(
            f"multi_dot: shapes {shapes} do not form a chain: matrices, of which each has as many "
            "rows as the one before it has columns; the first and the last may be vectors"
        )
    return _chain(factors, _cheapest([a[0] for a in table] + [last[1]]), 0, len(factors) - 1)


def _cheapest(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to part each stretch of a chain of matrices sizes[i] × sizes[i + 1]."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    cut = {}
    for width in range(1, n):
        for i in range(n - width):
            j = i + width
            ways = {
                k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1]
                for k in range(i, j)
            }
            cut[i, j] = best = sorted(ways, key=lambda k: ways[k])[0]
            cost[i, j] = ways[best]
    return cut


def _chain(factors: list[Any], cut: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return factors[i]
    k = cut[i, j]
    return matmul(_chain(factors, cut, i, k), _chain(factors, cut, k + 1, j))
