"""``optim.minimize``: every method on the standard problems, bounds, budgets, every way it ends."""

from __future__ import annotations

import inspect
from itertools import pairwise

import numpy as np
import pytest

import microgradopt as mg
from benchmarks.problems import ALL, BY_NAME
from microgradopt import Value, nn, optim
from microgradopt.errors import ShapeError, UsageError
from microgradopt.optim import REASONS, Objective, directions, globalisers, minimize
from microgradopt.optim.solvers.globalisers.base import nowhere
from microgradopt.optim.solvers.methods import DIRECT, GENERAL, OF_RESIDUALS
from microgradopt.optim.solvers.point import Point

every_method = pytest.mark.parametrize("method", GENERAL)
SLOW = {"gd"}  # arrives nowhere within reason
FLAT = {  # the gradient is below 1e-8 long before
    ("newton-cg", "Watson, n=12"),
    ("trust-ncg", "Watson, n=12"),
    ("newton-cg", "Powell badly scaled"),
    ("trust-ncg", "Powell badly scaled"),
}
NOT_THERE = {
    ("bfgs", "Watson, n=12"): "stuck at 2.7e-9, a condition beyond 10¹⁶",
    ("l-bfgs", "Watson, n=12"): "the same",
    ("l-bfgs-b", "Watson, n=12"): "the same",
    ("cg", "Watson, n=12"): "creeps",
    ("cg", "Watson, n=9"): "creeps",
    ("cg", "Meyer"): "creeps",
    ("cg", "Powell badly scaled"): "creeps",
    ("cg", "Brown badly scaled"): "creeps",
}


def rosenbrock(x):
    return mg.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def bowl(x):
    """Its minimum is at 1, 2, 3, …, with curvatures 2, 4, 6, …"""
    n = np.arange(1.0, x.shape[0] + 1.0)
    return mg.sum(n * (x - n) ** 2)


VALLEY = np.array([-1.2, 1.0])
X = np.linspace(-1.0, 1.0, 21)[:, None]
Y = np.sin(3.0 * X)


def network(seed=0):
    return nn.MLP(1, [4, 1], activation=mg.tanh, rng=seed)


def loss_of(net):
    return mg.mean((net(X) - Y) ** 2)


def best_of(found):
    """Where in the history the returned point is: the last of the lowest."""
    values = found.history.fun
    assert found.fun == min(values)
    return len(values) - 1 - values[::-1].index(found.fun)


def consistent(found):
    """What must hold of every result."""
    history = found.history
    n = len(history)
    assert n == len(history.gradient) == len(history.step) == len(history.nfev)
    assert found.nit == max(n - 1, 0)
    assert history.step[:1] in ([], [0.0])
    assert sorted(history.nfev) == history.nfev
    assert history.nfev[-1:] <= [found.nfev]
    reason = REASONS[found.reason]
    assert (found.status, found.success) == (reason.status, reason.success)
    assert found.message.startswith(reason.text)
    if len(history.x):
        assert history.path.shape == (n, len(history.x[0]))
        np.testing.assert_array_equal(history.path[best_of(found)], np.ravel(found.x))


# The standard problems


@pytest.mark.parametrize("problem", ALL, ids=lambda p: p.name)
@pytest.mark.parametrize("method", [m for m in GENERAL if m not in SLOW])
def test_every_method_reaches_a_minimum(method, problem):
    gtol = 1e-11 if (method, problem.name) in FLAT else 1e-8
    found = minimize(problem.value, np.array(problem.start), method, gtol=gtol, maxiter=3000)
    consistent(found)
    lowest = 2.0 * found.fun
    there = any(abs(lowest - m) <= 1e-6 * m + 1e-9 for m in problem.minima)
    assert there or (method, problem.name) in NOT_THERE
    assert found.success or found.reason in ("no descent", "budget")
    if found.reason == "gradient":
        assert np.abs(found.jac).max() <= gtol
    np.testing.assert_allclose(found.jac, mg.grad(problem.value)(found.x), rtol=1e-12)


def test_a_stuck_search_is_no_success():
    """BFGS cannot tell Watson's flattest directions apart."""
    problem = BY_NAME["Watson, n=12"]
    found = minimize(problem.value, np.array(problem.start), "bfgs", gtol=1e-11)
    assert 2.0 * found.fun > 2.0 * problem.minima[0]
    assert not found.success


@pytest.mark.parametrize("method", ["newton-cg", "trust-ncg"])
def test_products_suffice_whatever_f_is_measured_in(method):
    """Powers of two change no digit of a step, nor of how closely it is solved for."""

    def path(unit):
        problem = BY_NAME["Wood"]
        start = np.array(problem.start)
        return minimize(lambda x: unit * problem.value(x), start, method, gtol=0.0, maxiter=12)

    usual = path(1.0)
    for unit in (2.0**-40, 2.0**40):
        np.testing.assert_array_equal(path(unit).history.path, usual.history.path)


def test_rounding_is_that_of_each_variable():
    here = Point(Objective(lambda x: mg.sum(x), np.ones(2)), np.array([8e-3, 5882.0]))
    here.value = 641.0
    assert nowhere(here, np.array([1.4e-12, 7e-14]), 1e-3).reason == "no descent"


