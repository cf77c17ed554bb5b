"""Pieces of solvers: steps within a ball, line searches, trust regions, quasi-Newton matrices."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from microgradopt.errors import UsageError
from microgradopt.optim import Objective, Residuals, directions, globalisers
from microgradopt.optim.solvers.bounds import Bounds
from microgradopt.optim.solvers.directions.lbfgsb import Compact, cauchy_point
from microgradopt.optim.solvers.globalisers.base import nowhere
from microgradopt.optim.solvers.globalisers.bracket import Trial, cubic_minimum
from microgradopt.optim.solvers.linear import (
    _multiplier,
    dogleg,
    scaled_triangle,
    steihaug,
    to_edge,
    triangle,
    within_ball,
)
from microgradopt.optim.solvers.point import Point
from microgradopt.optim.solvers.result import Stop

EPS = float(np.finfo(float).eps)


def rotated(values, rng):
    """A symmetric matrix with these eigenvalues, and its eigenvectors."""
    Q = np.linalg.qr(rng.normal(size=(len(values), len(values))))[0]
    H = (Q * values) @ Q.T
    return 0.5 * (H + H.T), Q


def spectra(rng, n):
    """Eigenvalues of all sorts: of one sign, of both, with zeros, repeated, far apart."""
    w = rng.normal(size=n)
    yield np.abs(w)
    yield w
    yield -np.abs(w)
    yield np.where(np.arange(n) % 2, 0.0, np.abs(w))
    yield np.where(np.arange(n) % 2, 0.0, w)
    yield np.round(2.0 * w)
    yield np.sign(w) * 10.0 ** rng.uniform(-6.0, 6.0, size=n)
    yield np.zeros(n)


def models(seed, hard=True):
    """(H, g, radius) of many sizes; in the hard case g has nothing along the lowest eigenvector."""
    rng = np.random.default_rng(seed)
    for n in (1, 2, 3, 6):
        for w in spectra(rng, n):
            H, Q = rotated(w, rng)
            g = rng.normal(size=n) * 10.0 ** rng.uniform(-3.0, 3.0)
            c = np.where(w <= w.min(), 0.0, Q.T @ g)
            for radius in 10.0 ** rng.uniform(-4.0, 4.0, size=3):
                yield H, g, radius
                if hard and c.any():
                    yield H, Q @ c, radius


def fall(H, g, p):
    return -float(g @ p) - 0.5 * float(p @ H @ p)


# Within a ball


@pytest.fixture(autouse=True)
def _quiet():
    """As in every search: overflow is no warning."""
    with np.errstate(all="ignore"):
        yield


def is_the_minimiser(H, g, radius, p):
    """(H + λI)p = −g with λ ≥ 0, H + λI ⪰ 0 and λ = 0 or ‖p‖ = radius: lemma 2.1 of the paper."""
    size = np.linalg.norm(H, 2)
    length = float(np.linalg.norm(p))
    lam = max(-float(p @ (g + H @ p)) / max(length**2, 1e-300), 0.0)
    assert length <= radius * (1.0 + 1e-9)
    slack = 1e-9 * (size * length + np.linalg.norm(g))
    assert np.linalg.norm(H @ p + lam * p + g) <= slack
    assert lam >= -np.linalg.eigvalsh(H)[0] - 1e-9 * size
    assert lam * length <= slack or length >= radius * (1.0 - 1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_within_ball_is_the_minimiser(seed):
    for H, g, radius in models(seed):
        is_the_minimiser(H, g, radius, within_ball(H, g, radius))


@pytest.mark.parametrize("seed", range(3))
def test_within_ball_against_a_search_of_the_disc(seed):
    angle = np.linspace(0.0, 2.0 * np.pi, 2001)
    disc = np.stack([np.cos(angle), np.sin(angle)])[:, :, None] * np.linspace(0.0, 1.0, 201)
    disc = disc.reshape(2, -1)
    for H, g, radius in models(seed):
        if len(g) == 2:
            points = radius * disc
            best = np.max(-(g @ points) - 0.5 * np.sum(points * (H @ points), axis=0))
            assert fall(H, g, within_ball(H, g, radius)) >= best - 1e-12 * abs(best)


@pytest.mark.parametrize("small", [0.0, 1e-20, 1e-17, 3e-16, 1e-15, 1e-13, 1e-10, 1e-5])
@pytest.mark.parametrize("radius", [0.1, 0.6, 1.0, 30.0])
@pytest.mark.parametrize("low", [-3.0, -1e-3, -1e3])
def test_within_ball_near_the_hard_case(small, radius, low):
    """All but orthogonal to the lowest eigenvector: λ is all but −low."""
    values = np.array([low, 1.0, 2.0])
    g = np.array([small * abs(low), abs(low) / 2.0, -0.3])
    p = within_ball(np.diag(values), g, radius)
    is_the_minimiser(np.diag(values), g, radius, p)
    assert np.linalg.norm(p) <= radius * (1.0 + 1e-9)
    assert np.linalg.norm(p) >= radius * (1.0 - 1e-9)


@pytest.mark.parametrize("scale", [1e-120, 1e-30, 1e-9, 1e9, 1e30, 1e120])
def test_within_ball_at_any_scale(scale):
    for H, g, radius in models(11, hard=False):
        p, same = within_ball(H, g, radius), within_ball(scale * H, scale * g, radius)
        np.testing.assert_allclose(same, p, rtol=1e-6, atol=1e-6 * np.abs(p).max())


def test_a_flat_model_takes_no_step_that_brings_nothing():
    """A singular matrix that g goes with: the shortest minimiser, not one at the edge."""
    p = within_ball(np.diag([0.0, 2.0]), np.array([0.0, 4.0]), 1e3)
    np.testing.assert_allclose(p, [0.0, -2.0], rtol=1e-12)


def test_within_ball_of_curvatures_far_apart():
    """Twenty-four orders of magnitude: Newton's steps for λ leave the interval."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        n = int(rng.integers(1, 6))
        w = np.sign(rng.normal(size=n)) * 10.0 ** rng.uniform(-12.0, 12.0, size=n)
        g = rng.normal(size=n) * 10.0 ** rng.uniform(-12.0, 12.0, size=n)
        radius = 10.0 ** rng.uniform(-8.0, 8.0)
        is_the_minimiser(np.diag(w), g, radius, within_ball(np.diag(w), g, radius))


