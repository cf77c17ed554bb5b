"""What is said of a surface, against surfaces of which everything is known."""

import itertools
import math

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import datasets, nn, surfaces
from microgradopt.errors import NonFiniteError, ShapeError, UsageError
from microgradopt.optim.surface import (
    Expansion,
    Polynomial,
    SpectralDensity,
    classify,
    curvature_rate,
    dominant_eigenvalue,
    hessian_eigenvalues,
    spectral_density,
    taylor,
)
from microgradopt.optim.surface.lanczos import Krylov, Wanted, _absent, outer

N = 1000
MIRRORS = np.random.default_rng(0).standard_normal((3, N))


def bowl(eigenvalues, dtype=np.float64):
    """½xᵀHx, H with these eigenvalues, and eigenvectors that mix all coordinates."""
    eigenvalues = np.asarray(eigenvalues, dtype)
    mirrors = MIRRORS[:, : len(eigenvalues)]
    mirrors = (mirrors / np.linalg.norm(mirrors, axis=1, keepdims=True)).astype(dtype)

    def f(x):
        for u in mirrors:
            x = x - 2.0 * u * mg.sum(u * x)
        return 0.5 * mg.sum(eigenvalues * x * x)

    return f


def on_plane(surface):
    return lambda v: surface(v[0], v[1])


def network(dtype=np.float64):
    X, y = datasets.spiral(10, 3, rng=0)
    model = nn.MLP(2, [6, 3], activation=mg.tanh, dtype=dtype, rng=0)
    return model, lambda m: nn.cross_entropy(m(X.astype(dtype)), y)


def dense(model, f):
    """The Hessian by differences of gradients: nothing of what is tested takes part in it."""
    named = dict(model.named_parameters())
    start = {name: p.data.copy() for name, p in named.items()}

    def gradient(flat):
        at = 0
        for name, p in named.items():
            p.assign(flat[at : at + start[name].size].reshape(start[name].shape))
            at += start[name].size
            p.grad = None
        f(model).backward()
        return np.concatenate([np.ravel(p.grad) for p in named.values()])

    flat = np.concatenate([np.ravel(x) for x in start.values()])
    h = 1e-5
    H = [(gradient(flat + h * e) - gradient(flat - h * e)) / (2.0 * h) for e in np.eye(len(flat))]
    for name, p in named.items():
        p.assign(start[name])
        p.grad = None
    return np.array(H)


# What kind of point it is


@pytest.mark.parametrize(
    ("point", "kind"),
    [
        ((3.0, 2.0), "minimum"),
        ((-0.27084459, -0.92303856), "maximum"),
        ((0.08667750, 2.88425470), "saddle"),
        ((0.0, 0.0), "not stationary"),
    ],
)
@pytest.mark.parametrize("limit", [500, 0], ids=["dense", "lanczos"])
def test_stationary_points_of_himmelblau(point, kind, limit):
    found = classify(on_plane(surfaces.himmelblau), list(point), dense=limit, rng=0)
    exact = np.linalg.eigvalsh(mg.hessian(on_plane(surfaces.himmelblau))(np.array(point)))
    assert found.kind == kind
    np.testing.assert_allclose(found.eigenvalues, exact, rtol=1e-9)
    assert found.complete
    assert found.value == pytest.approx(surfaces.himmelblau(*point))
    assert (found.downhill is None) == (kind == "minimum")


@pytest.mark.parametrize("surface", surfaces.ALL, ids=lambda s: s.name)
def test_the_minima_of_all_surfaces_are_minima(surface):
    at = surface.minimum or (0.0, 0.0)
    found = classify(on_plane(surface), np.array(at))
    assert found.kind == ("minimum" if surface.minimum else "saddle")