@pytest.mark.parametrize("problem", ALL, ids=lambda p: p.name)
def test_steepest_descent_descends(problem):
    found = minimize(problem.value, np.array(problem.start), "gd", maxiter=40, gtol=1e-8)
    consistent(found)
    values = found.history.fun
    assert all(b < a for a, b in pairwise(values))


@every_method
@pytest.mark.parametrize("jit", [False, None])
def test_in_every_form(method, jit):
    """Arrays of any shape, structures and numbers, of either precision."""
    options = {"jit": jit, "gtol": 1e-7, "maxiter": 400}
    found = minimize(lambda p: (p["a"] - 1.0) ** 2 + mg.sum((p["b"] - 2.0) ** 2 * p["b"] ** 2),
                     {"a": 0.0, "b": np.full((2, 1), 3.0)}, method, **options)  # fmt: skip
    assert found.success
    assert type(found.x["a"]) is float
    assert found.x["a"] == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(found.x["b"], np.full((2, 1), 2.0), atol=1e-5)
    assert found.jac["b"].shape == (2, 1)
    found = minimize(lambda x: (x - 2.0) ** 2, 5, method, **options)
    assert (type(found.x), type(found.fun)) == (float, float)
    assert found.x == pytest.approx(2.0)
    found = minimize(bowl, np.zeros(3, np.float32), method, **{**options, "gtol": 1e-4})
    assert found.x.dtype == np.float32
    np.testing.assert_allclose(found.x, [1.0, 2.0, 3.0], rtol=1e-4)


def test_a_function_that_gives_an_array_of_one():
    assert minimize(lambda x: x**2, np.array([3.0])).success


def test_the_default_method():
    """BFGS; with many variables L-BFGS, with bounds L-BFGS-B."""
    for n, bounds, method in [
        (4, None, "bfgs"),
        (600, None, "l-bfgs"),
        (4, (0.0, 9.0), "l-bfgs-b"),
    ]:
        one = minimize(bowl, np.full(n, 0.5), bounds=bounds, maxiter=8)
        other = minimize(bowl, np.full(n, 0.5), method, bounds=bounds, maxiter=8)
        np.testing.assert_array_equal(one.history.path, other.history.path)


def test_agreement_with_derivatives_of_ones_own():
    """Methods see nothing of where derivatives are from; f takes plain numbers then."""

    def gradient(x):
        assert type(x) is np.ndarray
        a = 400.0 * x[0] * (x[0] ** 2 - x[1]) - 2.0 * (1.0 - x[0])
        return np.array([a, 200.0 * (x[1] - x[0] ** 2)])

    given = {"hess": mg.hessian(rosenbrock)}, {"hessp": lambda x, v: mg.hvp(rosenbrock, x, v)}
    for method in [m for m in GENERAL if m not in SLOW]:
        second = method in ("newton", "newton-cg", "trust-ncg", "dogleg")
        for more in given if second else ({},):
            found = minimize(rosenbrock, VALLEY, method, jac=gradient, maxiter=300, **more)
            ours = minimize(rosenbrock, VALLEY, method, maxiter=300)
            assert found.reason == ours.reason
            np.testing.assert_allclose(found.x, ours.x, atol=1e-5)
            assert found.compiled == {}
    both = minimize(lambda x: (rosenbrock(x), gradient(x)), VALLEY, jac=True)
    np.testing.assert_allclose(both.x, 1.0, atol=1e-5)
    for method in ("newton", "newton-cg", "trust-ncg", "dogleg"):
        with pytest.raises(UsageError, match="needs second derivatives"):
            minimize(rosenbrock, VALLEY, method, jac=gradient)


def test_gd_with_rates():
    for lr in (0.1, lambda step: 0.15 if step < 20 else 0.1, "1/beta"):
        found = minimize(bowl, np.zeros(3), "gd", lr=lr, gtol=1e-9)
        assert found.reason == "gradient"
        np.testing.assert_allclose(found.x, [1.0, 2.0, 3.0], atol=1e-8)
    steps = minimize(bowl, np.zeros(2), "gd", lr=0.05, maxiter=3).history
    x = np.zeros(2)
    for there in steps.path:
        np.testing.assert_allclose(there, x)
        x = x - 0.05 * 2.0 * np.array([1.0, 2.0]) * (x - np.array([1.0, 2.0]))
    assert steps.step[1] == pytest.approx(np.linalg.norm(steps.path[1]))


def test_a_rate_that_leads_in_circles_is_no_success():
    found = minimize(lambda x: x * x, 3.0, "gd", lr=1.0)  # 3, −3, 3, …
    assert not found.success


def test_a_schedule_that_has_ended_is_no_success():
    found = minimize(lambda x: x * x, 3.0, "gd", lr=lambda step: 0.1 if step < 5 else 0.0)
    assert found.fun > 1.0
    assert not found.success