@pytest.mark.parametrize("small", [1e-30, 1e-18])
@pytest.mark.parametrize("gap", [2.3e-16])
def test_within_ball_of_lowest_curvatures_all_but_the_same(gap, small):
    """The hard case by rounding: g has next to nothing along the two lowest eigenvectors."""
    H, g = np.diag([-1.0, -1.0 + gap, 1.0]), np.array([0.0, small, 1.0])
    for radius in (1.0, 10.0):
        is_the_minimiser(H, g, radius, within_ball(H, g, radius))


def test_a_multiplier_where_none_is_needed():
    """The step is inside without one: what comes out is as good as 0."""
    assert 0.0 <= _multiplier(np.array([1.0, 2.0]), np.array([1e-3, 0.0]), 10.0, 0.0) < 1e-100


@pytest.mark.parametrize("seed", range(8))
def test_steihaug_falls_by_more_than_steepest_descent(seed):
    for H, g, radius in models(seed):
        n, norm = len(g), np.linalg.norm(g)
        p, expected = steihaug(lambda v, H=H: H @ v, g, radius, 1e-13 * norm, 4 * n)
        assert np.linalg.norm(p) <= radius * (1.0 + 1e-12)
        size = np.linalg.norm(H, 2) * np.linalg.norm(p) ** 2 + norm * np.linalg.norm(p)
        assert expected == pytest.approx(fall(H, g, p), abs=1e-10 * size)
        gHg = g @ H @ g
        steepest = radius / norm if gHg <= 0.0 else min(norm**2 / gHg, radius / norm)
        assert expected >= fall(H, g, -steepest * g) * (1.0 - 1e-10)
        if np.linalg.eigvalsh(H)[0] > 1e-3 * np.linalg.norm(H, 2):
            newton = -np.linalg.solve(H, g)
            if np.linalg.norm(newton) < radius:
                np.testing.assert_allclose(p, newton, rtol=1e-8, atol=1e-8 * np.linalg.norm(p))


def test_steihaug_without_a_radius():
    H, g = np.diag([1.0, 4.0, -2.0]), np.array([1.0, 2.0, 0.1])
    p, expected = steihaug(lambda v: H @ v, g, math.inf, 0.0, 10)
    assert np.isfinite(p).all()
    assert float(p @ g) < 0.0
    assert expected == pytest.approx(fall(H, g, p), rel=1e-12)
    bent = np.array([0.0, 0.0, 3.0])  # the first direction already curves downwards
    p, expected = steihaug(lambda v: H @ v, bent, math.inf, 0.0, 10)
    np.testing.assert_array_equal(p, -bent)
    assert expected == fall(H, bent, p)
    p, _ = steihaug(lambda v: np.abs(H) @ v, g, math.inf, 0.0, 10)
    np.testing.assert_allclose(p, -np.linalg.solve(np.abs(H), g), rtol=1e-12)


def test_steihaug_stops_where_it_is_told():
    H, g, calls = np.diag(np.arange(1.0, 9.0)), np.ones(8), []
    product = lambda v: calls.append(v) or H @ v  # noqa: E731
    steihaug(product, g, math.inf, 0.0, 3)
    assert len(calls) == 3
    p, _ = steihaug(product, g, math.inf, 0.5 * np.linalg.norm(g), 100)
    assert len(calls) < 3 + 8
    assert np.linalg.norm(H @ p + g) <= 0.5 * np.linalg.norm(g)


