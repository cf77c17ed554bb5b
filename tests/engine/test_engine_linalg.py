"""Linear algebra where it is special: singular matrices, equal eigenvalues, triangles, errors."""

from math import factorial

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import linalg
from microgradopt.check import check_grads
from microgradopt.engine.ops.decompositions import _det_in_rows
from microgradopt.engine.rules import data_of
from microgradopt.errors import DTypeError, MicrogradoptError, ShapeError, UsageError


def normal(*dims, seed=0):
    return np.random.default_rng(seed).normal(size=dims)


def rotation(n, seed=0):
    return np.linalg.qr(normal(n, n, seed=seed))[0]


def with_eigenvalues(*values, seed=0):
    Q = rotation(len(values), seed)
    return (Q * np.array(values)) @ Q.T


def of_rank(n, rank, seed=0):
    return normal(n, rank, seed=seed) @ normal(rank, n, seed=seed + 1)


# Results


def test_results_have_numpys_names():
    a = mg.Tensor(normal(3, 3))
    assert np.linalg.slogdet(a).logabsdet.shape == ()
    assert np.linalg.eigh(a).eigenvectors.shape == (3, 3)
    assert np.linalg.svd(a).Vh.shape == (3, 3)
    assert np.linalg.qr(a).R.shape == (3, 3)
    x, residuals, rank, s = np.linalg.lstsq(a, np.ones(3), rcond=None)
    assert (x.shape, residuals.shape, rank, s.shape) == ((3,), (0,), 3, (3,))


def test_plain_results_are_plain():
    a = mg.Tensor(np.stack([of_rank(3, r) for r in (1, 2, 3)]))
    np.testing.assert_array_equal(linalg.matrix_rank(a), [1, 2, 3])
    np.testing.assert_array_equal(np.linalg.matrix_rank(a), [1, 2, 3])
    sign = linalg.slogdet(a[2] * 2.0).sign
    assert type(sign) is np.float64
    assert linalg.lstsq(a[0], np.ones(3))[2] == 1


def test_lists_and_whole_numbers_are_matrices_too():
    np.testing.assert_allclose(linalg.solve([[2, 1], [1, 3]], [1, 2]), [0.2, 0.6])
    np.testing.assert_allclose(linalg.det(np.array([[2, 1], [1, 3]])), 5.0)
    assert linalg.norm([3, 4]) == 5.0
    narrow = mg.Tensor(np.eye(2), dtype=np.float32)
    assert linalg.solve(narrow, [1.0, 2.0]).dtype == np.float32
    assert linalg.lstsq(narrow, np.array([1, 2])).x.dtype == np.float32
    np.testing.assert_allclose(linalg.pinv(np.diag([4, 1]), rtol=0.5), np.diag([0.25, 0.0]))
    full = linalg.svd(normal(3, 2))
    assert [part.shape for part in full] == [(3, 3), (2,), (2, 2)]


def test_numbers_have_a_norm():
    assert mg.grad(linalg.norm)(-3.0) == -1.0
    assert mg.grad(lambda x: linalg.vector_norm(x, ord=1))(-3.0) == -1.0


def test_the_sign_of_a_determinant_is_nobody_elses():
    a = mg.Tensor(np.stack([np.eye(2), np.eye(2)]))
    sign, size = linalg.slogdet(a)
    sign[:] = 7.0
    mg.sum(size).backward()
    np.testing.assert_array_equal(linalg.slogdet(a).sign, [1.0, 1.0])


# Determinants


def _cofactor(x, i, j):
    minor = np.delete(np.delete(x, i, 0), j, 1)
    return (-1.0) ** (i + j) * np.linalg.det(minor)


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 4])
def test_the_gradient_of_det_is_the_cofactors_at_any_rank(rank):
    x = of_rank(4, rank) if rank else np.zeros((4, 4))
    expected = [[_cofactor(x, i, j) for j in range(4)] for i in range(4)]
    scale = np.abs(x).max() ** 3
    np.testing.assert_allclose(mg.grad(linalg.det)(x), expected, rtol=1e-11, atol=1e-13 * scale)
    if rank < 3:
        np.testing.assert_allclose(mg.grad(linalg.det)(x), 0.0, atol=1e-13 * scale)


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_det_is_a_polynomial_in_every_direction_at_any_rank(rank):
    x = of_rank(3, rank) if rank else np.zeros((3, 3))
    v = normal(3, 3, seed=5)
    line = np.array([np.linalg.det(x + t * v) for t in (-2.0, -1.0, 1.0, 2.0)])
    coefficients = np.polynomial.polynomial.polyfit([-2.0, -1.0, 1.0, 2.0], line, 3)

    def along(t):
        return linalg.det(x + t * v)

    derivatives = []
    for order in range(4):
        derivatives.append(along(mg.Value(0.0)).item() / factorial(order))
        along = mg.grad(along) if order < 3 else along
    np.testing.assert_allclose(derivatives, coefficients, rtol=1e-9, atol=1e-11)