def test_a_saddle_says_where_it_goes_down():
    found = classify(on_plane(surfaces.saddle), np.zeros(2))
    assert found.kind == "saddle"
    np.testing.assert_allclose(found.downhill, [0.0, 1.0])
    np.testing.assert_allclose(np.abs(found.eigenvectors), [[0.0, 1.0], [1.0, 0.0]])
    assert str(found) == (
        "saddle: bends up along 1, down along 1 of 2 directions\n"
        "  f            0\n"
        "  gradient     0, up to the 2e-05 that counts as zero\n"
        "  eigenvalues  -2  2, up to 6.3e-14 counts as zero\n"
        "  downhill     ±[0. 1.]"
    )


def test_downhill_is_down_where_the_surface_slopes():
    f = on_plane(surfaces.himmelblau)
    for point in itertools.product((-0.5, 0.0, 0.5), repeat=2):
        found = classify(f, np.array(point))
        assert found.kind == "not stationary"
        assert mg.grad(f)(np.array(point)) @ found.downhill <= 0.0
        assert f(np.array(point) + 1e-3 * found.downhill) < f(np.array(point))
        assert "above the" in str(found)


@pytest.mark.parametrize(
    ("f", "x", "kind"),
    [
        (lambda v: v[0] ** 3 - 3.0 * v[0] * v[1] ** 2, np.zeros(2), "degenerate"),  # monkey saddle
        (lambda v: v[0] ** 2 + v[1] ** 4, np.zeros(2), "degenerate"),
        (lambda v: v[0] ** 2 + v[1] ** 4 - v[2] ** 2, np.zeros(3), "saddle"),
        (lambda v: -(v[0] ** 2) + v[1] ** 3, np.zeros(2), "degenerate"),
        (lambda x: x**4, 0.0, "degenerate"),
        (lambda x: 2.0 + 0.0 * x, 1.0, "degenerate"),
        (lambda x: 3.0 * x, 1.0, "not stationary"),
        (lambda x: mg.cos(x), 0.0, "maximum"),
        (lambda x: 1e-200 * (x - 1.0) ** 2, 1.0, "minimum"),
        (lambda x: 1e150 * (x - 1e9) ** 2, 1e9, "minimum"),
        (lambda t: t["a"] ** 2 + mg.sum(t["b"] ** 2), {"a": 0.0, "b": np.zeros(2)}, "minimum"),
    ],
)
def test_flat_tall_and_structured_ones(f, x, kind):
    assert classify(f, x).kind == kind


def test_what_counts_as_zero_can_be_said():
    f = bowl([1e-9, 1.0, 2.0])
    assert classify(f, np.zeros(3)).kind == "minimum"
    assert classify(f, np.zeros(3), tol=1e-8).kind == "degenerate"
    assert classify(f, np.full(3, 1e-3)).kind == "not stationary"
    assert classify(f, np.full(3, 1e-3), gtol=1e-2, tol=0.0).kind == "minimum"