@pytest.mark.parametrize("scale", [1e-20, 1e-60])
def test_steihaug_at_any_scale(scale):
    H, g = np.diag([1.0, 2.0, 3.0]), np.ones(3)
    for radius in (0.5, 10.0, math.inf):
        p, _ = steihaug(lambda v: H @ v, g, radius, 0.0, 6)
        same, _ = steihaug(lambda v: scale * H @ v, scale * g, radius, 0.0, 6)
        np.testing.assert_allclose(same, p, rtol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_dogleg(seed):
    for H, g, radius in models(seed):
        w = np.linalg.eigvalsh(H)
        if not w[0] > 1e-6 * w[-1] > 0.0:
            continue
        newton, gBg = -np.linalg.solve(H, g), float(g @ H @ g)
        p = dogleg(g, gBg, newton, radius)
        assert np.linalg.norm(p) <= radius * (1.0 + 1e-12)
        norm = np.linalg.norm(g)
        cauchy = -min(norm**2 / gBg, radius / norm) * g
        assert fall(H, g, p) >= fall(H, g, cauchy) * (1.0 - 1e-12)
        if np.linalg.norm(newton) <= radius:
            np.testing.assert_array_equal(p, newton)
        else:
            assert np.linalg.norm(p) == pytest.approx(radius, rel=1e-10)
            ends = [np.zeros_like(g), -(norm**2 / gBg) * g, newton]  # p lies on the bent path
            gaps = [
                np.linalg.norm(p - a) + np.linalg.norm(b - p) - np.linalg.norm(b - a)
                for a, b in pairwise(ends)
            ]
            assert min(gaps) <= 1e-10 * np.linalg.norm(newton)


def test_to_edge():
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = int(rng.integers(1, 6))
        d = rng.normal(size=n) * 10.0 ** rng.uniform(-8.0, 8.0)
        p, radius = rng.normal(size=n), 10.0 ** rng.uniform(-3.0, 3.0)
        p *= rng.choice([0.0, 1e-9, 0.5, 1.0 - 1e-9]) * radius / np.linalg.norm(p)
        t = to_edge(p, d, radius)
        assert t >= 0.0
        assert np.linalg.norm(p + t * d) == pytest.approx(radius, rel=1e-9)


# Along a line


def of_values(f, x0=0.0):
    """An oracle of a function of plain numbers that gives value and gradient."""
    x0 = np.atleast_1d(np.array(x0, float))
    return Objective(f, x0, jac=True)


def on_a_line(f):
    """The start of a function of one number with its slope, and a list of where it is asked."""
    asked = []

    def both(x):
        asked.append(float(x[0]))
        value, slope = f(asked[-1])
        return value, np.array([slope])

    point = Point(of_values(both), np.zeros(1))
    _ = point.gradient
    asked.clear()
    return point, asked


def searched(search, f, t, longest=np.inf):
    point, asked = on_a_line(f)
    slope = float(point.gradient[0])
    return search.search(point, np.ones(1), slope, t, longest), point.value, slope, asked


def gamma(beta):
    return math.sqrt(1.0 + beta * beta) - beta


def rational(a):
    return -a / (a * a + 2.0), (a * a - 2.0) / (a * a + 2.0) ** 2


def quintic(a):
    b = a + 0.004
    return b**5 - 2.0 * b**4, 5.0 * b**4 - 8.0 * b**3


def wavy(a):
    if abs(a - 1.0) >= 0.01:
        base, slope = abs(a - 1.0), math.copysign(1.0, a - 1.0)
    else:
        base, slope = (a - 1.0) ** 2 / 0.02 + 0.005, (a - 1.0) / 0.01
    turn = 39.0 * math.pi / 2.0
    return base + 0.99 / turn * math.sin(turn * a), slope + 0.99 * math.cos(turn * a)


def yanai(b1, b2):
    def f(a):
        r, s = math.hypot(1.0 - a, b2), math.hypot(a, b1)
        return gamma(b1) * r + gamma(b2) * s, gamma(b1) * (a - 1.0) / r + gamma(b2) * a / s

    return f


JUST_LESS = 1.0 - 1e-9  # than c2, which the paper lets c1 equal
PUBLISHED = {  # the paper's tables 1 to 6: c1, c2, and trials and step from 10⁻³, 10⁻¹, 10 and 10³
    "rational": (rational, 1e-3, 0.1, [(6, 1.4), (3, 1.4), (1, 10.0), (4, 37.0)]),
    "quintic": (quintic, 0.1, 0.1, [(12, 1.6), (8, 1.6), (8, 1.6), (11, 1.6)]),
    "wavy": (wavy, 0.1, 0.1, [(12, 1.0), (12, 1.0), (10, 1.0), (13, 1.0)]),
    "Yanai 1": (yanai(1e-3, 1e-3), 1e-3, 1e-3, [(4, 0.08), (1, 0.10), (3, 0.35), (4, 0.83)]),
    "Yanai 2": (yanai(1e-2, 1e-3), 1e-3, 1e-3, [(6, 0.075), (3, 0.078), (7, 0.073), (8, 0.076)]),
    "Yanai 3": (yanai(1e-3, 1e-2), 1e-3, 1e-3, [(13, 0.93), (11, 0.93), (8, 0.92), (11, 0.92)]),
}
STARTS = (1e-3, 0.1, 10.0, 1e3)
ROWS = [pytest.param(name, i, id=f"{name}, {STARTS[i]:g}") for name in PUBLISHED for i in range(4)]


@pytest.mark.parametrize(("name", "i"), ROWS)
def test_strong_wolfe_does_what_the_paper_does(name, i):
    f, c1, c2, rows = PUBLISHED[name]
    search = globalisers.StrongWolfe(min(c1, c2 * JUST_LESS), c2)
    found, *_, asked = searched(search, f, STARTS[i])
    trials, step = rows[i]
    assert len(asked) == trials
    assert float(found.x[0]) == pytest.approx(step, rel=0.07)


def is_strong_wolfe(found, before, slope, c1, c2):
    t, here = float(found.x[0]), float(found.gradient[0])
    return found.value <= before + c1 * t * slope and abs(here) <= -c2 * slope


def random_function(rng):
    """Some valley of waves on a bowl, with a slope below 0 at 0."""
    waves = rng.normal(size=4), 10.0 ** rng.uniform(-1.0, 1.0, size=4), rng.uniform(0.0, 6.0, 4)
    a, w, phase = waves
    bowl, scale = 10.0 ** rng.uniform(-2.0, 2.0), 10.0 ** rng.uniform(-3.0, 3.0)
    lean = float(np.sum(a * w * np.cos(phase))) + 10.0 ** rng.uniform(-3.0, 1.0)

    def f(t):
        u = t / scale
        value = np.sum(a * np.sin(w * u + phase)) + 0.5 * bowl * u * u - lean * u
        slope = np.sum(a * w * np.cos(w * u + phase)) + bowl * u - lean
        return float(value), float(slope) / scale

    return f, scale


@pytest.mark.parametrize(("c1", "c2"), [(1e-4, 0.9), (1e-4, 0.2), (0.1, 0.11), (0.4, 0.6)])
@pytest.mark.parametrize("seed", range(4))
def test_strong_wolfe_on_random_functions(c1, c2, seed):
    rng = np.random.default_rng(seed)
    search = globalisers.StrongWolfe(c1, c2)
    for _ in range(100):
        f, scale = random_function(rng)
        first = scale * 10.0 ** rng.uniform(-6.0, 4.0)
        found, before, slope, asked = searched(search, f, first)
        assert is_strong_wolfe(found, before, slope, c1, c2)
        assert len(asked) == len(set(asked)) <= 40
        assert asked[0] == first


def walled(f, wall, bad):
    return lambda t: bad if t > wall else f(t)


@pytest.mark.parametrize("bad", [(np.nan, np.nan), (np.inf, 1.0), (-np.inf, 1.0), (1.0, np.nan)])
@pytest.mark.parametrize("seed", range(2))
def test_strong_wolfe_beside_regions_without_numbers(bad, seed):
    """What is found is at least a fall, and inside; where there is room, of strong Wolfe."""
    rng = np.random.default_rng(seed)
    search = globalisers.StrongWolfe()
    good = 0
    for _ in range(100):
        f, scale = random_function(rng)
        wall, first = scale * 10.0 ** rng.uniform(-3.0, 1.0), scale * 10.0 ** rng.uniform(-2.0, 4.0)
        found, before, slope, _ = searched(search, walled(f, wall, bad), first)
        assert 0.0 < float(found.x[0]) <= wall
        assert found.value < before
        good += is_strong_wolfe(found, before, slope, 1e-4, 0.9)
    assert good >= 30


@pytest.mark.parametrize("seed", range(2))
def test_strong_wolfe_goes_no_further_than_it_may(seed):
    rng = np.random.default_rng(seed)
    search = globalisers.StrongWolfe()
    at_the_end = 0
    for _ in range(100):
        f, scale = random_function(rng)
        longest = scale * 10.0 ** rng.uniform(-3.0, 1.0)
        found, before, slope, asked = searched(search, f, min(scale, longest), longest)
        assert max(asked) <= longest
        if max(asked) == found.x[0] == longest:
            at_the_end += 1
            assert found.value <= before + 1e-4 * longest * slope
        else:
            assert is_strong_wolfe(found, before, slope, 1e-4, 0.9)
    assert at_the_end > 10


def test_strong_wolfe_gives_up():
    search = globalisers.StrongWolfe()
    beside = searched(search, lambda t: (0.0 if t <= 1.0 else 1.0, -1.0), 1.0 + 2e-16)[0]
    assert beside is None  # the interval has closed
    wrong = searched(search, lambda t: (t, -1.0), 1.0)  # a slope of another function
    assert wrong[0] is None
    assert searched(search, lambda t: (0.0 if t == 0.0 else np.nan, -1.0), 1.0)[0] is None
    flat = searched(search, lambda t: (-min(t, 1e-9), -1.0), 1.0)[0]  # it falls, but not enough
    assert flat is not None
    assert flat.value < 0.0
    endless, *_, asked = searched(search, lambda t: (-t, -1.0), 1.0)
    assert len(asked) <= 40
    assert float(endless.x[0]) > 1e15


@pytest.mark.parametrize(("c1", "c2"), [(0.0, 0.9), (0.5, 0.5), (0.9, 0.1), (0.1, 1.0), (-1, 0.5)])
def test_strong_wolfe_refuses(c1, c2):
    with pytest.raises(UsageError, match="StrongWolfe: 0 < c1 < c2 < 1"):
        globalisers.StrongWolfe(c1, c2)


def test_cubic_minimum():
    rng = np.random.default_rng(0)
    for _ in range(300):
        c = rng.normal(size=4)
        cubic, slope = np.polynomial.Polynomial(c), np.polynomial.Polynomial(c).deriv()
        a, b = rng.normal(size=2) * 10.0 ** rng.uniform(-3.0, 3.0)
        ends = [Trial(t, float(cubic(t)), float(slope(t))) for t in (a, b)]
        t = cubic_minimum(*ends)
        stationary = [r for r in np.atleast_1d(slope.roots()) if abs(r.imag) < 1e-12]
        minima = [float(r.real) for r in stationary if slope.deriv()(r.real) > 0.0]
        if minima and max(abs(a), abs(b)) < 10.0 * (1.0 + abs(minima[0])) and abs(a - b) > 0.01:
            assert t == pytest.approx(minima[0], rel=1e-5, abs=1e-5)
    line = [Trial(t, 2.0 * t, 2.0) for t in (1.0, 3.0)]
    assert cubic_minimum(*line) == 3.0


def test_a_cubic_without_a_minimum():
    rising = [Trial(t, t**3 + t, 3.0 * t * t + 1.0) for t in (-1.0, 2.0)]
    assert cubic_minimum(*rising) == 2.0
    assert cubic_minimum(*reversed(rising)) == -1.0


def test_armijo():
    rng = np.random.default_rng(0)
    search = globalisers.Armijo(0.1)
    for _ in range(200):
        f, scale = random_function(rng)
        wall = scale * 10.0 ** rng.uniform(-3.0, 2.0)
        first = scale * 10.0 ** rng.uniform(-3.0, 4.0)
        found, before, slope, asked = searched(search, walled(f, wall, (np.nan, 1.0)), first)
        assert asked[0] == first
        assert found.value <= before + 0.1 * asked[-1] * slope
        assert found.x[0] == asked[-1]
        for a, b in pairwise(asked):
            assert 0.1 - 1e-12 <= b / a <= 0.5 + 1e-12


def test_armijo_takes_the_minimiser_of_the_parabola():
    *_, asked = searched(globalisers.Armijo(), lambda t: (2.0 * t * t - t, 4.0 * t - 1.0), 1.0)
    np.testing.assert_allclose(asked, [1.0, 0.25])


def test_armijo_gives_up():
    assert searched(globalisers.Armijo(), lambda t: (t, -1.0), 1.0)[0] is None
    point, asked = on_a_line(lambda t: (t, -1.0))
    far = Point(point.oracle, np.array([1e300]))
    _ = far.value
    asked.clear()
    assert globalisers.Armijo().search(far, np.ones(1), -1.0, 1.0, np.inf) is None
    assert len(asked) == 1  # x + p is x: no shorter step is another point
    for c1 in (-0.1, 1.0, np.nan, "0.1"):
        with pytest.raises(UsageError, match="Armijo: c1"):
            globalisers.Armijo(c1)


class Along(directions.Direction):
    """A direction that is told where to go, and notes what it is taught."""

    memory = ("given",)

    def __init__(self, *steps, natural=True):
        self.given, self.natural, self.learned, self.forgotten = list(steps), natural, [], 0

    def forget(self):
        self.forgotten += 1

    def along(self, point):
        return np.atleast_1d(self.given[min(self.forgotten, len(self.given) - 1)])


def test_first_trials():
    """1 where the step has a length of its own, else as far as the last fall tells."""
    point, asked = on_a_line(lambda t: (t * t - 40.0 * t, 2.0 * t - 40.0))
    globalisers.StrongWolfe().advance(point, Along(10.0))
    assert asked[0] == 10.0
    asked.clear()
    search = globalisers.Armijo()
    new = search.advance(point, Along(10.0, natural=False))
    assert asked == [1.5]  # of length 1.5 at the start
    slope = float(new.gradient[0])
    asked.clear()
    search.advance(new, Along(1.0, natural=False))
    assert asked[0] - new.x[0] == pytest.approx(2.02 * (0.0 - new.value) / -slope)
    assert search.before == new.value
    search.forget()
    assert search.before is None


def test_a_direction_that_misleads_is_asked_again():
    point, _ = on_a_line(lambda t: (0.0 if t == 0.0 else 1.0 if t < 5.0 else -9.0, -1.0))
    direction = Along(1.0, 10.0)
    new = globalisers.Armijo().advance(point, direction)
    assert (new.x[0], new.value, direction.forgotten) == (10.0, -9.0, 1)


def test_no_way_down():
    kink, _ = on_a_line(lambda t: (abs(t), -1.0 if t <= 0.0 else 1.0))
    for search in (globalisers.Armijo(), globalisers.StrongWolfe()):
        direction = Along(1.0)
        with pytest.raises(Stop) as stop:
            search.advance(kink, direction)
        assert stop.value.reason == "no descent"
        assert "should have fallen by 1 and did not" in stop.value.details
        assert direction.forgotten == 1
    for p, reason in [(-1.0, "no descent"), (np.nan, "non-finite"), (0.0, "precision")]:
        with pytest.raises(Stop) as stop:
            globalisers.Armijo().advance(kink, Along(p))
        assert stop.value.reason == reason


def test_nowhere():
    point, _ = on_a_line(lambda t: (3.0, 1.0))
    here = Point(point.oracle, np.array([2.0, -1e3]))
    here.value = 3.0
    said = [
        (np.array([1e-14, 1e-12]), 1.0, "precision"),  # lost in the rounding of x
        (np.ones(2), 1e-15, "precision"),  # and of f
        (np.ones(2), 1e-9, "no descent"),
        (np.full(2, 1e-9), 1.0, "no descent"),
    ]
    for step, expected, reason in said:
        assert nowhere(here, step, expected).reason == reason


# Rates


def test_fixed_rate():
    point, _ = on_a_line(lambda t: ((t - 3.0) ** 2, 2.0 * (t - 3.0)))
    rate, direction = globalisers.FixedRate(0.25), directions.Steepest()
    one = rate.advance(point, direction)
    two = rate.advance(one, direction)
    assert (one.x[0], two.x[0], rate.steps) == (1.5, 2.25, 2)
    asked = []
    scheduled = globalisers.FixedRate(lambda step: asked.append(step) or 1.0 / step)
    one = scheduled.advance(point, direction)
    scheduled.advance(one, direction)
    assert asked == [1, 2]
    assert one.x[0] == 6.0
    for lr in (-0.1, np.inf, "fast", True):
        with pytest.raises(UsageError, match="FixedRate: lr"):
            globalisers.FixedRate(lr)


@pytest.mark.parametrize(
    "f", [lambda t: (np.nan, 1.0), lambda t: (1.0, np.inf), lambda t: (1e11, 1.0)]
)
def test_a_fixed_rate_that_diverges(f):
    point, _ = on_a_line(lambda t: (0.5, 1.0) if t == 0.0 else f(t))
    with pytest.raises(Stop) as stop:
        globalisers.FixedRate(1.0).advance(point, directions.Steepest())
    assert stop.value.reason == "diverging"
    assert "lower the rate" in stop.value.details


@pytest.mark.parametrize("w", [[3.0, 1.0, -2.0], [-5.0, 1.0, 0.0], [7.0], [1e-9, 3e-9]])
def test_inverse_curvature(w):
    H, _ = rotated(np.array(w), np.random.default_rng(0))
    oracle = Objective(lambda x: (x @ H @ x, 2.0 * H @ x), np.ones(len(w)), jac=True,
                       hess=lambda x: 2.0 * H)  # fmt: skip
    rate = globalisers.InverseCurvature(every=3, products=60)
    point = Point(oracle, np.ones(len(w)))
    rate.steps = 1
    assert rate.rate(point) == pytest.approx(0.5 / np.abs(w).max(), rel=1e-6)
    asked = oracle.nhev
    rate.steps = 2
    rate.rate(point)
    assert oracle.nhev == asked
    rate.steps = 4
    rate.rate(point)
    assert oracle.nhev == asked + 60
    assert np.linalg.norm(rate.vector) == pytest.approx(2.0 * np.abs(w).max(), rel=1e-6)


@pytest.mark.parametrize("curvature", [0.0, np.inf, np.nan])
def test_no_curvature_to_go_by(curvature):
    oracle = Objective(lambda x: (1.0, x), np.ones(2), jac=True,
                       hess=lambda x: curvature * np.eye(2))  # fmt: skip
    with pytest.raises(Stop) as stop:
        globalisers.InverseCurvature().advance(Point(oracle, np.ones(2)), directions.Steepest())
    assert stop.value.reason == "singular"


# Trust regions


class Within(directions.Direction):
    """Gives the steps it was told, with the falls it was told."""

    def __init__(self, *given):
        self.given, self.radii = list(given), []

    def within(self, point, radius):
        self.radii.append(radius)
        step, expected = self.given.pop(0) if self.given else (0.5 * radius, 1e9)
        return np.atleast_1d(step), expected


def advanced(f, given, radius=1.0, **options):
    point, _ = on_a_line(lambda t: (f(t), 1.0))
    region, direction = globalisers.TrustRegion(radius, **options), Within(*given)
    return region.advance(point, direction), region, direction


@pytest.mark.parametrize(
    ("step", "ratio", "radius"),
    [
        (1.0, 0.9, 2.0),  # foretold well, to the edge
        (0.995, 0.9, 2.0),
        (0.5, 0.9, 1.0),  # well, but not to the edge
        (1.0, 0.75, 1.0),
        (1.0, 0.5, 1.0),
        (1.0, 0.25, 1.0),
        (1.0, 0.2, 0.25),
        (0.8, 0.2, 0.2),
        (1.0, 2e-4, 0.25),
        (1.0, 5.0, 2.0),
    ],
)
def test_trust_region_follows_the_model(step, ratio, radius):
    new, region, _ = advanced(lambda t: -ratio * t / step, [(step, 1.0)])
    assert new.x[0] == step
    assert new.expected == 1.0
    assert region.radius == pytest.approx(radius)


def test_trust_region_refuses_and_shrinks():
    def f(t):
        return 0.0 if t == 0.0 else np.nan if t > 0.4 else -1.0 if t < 0.02 else 1.0

    new, region, direction = advanced(f, [(1.0, 1.0), (0.2, 1.0), (0.05, 1.0), (0.01, 1.0)])
    np.testing.assert_allclose(direction.radii, [1.0, 0.25, 0.05, 0.0125])
    assert new.x[0] == 0.01
    assert region.radius == pytest.approx(0.0125)  # well foretold, but not to the edge


def test_the_largest_radius():
    _, region, _ = advanced(lambda t: -t, [(1.0, 1.0)], largest=1.5)
    assert region.radius == 1.5


def test_the_first_radius():
    for x, radius in [(np.array([3.0, 4.0]), 0.5), (np.zeros(2), 1.0)]:
        direction = Within((np.full(2, 1e-3), 1.0))
        oracle = Objective(lambda y: -float(np.sum(y)), x, jac=lambda y: -np.ones(2))
        region = globalisers.TrustRegion(None)
        region.advance(Point(oracle, x), direction)
        assert direction.radii == [radius]
        region.forget()
        assert region.radius is None
    for wrong in ({"radius": -1.0}, {"largest": np.nan}, {"radius": "wide"}):
        with pytest.raises(UsageError, match="TrustRegion: "):
            globalisers.TrustRegion(**wrong)


def test_a_radius_of_nothing():
    for wrong in ({"radius": 0.0}, {"largest": 0.0}):
        with pytest.raises(UsageError, match="TrustRegion: "):
            globalisers.TrustRegion(**wrong)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "no descent"),
        ([(1.0, 0.0)], "precision"),
        ([(0.0, 1.0)], "precision"),
        ([(1.0, np.nan)], "no descent"),
    ],
)
def test_a_trust_region_that_finds_nothing(given, reason):
    with pytest.raises(Stop) as stop:
        advanced(lambda t: t, given)
    assert stop.value.reason == reason