def test_det_of_a_batch_of_different_ranks():
    x = np.stack([of_rank(3, r, seed=r) for r in (3, 1, 2, 3)]).reshape(2, 2, 3, 3)
    check_grads(linalg.det, x, order=2)


def test_the_rows_behind_det_have_its_value():
    for x in (normal(5, 3, 3), np.zeros((0, 3, 3)), normal(2, 2, 1, 1), np.zeros((2, 0, 0))):
        np.testing.assert_allclose(_det_in_rows(x), np.linalg.det(x), rtol=1e-12)


def test_cofactors_where_the_determinant_underflows():
    x = 1e-120 * np.eye(3)
    assert linalg.det(x) == 0.0
    np.testing.assert_allclose(mg.grad(linalg.det)(x), 1e-240 * np.eye(3), rtol=1e-12)


def test_slogdet_of_what_det_cannot_hold():
    x = 1e-200 * np.eye(3)
    found = mg.grad(lambda a: linalg.slogdet(a).logabsdet)(x)
    np.testing.assert_allclose(found, 1e200 * np.eye(3))


# Equal eigenvalues and singular values


@pytest.mark.parametrize("values", [(2.0, 2.0, 2.0), (1.0, 2.0, 2.0), (0.0, 0.0, 3.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_functions_of_the_eigenvalues_have_a_gradient_where_some_are_equal(values, seed):
    x = with_eigenvalues(*values, seed=seed) if seed else np.diag(values)
    found = mg.grad(lambda a: mg.sum(linalg.eigvalsh(a) ** 3))(x)
    whole = 3.0 * x @ x  # of tr(x³); an entry of the lower triangle stands for two
    np.testing.assert_allclose(
        found, np.tril(whole + whole.T) - np.diag(np.diag(whole)), atol=1e-12
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_functions_of_the_singular_values_have_a_gradient_where_some_are_equal(seed):
    x = rotation(3, seed) if seed else np.eye(3)
    found = mg.grad(lambda a: mg.sum(linalg.svdvals(a) ** 3))(x)
    np.testing.assert_allclose(found, 3.0 * x, atol=1e-12)


def test_vectors_apart_from_the_equal_ones_have_a_gradient():
    x = with_eigenvalues(1.0, 1.0, 4.0)
    check_grads(lambda a: linalg.eigh(a).eigenvectors[:, 2] ** 2, x)
    check_grads(lambda a: linalg.svd(a).U[:, 0] ** 2, x)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", ["eigh", "svd"])
def test_vectors_of_equal_values_have_none(kind, seed):
    x = with_eigenvalues(1.0, 1.0, 4.0, seed=seed) if seed else np.diag([1.0, 1.0, 4.0])

    def root(a):  # as a function of a it is smooth; its derivative is lost with the vectors'
        if kind == "eigh":
            w, V = linalg.eigh(a)
            return (V * mg.sqrt(w)) @ V.T
        u, s, vh = linalg.svd(a)
        return (u * mg.sqrt(s)) @ vh

    assert np.isnan(mg.vjp(root, x)[1](normal(3, 3))[0]).any()
    assert np.isnan(mg.jvp(root, (x,), (normal(3, 3),))[1]).any()
    values = linalg.eigvalsh if kind == "eigh" else linalg.svdvals
    assert np.isfinite(mg.jvp(values, (x,), (normal(3, 3),))[1]).all()
    total = mg.grad(lambda a: mg.sum(values(a) ** 2))
    assert np.isnan(mg.vjp(total, x)[1](normal(3, 3))[0]).any()


def test_a_function_of_matrices_by_its_eigenvalues():
    x = with_eigenvalues(1.0, 2.0, 4.0)

    def root(a):
        w, V = linalg.eigh(a)
        return (V * mg.sqrt(w)) @ V.T

    # √a·√a = a, differentiated: √a·d + d·√a = da
    v = normal(3, 3)
    v = v + v.T
    half, d = mg.jvp(root, (x,), (v,))
    np.testing.assert_allclose(half @ d + d @ half, v, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dims", [(3, 3), (4, 3), (3, 5)])
def test_the_polar_factor_has_its_closed_form(dims):
    x = normal(*dims)

    def polar(a):
        u, _, vh = linalg.svd(a, full_matrices=False)
        return u @ vh

    v = normal(*dims, seed=3)
    q, d = mg.jvp(polar, (x,), (v,))
    if dims[0] >= dims[1]:  # qᵀq = 1 and qᵀx symmetric, differentiated
        np.testing.assert_allclose(q.T @ d + d.T @ q, 0.0, atol=1e-12)
        turned = d.T @ x + q.T @ v
        np.testing.assert_allclose(turned, turned.T, atol=1e-12)
    check_grads(polar, x, order=2)


def test_singular_values_of_zero():
    x = of_rank(4, 2)
    assert np.isfinite(mg.grad(lambda a: mg.sum(linalg.svdvals(a)))(x)).all()
    np.testing.assert_array_equal(mg.grad(lambda a: linalg.norm(a, "nuc"))(np.zeros((2, 3))), 0.0)
    np.testing.assert_array_equal(mg.grad(lambda a: linalg.norm(a, 2))(np.zeros((2, 3))), 0.0)
    tall = normal(4, 1) @ normal(1, 2)
    used = mg.vjp(lambda a: linalg.svd(a, full_matrices=False).U, tall)[1](np.ones((4, 2)))[0]
    assert np.isnan(used).any()
    first = mg.grad(lambda a: mg.sum(linalg.svd(a, full_matrices=False).U[:, 0] ** 4))(tall)
    assert np.isfinite(first).all()


def test_the_largest_singular_values_share_a_gradient_when_they_tie():
    found = mg.grad(lambda a: linalg.norm(a, 2))(np.diag([3.0, 3.0, 1.0]))
    np.testing.assert_allclose(found, np.diag([0.5, 0.5, 0.0]), atol=1e-15)


# Triangles


@pytest.mark.parametrize(
    ("f", "read"),
    [
        (linalg.cholesky, np.tril),
        (lambda a: linalg.cholesky(a, upper=True), np.triu),
        (linalg.eigvalsh, np.tril),
        (lambda a: linalg.eigvalsh(a, "U"), np.triu),
        (lambda a: linalg.pinv(a, hermitian=True), np.tril),
        (lambda a: linalg.svd(a, compute_uv=False, hermitian=True), np.tril),
    ],
)
def test_only_the_triangle_that_is_read_gets_a_gradient(f, read):
    x = with_eigenvalues(1.0, 2.0, 4.0)
    nonsense = x + 100.0 * (np.ones((3, 3)) - read(np.ones((3, 3))))
    np.testing.assert_allclose(f(nonsense), f(x), rtol=1e-12, atol=1e-12)
    u = normal(*f(x).shape)
    found = mg.vjp(f, nonsense)[1](u)[0]
    np.testing.assert_array_equal(found, read(found))
    np.testing.assert_allclose(found, mg.vjp(f, x)[1](u)[0], rtol=1e-10, atol=1e-12)
    check_grads(f, nonsense, order=2)


def test_a_symmetric_argument_gets_a_symmetric_gradient():
    def loss(r):
        return linalg.slogdet(linalg.cholesky(r @ r.T + np.eye(3))).logabsdet

    r = normal(3, 3)
    k = r @ r.T + np.eye(3)
    np.testing.assert_allclose(mg.grad(loss)(r), np.linalg.inv(k) @ r, rtol=1e-12)


def test_the_complex_step_gets_through():
    def energy(a, b):
        return b @ linalg.solve(a, b) + linalg.det(a) + mg.sum(linalg.matrix_power(a, -2))

    check_grads(energy, normal(3, 3) + 3.0 * np.eye(3), normal(3), method="complex", rtol=1e-12)


# Constant rank


@pytest.mark.parametrize("dims", [(4, 2), (2, 4), (3, 3)])
def test_pinv_keeps_penroses_equations_to_first_order(dims):
    u, v = normal(dims[0], 2), normal(2, dims[1], seed=1)
    du, dv = normal(dims[0], 2, seed=2), normal(2, dims[1], seed=3)
    a, da = u @ v, du @ v + u @ dv
    p, dp = mg.jvp(lambda s, t: linalg.pinv(s @ t, 1e-10), (u, v), (du, dv))
    np.testing.assert_allclose(da @ p @ a + a @ dp @ a + a @ p @ da, da, atol=1e-10)
    np.testing.assert_allclose(dp @ a @ p + p @ da @ p + p @ a @ dp, dp, atol=1e-10)


def test_least_squares_solutions_make_the_gradient_vanish():
    a, b = normal(6, 3), normal(6)
    x = linalg.lstsq(a, b).x
    slope = mg.grad(lambda y: mg.sum((a @ y - b) ** 2))(x)
    np.testing.assert_allclose(slope, 0.0, atol=1e-12)


# Layouts, dtypes, data


@pytest.mark.parametrize(
    "f",
    [
        linalg.inv,
        linalg.det,
        linalg.cholesky,
        linalg.eigvalsh,
        linalg.svdvals,
        linalg.pinv,
        lambda a: linalg.solve(a, a),
        lambda a: linalg.qr(a).R,
    ],
)
def test_any_layout_has_the_same_gradient(f):
    x = np.stack([with_eigenvalues(1.0, 2.0, 3.0), with_eigenvalues(2.0, 4.0, 5.0, seed=1)])
    u = normal(*np.shape(data_of(f(x))))
    expected = mg.vjp(f, x)[1](u)[0]
    big = np.zeros((4, 6, 6))
    big[::2, ::2, ::2] = x
    for y in (
        np.asfortranarray(x),
        big[::2, ::2, ::2],
        x[::-1][::-1],
        x.transpose(2, 0, 1).transpose(1, 2, 0),
    ):
        np.testing.assert_allclose(mg.vjp(f, y)[1](u)[0], expected, rtol=1e-12, atol=1e-13)


NAN = np.full((2, 2), np.nan)


@pytest.mark.parametrize(
    "f", [linalg.inv, linalg.det, linalg.eigvalsh, linalg.svdvals, linalg.matrix_norm]
)
def test_nan_spreads_and_nothing_raises(f):
    x = np.stack([np.diag([1.0, 2.0]), NAN])
    g = mg.grad(lambda a: mg.sum(f(a)))(x)
    for found in (f(x), g):
        assert np.isnan(found[1]).any()
        assert np.isfinite(found[0]).all()


def test_cond_of_singular_matrices_is_infinite():
    x = np.stack([np.diag([1.0, 2.0]), np.zeros((2, 2))])
    for p in (None, 1, "fro"):
        np.testing.assert_array_equal(np.isinf(linalg.cond(x, p)), [False, True])
    assert np.isnan(linalg.cond(NAN))


def test_sums_of_equal_lines_share_a_gradient():
    found = mg.grad(lambda a: linalg.norm(a, 1))(np.eye(2))
    np.testing.assert_array_equal(found, 0.5 * np.eye(2))


# Errors


SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])


def test_a_singular_matrix_is_named_and_numpys_handler_catches_it():
    with pytest.raises(np.linalg.LinAlgError, match=r"2×2 matrix is singular.*linalg\.lstsq") as e:
        linalg.inv(mg.Tensor(SINGULAR))
    assert isinstance(e.value, MicrogradoptError)
    assert e.type is linalg.LinAlgError
    assert "index" not in str(e.value)
    batch = np.stack([np.eye(2), np.eye(2), SINGULAR])
    with pytest.raises(linalg.LinAlgError, match=r"at index \(2,\) of the batch \(3,\)"):
        linalg.inv(batch)
    with pytest.raises(linalg.LinAlgError, match=r"at index \(2,\) of the batch \(3,\)"):
        np.linalg.solve(mg.Tensor(batch), np.ones((2, 1)))
    with pytest.raises(linalg.LinAlgError, match="singular"):
        linalg.matrix_power(SINGULAR, -1)


def test_log_det_of_a_singular_matrix_has_a_value_and_no_gradient():
    a = mg.Tensor(SINGULAR)
    sign, size = linalg.slogdet(a)
    assert (sign, size.item()) == (0.0, -np.inf)
    with pytest.raises(linalg.LinAlgError, match="singular"):
        size.backward()


def test_a_matrix_that_is_not_positive_definite_is_named():
    with pytest.raises(linalg.LinAlgError, match=r"smallest eigenvalue.* is -1; add a multiple"):
        linalg.cholesky(mg.Tensor(np.diag([2.0, -1.0])))
    with pytest.raises(linalg.LinAlgError, match=r"at index \(1, 0\)"):
        linalg.cholesky(np.stack([np.eye(2), -np.eye(2)])[:, None])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: linalg.inv(np.ones(3)), ShapeError, r"inv: needs a matrix.*got shape \(3,\)"),
        (lambda: linalg.inv(mg.Value(2.0)), ShapeError, r"got shape \(\)"),
        (lambda: linalg.det(np.ones((2, 3))), ShapeError, r"square.*\(2, 3\).*linalg\.pinv"),
        (lambda: linalg.inv(np.eye(2, dtype=np.float16)), DTypeError, "float16.*astype"),
        (lambda: linalg.solve(mg.Tensor(np.eye(2)), np.eye(2) * 1j), DTypeError, "complex128"),
        (lambda: linalg.solve(np.eye(2), np.ones(3)), ShapeError, r"\(2, 2\) and \(3,\)"),
        (lambda: linalg.solve(np.eye(2), 1.0), ShapeError, "right-hand side"),
        (lambda: linalg.solve(np.eye(2), np.ones((3, 1))), ShapeError, "right-hand side"),
        (
            lambda: linalg.solve(np.ones((2, 2, 2)), np.ones((3, 2, 1))),
            ShapeError,
            "batch dimensions",
        ),
        (lambda: linalg.eigh(np.eye(2), "X"), UsageError, "'L' or 'U'"),
        (lambda: linalg.eig(np.eye(2)), UsageError, r"complex.*linalg\.eigh"),
        (lambda: linalg.eigvals(np.eye(2)), UsageError, r"complex.*linalg\.eigvalsh"),
        (lambda: np.linalg.eig(mg.Tensor(np.eye(2))), UsageError, "complex"),
        (lambda: linalg.svd(mg.Tensor(np.ones((3, 2)))), UsageError, "U of a 3×2.*=False"),
        (lambda: linalg.svd(mg.Tensor(np.ones((2, 3)))), UsageError, "Vh of a 2×3.*=False"),
        (lambda: linalg.qr(np.ones((3, 2)), "complete"), UsageError, "'complete' of a 3×2"),
        (lambda: linalg.qr(np.ones((3, 2)), "raw"), UsageError, "'raw'"),
        (lambda: linalg.pinv(np.eye(2), 1e-3, rtol=1e-3), UsageError, "one thing"),
        (lambda: linalg.lstsq(np.ones((2, 2, 2)), np.ones(2)), ShapeError, r"linalg\.pinv"),
        (lambda: linalg.matrix_power(np.eye(2), 0.5), UsageError, "must be an int, got 0.5"),
        (lambda: linalg.norm(np.ones((2, 2)), 3), UsageError, "ord 3 of matrices"),
        (lambda: linalg.norm(np.ones((2, 2)), "spec"), UsageError, "'spec' of matrices"),
        (lambda: linalg.norm(np.ones(2), "nuc"), UsageError, "'nuc' of vectors"),
        (lambda: linalg.norm(np.ones(2), np.nan), UsageError, "nan of vectors"),
        (lambda: linalg.norm(np.ones((2, 2, 2)), 1), UsageError, "3 axes.*vector_norm"),
        (lambda: linalg.norm(np.ones((0, 2)), -np.inf, 0), ShapeError, "no entries"),
        (lambda: linalg.cond(np.ones((0, 2))), ShapeError, "without entries"),
        (lambda: linalg.outer(np.ones((2, 2)), np.ones(2)), ShapeError, "vectors"),
        (lambda: linalg.multi_dot([np.ones(2)]), ShapeError, "at least two"),
        (lambda: linalg.multi_dot([np.eye(2), np.ones((3, 2))]), ShapeError, "chain"),
        (lambda: linalg.multi_dot([np.eye(2), np.ones(2), np.ones(2)]), ShapeError, "chain"),
        (lambda: linalg.tensorinv(np.eye(2), 0), UsageError, "positive int, got 0"),
        (lambda: linalg.tensorinv(np.ones((2, 3)), 1), ShapeError, "not square"),
        (lambda: linalg.tensorsolve(np.ones((2, 3)), np.ones(2)), ShapeError, "square system"),
    ],
)
def test_errors_say_what_was_given_and_what_to_do(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_qr_of_dependent_columns_has_a_value_and_no_gradient():
    a = mg.Tensor(np.zeros((3, 2)))
    q, r = linalg.qr(a)
    assert r.shape == (2, 2)
    with pytest.raises(linalg.LinAlgError, match="singular"):
        mg.sum(q + 0.0 * mg.sum(r)).backward()


# The order of a chain of products


def test_a_chain_is_multiplied_in_the_cheapest_order():
    a, b, c = (mg.Tensor(normal(*s)) for s in ((30, 2), (2, 30), (30, 1)))
    found = linalg.multi_dot([a, b, c])
    assert found.args[0] is a  # a (b c): 120 products instead of 2,700
    assert found.args[1].shape == (2, 1)
