"""Problems 1 to 19 of Moré, Garbow and Hillstrom, whose numbers of unknowns are fixed.

Each is a function of ``x`` with the residuals as they are published, and the problem made of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import microgradopt as mg
from benchmarks.problems.squares import Problem


def _rosenbrock(x: Any) -> Any:
    x1, x2 = x
    return mg.stack([10.0 * (x2 - x1**2), 1.0 - x1])


rosenbrock = Problem("Rosenbrock", 1, _rosenbrock, (-1.2, 1.0), (0.0,))


def _freudenstein_roth(x: Any) -> Any:
    x1, x2 = x
    first = -13.0 + x1 + ((5.0 - x2) * x2 - 2.0) * x2
    return mg.stack([first, -29.0 + x1 + ((x2 + 1.0) * x2 - 14.0) * x2])


freudenstein_roth = Problem(
    "Freudenstein and Roth", 2, _freudenstein_roth, (0.5, -2.0), (0.0, 48.9842536792)
)


def _powell_badly_scaled(x: Any) -> Any:
    x1, x2 = x
    return mg.stack([1e4 * x1 * x2 - 1.0, mg.exp(-x1) + mg.exp(-x2) - 1.0001])


powell_badly_scaled = Problem(
    "Powell badly scaled", 3, _powell_badly_scaled, (0.0, 1.0), (0.0, 1.04029400396)
)


def _brown_badly_scaled(x: Any) -> Any:
    x1, x2 = x
    return mg.stack([x1 - 1e6, x2 - 2e-6, x1 * x2 - 2.0])


brown_badly_scaled = Problem("Brown badly scaled", 4, _brown_badly_scaled, (1.0, 1.0), (0.0,))


def _beale(x: Any) -> Any:
    x1, x2 = x
    return np.array([1.5, 2.25, 2.625]) - x1 * (1.0 - x2 ** np.array([1, 2, 3]))


beale = Problem("Beale", 5, _beale, (1.0, 1.0), (0.0,))


def _jennrich_sampson(x: Any) -> Any:
    x1, x2 = x
    i = np.arange(1.0, 11.0)
    return 2.0 + 2.0 * i - (mg.exp(i * x1) + mg.exp(i * x2))


jennrich_sampson = Problem(
    "Jennrich and Sampson", 6, _jennrich_sampson, (0.3, 0.4), (124.362182356,)
)


def _helical_valley(x: Any) -> Any:
    x1, x2, x3 = x
    # Published as arctan(x2/x1)/2π, plus ½ where x1 < 0: the same angle, which jumps on the
    # half-axis of negative x2. Turned by 90° the jump of arctan2 is there too.
    turns = 0.25 + mg.arctan2(-x1, x2) / (2.0 * np.pi)
    return mg.stack([10.0 * (x3 - 10.0 * turns), 10.0 * (mg.hypot(x1, x2) - 1.0), x3])


helical_valley = Problem("helical valley", 7, _helical_valley, (-1.0, 0.0, 0.0), (0.0,))

BARD = np.array([
    0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39,
])  # fmt: skip


def _bard(x: Any) -> Any:
    x1, x2, x3 = x
    u = np.arange(1.0, 16.0)
    v = 16.0 - u
    return BARD - (x1 + u / (v * x2 + np.minimum(u, v) * x3))


# The second is reached at (0.8406, −∞, −∞).
bard = Problem("Bard", 8, _bard, (1.0, 1.0, 1.0), (8.21487730658e-3, 17.4286933333))

BELL = np.array([0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521, 0.3989])


def _gaussian(x: Any) -> Any:
    x1, x2, x3 = x
    t = np.arange(3.5, -4.0, -0.5)
    return x1 * mg.exp(-0.5 * x2 * (t - x3) ** 2) - np.concatenate([BELL, BELL[-2::-1]])


gaussian = Problem("Gaussian", 9, _gaussian, (0.4, 1.0, 0.0), (1.12793276962e-8,))

MEYER = np.array([
    34780.0, 28610.0, 23650.0, 19630.0, 16370.0, 13720.0, 11540.0, 9744.0,
    8261.0, 7030.0, 6005.0, 5147.0, 4427.0, 3820.0, 3307.0, 2872.0,
])  # fmt: skip


def _meyer(x: Any) -> Any:
    x1, x2, x3 = x
    t = 45.0 + 5.0 * np.arange(1, 17)
    return x1 * mg.exp(x2 / (t + x3)) - MEYER


meyer = Problem("Meyer", 10, _meyer, (0.02, 4000.0, 250.0), (87.9458551709,))


def _gulf(x: Any) -> Any:
    x1, x2, x3 = x
    t = np.arange(1, 100) / 100.0
    y = 25.0 + (-50.0 * np.log(t)) ** (2.0 / 3.0)
    # The paper prints |y m i x2| for |y − x2|, with which its minimum would not be one.
    return mg.exp(-(mg.abs(y - x2) ** x3) / x1) - t


gulf = Problem("Gulf research and development", 11, _gulf, (5.0, 2.5, 0.15), (0.0,))


def _box(x: Any) -> Any:
    x1, x2, x3 = x
    t = 0.1 * np.arange(1, 11)
    return mg.exp(-t * x1) - mg.exp(-t * x2) - x3 * (np.exp(-t) - np.exp(-10.0 * t))


box = Problem("Box three-dimensional", 12, _box, (0.0, 10.0, 20.0), (0.0,))


def _powell_singular(x: Any) -> Any:
    x1, x2, x3, x4 = x
    squares = [(x2 - 2.0 * x3) ** 2, 10.0**0.5 * (x1 - x4) ** 2]
    return mg.stack([x1 + 10.0 * x2, 5.0**0.5 * (x3 - x4), *squares])


powell_singular = Problem("Powell singular", 13, _powell_singular, (3.0, -1.0, 0.0, 1.0), (0.0,))


def _wood(x: Any) -> Any:
    x1, x2, x3, x4 = x
    valleys = [10.0 * (x2 - x1**2), 1.0 - x1, 90.0**0.5 * (x4 - x3**2), 1.0 - x3]
    return mg.stack([*valleys, 10.0**0.5 * (x2 + x4 - 2.0), (x2 - x4) / 10.0**0.5])


wood = Problem("Wood", 14, _wood, (-3.0, -1.0, -3.0, -1.0), (0.0,))

KOWALIK_U = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
KOWALIK_Y = np.array([
    0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246,
])  # fmt: skip


def _kowalik_osborne(x: Any) -> Any:
    x1, x2, x3, x4 = x
    u = KOWALIK_U
    return KOWALIK_Y - x1 * (u**2 + u * x2) / (u**2 + u * x3 + x4)


# The second is reached at (+∞, −14.07, −∞, −∞).
kowalik_osborne = Problem(
    "Kowalik and Osborne",
    15,
    _kowalik_osborne,
    (0.25, 0.39, 0.415, 0.39),
    (3.07505603849e-4, 1.02734304870e-3),
)


def _brown_dennis(x: Any) -> Any:
    x1, x2, x3, x4 = x
    t = np.arange(1, 21) / 5.0
    return (x1 + t * x2 - np.exp(t)) ** 2 + (x3 + x4 * np.sin(t) - np.cos(t)) ** 2


brown_dennis = Problem(
    "Brown and Dennis", 16, _brown_dennis, (25.0, 5.0, -5.0, -1.0), (85822.2016264,)
)

OSBORNE_1 = np.array([
    0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718,
    0.685, 0.658, 0.628, 0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467,
    0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411, 0.406,
])  # fmt: skip


def _osborne_1(x: Any) -> Any:
    x1, x2, x3, x4, x5 = x
    t = 10.0 * np.arange(33)
    return OSBORNE_1 - (x1 + x2 * mg.exp(-t * x4) + x3 * mg.exp(-t * x5))


osborne_1 = Problem("Osborne 1", 17, _osborne_1, (0.5, 1.5, -1.0, 0.01, 0.02), (5.46489469748e-5,))


def _biggs(x: Any) -> Any:
    x1, x2, x3, x4, x5, x6 = x
    t = 0.1 * np.arange(1, 14)
    y = np.exp(-t) - 5.0 * np.exp(-10.0 * t) + 3.0 * np.exp(-4.0 * t)
    return x3 * mg.exp(-t * x1) - x4 * mg.exp(-t * x2) + x6 * mg.exp(-t * x5) - y


biggs = Problem("Biggs EXP6", 18, _biggs, (1.0, 2.0, 1.0, 1.0, 1.0, 1.0), (0.0, 5.65564992550e-3))

OSBORNE_2 = np.array([
    1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608,
    0.655, 0.616, 0.606, 0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661,
    0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428,
    0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559,
    0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054,
])  # fmt: skip


def _osborne_2(x: Any) -> Any:
    x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11 = x
    t = np.arange(65) / 10.0
    bells = x2 * mg.exp(-((t - x9) ** 2) * x6) + x3 * mg.exp(-((t - x10) ** 2) * x7)
    last = x4 * mg.exp(-((t - x11) ** 2) * x8)
    return OSBORNE_2 - (x1 * mg.exp(-t * x5) + bells + last)


osborne_2 = Problem(
    "Osborne 2",
    19,
    _osborne_2,
    (1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5),
    (4.01377362935e-2,),
)

FIXED_SIZE = (
    rosenbrock, freudenstein_roth, powell_badly_scaled, brown_badly_scaled, beale,
    jennrich_sampson, helical_valley, bard, gaussian, meyer, gulf, box, powell_singular, wood,
    kowalik_osborne, brown_dennis, osborne_1, biggs, osborne_2,
)  # fmt: skip