def test_a_trust_region_without_a_gradient():
    point, _ = on_a_line(lambda t: (1.0, np.nan))
    with pytest.raises(Stop) as stop:
        globalisers.TrustRegion().advance(point, Within())
    assert stop.value.reason == "non-finite"


# Damping


class Model:
    """A model of residuals that foretells a fall of 1 for steps of 1/(1 + λ)."""

    scale = 1000.0

    def __init__(self):
        self.dampings = []

    def step(self, damping):
        self.dampings.append(damping)
        return np.array([1.0 / (1.0 + damping)]), 1.0


class DampedBy(directions.Direction):
    def __init__(self):
        self.model = Model()

    def damped(self, point):
        return self.model


@pytest.mark.parametrize("ratio", [2e-3, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 1.0, 4.0])
def test_damping_by_the_gain_ratio(ratio):
    """Nielsen's formula; from ρ = 0.936 on the third that is left at least."""
    point, _ = on_a_line(lambda t: (0.0 if t == 0.0 else -ratio, 1.0))
    damping = globalisers.Damping(acceleration=0.0)
    new = damping.advance(point, DampedBy())
    assert new.expected == 1.0
    expected = 1.0 * max(1.0 / 3.0, 1.0 - (2.0 * min(ratio, 1.0) - 1.0) ** 3)
    assert damping.damping == pytest.approx(expected)
    assert damping.growth == 2.0


