"""The problems with known answers: values, minima, derivatives and certified parameters."""

import numpy as np
import pytest

import microgradopt as mg
from benchmarks.problems import ALL, BY_NAME, any_size, load, log_relative_error
from microgradopt import Tensor

REGRESSIONS = load()
by_name = pytest.mark.parametrize("problem", ALL, ids=lambda p: p.name)
by_regression = pytest.mark.parametrize("regression", REGRESSIONS, ids=lambda r: r.name)

AT_START = {  # Σ r² at the standard start: by hand, in print, or the formulas with 30 digits
    "Rosenbrock": 24.2,
    "Freudenstein and Roth": 400.5,
    "Powell badly scaled": 1.13526171734838,
    "Brown badly scaled": 999998000003,
    "Beale": 14.203125,
    "Jennrich and Sampson": 4171.306162,
    "helical valley": 2500,
    "Bard": 41.68169586,
    "Gaussian": 3.88810699117e-6,
    "Meyer": 1693607809.4,
    "Gulf research and development": 12.11070582556949,
    "Box three-dimensional": 1031.1538106093985,
    "Powell singular": 215,
    "Wood": 19192,
    "Kowalik and Osborne": 5.313172272e-3,
    "Brown and Dennis": 7926693.33699744,
    "Osborne 1": 0.8790262935,
    "Biggs EXP6": 0.77907007565597,
    "Osborne 2": 2.093419514,
    "Watson, n=6": 30,
    "Watson, n=9": 30,
    "Watson, n=12": 30,
    "extended Rosenbrock, n=10": 5 * 24.2,
    "extended Powell singular, n=12": 3 * 215,
    "penalty I, n=4": 885.06264,
    "penalty I, n=10": 148032.56535,
    "penalty II, n=4": 2.34000880546302,
    "penalty II, n=10": 162.65277656596712,
    "variably dimensioned, n=10": 38.5**2 + 38.5**4 + 3.85,
    "trigonometric, n=10": 7.07575946622261e-3,
    "Brown almost-linear, n=10": 9 * 5.5**2 + (1 - 2**-10) ** 2,
    "discrete boundary value, n=10": 7.885191013e-4,
    "discrete integral equation, n=10": 6.341684158e-2,
    "Broyden tridiagonal, n=10": 21,
    "Broyden banded, n=10": 360,
    "linear, full rank, n=5": 25,
    "linear, rank 1, n=5": 84985,
    "linear, rank 1 with zeros, n=5": 15886,
    "Chebyquad, n=8": 3.861769829e-2,
    "Chebyquad, n=9": 2.888298029e-2,
    "Chebyquad, n=10": 3.376326546e-2,
}

PUBLISHED = {  # minima other than 0, as the paper prints them
    "Freudenstein and Roth": 48.9842,
    "Jennrich and Sampson": 124.362,
    "Bard": 8.21487e-3,
    "Gaussian": 1.12793e-8,
    "Meyer": 87.9458,
    "Kowalik and Osborne": 3.07505e-4,
    "Brown and Dennis": 85822.2,
    "Osborne 1": 5.46489e-5,
    "Biggs EXP6": 5.65565e-3,
    "Osborne 2": 4.01377e-2,
    "Watson, n=6": 2.28767e-3,
    "Watson, n=9": 1.39976e-6,
    "Watson, n=12": 4.72238e-10,
    "penalty I, n=4": 2.24997e-5,
    "penalty I, n=10": 7.08765e-5,
    "penalty II, n=4": 9.37629e-6,
    "penalty II, n=10": 2.93660e-4,
    "trigonometric, n=10": 2.79506e-5,
    "Brown almost-linear, n=10": 1.0,
    "linear, full rank, n=5": 5.0,
    "linear, rank 1, n=5": 15 / 7,
    "linear, rank 1 with zeros, n=5": 62 / 17,
    "Chebyquad, n=8": 3.51687e-3,
    "Chebyquad, n=10": 6.50395e-3,
}

