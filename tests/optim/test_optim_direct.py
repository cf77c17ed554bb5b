"""Searches without gradients: SciPy's simplex and its failures, chance, CMA-ES; why they stop."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

import microgradopt as mg
from benchmarks.problems import ALL, BY_NAME
from microgradopt import nn
from microgradopt.errors import MissingExtraError, ShapeError, UsageError
from microgradopt.optim.solvers.bounds import read_bounds
from microgradopt.optim.solvers.direct.cma import cma_es
from microgradopt.optim.solvers.direct.nelder_mead import factors, first_corners, nelder_mead
from microgradopt.optim.solvers.direct.random_search import local_random_search, random_search
from microgradopt.optim.solvers.oracle import Objective, Residuals
from microgradopt.optim.solvers.run import Budget, Run

CHANCE = [random_search, local_random_search]


def search(
    solve, f, x0, bounds=None, maxiter=None, maxfev=None, callback=None, oracle=Objective, **options
):
    """What minimize does with these methods."""
    asked = f if isinstance(f, (Objective, Residuals)) else oracle(f, x0, user="minimize")
    run = Run(asked, Budget(maxiter, maxfev), callback)
    stop = solve(run, read_bounds(bounds, asked.variables), **options)
    return run.result(stop.reason, stop.details)


def plain(f, x0):
    """A function of plain numbers."""
    return Objective(f, x0, jac=lambda x: x, user="minimize")


def rosenbrock(v):
    return mg.sum(100.0 * (v[1:] - v[:-1] ** 2) ** 2 + (1.0 - v[:-1]) ** 2)


def bowl(x):
    return mg.sum((x - 1.0) ** 2)


def of_dict(p):
    return (p["a"] - 3.0) ** 2 + mg.sum((p["w"] - 1.0) ** 2)


def shifted(x):
    """A round bowl with its minimum at (3, 1, 1, 1, 1)."""
    return (x[0] - 3.0) ** 2 + mg.sum((x[1:] - 1.0) ** 2)


@pytest.fixture(params=[nelder_mead, random_search, local_random_search, cma_es])
def solve(request):
    if request.param is cma_es:
        pytest.importorskip("cma")
        return lambda run, bounds=None, **options: cma_es(run, bounds, rng=0, **options)
    if request.param is nelder_mead:
        return nelder_mead
    return lambda run, bounds=None, **options: request.param(run, bounds, rng=0, **options)


# What holds for all of them


def test_a_structure_comes_back_in_its_form(solve):
    found = search(solve, of_dict, {"w": np.zeros((2, 2), np.float32), "a": 0.0}, maxfev=3000)
    assert isinstance(found.x["a"], float)
    assert found.x["w"].shape == (2, 2)
    assert found.x["w"].dtype == np.float32
    assert found.fun == min(found.history.fun) < 0.5 * found.history.fun[0]
    assert found.jac is None


def test_numbers_modules_and_residuals(solve):
    assert abs(search(solve, lambda x: (x - 3.0) ** 2, 1.0, maxfev=2000).x - 3.0) < 0.3
    model = nn.Linear(2, 1, rng=0)
    X = np.eye(2)
    found = search(solve, lambda m: mg.sum((m(X) - 1.0) ** 2), model, maxfev=2000)
    assert found.fun < 0.05
    assert set(found.x) == {"weight", "bias"}
    r = search(
        solve, lambda x: x - np.array([1.0, 2.0]), np.zeros(2), maxfev=2000, oracle=Residuals
    )
    assert np.abs(r.x - [1.0, 2.0]).max() < 0.2


def test_the_budget_is_kept_and_the_best_of_all_points_returned(solve):
    values = []

    def f(x):
        values.append(float(np.sum((x - 1.0) ** 2)))
        return values[-1]

    for maxfev in (1, 2, 3, 4, 5, 17):
        values.clear()
        found = search(solve, plain(f, np.zeros(2)), None, maxfev=maxfev)
        assert found.reason == "budget"
        assert found.nfev == maxfev == len(values)
        assert found.fun == min(values)


def test_iterations_are_limited(solve):
    found = search(solve, rosenbrock, np.array([-1.2, 1.0]), maxiter=5)
    assert found.reason == "budget"
    assert found.nit <= 5


def test_the_callback_stops(solve):
    seen = []

    def enough(result):
        seen.append(result.fun)
        return len(seen) == 3

    found = search(solve, rosenbrock, np.array([-1.2, 1.0]), callback=enough)
    assert (found.reason, found.nit, len(seen)) == ("callback", 3, 3)
    assert seen == found.history.fun[1:]


def test_a_target_stops(solve):
    found = search(solve, bowl, np.zeros(2), f_target=0.1)
    assert found.reason == "target"
    assert found.fun <= 0.1
    assert found.nfev == found.history.nfev[-1] < 3000
    assert search(solve, bowl, np.zeros(2), f_target=3.0).nfev == 1
    for wrong in (math.nan, True, "low"):
        with pytest.raises(UsageError, match="f_target must be a number"):
            search(solve, bowl, np.zeros(2), f_target=wrong)


@pytest.mark.parametrize("end", [-math.inf, -1e60])
def test_running_away_is_said(solve, end):
    found = search(solve, plain(lambda x: end if x[0] > 0.2 else -float(x[0]), np.zeros(2)), None)
    assert found.reason == "diverging"
    assert math.isfinite(found.fun)
    found = search(solve, plain(lambda _: end, np.zeros(2)), None)
    assert found.reason == "diverging"
    assert found.nfev == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_number_is_worse_than_any(solve, bad):
    f = plain(lambda x: float(np.sum((x - 1.0) ** 2)) if x[0] < 1.01 else bad, np.full(2, 0.5))
    found = search(solve, f, None, maxfev=2000)
    assert found.fun < 0.05


def test_the_minimum_on_a_bound_is_found(solve):
    tried = []

    def f(x):
        tried.append(x.copy())
        return float(np.sum((x - 1.0) ** 2))

    bounds = ([-1.0, -1.0, -np.inf], [0.5, 2.0, np.inf])
    found = search(solve, plain(f, np.zeros(3)), None, bounds, maxfev=3000)
    assert np.abs(found.x - [0.5, 1.0, 1.0]).max() < 0.25
    assert all((x >= bounds[0]).all() and (x <= bounds[1]).all() for x in tried)


def test_bounds_may_fix_variables(solve):
    found = search(
        solve, rosenbrock, np.array([-1.2, 1.0]), ([-1.2, -2.0], [-1.2, 2.0]), maxfev=400
    )
    assert found.x[0] == -1.2
    assert abs(found.x[1] - 1.44) < 0.02
    fixed = np.array([-1.2, 1.0])
    found = search(solve, rosenbrock, fixed, (fixed, fixed), maxfev=400)
    assert (found.x == fixed).all()


# Nelder and Mead


def test_evaluations_are_those_of_scipy():
    optimize = pytest.importorskip("scipy.optimize")
    counts = []
    for name in ("Rosenbrock", "Beale", "helical valley", "Powell singular", "Wood", "Bard"):
        problem = BY_NAME[name]
        start = np.array(problem.start)
        theirs = optimize.minimize(
            Objective(problem.objective, start).value, start, method="Nelder-Mead"
        )
        ours = search(nelder_mead, problem.objective, start, adaptive=False, restart=False)
        assert ours.nfev == theirs.nfev
        assert (ours.x == theirs.x).all()
        assert ours.reason == "simplex"
        counts.append((search(nelder_mead, problem.objective, start).nfev, theirs.nfev))
    ours, theirs = np.median(counts, axis=0)
    assert ours <= theirs


@pytest.mark.parametrize(
    ("f", "then"),
    [
        ({-1.0: -1.0, -2.0: -2.0}, [-1.0, -2.0]),  # reflected and expanded
        ({-1.0: 5.0, -0.5: 5.0}, [-1.0, -0.5]),  # contracted outside
        ({-1.0: 5.0, -0.5: 7.0, 0.5: 1.0}, [-1.0, -0.5, 0.5]),  # which is no use: shrunk
        ({-1.0: 12.0, 0.5: 9.0}, [-1.0, 0.5]),  # contracted inside
        ({-1.0: 12.0, 0.5: 10.0}, [-1.0, 0.5, 0.5]),  # which is no use: shrunk
    ],
)
def test_the_moves_of_a_simplex(f, then):
    f, tried = {0.0: 0.0, 1.0: 10.0, **f}, []

    def look_up(x):
        tried.append(x)
        return f[x]

    search(nelder_mead, plain(look_up, 0.0), None, maxiter=1, simplex=[0.0, 1.0])
    assert tried == [0.0, 1.0, *then]


def test_adaptive_factors():
    assert factors(2, True) == factors(2, False) == factors(1, True) == (2.0, 0.5, 0.5)
    assert factors(10, True) == pytest.approx((1.2, 0.7, 0.9))
    problem = next(p for p in ALL if p.name == "Brown almost-linear, n=10")
    start = np.array(problem.start)
    by_default, fixed, chosen = (
        search(nelder_mead, problem.objective, start, adaptive=a) for a in (None, False, True)
    )
    assert by_default.nfev == chosen.nfev < fixed.nfev
    assert by_default.fun < 1e-8 < 0.1 < fixed.fun


def test_a_simplex_that_lies_in_a_plane_is_set_up_anew():
    flat = search(nelder_mead, shifted, np.zeros(5), restart=False)
    assert flat.success  # so it says, as SciPy does
    assert flat.fun > 3.0
    found = search(nelder_mead, shifted, np.zeros(5), maxfev=3000)
    assert found.reason == "simplex"
    assert found.fun < 1e-6
    round_one = search(nelder_mead, shifted, np.array([2.0, 2.0, 2.0, 2.0, 2.0]))
    again = search(nelder_mead, shifted, np.array([2.0, 2.0, 2.0, 2.0, 2.0]), restart=True)
    assert round_one.fun < 1e-6
    assert again.reason == "simplex"  # when setting it up once more has brought nothing
    assert again.nfev > round_one.nfev


def test_mckinnon_is_not_left_at_a_point_that_is_no_minimum():
    """McKinnon 1998: contractions towards (0, 0) without end, where f falls along −y."""

    def f(v):
        x, y = v
        return float((6.0 if x > 0 else 360.0) * x * x + y + y * y)

    root = math.sqrt(33.0)
    corners = [[0.0, 0.0], [(1 + root) / 8, (1 - root) / 8], [1.0, 1.0]]
    options = {"simplex": corners, "xatol": 1e-8, "fatol": 1e-8, "maxfev": 1000}
    stuck = search(nelder_mead, plain(f, np.zeros(2)), None, restart=False, **options)
    assert (stuck.reason, stuck.fun) == ("simplex", 0.0)
    found = search(nelder_mead, plain(f, np.zeros(2)), None, **options)
    assert found.reason == "simplex"
    assert found.fun == pytest.approx(-0.25)


def test_a_start_on_two_bounds_gets_away():
    """SciPy stays there: all corners of its simplex are one point."""
    found = search(nelder_mead, rosenbrock, np.array([-1.2, 1.0]), ([-1.2, -2.0], [2.0, 1.0]))
    assert found.x == pytest.approx([1.0, 1.0], abs=1e-3)


@pytest.mark.parametrize(
    ("at", "low", "high", "expected"),
    [
        (2.0, -9.0, 9.0, 2.1),
        (2.0, 0.0, 2.0, 1.9),
        (2.0, 1.95, 2.01, 1.95),
        (2.0, 1.99, 2.05, 2.05),
        (2.0, 2.0, 2.0, 2.0),
        (0.0, 0.0, 1.0, 0.00025),
        (0.0, -1.0, 0.0, -0.00025),
    ],
)
def test_first_corners_are_within_the_bounds(at, low, high, expected):
    oracle = Objective(lambda x: x[0], np.array([at]))
    corners = first_corners(np.array([at]), read_bounds(([low], [high]), oracle.variables))
    assert corners == [[at], [pytest.approx(expected, abs=1e-15)]]


def test_a_flat_function_makes_it_shrink():
    found = search(nelder_mead, plain(lambda _: 1.0, np.ones(3)), None)
    assert found.reason == "simplex"
    assert (found.x == 1.0).all()


def test_a_simplex_of_ones_own():
    at = {"a": 0.0, "w": np.zeros(2)}
    corners = [{"w": w, "a": a} for a, w in [(0.0, [0, 0]), (1.0, 0), (0.0, [1, 0]), (0.0, [0, 1])]]
    found = search(nelder_mead, of_dict, at, simplex=corners)
    assert found.fun < 1e-6
    clipped = search(
        nelder_mead, bowl, np.zeros(2), (-0.5, 0.5), simplex=[[0, 0], [9, 0], [0, 9]], maxiter=1
    )
    assert np.abs(clipped.history.path).max() <= 0.5
    for wrong in (3, [1.0, 2.0], {"a": 1, "b": 2, "c": 3}):
        with pytest.raises(ShapeError, match="list of 3 points"):
            search(nelder_mead, bowl, np.zeros(2), simplex=wrong)
    with pytest.raises(ShapeError, match=r"simplex\[2\] must have the form of x0"):
        search(nelder_mead, bowl, np.zeros(2), simplex=[[0, 0], [1, 0], [0, 1, 2]])


def test_a_simplex_cannot_start_nowhere():
    for bad in (math.nan, math.inf):
        found = search(nelder_mead, plain(lambda _, bad=bad: bad, np.zeros(2)), None)
        assert (found.reason, found.success, found.nfev) == ("non-finite", False, 1)


def test_scipys_budget_is_the_default():
    oracle = Objective(rosenbrock, np.linspace(-1.0, 1.0, 10))
    for _ in range(2):  # in each search
        found = search(nelder_mead, oracle, None)
        assert (found.reason, found.nfev) == ("budget", 2000)


def test_a_variable_that_cannot_move_does_not_make_it_flat():
    at, bounds = np.array([-1.2, 1.0]), ([-1.2, -2.0], [-1.2, 2.0])
    found, once = (search(nelder_mead, rosenbrock, at, bounds, restart=r) for r in (None, False))
    assert found.nfev == once.nfev


@pytest.mark.parametrize(
    "option", [{"xatol": -1.0}, {"fatol": "x"}, {"adaptive": 2}, {"restart": "yes"}]
)
def test_options_of_the_simplex_are_checked(option):
    (name,) = option
    with pytest.raises(UsageError, match=f"minimize: {name} must be"):
        search(nelder_mead, bowl, np.zeros(2), **option)


# Chance


@pytest.mark.parametrize("draws", CHANCE)
def test_the_same_seed_makes_the_same_search(draws):
    a, b, c = (search(draws, bowl, np.zeros(3), maxiter=300, rng=seed) for seed in (1, 1, 2))
    assert (a.x == b.x).all()
    assert a.history.fun == b.history.fun
    assert (a.x != c.x).any()
    state = np.random.default_rng(1)  # a generator is the caller's own, and advances
    first, second = (search(draws, bowl, np.zeros(3), maxiter=50, rng=state) for _ in range(2))
    assert (first.x != second.x).any()


@pytest.mark.parametrize("draws", CHANCE)
def test_the_history_has_improvements_and_the_last_count(draws):
    found = search(draws, bowl, np.zeros(2), rng=0)
    falls = np.diff(found.history.fun)
    assert (found.reason, found.nfev) == ("budget", 10_001)
    assert found.message.endswith(": 10000 draws")
    assert (falls[:-1] < 0.0).all()
    assert falls[-1] == 0.0
    assert found.nit == len(falls) < 500
    assert found.history.nfev[-1] == 10_001
    assert found.history.step[1] == pytest.approx(np.linalg.norm(found.history.path[1]))
    for maxiter, maxfev in ((7, None), (None, 8), (7, 9000), (9000, 8)):
        assert search(draws, bowl, np.zeros(2), None, maxiter, maxfev, rng=0).nfev == 8


@pytest.mark.parametrize("draws", CHANCE)
def test_scales_go_by_leaf(draws):
    at = {"a": 2.0, "w": np.zeros(2)}
    found = search(draws, of_dict, at, maxiter=200, scale={"w": [0.1, 0.0], "a": 1e-6}, rng=0)
    assert found.x["w"][1] == 0.0
    assert found.x["w"][0] > 0.05
    assert 0.0 < abs(found.x["a"] - 2.0) < 1e-3
    for wrong in (-1.0, 0.0, math.inf, math.nan, {"a": 0, "w": 0}, np.float32(-1.0)):
        with pytest.raises(UsageError, match="scale must be finite"):
            search(draws, of_dict, at, scale=wrong)
    for wrong in ({"a": 1.0}, {"a": 1.0, "w": [1, 2, 3]}, {"a": "x", "w": 1.0}, [1.0]):
        with pytest.raises(ShapeError, match="scale must have the form of x0"):
            search(draws, of_dict, at, scale=wrong)


@pytest.mark.parametrize("draws", CHANCE)
def test_f_that_is_nowhere_a_number(draws):
    found = search(draws, plain(lambda _: math.nan, np.zeros(2)), None, maxiter=20, rng=0)
    assert (found.reason, found.success) == ("non-finite", False)
    assert "at all 21 points tried" in found.message
    late = iter([math.nan] * 10 + [1.0] * 90)
    found = search(draws, plain(lambda _: next(late), np.zeros(2)), None, maxfev=100, rng=0)
    assert (found.reason, found.fun) == ("budget", 1.0)


def drawn(**options):
    """Where random search looks."""
    points = []
    f = plain(lambda x: float(points.append(x.copy()) or 0.0), options.pop("x0", np.zeros(2)))
    search(random_search, f, None, options.pop("bounds", None), maxiter=2000, rng=0, **options)
    return np.array(points)[1:]


def test_candidates_are_normal_around_the_start():
    points = drawn(scale=[0.1, 2.0])
    assert points.mean(0) == pytest.approx([0.0, 0.0], abs=0.15)
    assert points.std(0) == pytest.approx([0.1, 2.0], rel=0.05)
    points = drawn(x0=np.array([5.0, 0.5]))
    assert points.mean(0) == pytest.approx([5.0, 0.5], abs=0.3)
    assert points.std(0) == pytest.approx([5.0, 1.0], rel=0.05)


def test_candidates_are_even_between_bounds():
    points = drawn(bounds=([-1.0, -1.0], [3.0, np.inf]))
    assert np.histogram(points[:, 0], 4, (-1.0, 3.0))[0] == pytest.approx([500] * 4, rel=0.15)
    assert points[:, 1].min() == -1.0  # normal and clipped
    assert points[:, 1].max() > 2.0
    assert drawn(bounds=(-1.0, 3.0), scale=0.1).std(0) == pytest.approx([0.1, 0.1], rel=0.05)


def test_draws_of_ones_own():
    at = {"a": 2.0, "w": np.zeros(2)}

    def draw(rng, x):
        x["w"] += rng.exponential(size=2)  # the start is a fresh one each time
        return {"w": x["w"], "a": rng.integers(10)}

    found = search(random_search, of_dict, at, maxiter=500, rng=0, draw=draw)
    assert found.x["a"] == 3.0
    assert np.abs(found.x["w"] - 1.0).max() < 0.3
    inside = search(
        random_search,
        bowl,
        np.zeros(2),
        (-0.5, 0.5),
        50,
        rng=0,
        draw=lambda rng, x: x + rng.random(),
    )
    assert (inside.x == 0.5).all()
    for wrong in (lambda rng, x: x[:1].repeat(3), lambda rng, x: (1.0, 2.0), lambda rng, x: "no"):
        with pytest.raises(ShapeError, match="what draw returns must have the form of x0"):
            search(random_search, bowl, np.zeros(2), draw=wrong)
    for options in ({"draw": 3}, {"draw": draw, "scale": 1.0}):
        with pytest.raises(UsageError, match="draw must be a function"):
            search(random_search, bowl, np.zeros(2), **options)


def test_random_steps_get_nearer_than_random_draws():
    draws, steps = (search(s, rosenbrock, np.zeros(4), rng=0) for s in CHANCE)
    assert steps.fun < 0.1 * draws.fun


# CMA-ES


def evolve(f, x0, *args, rng=0, **options):
    pytest.importorskip("cma")
    return search(cma_es, f, x0, *args, rng=rng, **options)


@pytest.mark.parametrize(
    "name", ["Rosenbrock", "Beale", "Box three-dimensional", "Powell singular"]
)
def test_cma_finds_minima(name):
    problem = BY_NAME[name]
    found = evolve(problem.objective, np.array(problem.start))
    assert found.success
    assert found.fun < 1e-9


def test_cma_is_reproducible_and_leaves_no_trace(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    before = np.random.get_state()  # noqa: NPY002  # what is not to be touched
    runs = [evolve(rosenbrock, np.zeros(3), maxiter=30, rng=seed) for seed in (3, 3, 4)]
    evolve(bowl, np.zeros(301), maxiter=8)
    after = np.random.get_state()  # noqa: NPY002
    assert (runs[0].x == runs[1].x).all()
    assert (runs[0].x != runs[2].x).any()
    assert (before[1] == after[1]).all()
    assert before[2:] == after[2:]
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_options_of_cma():
    found = evolve(rosenbrock, np.zeros(2), popsize=20, sigma=[0.1, 0.5], maxiter=4)
    assert found.nfev == 81
    loose, tight = (evolve(bowl, np.zeros(2), xatol=t, fatol=0.0) for t in (1e-2, 1e-4))
    assert (loose.reason, tight.reason) == ("simplex", "simplex")
    assert loose.nfev < tight.nfev
    assert evolve(bowl, np.zeros(2), fatol=1e-3).nfev < evolve(bowl, np.zeros(2)).nfev
    assert evolve(bowl, np.zeros(8), diagonal=True, sigma=0.5).fun < 1e-9
    held = evolve(of_dict, {"a": 0.0, "w": np.zeros(2)}, sigma={"a": 1.0, "w": [1.0, 0.0]})
    assert held.x["w"][1] == 0.0
    assert held.fun == pytest.approx(1.0)
    for name, wrong in [
        ("popsize", 1), ("popsize", 2.5), ("popsize", True), ("xatol", -1.0), ("fatol", None),
        ("diagonal", 1), ("sigma", -1.0), ("sigma", [0.0, 0.0]),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=f"minimize: {name} must be"):
            evolve(bowl, np.zeros(2), **{name: wrong})


def test_why_cma_stops():
    def ends(f, n=2, **options):
        found = evolve(plain(f, np.zeros(n)), None, **options)
        return found.reason, found.success

    far = np.array([1.0, 2.0])
    assert ends(lambda x: float(np.sum((x - far) ** 2))) == ("value", True)
    assert ends(lambda x: 1e6 + float(np.sum((x - far) ** 2))) == ("precision", True)
    assert ends(lambda _: 1.0) == ("no descent", False)
    assert ends(lambda _: math.nan) == ("non-finite", False)
    assert ends(lambda x: -float(x[0])) == ("diverging", False)
    assert ends(lambda x: float(np.sum(np.floor(9.0 * np.abs(x))))) == ("no descent", False)
    budget = evolve(rosenbrock, np.zeros(2), maxiter=10)
    assert (budget.reason, budget.nit) == ("budget", 10)


def test_cmas_own_budget(monkeypatch):
    cma = pytest.importorskip("cma")
    made, given = cma.CMAEvolutionStrategy, []

    def short(x0, sigma, options):
        given.append(options.get("maxiter", "its own"))
        return made(x0, sigma, {"maxiter": 5, **options})

    monkeypatch.setattr(cma, "CMAEvolutionStrategy", short)
    found = [evolve(rosenbrock, np.zeros(2), maxiter=most) for most in (None, 8)]
    assert [(r.reason, r.nit) for r in found] == [("budget", 5), ("budget", 8)]
    assert given == ["its own", math.inf]


def test_the_first_generation_is_as_wide_as_the_room():
    def spread(*bounds, **options):
        points = []
        f = plain(lambda x: float(points.append(x.copy()) or len(points)), np.zeros(3))
        evolve(f, None, *bounds, maxiter=1, popsize=3000, **options)
        return np.std(points, axis=0)

    assert spread() == pytest.approx([0.3] * 3, rel=0.1)
    bounds = [-0.02, -np.inf, -100.0], [0.02, np.inf, 100.0]
    assert spread(bounds) == pytest.approx([0.01, 0.3, 50.0], rel=0.3)  # some are reflected
    assert spread(bounds, sigma=1e-3) == pytest.approx([1e-3] * 3, rel=0.1)


def test_cma_leaves_alone_what_bounds_fix():
    at, bounds = np.array([-1.2, 1.0]), ([-1.2, -2.0], [-1.2, 2.0])
    found = evolve(rosenbrock, at, bounds, sigma=0.1)
    assert found.success
    assert found.x == pytest.approx([-1.2, 1.44])


def test_where_no_variable_is_free_cma_has_nothing_to_do():
    found = evolve(bowl, np.zeros(2), (0.0, 0.0))
    assert (found.reason, found.nfev) == ("simplex", 1)


def test_without_cma_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'microgradopt\[search\]'"):
        search(cma_es, bowl, np.zeros(2))