def test_saddle_points_and_maxima():
    """Newton's method leaves them; as it was published it goes there."""

    def saddle(x):
        return x[0] ** 2 - x[1] ** 2 + 0.25 * x[1] ** 4

    found = minimize(saddle, np.zeros(2), "newton")
    assert found.fun == pytest.approx(-1.0)
    assert minimize(saddle, np.array([1.0, 0.0]), "dogleg").fun == pytest.approx(-1.0)
    top = minimize(lambda x: mg.sum(mg.cos(x)), np.zeros(3), "newton")
    assert top.fun == pytest.approx(-3.0)
    stays = minimize(saddle, np.zeros(2), (directions.Newton(), globalisers.TrustRegion()))
    assert stays.fun == pytest.approx(-1.0)
    for method in ("bfgs", "newton-cg", "trust-ncg", "gd"):  # which do not look: g is 0 there
        assert minimize(saddle, np.zeros(2), method).reason == "gradient"
    flat = minimize(lambda x: mg.sum(x**4), np.zeros(2), "newton")
    assert (flat.reason, flat.nit) == ("gradient", 0)
    narrow = minimize(  # a maximum that no leap gets away from
        lambda x: 1e-3 - 1e-3 * x * x if abs(x.item()) < 1e-9 else 1.0 + 0.0 * x, 0.0, "newton"
    )
    assert (narrow.reason, narrow.x) == ("gradient", 0.0)


# Bounds


BOXES = {
    "active": (([-9.0, -9.0, 4.0], [0.5, 9.0, 9.0]), [0.5, 2.0, 4.0]),
    "inactive": (([-9.0] * 3, [9.0] * 3), [1.0, 2.0, 3.0]),
    "numbers": ((-0.5, 1.5), [1.0, 1.5, 1.5]),
    "one side": ((None, 1.5), [1.0, 1.5, 1.5]),
    "other side": (([2.5, None, None], None), [2.5, 2.0, 3.0]),
    "none": ((None, None), [1.0, 2.0, 3.0]),
    "infinite": ((-np.inf, [1.0, np.inf, 2.0]), [1.0, 2.0, 2.0]),
    "pairs": ([(0.0, 0.25), (None, 5.0), (-1, None)], [0.25, 2.0, 3.0]),
    "lists as pairs": ([[0.0, 0.25], [None, 5.0], [None, None]], [0.25, 2.0, 3.0]),
    "fixed": (([0.0, 7.0, 0.0], [9.0, 7.0, 9.0]), [1.0, 7.0, 3.0]),
    "a point": (([7.0, 7.0, 7.0], 7.0), [7.0, 7.0, 7.0]),
    "arrays": ((np.zeros(3), np.array([5.0, 1.0, 1.0])), [1.0, 1.0, 1.0]),
}
BOUNDED = [name for name, make in GENERAL.items() if make().takes_bounds]


class Limits:
    """Like SciPy's Bounds."""

    def __init__(self, lb, ub):
        self.lb, self.ub = lb, ub


def inside(bounds, x):
    """A start within any of the boxes."""
    held = [(-np.inf, np.inf)] * len(x)
    pairs = bounds if isinstance(bounds, list) else None
    if pairs is None:
        sides = [
            np.broadcast_to(np.array([none if v is None else v for v in np.atleast_1d(
                np.array(none if side is None else side, object))], float), len(x))
            for side, none in zip(bounds, (-np.inf, np.inf))
        ]  # fmt: skip
        pairs = list(zip(*sides))
    held = [(-np.inf if a is None else a, np.inf if b is None else b) for a, b in pairs]
    return np.array([min(max(v, a), b) for v, (a, b) in zip(x, held)])


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("method", [*BOUNDED, None])
def test_bounds(box, method):
    bounds, expected = BOXES[box]
    found = minimize(bowl, inside(bounds, np.array([0.1, 0.2, 6.0])), method, bounds=bounds)
    consistent(found)
    assert found.reason == "gradient"
    np.testing.assert_allclose(found.x, expected, atol=1e-6)
    path = found.history.path
    np.testing.assert_array_equal(path, [inside(bounds, x) for x in path])


def test_bounds_like_scipys():
    limits = Limits([0.0, -np.inf], np.array([0.5, 0.5]))
    np.testing.assert_allclose(minimize(bowl, np.zeros(2), bounds=limits).x, 0.5)
    np.testing.assert_allclose(minimize(bowl, np.zeros(2), bounds=Limits(-1.0, 0.5)).x, 0.5)


@pytest.mark.parametrize("problem", ALL[::2], ids=lambda p: p.name)
@pytest.mark.parametrize("seed", range(2))
def test_bounds_on_the_standard_problems(problem, seed):
    """Random boxes about the start, many of whose sides are met: no iterate is outside."""
    rng = np.random.default_rng(seed)
    x = np.array(problem.start)
    reach = 10.0 ** rng.uniform(-1.0, 1.0)
    lower = np.where(rng.random(len(x)) < 0.3, -np.inf, x - reach * rng.random(len(x)))
    upper = np.where(rng.random(len(x)) < 0.3, np.inf, x + reach * rng.random(len(x)))
    for method in BOUNDED:
        found = minimize(problem.value, x, method, bounds=(lower, upper), gtol=1e-7, maxiter=500)
        consistent(found)
        path = found.history.path
        assert (path >= lower).all()
        assert (path <= upper).all()
        assert found.fun <= found.history.fun[0]
        if found.reason == "gradient":
            step = np.clip(found.x - found.jac, lower, upper) - found.x
            assert np.abs(step).max() <= 1e-7
            assert found.history.gradient[best_of(found)] <= 1e-7