@pytest.mark.parametrize(
    ("eigenvalues", "kind"),
    [
        (np.linspace(0.1, 1.0, N), "minimum"),
        (-np.linspace(0.1, 1.0, N), "maximum"),
        (np.linspace(-0.1, 1.0, N), "saddle"),
        (np.r_[np.zeros(N - 3), 1.0, 2.0, 3.0], "degenerate"),
        (np.zeros(N), "degenerate"),
    ],
    ids=["up", "down", "both", "low rank", "flat"],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_large_ones_go_by_their_outermost_eigenvalues(eigenvalues, kind, dtype):
    found = classify(bowl(eigenvalues, dtype), np.zeros(N, dtype), k=2, rng=0)
    assert found.kind == kind
    exact = np.sort(eigenvalues)[[0, 1, -2, -1]]
    np.testing.assert_allclose(found.eigenvalues, exact, atol=3e-6)
    assert not found.complete
    assert (np.abs(found.eigenvalues - exact) <= found.residuals + 3e-6).all()
    assert f"the outermost of {N}, to within" in str(found)
    assert (found.downhill is None) == (kind in ("minimum", "degenerate"))
    assert "downhill  " not in str(found)


def test_what_did_not_settle_is_not_taken_for_a_minimum():
    f = bowl(np.logspace(-9.0, 0.0, N))
    found = classify(f, np.zeros(N), steps=30, rng=0)
    assert found.kind == "degenerate"
    assert found.eigenvalues[0] > 0.0
    assert found.residuals[0] > found.eigenvalues[0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_network_is_classified_by_all_its_parameters(dtype):
    model, f = network(dtype)
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    found = classify(f, model)
    assert found.kind == "not stationary"
    exact = np.linalg.eigvalsh(dense(*network()))
    atol = 1e-8 if dtype is np.float64 else 1e-5
    np.testing.assert_allclose(found.eigenvalues, exact, atol=atol)
    assert list(found.downhill) == list(before)
    for name, p in model.named_parameters():
        np.testing.assert_array_equal(p.data, before[name])
        assert p.grad is None
        assert found.downhill[name].shape == p.shape
        assert found.downhill[name].dtype == dtype
    assert "…" in str(found)


# Eigenvalues


SPECTRA = {
    "even": np.linspace(-1.0, 1.0, N),
    "a few far out": np.r_[np.linspace(0.0, 1.0, N - 4), -3.0, 5.0, 6.0, 7.0],
    "repeated": np.r_[np.linspace(0.0, 1.0, N - 6), 5.0, 5.0, 5.0, 4.0, 4.0, -3.0],
    "all the same": np.full(N, 3.0),
    "two values": np.r_[np.ones(N // 2), -np.ones(N // 2)],
    "low rank": np.r_[np.zeros(N - 3), 1.0, 2.0, -3.0],
    "zero": np.zeros(N),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("which", ["largest", "smallest", "both"])
@pytest.mark.parametrize("spectrum", SPECTRA.values(), ids=SPECTRA.keys())
def test_outer_eigenvalues_come_as_often_as_they_occur(spectrum, which, dtype):
    exact = np.sort(spectrum)
    chosen = {
        "largest": exact[-4:],
        "smallest": exact[:4],
        "both": exact[[0, 1, 2, 3, -4, -3, -2, -1]],
    }
    f = bowl(spectrum, dtype)
    found = hessian_eigenvalues(f, np.ones(N, dtype), 4, which, rng=1)
    precise = dtype is np.float64
    np.testing.assert_allclose(found.values, chosen[which], atol=1e-12 if precise else 1e-5)
    assert found.settled
    assert found.products < 500
    assert (found.residuals <= (1e-7 if precise else 1e-4) * max(np.abs(exact).max(), 1.0)).all()
    inner = found.vectors.T @ found.vectors
    np.testing.assert_allclose(inner, np.eye(len(inner)), atol=1e-9 if precise else 1e-4)


def test_vectors_and_residuals_are_those_of_the_hessian():
    f = on_plane(surfaces.himmelblau)
    at = np.array([3.0, 2.0])
    H = mg.hessian(f)(at)
    found = hessian_eigenvalues(f, at, 2, rng=0)
    np.testing.assert_allclose(H @ found.vectors, found.vectors * found.values, rtol=1e-12)
    assert found.residuals.max() < 1e-12


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_more_than_there_are(n):
    found = hessian_eigenvalues(bowl(np.arange(n) - 1.0), np.zeros(n), 20, "both", rng=0)
    np.testing.assert_allclose(found.values, np.arange(n) - 1.0, atol=1e-13)
    assert found.settled


def test_too_few_steps_are_owned_up_to():
    f = bowl(np.linspace(0.0, 1.0, N))
    for which, steps in itertools.product(("largest", "both"), (1, 3, 10)):
        found = hessian_eigenvalues(f, np.zeros(N), 4, which, steps=steps, rng=0)
        assert not found.settled
        for value, residual in zip(found.values, found.residuals):
            assert np.abs(np.linspace(0.0, 1.0, N) - value).min() <= residual + 1e-12


class Starts:
    """A generator whose first vector has only two directions in it."""

    def __init__(self, first):
        self.vectors = [first]
        self.rng = np.random.default_rng(0)

    def standard_normal(self, n):
        return self.vectors.pop() if self.vectors else self.rng.standard_normal(n)


@pytest.mark.parametrize(("steps", "enough"), [(6, False), (100, True)])
def test_an_unlucky_start_is_made_up_for(steps, enough):
    spectrum = np.linspace(0.0, 1.0, 100)
    first = np.eye(100)[0] + np.eye(100)[1]
    wanted = Wanted(0, 2, 1e-8, steps, 2e-16)
    pairs, settled = outer(lambda v: spectrum * v, 100, wanted, Starts(first))
    assert settled == enough
    np.testing.assert_allclose(pairs.values, spectrum[-2:], atol=1e-7 if enough else 0.5)
    assert pairs.values[0] > spectrum[1]


def test_nothing_is_found_missing_too_early():
    """The rest is left only when a missing eigenvalue would have shown."""
    run = Krylov(lambda v: v * np.r_[10.0, np.linspace(0.0, 1.0, 99)], np.ones(100), 100, 1e-16)
    run.advance()
    assert not _absent(-1.0, 1.0, run)
    assert not _absent(9.0, 1.0, run)
    for _ in range(20):
        run.advance()
    assert _absent(9.0, 1.0, run)
    assert _absent(math.inf, 1.0, run)
    assert _absent(1.0, 0.0, run)
    assert not _absent(1e-3, 1.0, run)


def test_eigenvalues_by_lanczos_of_many_matrices():
    rng = np.random.default_rng(3)
    for n, k in itertools.product((1, 2, 5, 30), (1, 2, 5)):
        values = np.round(rng.normal(size=n))  # many of them repeated
        Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
        H = (Q * values) @ Q.T
        for low, high in ((k, 0), (0, k), (k, k)):
            wanted = Wanted(low, high, 1e-10, n, 2e-16)
            pairs, settled = outer(lambda v, H=H: H @ v, n, wanted, rng)
            kept = np.unique(np.r_[np.arange(min(low, n)), np.arange(max(n - high, 0), n)])
            np.testing.assert_allclose(pairs.values, np.sort(values)[kept], atol=1e-9)
            assert settled


# The dominant one


@pytest.mark.parametrize("method", ["lanczos", "power"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("beta", [9.0, -9.0])
def test_the_dominant_eigenvalue_has_the_largest_magnitude(method, dtype, beta):
    f = bowl(np.r_[np.linspace(-5.0, 5.0, N - 1), beta], dtype)
    value, v = dominant_eigenvalue(f, np.ones(N, dtype), method=method, rng=0)
    assert value == pytest.approx(beta, rel=1e-6)
    assert (v.dtype, v.shape) == (dtype, (N,))
    assert np.linalg.norm(v) == pytest.approx(1.0, rel=1e-5)
    assert v[np.argmax(np.abs(v))] > 0.0
    np.testing.assert_allclose(mg.hvp(f, np.ones(N, dtype), v), value * v, atol=2e-4)


@pytest.mark.parametrize("method", ["lanczos", "power"])
def test_dominant_in_the_form_of_x(method):
    def f(t):
        return t["a"] ** 2 + 4.0 * t["b"][0] ** 2 + mg.sum(t["b"] ** 2)

    value, v = dominant_eigenvalue(f, {"a": 1.0, "b": np.ones(2)}, method=method, rng=0)
    assert value == pytest.approx(10.0)
    assert v["a"] == pytest.approx(0.0, abs=1e-5)
    np.testing.assert_allclose(v["b"], [1.0, 0.0], atol=1e-5)
    assert dominant_eigenvalue(lambda x: 3.0 * x, 1.0, method=method, rng=0) == (0.0, 1.0)
    assert dominant_eigenvalue(lambda x: x * x, 1.0, method=method, rng=0) == (2.0, 1.0)


def test_of_two_as_large_lanczos_gives_the_positive_one():
    f = bowl(SPECTRA["two values"])
    assert dominant_eigenvalue(f, np.zeros(N), rng=0).value == pytest.approx(1.0)
    with pytest.raises(UsageError, match=r"after 1000 products, .* or method='lanczos', which te"):
        dominant_eigenvalue(f, np.zeros(N), method="power", rng=0)
    with pytest.raises(
        UsageError, match=r"after 5 products, but .* still .*steps=50, a larger tol$"
    ):
        dominant_eigenvalue(bowl(SPECTRA["even"]), np.zeros(N), steps=5, rng=0)


def test_the_dominant_eigenvalue_of_a_network():
    model, f = network()
    exact = np.linalg.eigvalsh(dense(model, f))
    beta = exact[np.argmax(np.abs(exact))]
    for method in ("lanczos", "power"):
        value, v = dominant_eigenvalue(f, model, method=method, rng=0)
        assert value == pytest.approx(beta, rel=1e-6)
        assert list(v) == [name for name, _ in model.named_parameters()]


def test_the_rate_of_the_curvature_is_the_best_along_it_and_twice_it_is_too_much():
    f = on_plane(surfaces.ravine)
    rate = curvature_rate(f, np.array([-9.0, 1.8]), rng=0)
    assert rate == pytest.approx(0.25)

    def descent(lr):
        x = np.array([-9.0, 1.8])
        for _ in range(100):
            x = x - lr * mg.grad(f)(x)
        return f(x)

    assert descent(rate) < 1e-1 < f(np.array([-9.0, 1.8])) < descent(2.1 * rate)


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: -x * x, "bends downwards at x: β = -2"),
        (lambda x: 3.0 * x, "does not bend at x: β = 0"),
    ],
)
def test_no_rate_without_a_bend_upwards(f, text):
    with pytest.raises(UsageError, match=text):
        curvature_rate(f, 1.0, rng=0)


# Taylor approximations


def test_cos_at_0():
    p = taylor(mg.cos, 0.0)
    assert repr(p) == "1 − 0.5·x²"
    np.testing.assert_array_equal(p.coefficients, [1.0, 0.0, -0.5])
    assert (p.center, p.order) == (0.0, 2)
    assert p(0.5) == 0.875
    assert type(p(0.5)) is float
    np.testing.assert_allclose(p([0.0, 1.0]), [1.0, 0.5])
    assert mg.grad(p)(0.5) == -0.5


@pytest.mark.parametrize("order", range(9))
@pytest.mark.parametrize(
    ("f", "x", "coefficient"),
    [
        (mg.exp, 0.5, lambda k: math.exp(0.5) / math.factorial(k)),
        (mg.cos, 0.0, lambda k: (1.0, 0.0, -1.0, 0.0)[k % 4] / math.factorial(k)),
        (mg.log, 2.0, lambda k: -((-0.5) ** k) / k if k else math.log(2.0)),
        (lambda x: x**3, -1.0, lambda k: (-1.0, 3.0, -3.0, 1.0)[k] if k < 4 else 0.0),
    ],
)
def test_coefficients_of_known_series(f, x, coefficient, order):
    p = taylor(f, x, order)
    exact = [coefficient(k) for k in range(order + 1)]
    np.testing.assert_allclose(p.coefficients, exact, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("order", range(5))
def test_what_is_left_over_falls_as_the_next_power(order):
    def f(v):
        return mg.exp(mg.sin(v[0]) * v[1]) + mg.sum(v**3)

    x, d = np.array([0.3, -0.7]), np.array([0.6, 0.8])
    p = taylor(f, x, order)
    left = [abs(p(x + h * d) - f(x + h * d)) for h in (0.02, 0.01)]
    assert math.log2(left[0] / left[1]) == pytest.approx(order + 1.0, abs=0.2)
    assert p.along(d)(0.02) == pytest.approx(p(x + 0.02 * d), rel=1e-14)


def test_the_second_order_by_gradient_and_hessian():
    f = on_plane(surfaces.rosenbrock)
    x, d = np.array([-1.2, 1.0]), np.array([0.3, 0.2])
    by_hand = f(x) + mg.grad(f)(x) @ d + 0.5 * d @ mg.hessian(f)(x) @ d
    for jit in (None, False, True):
        p = taylor(f, x, jit=jit)
        for _ in range(25):
            assert p(x + d) == pytest.approx(by_hand, rel=1e-13)
    assert p([-0.9, 1.2]) == pytest.approx(by_hand, rel=1e-13)
    assert repr(p) == "f + Df·d + D²f·d²/2, d = y − x of 2 numbers"
    assert repr(taylor(f, x, 0)) == "f, d = y − x of 2 numbers"
    assert repr(taylor(f, x, 3)) == "f + Df·d + D²f·d²/2 + D³f·d³/6, d = y − x of 2 numbers"


def test_functions_that_return_arrays():
    def f(x):
        return mg.stack([x, x * x, mg.exp(x)])

    p = taylor(f, 1.0)
    assert repr(p) == "Polynomial(center=1, order=2, shape=(3,))"
    np.testing.assert_allclose(p(2.0), [2.0, 4.0, math.e * 2.5])
    np.testing.assert_allclose(p(np.array([1.0, 2.0])), [p(1.0), p(2.0)])
    assert p(mg.Value(2.0)).shape == (3,)
    of_two = taylor(lambda v: mg.stack([v[0] * v[1], v[0]]), np.ones(2))
    np.testing.assert_allclose(of_two(np.array([2.0, 3.0])), [6.0, 2.0])


def test_structures_and_modules():
    near = taylor(lambda t: t["a"] * mg.sum(t["b"]), {"a": 2.0, "b": np.ones(2, np.float32)})
    assert isinstance(near, Expansion)
    assert near({"b": np.array([2.0, 3.0]), "a": 1.0}) == pytest.approx(5.0)
    model, f = network()
    p = taylor(f, model, 3)
    assert p(model) == pytest.approx(f(model).item())
    for q in model.parameters():
        q.assign(q.data + 0.01)
    assert p(model) == pytest.approx(f(model).item(), rel=1e-6)
    assert model.state_dict().keys() == dict(model.named_parameters()).keys()


@pytest.mark.parametrize(
    ("coefficients", "center", "text"),
    [
        ([0.0], 0.0, "0"),
        ([-1.0], 0.0, "−1"),
        ([0.0, 1.0, -1.0], 0.0, "x − x²"),
        ([0.0, -1.0], 2.0, "−(x − 2)"),
        ([-0.5, 2.0, 0.0, 1e-20], -1.5, "−0.5 + 2·(x + 1.5) + 1e-20·(x + 1.5)³"),
        ([0.0] * 12 + [3.0], 0.0, "3·x¹²"),
    ],
)
def test_polynomials_are_written_as_by_hand(coefficients, center, text):
    assert repr(Polynomial(center, np.array(coefficients))) == text


# The spectrum


def quadratic_form(H, v, power):
    return v @ np.linalg.matrix_power(H, power) @ v


def test_a_quadrature_is_exact_for_its_probe():
    """vᵀHᵏv/n for k below twice the steps, by a few nodes."""
    rng = np.random.default_rng(0)
    A = rng.normal(size=(40, 40))
    H = (A + A.T) / 9.0
    found = spectral_density(lambda x: 0.5 * x @ (H @ x), np.zeros(40), probes=1, steps=4, rng=7)
    v = 2.0 * np.random.default_rng(7).integers(2, size=40) - 1.0
    assert len(found.nodes) == 4
    for power in range(8):
        exact = quadratic_form(H, v, power) / 40.0
        assert found.moment(power) == pytest.approx(exact, rel=1e-10, abs=1e-12)
    assert found.moment(8) != pytest.approx(quadratic_form(H, v, 8) / 40.0, rel=1e-4)


def test_traces_of_a_network_by_random_probes():
    model, f = network()
    H = dense(model, f)
    n = len(H)
    found = spectral_density(f, model, probes=400, steps=10, rng=0)
    for power in (1, 2, 3):
        P = np.linalg.matrix_power(H, power)
        spread = np.sqrt(2.0 * (np.sum(P**2) - np.sum(np.diag(P) ** 2)) / 400.0)
        assert abs(n * found.moment(power) - np.trace(P)) < 3.0 * spread
    assert found.weights.sum() == pytest.approx(1.0)


def test_the_density_is_that_of_the_eigenvalues():
    spectrum = np.r_[np.random.default_rng(0).normal(size=N - 100), np.full(100, 8.0)]
    found = spectral_density(bowl(spectrum), np.zeros(N), probes=20, width=0.2, rng=0)
    assert isinstance(found, SpectralDensity)
    assert np.trapezoid(found.density, found.grid) == pytest.approx(1.0, abs=1e-4)
    apart = found.grid[:, None] - spectrum
    exact = np.exp(-0.5 * (apart / 0.2) ** 2).mean(axis=1) / (0.2 * math.sqrt(2.0 * math.pi))
    np.testing.assert_allclose(found.density, exact, atol=0.03)
    assert found.share(low=5.0) == pytest.approx(0.1, abs=0.02)
    assert found.share(high=0.0) + found.share(0.0) == pytest.approx(1.0)
    assert repr(found) == f"SpectralDensity(width=0.2, size={N})"


@pytest.mark.parametrize("value", [0.0, 2.0, -3.0])
def test_a_single_eigenvalue_has_a_width_too(value):
    found = spectral_density(bowl(np.full(5, value)), np.zeros(5), probes=2, points=11, rng=0)
    np.testing.assert_allclose(found.nodes, value)
    assert found.width == pytest.approx(0.01 * (abs(value) or 1.0))
    assert len(found.grid) == 11
    assert found.grid[5] == pytest.approx(value, abs=1e-12)


# All of them


def twice_the_square(x):
    return mg.sum(2.0 * x * x)


EVERY = {
    "classify": lambda f, x, **k: classify(f, x, **k),
    "classify, large": lambda f, x, **k: classify(f, x, dense=0, rng=0, **k),
    "hessian_eigenvalues": lambda f, x, **k: hessian_eigenvalues(f, x, rng=0, **k),
    "dominant_eigenvalue": lambda f, x, **k: dominant_eigenvalue(f, x, rng=0, **k),
    "curvature_rate": lambda f, x, **k: curvature_rate(f, x, rng=0, **k),
    "spectral_density": lambda f, x, **k: spectral_density(f, x, rng=0, **k),
    "taylor": lambda f, x, **k: taylor(f, x, **k)(x),
}
every = pytest.mark.parametrize("call", EVERY.values(), ids=EVERY.keys())
JITS = (None, False, True, "numpy")


def numbers_of(found):
    """The numbers that were found, whatever holds them."""
    if isinstance(found, dict):
        return np.concatenate([numbers_of(x) for x in found.values()])
    if hasattr(found, "__dataclass_fields__"):
        return np.concatenate([numbers_of(x) for x in vars(found).values()])
    if isinstance(found, tuple):
        return np.concatenate([numbers_of(x) for x in found])
    return np.ravel(found if isinstance(found, (float, np.ndarray)) else [])


@every
def test_compiled_or_not_the_same_is_found(call):
    model, f = network()
    plain, *others = [numbers_of(call(f, model, jit=jit)) for jit in JITS]
    assert plain.size
    for other in others:
        np.testing.assert_allclose(other, plain, rtol=1e-7, atol=1e-7)


@every
def test_the_same_seed_finds_the_same(call):
    model, f = network()
    np.testing.assert_array_equal(numbers_of(call(f, model)), numbers_of(call(f, model)))


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(call, bad):
    with pytest.raises(NonFiniteError, match=f"x is not finite: {bad}, and 1 of 2 entries in all"):
        call(twice_the_square, np.array([1.0, bad]))
    with pytest.raises(NonFiniteError, match=r"is not finite at x: (nan|inf)"):
        call(lambda x: mg.sum(x**1.5) * bad, np.ones(2))


@every
@pytest.mark.parametrize(
    ("f", "x", "error", "text"),
    [
        ("f", np.ones(2), UsageError, "give a function, got str"),
        (twice_the_square, [], UsageError, "holds no number to search over"),
    ],
)
def test_what_makes_no_sense_is_refused_by_all(call, f, x, error, text):
    with pytest.raises(error, match=text):
        call(f, x)


@pytest.mark.parametrize("name", [name for name in EVERY if name != "taylor"])
def test_functions_of_several_numbers_are_refused(name):
    with pytest.raises(ShapeError, match="must return one number"):
        EVERY[name](lambda x: x, np.ones(2))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda f, x: classify(f, x, gtol=-1.0), "classify: gtol must be finite, at least 0"),
        (lambda f, x: classify(f, x, tol=1.0), "tol must be finite, at least 0 and below 1"),
        (lambda f, x: classify(f, x, dense=1.5), "dense must be a whole number of at least 0"),
        (lambda f, x: classify(f, x, dense=0, k=0), "classify: k must be a whole number of at"),
        (lambda f, x: hessian_eigenvalues(f, x, 0), "least 1, got 0; write k=10"),
        (lambda f, x: hessian_eigenvalues(f, x, True), "k must be a whole number"),
        (lambda f, x: hessian_eigenvalues(f, x, 1, "all"), "largest, smallest, both; got 'all'"),
        (lambda f, x: hessian_eigenvalues(f, x, tol="no"), "tol must be a number, got 'no'"),
        (lambda f, x: hessian_eigenvalues(f, x, steps=0), "steps must be a whole number of at"),
        (lambda f, x: hessian_eigenvalues(f, x, rng="no"), "rng must be a"),
        (lambda f, x: dominant_eigenvalue(f, x, method="qr"), "one of lanczos, power; got 'qr'"),
        (lambda f, x: dominant_eigenvalue(f, x, steps=-1), "dominant_eigenvalue: steps must be"),
        (lambda f, x: curvature_rate(f, x, tol=-1.0), "curvature_rate: tol must be finite"),
        (lambda f, x: spectral_density(f, x, probes=0), "probes must be a whole number"),
        (lambda f, x: spectral_density(f, x, steps=0), "steps must be a whole number"),
        (lambda f, x: spectral_density(f, x, points=1), "points must be a whole .* at least 2"),
        (lambda f, x: spectral_density(f, x, width=0.0), "width must be above 0, got 0.0"),
        (lambda f, x: spectral_density(f, x, width="no"), "width must be a number or None"),
        (lambda f, x: taylor(f, x, -1), "order must be a whole number of at least 0, got -1"),
        (lambda f, x: taylor(f, x, 1.5), "taylor: order must be a whole number"),
        (lambda f, x: taylor(lambda x: None, x)(x), "returned NoneType; did it forget to return"),
        (lambda f, x: taylor(lambda x: [x], x)(x), "a number or an array, it returned list$"),
        (lambda f, x: taylor(f, x)({"a": 1.0}), "y is a dict in the place of one array; x has"),
        (lambda f, x: taylor(f, x)(np.ones(3)), r"y has shape \(3,\) where x has \(2,\)"),
        (lambda f, x: taylor(f, x).along(1.0), r"d has shape \(\) where x has \(2,\)"),
    ],
)
def test_arguments_out_of_range_are_refused(call, text):
    with pytest.raises((UsageError, ShapeError), match=text):
        call(twice_the_square, np.ones(2))


def test_a_series_at_a_pole_says_which_derivative_there_is_none_of():
    with pytest.raises(NonFiniteError, match="the derivative of order 1 is not finite at x: inf"):
        taylor(mg.sqrt, 0.0)
    with pytest.raises(NonFiniteError, match="the function is not finite at x: -inf"):
        taylor(mg.log, 0.0)
