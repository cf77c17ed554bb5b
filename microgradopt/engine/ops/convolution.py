"""Windows that slide over arrays: convolutions, which are products with them, and their sums.

Arrays have shape (samples, channels, *size), kernels (channels out, channels in of a group, *size).
A convolution here is what other libraries of networks call one: the kernel is not turned around.
It is linear in the image x, in the kernel w and in the cotangent g of its result, and so are its
transposes: each of the three rows is a derivative of Σ x[n, c, s·i + d·k − p] w[o, c, k] g[n, o, i]
by one of the three, and the transposes of each are the other two. So every order is at hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.engine.ops.shapes import index
from microgradopt.engine.rules import Linear, Multilinear, shape_of as shape
from microgradopt.errors import ShapeError

Sizes = tuple[int, ...]  # a number for each axis that the window moves along
Widths = tuple[tuple[int, int], ...]  # for each of these axes, how many zeros before and after

MOST_COPIED = 2**18  # numbers of windows that are copied at a time: what a processor's cache holds


def span(kernel: Sizes, dilation: Sizes) -> Sizes:
    """How many entries a window reaches over, those it skips included."""
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation))


def places(size: Sizes, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Sizes:
    """How many windows there are along each axis; 0 or less where not even one fits."""
    return tuple((n - m) // s + 1 for n, m, s in zip(size, span(kernel, dilation), stride))


def view_windows(x: Array, kernel: Sizes, stride: Sizes, dilation: Sizes) -> Array:
    """Shape (..., *kernel, *places): the same numbers again and again, none of them copied.

    Raises:
        ValueError: where a window is larger than what it is to slide over.
    """
    x = np.ascontiguousarray(x)
    n = len(kernel)
    steps = x.strides[x.ndim - n :]
    inside = tuple(s * d for s, d in zip(steps, dilation))
    onward = tuple(s * d for s, d in zip(steps, stride))
    many = places(x.shape[x.ndim - n :], kernel, stride, dilation)
    lead = x.ndim - n
    return np.ndarray(
        (*x.shape[:lead], *kernel, *many), x.dtype, x, 0, (*x.strides[:lead], *inside, *onward)
    )


def each_place(kernel: Sizes) -> Iterator[tuple[Any, ...]]:
    """The index of each place in the kernel, to take from all windows at once."""
    along = (slice(None),) * len(kernel)
    return ((..., *place, *along) for place in product(*map(range, kernel)))


def _padded(x: Array, padding: Widths) -> Array:
    """With zeros around; np.pad takes ten times as long."""
    if not any(map(any, padding)):
        return x
    size = x.shape[2:]
    around = tuple(a + n + b for n, (a, b) in zip(size, padding))
    out = np.zeros((*x.shape[:2], *around), x.dtype)
    out[_inside(size, padding)] = x
    return out


def _inside(size: Sizes, padding: Widths) -> tuple[Any, ...]:
    return (..., *(slice(a, a + n) for n, (a, _) in zip(size, padding)))


def _portions(samples: int, numbers: int) -> Iterator[slice]:
    """Samples in portions, given how many numbers are copied for each of them."""
    step = max(1, MOST_COPIED // max(1, numbers))
    return (slice(i, i + step) for i in range(0, samples, step))


# Sums of products: im2col and a product of matrices


def _convolve(
    x: Array, w: Array, *, stride: Sizes, padding: Widths, dilation: Sizes, groups: int
) -> Array:
    windows = view_windows(_padded(x, padding), w.shape[2:], stride, dilation)
    many = windows.shape[w.ndim :]
    rows = w.reshape(groups, len(w) // groups, -1)
    wide = (groups, rows.shape[2], math.prod(many))
    out = np.empty((len(x), len(w), *many), np.result_type(x, w))
    flat = out.reshape(len(x), groups, rows.shape[1], wide[2])
    for part in _portions(len(x), math.prod(wide)):
        columns = windows[part]
        np.matmul(rows, columns.reshape(len(columns), *wide), out=flat[part])
    return out


def _correlate(
    x: Array,
    g: Array,
    *,
    kernel: Sizes,
    stride: Sizes,
    padding: Widths,
    dilation: Sizes,
    groups: int,
) -> Array:
    windows = view_windows(_padded(x, padding), kernel, stride, dilation)
    channels, outs = x.shape[1], g.shape[1]
    many = math.prod(g.shape[2:])
    wide = (groups, channels // groups * math.prod(kernel), many)
    rows = g.reshape(len(g), groups, outs // groups, many)
    total = np.zeros((groups, outs // groups, wide[1]), np.result_type(x, g))
    for part in _portions(len(x), math.prod(wide)):
        columns = windows[part]
        columns = columns.reshape(len(columns), *wide)
        total += np.add.reduce(np.matmul(rows[part], columns.swapaxes(2, 3)), 0)
    return total.reshape(outs, channels // groups, *kernel)


def _convolve_transposed(
    g: Array,
    w: Array,
    *,
    size: Sizes,
    stride: Sizes,
    padding: Widths,
    dilation: Sizes,
    groups: int,
) -> Array:
    samples, outs = g.shape[:2]
    kernel, many = w.shape[2:], g.shape[2:]
    channels = groups * w.shape[1]
    columns = w.reshape(groups, outs // groups, -1).swapaxes(1, 2)
    rows = g.reshape(samples, groups, outs // groups, math.prod(many))
    around = tuple(a + n + b for n, (a, b) in zip(size, padding))
    out: Array = np.zeros((samples, channels, *around), np.result_type(g, w))
    windows = view_windows(out, kernel, stride, dilation)
    for part in _portions(samples, channels * math.prod(kernel) * math.prod(many)):
        products = np.matmul(columns, rows[part])
        _add_windows(windows[part], products.reshape(-1, channels, *kernel, *many), kernel)
    return out[_inside(size, padding)] if any(map(any, padding)) else out


def _add_windows(windows: Array, columns: Array, kernel: Sizes) -> None:
    """Add to windows that overlap: place by place of the kernel, for there they do not."""
    for at in each_place(kernel):
        windows[at] += columns[at]


def _samples(rng: Any) -> Iterator[tuple[Array, Array, dict[str, Any], dict[str, Any]]]:
    """An image and a kernel, with what all three rows are told, and the two sizes."""
    for size, kernel, ins, outs, stride, padding, dilation, groups in (
        ((5,), (3,), 2, 3, (1,), ((0, 0),), (1,), 1),
        ((6,), (2,), 4, 2, (2,), ((1, 2),), (2,), 2),
        ((3, 4), (2, 3), 1, 2, (1, 1), ((1, 1), (0, 1)), (1, 1), 1),
        ((4, 5), (2, 2), 2, 2, (2, 3), ((0, 0), (1, 0)), (2, 1), 2),
        ((2, 2, 3), (2, 1, 2), 1, 1, (1, 1, 1), ((0, 0), (0, 0), (1, 0)), (1, 1, 1), 1),
    ):
        how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        x = rng.normal(size=(2, ins, *size))
        w = rng.normal(size=(outs, ins // groups, *kernel))
        yield x, w, how, {"size": size, "kernel": kernel}


def _sample_cotangents(
    rng: Any, size: str, of_image: bool
) -> Iterator[tuple[tuple[Array, Array], dict[str, Any]]]:
    for x, w, how, sizes in _samples(rng):
        g = rng.normal(size=_convolve(x, w, **how).shape)
        yield ((g, w) if of_image else (x, g)), {size: sizes[size], **how}


convolution = Multilinear(
    "convolution",
    symbol="conv",
    array=_convolve,
    transposes=(
        lambda g, x, w, **how: convolution_transposed(g, w, size=shape(x)[2:], **how),
        lambda g, x, w, **how: correlation(x, g, kernel=shape(w)[2:], **how),
    ),
    sample=lambda rng: [((x, w), how) for x, w, how, _ in _samples(rng)],
    doc="Products of kernels with the windows of images, summed",
)
convolution_transposed: Multilinear = Multilinear(
    "convolution_transposed",
    symbol="convᵀ",
    array=_convolve_transposed,
    transposes=(
        lambda x, g, w, size, **how: convolution(x, w, **how),
        lambda x, g, w, size, **how: correlation(x, g, kernel=shape(w)[2:], **how),
    ),
    sample=lambda rng: _sample_cotangents(rng, "size", of_image=True),
    doc="What convolution does to the image, transposed: ``size`` is that of the image",
)
correlation: Multilinear = Multilinear(
    "correlation",
    array=_correlate,
    transposes=(
        lambda w, x, g, kernel, **how: convolution_transposed(g, w, size=shape(x)[2:], **how),
        lambda w, x, g, kernel, **how: convolution(x, w, **how),
    ),
    sample=lambda rng: _sample_cotangents(rng, "kernel", of_image=False),
    doc="What convolution does to the kernel, transposed: ``kernel`` is that kernel's size",
)


# The windows themselves


def _overlap_add(columns: Array, size: Sizes, stride: Sizes, dilation: Sizes) -> Array:
    n = len(size)
    lead, kernel, many = np.split(columns.shape, [columns.ndim - 2 * n, columns.ndim - n])
    out = np.zeros((*lead, *size), columns.dtype)
    windows = view_windows(out, tuple(kernel.tolist()), stride, dilation)
    if any(have < p for have, p in zip(windows.shape[columns.ndim - n :], many)):
        raise ShapeError(f"overlap_add: windows of shape {columns.shape} do not fit into {size}")
    fitting: tuple[Any, ...] = (..., *map(slice, many.tolist()))
    _add_windows(windows[fitting], columns, tuple(kernel.tolist()))
    return out


def _transpose_overlap(g: Any, columns: Any, size: Sizes, stride: Sizes, dilation: Sizes) -> Any:
    have, n = shape(columns), len(size)
    kernel, many = have[len(have) - 2 * n : len(have) - n], have[len(have) - n :]
    found = windows(g, kernel=kernel, stride=stride, dilation=dilation)
    return index(found, (..., *map(slice, many)))


def _sample_windows(rng: Any, *, given: bool) -> Iterator[tuple[tuple[Array], dict[str, Any]]]:
    for size, kernel, stride, dilation in (
        ((5,), (3,), (1,), (1,)),
        ((7,), (2,), (3,), (2,)),
        ((4, 5), (2, 3), (1, 2), (2, 1)),
    ):
        how: dict[str, Any] = {"stride": stride, "dilation": dilation}
        x = rng.normal(size=(2, *size))
        if given:
            yield (np.array(view_windows(x, kernel, **how)),), {"size": size, **how}
        else:
            yield (x,), {"kernel": kernel, **how}


windows: Linear = Linear(
    "windows",
    array=view_windows,
    transpose=lambda g, x, kernel, stride, dilation: overlap_add(
        g, size=shape(x)[-len(kernel) :], stride=stride, dilation=dilation
    ),
    sample=lambda rng: _sample_windows(rng, given=False),
    doc="Of shape (..., *kernel, *places): what each window shows of the last axes",
)
overlap_add: Linear = Linear(
    "overlap_add",
    array=_overlap_add,
    transpose=_transpose_overlap,
    sample=lambda rng: _sample_windows(rng, given=True),
    doc="The numbers of windows, each added where it was taken from",
)


def same_padding(kernel: Sequence[int], dilation: Sequence[int]) -> Widths:
    """What keeps the size under a stride of 1: even kernels get the odd zero behind."""
    over = [n - 1 for n in span(tuple(kernel), tuple(dilation))]
    return tuple((n // 2, n - n // 2) for n in over)