@pytest.mark.parametrize(
    ("name", "seeds"),
    [("Powell badly scaled", (0, 6, 38, 40)), ("Osborne 1", (11, 12, 16)), ("Biggs EXP6", (20,))],
)
def test_an_uphill_direction_is_forgotten(name, seeds):
    """Rounding turns a direction uphill now and then: what misled it must not end the search."""
    problem = BY_NAME[name]
    x = np.array(problem.start)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        n, reach = len(x), 10.0 ** rng.uniform(-2.0, 1.0)
        lower = np.where(rng.random(n) < 0.4, -np.inf, x - reach * rng.exponential(size=n))
        upper = np.where(rng.random(n) < 0.4, np.inf, x + reach * rng.exponential(size=n))
        found = minimize(problem.value, x, bounds=(lower, upper), gtol=1e-8, maxfev=2000)
        assert found.reason != "no descent"


def test_bounds_in_structures():
    def f(p):
        return (p["a"] - 3.0) ** 2 + mg.sum((p["b"] - 3.0) ** 2)

    start = {"a": 0.0, "b": np.zeros(2)}
    for bounds in (
        ({"a": -1.0, "b": np.full(2, -1.0)}, {"a": 1.0, "b": np.array([2.0, 9.0])}),
        (None, {"a": 1.0, "b": [2.0, np.inf]}),
        [(-1.0, 1.0), (None, 2.0), (None, None)],
    ):
        found = minimize(f, start, bounds=bounds)
        assert found.x["a"] == 1.0
        np.testing.assert_allclose(found.x["b"], [2.0, 3.0], atol=1e-6)
    net = network()
    found = minimize(loss_of, net, bounds=(-2.0, 2.0), maxiter=30)
    assert max(np.abs(p.data).max() for p in net.parameters()) <= 2.0


def test_bounds_by_name():
    found = minimize(
        lambda p: (p["a"] - 3.0) ** 2 + (p["b"] - 3.0) ** 2, {"a": 0.0, "b": 0.0},
        bounds=({"b": -1.0, "a": -1.0}, {"b": 1.0, "a": 2.0}),
    )  # fmt: skip
    assert found.x == {"a": 2.0, "b": 1.0}


@pytest.mark.parametrize(
    ("bounds", "error", "match"),
    [
        ((1.0, -1.0), UsageError, r"variable 0 is bounded by 1.0 ≤ x ≤ -1.0"),
        (([-1.0, 2.0], 1.0), UsageError, "variable 1 is bounded by 2.0"),
        ((0.5, 1.0), UsageError, "variable 0 starts at 0.0, outside of 0.5"),
        ((-1.0, [1.0, -0.5]), UsageError, "variable 1 starts at 0.0, outside of"),
        (([0.0] * 3, None), ShapeError, "3 numbers where x0 has 2"),
        ([(0, 1)] * 3, ShapeError, "3 numbers where x0 has 2"),
        (1.0, UsageError, "bounds must be"),
        ("all", UsageError, "bounds must be"),
        ((1.0,), UsageError, "bounds must be"),
        ([1.0, 2.0], UsageError, "or a list of 2 pairs"),
        ([], UsageError, "bounds must be"),
    ],
)
def test_bounds_refused(bounds, error, match):
    with pytest.raises(error, match=match):
        minimize(bowl, np.zeros(2), bounds=bounds)


@pytest.mark.parametrize(
    "bounds", [(np.nan, 1.0), (None, [1.0, np.nan]), (np.int64(-1), np.float32(0.5))]
)
def test_bounds_that_are_no_numbers(bounds):
    if bounds[0] == -1:
        np.testing.assert_allclose(minimize(bowl, np.zeros(2), bounds=bounds).x, 0.5)
        return
    with pytest.raises(UsageError):
        minimize(bowl, np.zeros(2), bounds=bounds)


@pytest.mark.parametrize("side", [{"a": 0.0, "c": 1.0}, [0.0, 1.0], np.zeros(3), {"a": [0.0] * 2}])
def test_bounds_of_another_form(side):
    with pytest.raises(ShapeError, match="minimize: a side of the bounds"):
        minimize(lambda p: p["a"] + p["b"], {"a": 0.0, "b": 0.0}, bounds=(side, None))


@pytest.mark.parametrize("method", [m for m in GENERAL if m not in BOUNDED])
def test_methods_without_bounds(method):
    able = ", ".join(BOUNDED)
    with pytest.raises(UsageError, match=f"{method!r} does not keep to bounds; {able}"):
        minimize(bowl, np.zeros(2), method, bounds=(0.0, 1.0))


def test_the_projected_gradient_of_large_variables():
    point = Point(Objective(lambda x: -3.0 * mg.sum(x), np.array([1e17])), np.array([1e17]),
                  optim.solvers.bounds.Bounds(np.zeros(1), np.full(1, 1e18)))  # fmt: skip
    assert point.slope == 3.0


# When it stops


class Cliff:
    """A bowl that ends in NaN at once, after some calls."""

    def __init__(self, calls):
        self.left = calls

    def __call__(self, x):
        self.left -= 1
        return mg.sum(x * x) * (1.0 if self.left >= 0 else np.nan)


def kink(x):
    return mg.sum(mg.abs(x - 1.0))


def wrong(x):
    """The gradient has the wrong sign."""
    return float(x @ x), -2.0 * x


