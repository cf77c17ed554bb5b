"""The 27 nonlinear regressions of NIST, with parameters certified to eleven digits.

Statistical Reference Datasets, Information Technology Laboratory, National Institute of Standards
and Technology: https://www.itl.nist.gov/div898/strd/ (in the public domain). Data, starts and
certified values are in ``nist_strd.json``; the models are the functions below, ``x`` the predictor.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import microgradopt as mg
from benchmarks.problems.squares import SumOfSquares
from microgradopt.engine.quiet import quietly

Array: TypeAlias = npt.NDArray[np.float64]
Model: TypeAlias = Callable[[Any, Array], Any]
"""From parameters of shape (p,), and the predictor, to what is expected of the response."""

DATA = Path(__file__).parent / "nist_strd.json"
CERTIFIED_DIGITS = 11.0


@dataclass(frozen=True, eq=False)
class Regression(SumOfSquares):
    """One dataset with its model; ``residuals(b)`` is model(b, x) − y, of shape (m,).

    ``level`` is NIST's word for the difficulty: Lower, Average or Higher. Of the two ``starts``
    the second is nearer. ``certified`` are the parameters, ``certified_sd`` their standard
    deviations, and ``certified_rss`` is Σ r². ``x`` has shape (m,), or (2, m) for Nelson's two
    predictors; ``y`` is what the model is of, for Nelson the logarithm of the response.
    """

    name: str
    level: str
    starts: tuple[tuple[float, ...], ...]
    certified: tuple[float, ...]
    certified_sd: tuple[float, ...]
    certified_rss: float
    model: Model
    x: Array
    y: Array

    @quietly  # from NIST's first starts much overflows, and plain arrays would warn
    def residuals(self, x: Any) -> Any:
        """Return model − y at the parameters ``x`` of shape (p,), an array or Tensor like ``x``."""
        return self.model(x, self.x) - self.y


def load() -> list[Regression]:
    """Read all 27, in the order of their names."""
    datasets = json.loads(DATA.read_text(encoding="utf-8"))["datasets"]
    return [_regression(name, row) for name, row in datasets.items()]


@quietly
def log_relative_error(found: Any, certified: Any) -> float:
    """Count the digits that are right: −log10(|b − c| / |c|) of the worst parameter.

    NIST certifies eleven digits, so the count ends at 11; it is 0 where no digit is right, and
    where a parameter found is NaN. No certified parameter may be 0.

    >>> round(log_relative_error([1.0, 2.002], [1.0, 2.0]), 6)
    3.0
    """
    found, certified = np.asarray(found, np.float64), np.asarray(certified, np.float64)
    if found.shape != certified.shape:
        raise ValueError(f"found has shape {found.shape}, certified {certified.shape}")
    digits = -np.log10(np.abs(found - certified) / np.abs(certified))
    return float(np.clip(np.nan_to_num(digits, posinf=CERTIFIED_DIGITS), 0, CERTIFIED_DIGITS).min())


def _regression(name: str, row: dict[str, Any]) -> Regression:
    two = "x1" in row
    return Regression(
        name,
        row["level"],
        (tuple(row["start1"]), tuple(row["start2"])),
        tuple(row["certified"]),
        tuple(row["certified_sd"]),
        row["certified_rss"],
        MODELS[name],
        np.array([row["x1"], row["x2"]] if two else row["x"], np.float64),
        np.log(row["y"]) if name == "Nelson" else np.array(row["y"], np.float64),
    )


def _bennett(b: Any, x: Array) -> Any:
    b1, b2, b3 = b
    return b1 * (b2 + x) ** (-1.0 / b3)


def _saturation(b: Any, x: Array) -> Any:
    b1, b2 = b
    return b1 * (1.0 - mg.exp(-b2 * x))


def _chwirut(b: Any, x: Array) -> Any:
    b1, b2, b3 = b
    return mg.exp(-b1 * x) / (b2 + b3 * x)


def _danwood(b: Any, x: Array) -> Any:
    b1, b2 = b
    return b1 * x**b2


def _enso(b: Any, x: Array) -> Any:
    b1, b2, b3, b4, b5, b6, b7, b8, b9 = b
    year, second, third = (2.0 * np.pi * x / period for period in (12.0, b4, b7))
    return (
        b1
        + (b2 * mg.cos(year) + b3 * mg.sin(year))
        + (b5 * mg.cos(second) + b6 * mg.sin(second))
        + (b8 * mg.cos(third) + b9 * mg.sin(third))
    )


def _eckerle(b: Any, x: Array) -> Any:
    b1, b2, b3 = b
    return b1 / b2 * mg.exp(-0.5 * ((x - b3) / b2) ** 2)


def _gauss(b: Any, x: Array) -> Any:
    b1, b2, b3, b4, b5, b6, b7, b8 = b
    first = b3 * mg.exp(-((x - b4) ** 2) / b5**2)
    return b1 * mg.exp(-b2 * x) + first + b6 * mg.exp(-((x - b7) ** 2) / b8**2)


def _cubic_by_cubic(b: Any, x: Array) -> Any:
    b1, b2, b3, b4, b5, b6, b7 = b
    return (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1.0 + b5 * x + b6 * x**2 + b7 * x**3)


def _kirby(b: Any, x: Array) -> Any:
    b1, b2, b3, b4, b5 = b
    return (b1 + b2 * x + b3 * x**2) / (1.0 + b4 * x + b5 * x**2)


def _lanczos(b: Any, x: Array) -> Any:
    b1, b2, b3, b4, b5, b6 = b
    return b1 * mg.exp(-b2 * x) + b3 * mg.exp(-b4 * x) + b5 * mg.exp(-b6 * x)


def _mgh09(b: Any, x: Array) -> Any:
    b1, b2, b3, b4 = b
    return b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4)


def _mgh10(b: Any, x: Array) -> Any:
    b1, b2, b3 = b
    return b1 * mg.exp(b2 / (x + b3))


def _mgh17(b: Any, x: Array) -> Any:
    b1, b2, b3, b4, b5 = b
    return b1 + b2 * mg.exp(-x * b4) + b3 * mg.exp(-x * b5)


def _misra1b(b: Any, x: Array) -> Any:
    b1, b2 = b
    return b1 * (1.0 - (1.0 + b2 * x / 2.0) ** -2.0)


def _misra1c(b: Any, x: Array) -> Any:
    b1, b2 = b
    return b1 * (1.0 - (1.0 + 2.0 * b2 * x) ** -0.5)


def _misra1d(b: Any, x: Array) -> Any:
    b1, b2 = b
    return b1 * b2 * x / (1.0 + b2 * x)


def _nelson(b: Any, x: Array) -> Any:
    b1, b2, b3 = b
    x1, x2 = x
    return b1 - b2 * x1 * mg.exp(-b3 * x2)


def _rat42(b: Any, x: Array) -> Any:
    b1, b2, b3 = b
    return b1 / (1.0 + mg.exp(b2 - b3 * x))


def _rat43(b: Any, x: Array) -> Any:
    b1, b2, b3, b4 = b
    return b1 / (1.0 + mg.exp(b2 - b3 * x)) ** (1.0 / b4)


def _roszman(b: Any, x: Array) -> Any:
    b1, b2, b3, b4 = b
    return b1 - b2 * x - mg.arctan(b3 / (x - b4)) / np.pi


MODELS: dict[str, Model] = {
    "Bennett5": _bennett,
    "BoxBOD": _saturation,
    "Chwirut1": _chwirut,
    "Chwirut2": _chwirut,
    "DanWood": _danwood,
    "ENSO": _enso,
    "Eckerle4": _eckerle,
    "Gauss1": _gauss,
    "Gauss2": _gauss,
    "Gauss3": _gauss,
    "Hahn1": _cubic_by_cubic,
    "Kirby2": _kirby,
    "Lanczos1": _lanczos,
    "Lanczos2": _lanczos,
    "Lanczos3": _lanczos,
    "MGH09": _mgh09,
    "MGH10": _mgh10,
    "MGH17": _mgh17,
    "Misra1a": _saturation,
    "Misra1b": _misra1b,
    "Misra1c": _misra1c,
    "Misra1d": _misra1d,
    "Nelson": _nelson,
    "Rat42": _rat42,
    "Rat43": _rat43,
    "Roszman1": _roszman,
    "Thurber": _cubic_by_cubic,
}