def test_damping_grows_until_a_step_is_good():
    def f(t):
        return 0.0 if t == 0.0 else -1.0 if t < 0.02 else np.nan if t > 0.3 else 1.0

    point, _ = on_a_line(lambda t: (f(t), 1.0))
    damping, direction = globalisers.Damping(acceleration=0.0), DampedBy()
    new = damping.advance(point, direction)
    assert direction.model.dampings == [1.0, 2.0, 8.0, 64.0]  # ×2, ×4, ×8
    assert new.x[0] == 1.0 / 65.0
    assert damping.damping == pytest.approx(64.0 / 3.0)
    assert damping.growth == 2.0
    damping.advance(point, direction)
    assert direction.model.dampings[4] == pytest.approx(64.0 / 3.0)
    damping.forget()
    assert (damping.damping, damping.growth) == (None, 2.0)


def test_damping_that_finds_nothing():
    point, _ = on_a_line(lambda t: (1.0 + t, 1.0))
    damping, direction = globalisers.Damping(acceleration=0.0), DampedBy()
    with pytest.raises(Stop) as stop:
        damping.advance(point, direction)
    assert stop.value.reason == "no descent"
    assert len(direction.model.dampings) < 60
    for wrong in ({"start": -1.0}, {"acceleration": np.inf}, {"start": None}):
        with pytest.raises(UsageError, match="Damping: "):
            globalisers.Damping(**wrong)