STEEP = BY_NAME["Brown and Dennis"]
ENDS = {
    "gradient": lambda: minimize(bowl, np.zeros(2)),
    "value": lambda: minimize(rosenbrock, VALLEY, ftol=0.5),
    "step": lambda: minimize(lambda x: mg.sum((x - 1e6) ** 4), np.full(1, 9e5), xtol=1e-2, gtol=0),
    "precision": lambda: minimize(STEEP.value, np.array(STEEP.start), gtol=1e-8),
    "simplex": lambda: minimize(bowl, np.zeros(2), "nelder-mead"),
    "target": lambda: minimize(rosenbrock, VALLEY, f_target=1.0),
    "callback": lambda: minimize(rosenbrock, VALLEY, callback=lambda result: result.nit == 3),
    "budget": lambda: minimize(rosenbrock, VALLEY, maxiter=3),
    "no descent": lambda: minimize(wrong, np.ones(2), jac=True),
    "singular": lambda: minimize(lambda x: x[0] ** 2 + 0.0 * x[1], np.ones(2), "newton",
                                 modified=False),
    "indefinite": lambda: minimize(lambda x: x[0] ** 2 - x[1] ** 2, np.ones(2), "newton",
                                   modified=False),
    "non-finite": lambda: minimize(lambda x: mg.log(x), -1.0),
    "diverging": lambda: minimize(lambda x: mg.sum(x), np.zeros(2)),
}  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_is_reached(reason):
    found = ENDS[reason]()
    assert found.reason == reason
    consistent(found)


def test_reasons_are_told_apart():
    assert [r.status for r in REASONS.values()] == list(range(len(REASONS)))
    assert len({r.text for r in REASONS.values()}) == len(REASONS)


@every_method
def test_a_start_without_a_value(method):
    for f, x0 in [(lambda x: mg.log(x), -1.0), (lambda x: mg.sum(1.0 / x), np.zeros(2)),
                  (lambda x: mg.sum(x), np.array([np.nan, 1.0]))]:  # fmt: skip
        found = minimize(f, x0, method)
        assert found.reason == "non-finite"
        assert "at the start" in found.message
        assert (found.nit, found.nfev, len(found.history)) == (0, 1, 0)
        np.testing.assert_array_equal(found.x, x0)


@every_method
def test_a_start_without_a_gradient(method):
    found = minimize(lambda x: mg.sum(mg.sqrt(x)), np.array([0.0, 1.0]), method)
    assert (found.reason, found.nit, found.fun) == ("non-finite", 0, 1.0)
    np.testing.assert_array_equal(found.x, [0.0, 1.0])


@every_method
def test_regions_without_numbers_are_walked_around(method):
    """f is NaN outside of the disc; the minimum is inside of it, the first steps are not."""

    def f(x):
        return mg.sum((x - 0.5) ** 2) - 1e-2 * mg.log(1.0 - mg.sum(x * x))

    found = minimize(f, np.array([-0.7, -0.7]), method, maxiter=500)
    assert found.success
    assert np.isfinite(found.history.fun).all()


@every_method
def test_forbidden_regions_may_be_plain_infinity(method):
    def f(x):
        return np.inf if x.data[0] < 0.0 else mg.sum((x + 1.0) ** 2) - 0.1 * mg.log(x[0])

    found = minimize(f, np.array([3.0, 2.0]), method, jit=False)
    assert found.success
    np.testing.assert_allclose(found.x, [0.5 * (1.2**0.5 - 1.0), -1.0], atol=1e-5)


@every_method
def test_a_function_without_a_bound(method):
    found = minimize(lambda x: mg.sum(x) - mg.sum(x**2), np.ones(2), method)
    assert found.reason == "diverging"
    assert found.fun < -1e20


@pytest.mark.parametrize("second", [np.nan, np.inf])
@pytest.mark.parametrize(
    "method",
    [
        "newton",
        "newton-cg",
        "dogleg",
        "trust-ncg",
        "exact",
    ],
)
def test_second_derivatives_that_are_no_numbers(method, second):
    method = (directions.Newton(), globalisers.TrustRegion()) if method == "exact" else method
    found = minimize(lambda x: float(x @ x), np.ones(2), method, jac=lambda x: 2.0 * x,
                     hess=lambda x: np.full((2, 2), second))  # fmt: skip
    assert found.reason == "non-finite"
    np.testing.assert_array_equal(found.x, np.ones(2))


@pytest.mark.parametrize("second", [np.nan, np.inf])
def test_no_second_derivative_where_the_gradient_vanishes(second):
    found = minimize(lambda x: 0.0, np.ones(2), "newton", jac=lambda x: 0.0 * x,
                     hess=lambda x: np.full((2, 2), second))  # fmt: skip
    assert found.reason in ("gradient", "non-finite")


@pytest.mark.parametrize("method", ["newton", "trust-ncg", "newton-cg"])
def test_float32_arrives(method):
    """Where no step lowers f any more in its precision, all is done."""
    goal = np.float32(0.3)
    for seed in range(6):
        x0 = np.random.default_rng(seed).normal(size=4).astype(np.float32)
        found = minimize(lambda x: 3.0 * mg.sum(mg.cosh(x)) + mg.sum((x - goal) ** 2), x0, method)
        assert found.success
        assert np.abs(found.jac).max() < 1e-2  # √ε


@every_method
def test_f_target(method):
    found = minimize(rosenbrock, VALLEY, method, f_target=3.9, maxiter=200)
    assert found.reason == "target"
    assert found.fun <= 3.9 < min(found.history.fun[:-1])
    assert minimize(rosenbrock, VALLEY, method, f_target=1e9).nit == 0