ROOT = 22**0.5
SAME = [  # problems 28 and 29 are two forms of one equation
    -0.0431649825188, -0.0815771565354, -0.114485714381, -0.140973576863, -0.159908696182,
    -0.169877202313, -0.169089983781, -0.155249535222, -0.125355891679, -0.0754165336859,
]  # fmt: skip
MINIMIZERS = {  # a point for each of a problem's minima, in their order
    "Rosenbrock": [(1, 1)],
    "Freudenstein and Roth": [(5, 4), ((53 - 4 * ROOT) / 3, (2 - ROOT) / 3)],
    "Powell badly scaled": [
        (1.0981593297e-5, 9.10614673987), (-0.0099480919258, -0.0099480919258),
    ],
    "Brown badly scaled": [(1e6, 2e-6)],
    "Beale": [(3, 0.5)],
    "Jennrich and Sampson": [(0.25782521367, 0.25782521367)],
    "helical valley": [(1, 0, 0)],
    "Bard": [(0.0824105597498, 1.13303609203, 2.34369517864), (0.840666666667, -1e12, -1e12)],
    "Gaussian": [(0.398956137839, 1.00001908449, 0)],
    "Meyer": [(0.00560963647103, 6181.34634629, 345.223634624)],
    "Gulf research and development": [(50, 25, 1.5)],
    "Box three-dimensional": [(1, 10, 1)],
    "Powell singular": [(0, 0, 0, 0)],
    "Wood": [(1, 1, 1, 1)],
    "Kowalik and Osborne": [
        (0.192806934579, 0.191282328734, 0.123056506926, 0.136062330684),
        (3173330889270.0, -14.0758834006, -143616044508000.0, -89587881160200.0),
    ],
    "Brown and Dennis": [(-11.5944399048, 13.2036300512, -0.403439488177, 0.236778774456)],
    "Osborne 1": [
        (0.375410052107, 1.93584691271, -1.46468713661, 0.0128675346401, 0.0221226996617),
    ],
    "Biggs EXP6": [
        (1, 10, 1, 5, 4, 3),
        (1.71141599586, 17.6831979847, 2.32628732381, 2.90045817226, 17.6831982068, -2.28610333594),
    ],
    "Osborne 2": [
        (
            1.30997715463, 0.431553794603, 0.633661698961, 0.599430534786, 0.754183226328,
            0.90428857986, 1.36581183524, 4.82369881723, 2.39868486613, 4.56887459767,
            5.67534147058,
        ),
    ],
    "Watson, n=6": [
        (
            -0.0157250864015, 1.01243486937, -0.232991625957, 1.2604300878, -1.51372892272,
            0.992996432431,
        ),
    ],
    "Watson, n=9": [
        (
            -1.53070365214e-05, 0.99978970393195, 0.0147639636935451, 0.1463423282995051,
            1.00082110300401, -2.6177311405173, 4.1044031644766, -3.143612278555,
            1.0526264080097818,
        ),
    ],
    "Watson, n=12": [
        (
            -6.638060464555523e-09, 1.0000016441178612, -0.0005639322101735242, 0.3478205405002302,
            -0.1567315040594934, 1.0528151770152154, -3.247271152854373, 7.28843489673614,
            -10.271848239807397, 9.07411364590051, -4.541375466180607, 1.0120118884569442,
        ),
    ],
    "extended Rosenbrock, n=10": [[1] * 10],
    "extended Powell singular, n=12": [[0] * 12],
    "penalty I, n=4": [[0.250007499588] * 4],
    "penalty I, n=10": [[0.158122301113] * 10],
    "penalty II, n=4": [(0.19999933335, 0.191316700993, 0.480101485333, 0.51884540439)],
    "penalty II, n=10": [
        (
            0.199983605198, 0.0103506484713, 0.0196049344804, 0.0320890672207, 0.0499326773996,
            0.076513995154, 0.11862407287, 0.192144872336, 0.347320586942, 0.369164374159,
        ),
    ],
    "variably dimensioned, n=10": [[1] * 10],
    "trigonometric, n=10": [
        [0] * 10,
        (
            0.0551509039807, 0.0568406167947, 0.0587640017627, 0.0609906086568, 0.0636262136959,
            0.0668431794528, 0.20816151857, 0.164363095886, 0.0850068956885, 0.0914314507147,
        ),
        (
            0.0539129253743, 0.0554965913797, 0.0572858809321, 0.0593366454436, 0.0617301271543,
            0.257886003596, 0.0681141821196, 0.0726229310941, 0.0784615992521, 0.0837538640867,
        ),
        (
            0.0624918451805, 0.0644728828092, 0.06670594132, 0.0692445556986, 0.275397564195,
            0.0754456677967, 0.0790301597565, 0.0822732632232, 0.083639278894, 0.0820888482701,
        ),
    ],
    "Brown almost-linear, n=10": [[1] * 10, [0] * 9 + [11]],
    "discrete boundary value, n=10": [SAME],
    "discrete integral equation, n=10": [SAME],
    "Broyden tridiagonal, n=10": [
        (
            -0.570722132011, -0.681806949984, -0.702210076018, -0.705510629895, -0.704906155729,
            -0.70149660703, -0.691889322355, -0.665796514406, -0.596035109026, -0.416412257529,
        ),
        (
            -0.480244811304, -0.444578255472, -0.0927822339661, 0.712713902596, 1.51018822642,
            -0.088097867492, -0.542495458052, -0.625741334255, -0.583154322864, -0.411818219073,
        ),
    ],
    "Broyden banded, n=10": [
        (
            -0.428302863587, -0.476596424356, -0.519652463647, -0.558099324832, -0.592506156829,
            -0.624503682199, -0.623239471441, -0.621393841797, -0.620453596659, -0.58646927072,
        ),
    ],
    "linear, full rank, n=5": [[-1] * 5],
    "linear, rank 1, n=5": [(3 / 21, 0, 0, 0, 0)],
    "linear, rank 1 with zeros, n=5": [(0, 3 / 34, 0, 0, 0)],
    "Chebyquad, n=8": [
        (
            0.043152760151, 0.193090840384, 0.26632870689, 0.5, 0.5, 0.73367129311,
            0.806909159616, 0.956847239849,
        ),
    ],
    "Chebyquad, n=9": [
        (
            0.0442053461358, 0.19949067231, 0.235619108471, 0.416046907893, 0.5, 0.583953092107,
            0.764380891529, 0.80050932769, 0.955794653864,
        ),
    ],
    "Chebyquad, n=10": [
        (
            0.200189198461, 0.383261664961, 0.155145357759, 0.0329933730181, 0.640353549371,
            0.828481823052, 0.383261664961, 0.713565847416, 0.529249477133, 0.925251833785,
        ),
        (
            0.0596199005358, 0.166708281836, 0.239170658943, 0.398884292306, 0.398884292306,
            0.601115707694, 0.601115707694, 0.760829341057, 0.833291718164, 0.940380099464,
        ),
        (
            0.207684014045, 0.38511560741, 0.13179828846, 0.0271149378359, 0.61488439259,
            0.792315985955, 0.38511560741, 0.86820171154, 0.61488439259, 0.972885062164,
        ),
    ],
}  # fmt: skip
AT_INFINITY = {("Bard", 1)}  # a point on the way to a minimum that no point has
MINIMA = [
    pytest.param(BY_NAME[name], i, np.array(point, float), id=f"{name}: {BY_NAME[name].minima[i]}")
    for name, points in MINIMIZERS.items()
    for i, point in enumerate(points)
]