# Learned matrices


def pairs(seed, n, count, bent=0.2):
    """Steps and changes of gradients; some of them without positive curvature."""
    rng = np.random.default_rng(seed)
    w = 10.0 ** rng.uniform(-2.0, 2.0, size=n)
    H, _ = rotated(w, rng)
    for _ in range(count):
        s = rng.normal(size=n) * 10.0 ** rng.uniform(-2.0, 2.0)
        y = H @ s + 0.1 * rng.normal(size=n) * np.linalg.norm(H @ s)
        yield s, -y if rng.random() < bent else y


class At:
    """A point with a gradient."""

    bounds = None

    def __init__(self, x, gradient):
        self.x, self.gradient = x, gradient


def taught(direction, given):
    """The direction after these steps, and those of them that it can have learned from."""
    kept = []
    for s, y in given:
        direction.learn(At(np.zeros_like(s), np.zeros_like(s)), At(s, y))
        if float(s @ y) > EPS * float(np.linalg.norm(s) * np.linalg.norm(y)):
            kept.append((s, y))
    return kept


def updated(H, s, y):
    """The textbook's BFGS update of an inverse Hessian."""
    rho, eye = 1.0 / float(y @ s), np.eye(len(s))
    V = eye - rho * np.outer(y, s)
    return V.T @ H @ V + rho * np.outer(s, s)


@pytest.mark.parametrize("n", [1, 2, 5, 12])
@pytest.mark.parametrize("seed", range(5))
def test_bfgs_is_positive_definite_and_keeps_to_the_secant(n, seed):
    direction, H = directions.BFGS(), None
    for s, y in pairs(seed, n, 30):
        before = direction.inverse
        taught(direction, [(s, y)])
        if float(s @ y) <= 0.0:
            assert direction.inverse is before
            continue
        if H is None:
            H = np.eye(n) * float(s @ s) / float(s @ y)
        H = updated(H, s, y)
        found = direction.inverse
        np.testing.assert_allclose(found, H, rtol=1e-6, atol=1e-9 * np.abs(H).max())
        np.testing.assert_allclose(
            found @ y, s, rtol=1e-6, atol=1e-9 * np.abs(found).max() * np.linalg.norm(y)
        )
        assert np.linalg.eigvalsh(0.5 * (found + found.T))[0] > 0.0
        H = found
    g = np.arange(1.0, n + 1.0)
    np.testing.assert_array_equal(direction.along(At(None, g)), -(direction.inverse @ g))


def test_before_it_has_learned():
    g = np.array([3.0, -4.0])
    for kind in (directions.BFGS, directions.LBFGS, directions.LBFGSB):
        direction = kind()
        assert not direction.natural
        np.testing.assert_array_equal(direction.along(At(None, g)), -g)
        taught(direction, [(np.ones(2), np.ones(2))])
        assert direction.natural
        direction.forget()
        assert not direction.natural
        np.testing.assert_array_equal(direction.along(At(None, g)), -g)