@every_method
def test_budgets(method):
    for most in (1, 2, 5):
        found = minimize(rosenbrock, VALLEY, method, maxiter=most)
        assert (found.reason, found.nit) == ("budget", most)
        assert f"{most} iterations" in found.message
        consistent(found)
    for most in (1, 2, 3, 7):
        found = minimize(rosenbrock, VALLEY, method, maxfev=most)
        assert (found.reason, found.nfev) == ("budget", most)
        assert f"{most} evaluations" in found.message
        assert np.isfinite(found.fun)


def test_the_budget_by_default():
    found = minimize(lambda x: mg.sum(x * x), np.ones(2), "gd", lr=1e-6)
    assert (found.reason, found.nit) == ("budget", 1000)
    assert minimize(lambda x: mg.sum(x * x), np.ones(8), "gd", lr=1e-6, path=False).nit == 1600


@every_method
def test_callbacks(method):
    seen = []
    options = {"lr": 1e-3} if method == "gd" else {}
    found = minimize(rosenbrock, VALLEY, method, callback=seen.append, maxiter=6, **options)
    assert [r.nit for r in seen] == list(range(1, found.nit + 1))
    for r in seen:
        assert (r.reason, r.success) == ("callback", False)
        assert r.fun == min(found.history.fun[: r.nit + 1])
        assert r.nfev <= found.nfev
    enough = minimize(rosenbrock, VALLEY, method, callback=lambda r: r.nit == 2, **options)
    assert (enough.reason, enough.nit) == ("callback", 2)

    def ends(result):
        raise StopIteration

    assert minimize(rosenbrock, VALLEY, method, callback=ends, **options).nit == 1

    def fails(result):
        raise KeyError("of the callback's own")

    with pytest.raises(KeyError, match="of the callback's own"):
        minimize(rosenbrock, VALLEY, method, callback=fails, **options)
    for nothing in (None, 0, False, ""):
        going = minimize(rosenbrock, VALLEY, method, callback=lambda r, x=nothing: x, maxiter=3)
        assert going.reason == "budget"
    with pytest.raises(UsageError, match="callback must be a function, got 3"):
        minimize(rosenbrock, VALLEY, method, callback=3, **options)


def test_without_a_path():
    found = minimize(rosenbrock, VALLEY, path=False)
    assert found.history.x == []
    assert found.history.path.shape == (0,)
    assert len(found.history) == found.nit + 1
    consistent(found)


def test_counts_are_of_the_search():
    oracle = Objective(rosenbrock, VALLEY)
    oracle.value(VALLEY)
    one, two = minimize(oracle, VALLEY), minimize(oracle, VALLEY)
    assert (one.nfev, one.njev) == (two.nfev, two.njev) == (one.history.nfev[-1], one.nfev)
    assert oracle.nfev == 1
    calls = []
    found = minimize(lambda x: calls.append(1) or rosenbrock(x), VALLEY, jit=False)
    assert len(calls) == found.nfev + 1  # the start's value comes before its gradient
    assert found.nfev == found.njev


def test_a_climb_does_not_lose_the_best_point():
    """A rate that grows too large: the best point was on the way."""
    found = minimize(lambda x: mg.sum(x * x), np.ones(2), "gd", maxiter=12,
                     lr=lambda step: 0.4 if step <= 5 else 1.1)  # fmt: skip
    consistent(found)
    assert best_of(found) == 5
    assert found.history.fun[-1] > 4.0 * found.fun
    np.testing.assert_allclose(found.x, 0.2**5, rtol=1e-12)
    np.testing.assert_allclose(found.jac, 2.0 * found.x)


def test_a_failure_returns_the_last_good_point():
    for method in GENERAL:
        found = minimize(Cliff(7), np.full(2, 5.0), method, jit=False, gtol=1e-12)
        assert np.isfinite(found.fun)
        assert np.isfinite(found.x).all()
        assert found.fun == float(found.x @ found.x)
        assert found.success == (found.reason == "gradient")


# Modules


@pytest.mark.parametrize(
    ("reason", "options"),
    [
        ("budget", {"maxiter": 5}),
        ("budget", {"maxfev": 4}),
        ("callback", {"callback": lambda result: result.nit == 3}),
        ("target", {"f_target": 0.2}),
        ("diverging", {"method": "gd", "lr": 1e6}),
        ("budget", {"method": "gd", "lr": 0.2, "maxiter": 20}),
    ],
)
@pytest.mark.parametrize("make", [network, lambda: nn.scalar.MLP(1, [2, 1], rng=0)])
def test_modules_hold_the_best_parameters(make, reason, options):
    net = make()
    wide = isinstance(net, nn.MLP)

    def loss(m):
        return loss_of(m) if wide else (m([0.5]) - 0.7) ** 2 + (m([-0.5]) - 0.1) ** 2 + 0.3

    start = loss(net).item()
    older = loss(net)
    found = minimize(loss, net, **options)
    assert found.reason == reason or not wide
    assert loss(net).item() == pytest.approx(found.fun, rel=1e-13)
    assert found.fun <= start
    assert list(found.x) == [name for name, _ in net.named_parameters()]
    for name, p in net.named_parameters():
        np.testing.assert_array_equal(p.data, found.x[name])
        assert p.op is None
        assert p.requires_grad
        assert p.grad is None
        assert type(p.data) is type(found.x[name])
        assert p.data is not found.x[name] or isinstance(p, Value)
    with pytest.raises(mg.errors.StaleGraphError):
        older.backward()