def nearby(start):
    return np.array(start) * (1 + 0.01 * np.random.default_rng(0).normal(size=len(start)))


def cosines(problem, x):
    """Of the angles between the residuals and the columns of their Jacobian: 0 if stationary."""
    r, J = problem.residuals(x), mg.jacobian(problem.residuals)(x)
    return (J.T @ r) / (np.linalg.norm(J, axis=0) * np.linalg.norm(r) + np.finfo(float).tiny)


def test_each_problem_is_told_apart_and_known():
    assert len(BY_NAME) == len(ALL) == len(AT_START) == len(MINIMIZERS)
    assert {p.number for p in ALL} == set(range(1, 36))
    assert {name: len(points) for name, points in MINIMIZERS.items()} == {
        p.name: len(p.minima) for p in ALL
    }
    assert {p.name for p in ALL if 0.0 not in p.minima} <= PUBLISHED.keys()


@by_name
def test_value_at_the_start(problem):
    start = np.array(problem.start)
    assert problem.objective(start) == pytest.approx(AT_START[problem.name], rel=2e-10)
    assert problem.value(start) == 0.5 * problem.objective(start)


@by_name
def test_arrays_and_tensors_give_the_same(problem):
    x = nearby(problem.start)
    r = problem.residuals(x)
    assert type(r) is np.ndarray
    assert r.ndim == 1
    assert len(x) == problem.n
    np.testing.assert_array_equal(problem.residuals(Tensor(x)).data, r)
    assert problem.objective(Tensor(x)).item() == problem.objective(x)


@by_name
def test_derivatives(problem):
    mg.check.check_grads(problem.residuals, nearby(problem.start))
    mg.check.check_grads(problem.residuals, nearby(problem.start) + 0.01)


@by_name
def test_far_away_nothing_warns(problem):
    problem.objective(np.full(problem.n, 1e200))
    problem.residuals(np.full(problem.n, -1e200))


@pytest.mark.parametrize(("problem", "i", "x"), MINIMA)
def test_minima_are_right(problem, i, x):
    assert x.shape == (problem.n,)
    low = problem.minima[i]
    if low == 0:
        assert problem.objective(x) <= 1e-21
    else:
        assert problem.objective(x) == pytest.approx(low, rel=3e-10)
    if low > 0 and (problem.name, i) not in AT_INFINITY:
        assert np.abs(cosines(problem, x)).max() < 1e-6
        curvatures = np.linalg.eigvalsh(mg.hessian(problem.objective)(x))
        assert curvatures[0] > -1e-9 * curvatures[-1]  # not a saddle