@pytest.mark.parametrize("kind", [directions.LBFGS, directions.LBFGSB])
def test_curvature_that_all_but_underflows(kind):
    """At 10⁻¹⁶⁰ the products of steps and changes are no numbers to divide by."""
    direction = kind()
    taught(direction, [(np.full(2, 1e-160), np.full(2, 1e-160))])
    assert np.isfinite(direction.along(At(None, np.full(2, 1e-160)))).all()


@pytest.mark.parametrize("n", [1, 2, 5, 12])
@pytest.mark.parametrize("seed", range(5))
def test_lbfgs_is_bfgs_with_the_same_scaling(n, seed):
    given = list(pairs(seed, n, 15))
    for memory in (100, 4, 1):
        direction = directions.LBFGS(memory)
        kept = taught(direction, given)[-memory:]
        s, y = kept[-1]
        H = np.eye(n) * float(s @ y) / float(y @ y)
        for s, y in kept:
            H = updated(H, s, y)
        assert len(direction.steps) == len(direction.changes) == len(kept)
        for g in np.random.default_rng(seed).normal(size=(3, n)):
            p = direction.along(At(None, g))
            np.testing.assert_allclose(p, -(H @ g), rtol=1e-6, atol=1e-9 * np.abs(H @ g).max())
            assert float(p @ g) < 0.0


@pytest.mark.parametrize("memory", [0, -1, 2.5, "all", None])
def test_lbfgs_refuses(memory):
    with pytest.raises(UsageError, match="memory must be a whole number of at least 1"):
        directions.LBFGS(memory)


def test_conjugate_gradients_are_those_of_a_quadratic():
    """With exact steps the formula is Fletcher and Reeves': it ends after n steps."""
    rng = np.random.default_rng(0)
    A, _ = rotated(np.array([1.0, 2.0, 5.0, 9.0]), rng)
    direction, x = directions.ConjugateGradient(), rng.normal(size=4)
    walked = []
    for _ in range(4):
        g = A @ x
        p = direction.along(At(x, g))
        for q in walked:
            assert abs(float(p @ A @ q)) < 1e-10 * np.linalg.norm(A @ p) * np.linalg.norm(q)
        new = x - float(g @ p) / float(p @ A @ p) * p
        direction.learn(At(x, g), At(new, A @ new))
        walked.append(p)
        x = new
    assert np.linalg.norm(x) < 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_conjugate_gradients_go_down_whatever_they_learned(seed):
    rng = np.random.default_rng(seed)
    direction = directions.ConjugateGradient()
    for s, y in pairs(seed, 6, 60):
        taught(direction, [(s, y)])
        for g in rng.normal(size=(4, 6)):
            p = direction.along(At(None, g))
            assert float(p @ g) <= -0.6 * float(g @ g) * (1.0 - 1e-9)  # 1 − η of it at least
            if float(s @ y) <= 0.0:
                np.testing.assert_array_equal(p, -g)


# Within bounds


def dense(given):
    """B of the pairs: θI, updated with each of them."""
    s, y = given[-1]
    B = np.eye(len(s)) * float(y @ y) / float(s @ y)
    for s, y in given:
        Bs = B @ s
        B = B - np.outer(Bs, Bs) / float(s @ Bs) + np.outer(y, y) / float(y @ s)
    return B


def compact(given, n):
    return Compact([s for s, _ in given], [y for _, y in given], n)


@pytest.mark.parametrize("n", [2, 5, 12])
@pytest.mark.parametrize("seed", range(5))
def test_the_compact_matrix_is_that_of_bfgs(n, seed):
    rng = np.random.default_rng(seed)
    for count in (1, 2, n):
        given = list(pairs(seed, n, count, bent=0.0))
        model, B = compact(given, n), dense(given)
        size = np.abs(B).max()
        made = model.theta * np.eye(n) - model.W @ model.M @ model.W.T
        np.testing.assert_allclose(made, B, rtol=1e-6, atol=1e-8 * size)
        for free in (np.ones(n, bool), rng.random(n) < 0.5):
            if free.any():
                r = rng.normal(size=int(free.sum()))
                found = model.solved(free, r)
                back = B[np.ix_(free, free)] @ found
                np.testing.assert_allclose(back, r, atol=1e-6 * np.linalg.cond(B) ** 0.5)
    empty = Compact([], [], n)
    np.testing.assert_array_equal(empty.solved(np.ones(n, bool), np.arange(n)), np.arange(n))


def random_box(rng, n):
    """Bounds of all sorts, and a point inside, often on them."""
    lower = np.where(rng.random(n) < 0.3, -np.inf, rng.normal(size=n) - 1.0)
    upper = np.where(rng.random(n) < 0.3, np.inf, np.maximum(lower, -9.0) + rng.exponential(size=n))
    fixed = rng.random(n) < 0.1
    upper[fixed] = lower[fixed] = np.where(np.isfinite(lower[fixed]), lower[fixed], 0.0)
    x = np.where(np.isfinite(lower), lower, np.where(np.isfinite(upper), upper - 2.0, 0.3))
    inside = rng.random(n) < 0.6
    top = np.minimum(np.where(np.isfinite(upper), upper, x + 1.0), x + 1.0)
    return Bounds(lower, upper), np.where(inside, x + rng.random(n) * (top - x), x)