@pytest.mark.parametrize("method", [*GENERAL, "nelder-mead"])
def test_a_function_that_raises_changes_nothing(method):
    net = network()
    before = [(p.data, p.data.copy(), p.index) for p in net.parameters()]
    older = loss_of(net)
    calls = []

    def fails(m):
        calls.append(1)
        if len(calls) == 6:
            raise ZeroDivisionError
        return loss_of(m)

    with pytest.raises(ZeroDivisionError):
        minimize(fails, net, method)
    for p, (data, held, index) in zip(net.parameters(), before):
        assert p.data is data
        np.testing.assert_array_equal(p.data, held)
        assert p.index == index
    older.backward()


def test_a_module_of_several_precisions_and_frozen_parts():
    net = nn.Sequential(nn.Linear(1, 3, rng=0, dtype=np.float32), nn.Linear(3, 1, rng=0))
    net.freeze("layers.1.bias")
    frozen = net.state_dict()["layers.1.bias"].copy()
    found = minimize(lambda m: mg.mean((m(X.astype(np.float32)) - Y) ** 2), net, maxiter=40)
    assert found.fun < found.history.fun[0]
    assert [x.dtype for x in found.x.values()] == [np.float32, np.float32, np.float64]
    np.testing.assert_array_equal(net.state_dict()["layers.1.bias"], frozen)
    assert "layers.1.bias" not in found.x


def test_a_penalty_of_a_modules_parameters_counts():
    def penalised(m):
        return loss_of(m) + 0.1 * sum(mg.sum(p * p) for p in m.parameters())

    for jit in (False, "numpy"):
        net = network()
        found = minimize(penalised, net, jit=jit)
        assert found.success
        assert penalised(net).item() == pytest.approx(found.fun, rel=1e-13)
        net.zero_grad()
        penalised(net).backward()
        assert max(np.abs(p.grad).max() for p in net.parameters()) < 1e-5


# Methods of one's own, and options


@pytest.mark.parametrize(
    "pair",
    [
        (directions.LBFGS(5), globalisers.Armijo()),
        (directions.BFGS(), globalisers.Armijo(0.1)),
        (directions.ConjugateGradient(), globalisers.StrongWolfe(1e-4, 0.1)),
        (directions.Newton(), globalisers.StrongWolfe()),
        (directions.Newton(), globalisers.TrustRegion(0.5)),
        (directions.Newton(dogleg=True), globalisers.TrustRegion(None)),
        (directions.Newton(), globalisers.FixedRate(1.0)),
        (directions.NewtonCG(4), globalisers.Armijo()),
        (directions.LBFGSB(), globalisers.StrongWolfe()),
        (directions.Steepest(), globalisers.StrongWolfe()),
    ],
    ids=lambda pair: " × ".join(type(piece).__name__ for piece in pair),
)
def test_pairs(pair):
    def f(x):
        return bowl(x) + mg.sum(x**4)

    found = minimize(f, np.full(3, 0.5), pair, gtol=1e-7, maxiter=2000)
    assert found.reason == "gradient"
    reference = minimize(f, np.zeros(3), "newton", gtol=1e-12)
    np.testing.assert_allclose(found.x, reference.x, atol=1e-6)


def test_pairs_within_bounds():
    pair = directions.LBFGSB(), globalisers.Armijo()
    found = minimize(bowl, np.zeros(3), pair, bounds=(-1.0, 1.5))
    np.testing.assert_allclose(found.x, [1.0, 1.5, 1.5], atol=1e-6)
    with pytest.raises(UsageError, match="does not keep to bounds"):
        minimize(bowl, np.zeros(3), (directions.LBFGS(), globalisers.Armijo()), bounds=(0.0, 1.0))


def test_a_pair_may_be_used_again():
    for pair in [
        (directions.BFGS(), globalisers.StrongWolfe()),
        (directions.LBFGS(), globalisers.StrongWolfe()),
        (directions.ConjugateGradient(), globalisers.Armijo()),
        (directions.Newton(), globalisers.TrustRegion()),
        (directions.Steepest(), globalisers.InverseCurvature()),
    ]:
        first = minimize(rosenbrock, VALLEY, pair, maxiter=9)
        minimize(bowl, np.zeros(3), pair)
        again = minimize(rosenbrock, VALLEY, pair, maxiter=9)
        np.testing.assert_array_equal(first.history.path, again.history.path)


@pytest.mark.parametrize(
    ("pair", "match"),
    [
        ((directions.BFGS(), globalisers.TrustRegion()), "BFGS cannot be used with TrustRegion; "
         "it goes with a line search or rate"),
        ((directions.Steepest(), globalisers.Damping()), "Steepest cannot be used with Damping"),
        ((directions.Newton(), globalisers.Damping()), "a line search or rate or TrustRegion"),
        ((globalisers.Armijo(), directions.BFGS()), "method must be a name, or"),
        ((directions.BFGS(),), "method must be a name"),
        ([directions.BFGS(), globalisers.Armijo()], "method must be a name"),
        ((directions.BFGS, globalisers.Armijo), "method must be a name"),
        (directions.BFGS(), "method must be a name"),
        (3, "method must be a name"),
    ],
)  # fmt: skip
def test_pairs_that_do_not_fit(pair, match):
    with pytest.raises(UsageError, match=match):
        minimize(bowl, np.zeros(2), pair)


