"""Short texts for numbers, arrays, parameters and names, and how wide they will be on screen."""

import unicodedata
from typing import Any

import numpy as np

MINUS = "\u2212"
ELLIPSIS = "\u2026"
ENTRIES_SHOWN = 4  # an array up to this size shows its entries, a larger one its range
_LISTED = 34  # characters a list of entries may take before the range is shown instead


def number(x: float) -> str:
    """Write ``x`` with about four significant digits: ``−12.0``, ``0.8814``, ``1.235e5``."""
    if x == x and abs(x) < 1e5 and x == int(x):
        text = f"{x:.1f}"
    else:
        text = f"{x:.4g}"
        if "e" in text:
            mantissa, exponent = text.split("e")
            text = f"{mantissa}e{int(exponent)}"
        elif x == x and "." not in text and "i" not in text:
            text += ".0"
    return text.replace("-", MINUS)


def summary(data: Any) -> tuple[str, bool]:
    """Return a short text for a number or array, and whether it holds NaN or infinity."""
    if isinstance(data, float):
        return number(data), data - data != 0.0
    if isinstance(data, int | np.number | np.bool_ | np.ndarray):
        return _summary_of_array(np.asarray(data))
    return shorten(repr(data), 24), False


def _summary_of_array(array: np.ndarray[Any, Any]) -> tuple[str, bool]:
    if array.dtype.kind not in "biuf":
        return shorten(f"{array.dtype} entries", 24), False
    if array.size == 0:
        return "no entries", False
    finite = np.isfinite(array)
    alarm = not finite.all()
    if array.size <= ENTRIES_SHOWN:
        text = _entries(array)
        if len(text) <= _LISTED:
            return text, alarm
    if not alarm:
        return _range(array), False
    return _summary_of_broken(array[finite], array[~finite]), True


def _range(array: np.ndarray[Any, Any]) -> str:
    low, high = array.min(), array.max()
    return f"all {entry(low)}" if low == high else f"{entry(low)} {ELLIPSIS} {entry(high)}"


def _summary_of_broken(finite: np.ndarray[Any, Any], broken: np.ndarray[Any, Any]) -> str:
    nans = int(np.isnan(broken).sum())
    counts = [f"{n} {what}" for n, what in ((nans, "nan"), (broken.size - nans, "inf")) if n]
    return ", ".join(counts + ([_range(finite)] if finite.size else []))


def entry(x: Any) -> str:
    """Write one entry of an array: whole-number and boolean types without a decimal point."""
    if x.dtype.kind == "f":
        return number(float(x))
    return str(x).replace("-", MINUS)


def _entries(array: np.ndarray[Any, Any]) -> str:
    if array.ndim == 0:
        return entry(array[()])
    rows = array.reshape(-1, array.shape[-1]) if array.ndim == 2 else array.reshape(1, -1)
    texts = ["[" + ", ".join(map(entry, row)) + "]" for row in rows]
    return texts[0] if array.ndim != 2 else "[" + ", ".join(texts) + "]"


def exact(data: Any) -> str:
    """Write a number with full precision; an array with its first and last entries."""
    if isinstance(data, np.ndarray):
        with np.printoptions(threshold=24, edgeitems=2, linewidth=100):
            return str(data)
    return repr(data)


def kind_of(array: np.ndarray[Any, Any]) -> str:
    """Write an array's shape, and its dtype where that is not float64."""
    return shape_of(array.shape, array.dtype)


def shape_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    """Write a shape, and the dtype where that is not float64."""
    text = str(tuple(map(int, shape)))
    return text if dtype == np.float64 else f"{text} {dtype}"


def parameters(params: dict[str, Any]) -> str:
    """Write the parameters that say something (not None, False or empty): ``axis=0``."""
    told = [
        f"{name}={parameter(value)}"
        for name, value in params.items()
        if not name.startswith("_")
        if value is not None and value is not False and not (isinstance(value, tuple) and not value)
    ]
    return shorten(clean(" ".join(told)), 28)


def parameter(value: Any) -> str:
    """Write a parameter as short as it can be: slices as in an index, functions by name."""
    if isinstance(value, slice):
        ends = [value.start, value.stop] + ([value.step] if value.step is not None else [])
        return ":".join("" if end is None else str(end) for end in ends)
    if isinstance(value, tuple) and any(
        part is Ellipsis or isinstance(part, slice | np.ndarray) for part in value
    ):
        return "[" + ", ".join(map(parameter, value)) + "]"
    if isinstance(value, np.ndarray):
        return f"array{kind_of(value)}"
    if value is Ellipsis:
        return ELLIPSIS
    return getattr(value, "__name__", None) or str(value)


def shorten(text: str, longest: int) -> str:
    """Cut ``text`` to at most ``longest`` characters, the last one an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1] + ELLIPSIS


def clean(text: str) -> str:
    """Replace what cannot be shown or stored in XML: a newline becomes ``⏎``, a bell ``␇``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(char: str) -> str:
    code = ord(char)
    if char == "\n":
        return "\u23ce"
    if code < 32:
        return chr(0x2400 + code)
    if 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or code & 0xFFFE == 0xFFFE:
        return "\ufffd"
    return char


_NARROW = frozenset("ijlIft|.,:;'!()[]{} -")
_WIDE = frozenset("mwMW@%")


def width(text: str, size: float, *, mono: bool = False, bold: bool = False) -> float:
    """Estimate the width of ``text`` in pixels at a font ``size``, on the generous side."""
    if mono and max(text, default="") < "\u1100":
        return 0.605 * size * len(text)
    ems = sum(0.605 if mono and ord(c) < 0x1100 else _ems(c) for c in text)
    return ems * size * (1.07 if bold else 1.0)


def _ems(char: str) -> float:
    if char in _NARROW:
        return 0.4
    if char in _WIDE:
        return 0.98
    if ord(char) >= 0x1100:
        if unicodedata.combining(char):
            return 0.0
        return 1.05 if unicodedata.east_asian_width(char) in "WF" else 0.85
    return 0.72 if char.isupper() else 0.63