def first_minimum(x, g, bounds, B):
    """The first minimum of gᵀd + ½dᵀBd along the projected path, piece by piece."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.where(g < 0.0, (x - bounds.upper) / g, (x - bounds.lower) / g)
    ends = np.where(g == 0.0, np.inf, ends)
    stops = [0.0, *np.unique(ends[(ends > 0.0) & np.isfinite(ends)]), np.inf]
    for low, high in pairwise(stops):
        z = bounds.clip(x - low * g)
        d = np.where(ends > low, -g, 0.0)
        slope, bend = float((g + B @ (z - x)) @ d), float(d @ B @ d)
        if slope >= 0.0:
            return z
        if bend > 0.0 and low - slope / bend < high:
            return bounds.clip(x + (low - slope / bend) * np.where(ends > low, -g, 0.0) + (
                np.where(ends > low, 0.0, z - x)))  # fmt: skip
    raise AssertionError("the model has no minimum")


@pytest.mark.parametrize("seed", range(60))
def test_cauchy_point_against_the_path(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    given = list(pairs(seed, n, int(rng.integers(0, 6)), bent=0.0))
    model = compact(given, n)
    B = dense(given) if given else np.eye(n)
    for _ in range(10):
        bounds, x = random_box(rng, n)
        g = rng.normal(size=n) * 10.0 ** rng.uniform(-2.0, 2.0) * (rng.random(n) < 0.9)
        z, c = cauchy_point(x, g, bounds, model)
        expected = first_minimum(x, g, bounds, B)
        np.testing.assert_allclose(z, expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(
            c, model.W.T @ (z - x), atol=1e-7 * (1.0 + np.abs(model.W).max(initial=0.0))
        )
        assert (z >= bounds.lower).all()
        assert (z <= bounds.upper).all()


@pytest.mark.parametrize("seed", range(60))
def test_steps_within_bounds_stay_inside_and_go_down(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    direction = directions.LBFGSB(5)
    taught(direction, pairs(seed, n, int(rng.integers(0, 8))))
    for _ in range(10):
        bounds, x = random_box(rng, n)
        point = At(x, rng.normal(size=n) * 10.0 ** rng.uniform(-2.0, 2.0))
        point.bounds = bounds
        p = direction.along(point)
        whole = x + p
        slack = 1e-12 * (1.0 + np.abs(x))
        assert (whole >= bounds.lower - slack).all()
        assert (whole <= bounds.upper + slack).all()
        inside = bounds.clip(x - point.gradient) - x
        if np.abs(inside).max() > 1e-9:
            assert float(p @ point.gradient) < 0.0
        longest = direction.longest(point, p)
        assert longest >= 1.0
        if np.isfinite(longest):
            far = x + longest * p
            assert (far >= bounds.lower - 1e-9 * (1.0 + np.abs(far))).all()
            assert (far <= bounds.upper + 1e-9 * (1.0 + np.abs(far))).all()


def test_without_bounds_it_is_lbfgs():
    given = list(pairs(0, 4, 9))
    one, other = directions.LBFGSB(3), directions.LBFGS(3)
    taught(one, given)
    taught(other, given)
    point = At(np.zeros(4), np.arange(1.0, 5.0))
    np.testing.assert_array_equal(one.along(point), other.along(point))
    assert one.longest(point, point.gradient) == np.inf


def test_bounds():
    bounds = Bounds(np.array([0.0, -np.inf, 1.0, 0.0]), np.array([1.0, 2.0, 1.0, np.inf]))
    x = np.array([0.0, 2.0, 1.0, 5.0])
    np.testing.assert_array_equal(bounds.clip(x + 3.0), [1.0, 2.0, 1.0, 8.0])
    free = bounds.free(x, np.array([1.0, -1.0, 1.0, 1.0]))
    np.testing.assert_array_equal(free, [False, False, False, True])
    free = bounds.free(x, np.array([-1.0, 1.0, 0.0, -1.0]))
    np.testing.assert_array_equal(free, [True, True, True, True])
    assert bounds.reach(x, np.array([0.5, 0.0, 0.0, -1.0])) == 2.0
    assert bounds.reach(x, np.array([0.0, -1.0, 0.0, 1.0])) == np.inf
    assert bounds.reach(x, np.zeros(4)) == np.inf


# Gauss–Newton


@pytest.mark.parametrize("shape", [(5, 3), (3, 3), (2, 4), (1, 1), (9, 1)])
def test_damped_steps_against_the_normal_equations(shape):
    rng = np.random.default_rng(0)
    J, r = rng.normal(size=shape), rng.normal(size=shape[0])
    n = shape[1]
    oracle = Residuals(lambda x: r + J @ x, np.zeros(n), jac=lambda x: J)
    for bounds in (None, Bounds(np.where(np.arange(n) % 2, 0.0, -9.0), np.full(n, 9.0))):
        point = Point(oracle, np.zeros(n), bounds)
        point.dense = True
        model = directions.GaussNewton().damped(point)
        free = np.ones(n, bool) if bounds is None else bounds.free(point.x, point.gradient)
        K = J[:, free]
        assert model.scale == pytest.approx(np.max(np.diag(J.T @ J)[free]))
        for damping in (1e-6, 1.0, 1e6):
            p, expected = model.step(damping)
            N = K.T @ K + damping * np.eye(K.shape[1])
            np.testing.assert_allclose(p[free], -np.linalg.solve(N, K.T @ r), rtol=1e-6)
            assert not p[~free].any()
            fall = 0.5 * float(r @ r) - 0.5 * float(np.sum((r + J @ p) ** 2))
            assert expected == pytest.approx(fall, rel=1e-6)
            np.testing.assert_allclose(model.along(p), J @ p, atol=1e-12)
            bend = rng.normal(size=shape[0])
            a = model.corrected(bend)
            np.testing.assert_allclose(a[free], -np.linalg.solve(N, K.T @ bend), rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_jacobian_of_no_numbers(bad):
    oracle = Residuals(lambda x: x, np.ones(2), jac=lambda x: np.full((2, 2), bad))
    point = Point(oracle, np.ones(2))
    for ask in (directions.GaussNewton().along, lambda p: directions.GaussNewton().within(p, 1.0)):
        with pytest.raises(Stop) as stop:
            ask(point)
        assert stop.value.reason == "non-finite"


def test_triangles():
    rng = np.random.default_rng(0)
    for m, n in [(1, 1), (5, 3), (9, 9), (40, 2), (3, 4)]:
        A = rng.normal(size=(m, n))
        R = triangle(A)
        np.testing.assert_allclose(R.T @ R, A.T @ A, rtol=1e-10, atol=1e-12)
        np.testing.assert_array_equal(R, np.triu(R))
        assert R.shape == (min(m, n), n)


def test_columns_are_scaled_before_their_rank_is_judged():
    rng = np.random.default_rng(1)
    for m, n in [(1, 1), (4, 4), (7, 3)]:
        J, r = rng.normal(size=(m, n)) * 10.0 ** (7.0 * np.arange(n)), rng.normal(size=m)
        R, Qr, lengths = scaled_triangle(J, r)
        np.testing.assert_allclose(lengths, np.sqrt((J**2).sum(axis=0)))
        np.testing.assert_allclose((R**2).sum(axis=0), np.ones(n))
        np.testing.assert_allclose(R.T @ Qr, (J / lengths).T @ r, rtol=1e-9, atol=1e-9)
    R, _, lengths = scaled_triangle(np.array([[1.0, 0.0], [1.0, 0.0]]), np.ones(2))
    assert lengths[1] == 1.0
    assert not R[:, 1].any()