@pytest.mark.parametrize("globaliser", [globalisers.Damping, globalisers.TrustRegion,
                                        globalisers.Armijo])  # fmt: skip
def test_directions_that_need_residuals(globaliser):
    with pytest.raises(UsageError, match="residuals"):
        minimize(bowl, np.zeros(2), (directions.GaussNewton(), globaliser()))


@pytest.mark.parametrize("method", [*GENERAL, *DIRECT])
def test_options_are_those_of_the_method(method):
    with pytest.raises(UsageError, match=f"method {method!r} has no option 'wide'; its options"):
        minimize(bowl, np.zeros(2), method, wide=True)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gd", {"lr": -0.1}),
        ("gd", {"lr": "1/gamma"}),
        ("gd", {"lr": np.nan}),
        ("cg", {"c1": 0.5, "c2": 0.1}),
        ("bfgs", {"c2": 1.5}),
        ("l-bfgs", {"memory": 0}),
        ("l-bfgs-b", {"memory": 2.5}),
        ("newton", {"c1": 1.0}),
        ("trust-ncg", {"radius": -1.0}),
        ("dogleg", {"radius": np.inf}),
        ("newton", {"modified": "no"}),
    ],
)
def test_options_are_checked(method, options):
    with pytest.raises(UsageError, match=next(iter(options))):
        minimize(bowl, np.zeros(2), method, **options)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("trust-ncg", {"radius": 0.0}),
        ("newton-cg", {"most": -1}),
        ("trust-ncg", {"most": 2.5}),
        ("newton-cg", {"most": "all"}),
        ("bfgs", {"c1": "small"}),
    ],
)
def test_options_are_checked_as_to_what_they_are(method, options):
    with pytest.raises(UsageError, match=next(iter(options))):
        minimize(bowl, np.zeros(2), method, **options)


@pytest.mark.parametrize("options", [{"every": 0}, {"products": 0}, {"products": 1.5}])
def test_inverse_curvature_is_checked(options):
    with pytest.raises(UsageError, match=next(iter(options))):
        globalisers.InverseCurvature(**options)


def test_options_of_a_pair():
    pair = directions.BFGS(), globalisers.Armijo()
    with pytest.raises(UsageError, match="a pair has its options already; got memory"):
        minimize(bowl, np.zeros(2), pair, memory=3)


def test_unknown_methods():
    for method in ("BFGS", "lm", "", "conjugate"):
        with pytest.raises(UsageError, match=f"no method {method!r}; there are gd, cg, bfgs"):
            minimize(bowl, np.zeros(2), method)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"gtol": -1.0}, "minimize: gtol must be finite, at least 0"),
        ({"ftol": np.nan}, "minimize: ftol"),
        ({"xtol": "small"}, "minimize: xtol must be a number"),
        ({"maxiter": -3}, "minimize: maxiter must be a whole number of at least 1"),
        ({"maxiter": 2.5}, "minimize: maxiter"),
        ({"maxiter": True}, "minimize: maxiter"),
        ({"maxfev": 0}, "minimize: maxfev"),
        ({"maxfev": -1}, "minimize: maxfev"),
    ],
)
def test_tolerances_and_budgets_are_checked(options, match):
    with pytest.raises(UsageError, match=match):
        minimize(bowl, np.zeros(2), **options)


def test_no_iterations_at_all():
    with pytest.raises(UsageError, match="maxiter must be a whole number of at least 1"):
        minimize(bowl, np.zeros(2), maxiter=0)


def test_an_oracle_has_its_derivatives():
    oracle = Objective(bowl, np.zeros(2))
    for name in ("jac", "hess", "hessp", "jit"):
        with pytest.raises(UsageError, match=name):
            minimize(oracle, np.zeros(2), **{name: lambda x: x})


@pytest.mark.parametrize("jac", ["2-point", False, 3.0])
def test_what_is_no_gradient(jac):
    with pytest.raises(UsageError, match="jac must be"):
        minimize(lambda x: float(x @ x), np.ones(2), jac=jac)


def test_not_within_a_derivative():
    """A number that a search returns has lost how it came about: better an error than 0."""

    def solved(a, method="bfgs"):
        return minimize(lambda x: (x - a) ** 2 + (x - a) ** 4, 0.0, method).x

    for method in GENERAL:
        with pytest.raises(mg.errors.GraphError):
            mg.grad(lambda a, m=method: solved(a, m))(3.0)
    leaf = Value(3.0)
    assert solved(leaf) == pytest.approx(3.0, abs=1e-4)
    assert leaf.grad is None
    with pytest.raises(mg.errors.TraceError):
        mg.jit(solved, backend="numpy")(3.0)


def test_all_methods_are_documented():
    text = inspect.getdoc(minimize)
    for name in (*GENERAL, *DIRECT):
        assert f'"{name}"' in text
    text += inspect.getdoc(optim.least_squares)
    for name in OF_RESIDUALS:
        assert f'"{name}"' in text


def test_a_search_says_little():
    """Arrays of points stay out of what is printed."""
    text = repr(minimize(rosenbrock, VALLEY))
    assert "history" not in text
    assert "reason='gradient'" in text
    assert len(text) < 400