@pytest.mark.parametrize("name", PUBLISHED)
def test_minima_agree_with_the_paper(name):
    minima = BY_NAME[name].minima
    assert min(abs(low - PUBLISHED[name]) / PUBLISHED[name] for low in minima) < 1e-5
    assert list(minima) == sorted(minima)


def test_the_helical_valley_is_the_published_one():
    residuals = BY_NAME["helical valley"].residuals
    for x1, x2 in [(0.5, 0.7), (0.5, -0.7), (-0.5, 0.7), (-0.5, -0.7)]:
        turns = np.arctan(x2 / x1) / (2 * np.pi) + 0.5 * (x1 < 0)
        assert residuals(np.array([x1, x2, 0.3]))[0] == pytest.approx(3 - 100 * turns, rel=1e-13)


def test_problems_of_other_sizes():
    large = any_size.extended_rosenbrock(1000)
    assert (large.n, large.name) == (1000, "extended Rosenbrock, n=1000")
    assert large.objective(np.ones(1000)) == 0.0
    assert large.objective(np.array(large.start)) == pytest.approx(500 * 24.2)
    assert any_size.watson(7).minima == ()
    with pytest.raises(ValueError, match="multiple of 4"):
        any_size.extended_powell_singular(10)


def test_all_regressions_are_there():
    assert len(REGRESSIONS) == len({r.name for r in REGRESSIONS}) == 27
    levels = [r.level for r in REGRESSIONS]
    assert {level: levels.count(level) for level in levels} == {
        "Lower": 8, "Average": 11, "Higher": 8,
    }  # fmt: skip
    for r in REGRESSIONS:
        sizes = {len(r.certified), len(r.certified_sd), *map(len, r.starts)}
        assert len(sizes) == 1
        assert len(r.starts) == 2
        assert r.x.shape[-1:] == r.y.shape


@by_regression
def test_certified_sum_of_squares(regression):
    found = regression.objective(np.array(regression.certified))
    if regression.name == "Lanczos1":  # y to 14 digits, b to 11: what is left is from b's rounding
        assert found < 1e-20
    else:
        assert found == pytest.approx(regression.certified_rss, rel=5e-10)


def test_the_sum_of_squares_of_lanczos1():
    regression = REGRESSIONS[[r.name for r in REGRESSIONS].index("Lanczos1")]
    b = np.array(regression.certified)
    J = mg.jacobian(regression.residuals)(b)
    b = b - np.linalg.lstsq(J, regression.residuals(b))[0]  # the digits that were rounded away
    assert regression.objective(b) == pytest.approx(regression.certified_rss, rel=0.05)


@by_regression
def test_certified_standard_deviations(regression):
    """They are made of the Jacobian, which is known by them to ten digits."""
    J = mg.jacobian(regression.residuals)(np.array(regression.certified))
    scale = np.linalg.norm(J, axis=0)
    inverse = np.linalg.inv(np.linalg.qr(J / scale).R)
    variance = regression.certified_rss / (J.shape[0] - J.shape[1])
    found = np.sqrt(variance * np.sum(inverse**2, axis=1)) / scale
    np.testing.assert_allclose(found, regression.certified_sd, rtol=5e-9)


@by_regression
def test_derivatives_of_regressions(regression):
    for b in (regression.starts[1], regression.certified):
        mg.check.check_grads(regression.residuals, np.array(b))
    b = np.array(regression.starts[0])
    np.testing.assert_array_equal(
        regression.residuals(Tensor(b)).data, regression.residuals(b), strict=True
    )


def test_log_relative_error():
    assert log_relative_error([1.0, 2.002], [1.0, 2.0]) == pytest.approx(3.0)
    assert log_relative_error(np.array([-1e-5]), (-1.00001e-5,)) == pytest.approx(5.0, abs=1e-4)
    assert log_relative_error([3.0], [3.0]) == 11.0
    assert log_relative_error([3.0 + 1e-14], [3.0]) == 11.0
    assert log_relative_error([-40.0, 1.0], [2.0, 1.0]) == 0.0
    for lost in (np.nan, np.inf):
        assert log_relative_error([1.0, lost], [1.0, 1.0]) == 0.0
    with pytest.raises(ValueError, match="shape"):
        log_relative_error(1.0, [1.0, 2.0])
