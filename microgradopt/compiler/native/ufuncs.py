"""NumPy's inner loops, called without NumPy: what is eager's bit for bit, and as fast.

A ufunc is a C struct whose first fields are public and part of NumPy's binary interface: a table of
loops, each ``void loop(char **args, npy_intp *n, npy_intp *strides, void *data)``, and the types
that each is for. Whether the fields are where they are expected is tested before first use.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from microgradopt.compiler.native.loops import DType, is_native


class _Ufunc(ctypes.Structure):
    """The first fields of PyUFuncObject, after the object's head."""

    _fields_ = [
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
        ("reserved", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("types", ctypes.POINTER(ctypes.c_ubyte)),
    ]


LOOP = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)
HEAD = object.__basicsize__
PROBE = (0.25, 0.5, 0.75)


@cache
def loop_of(ufunc: np.ufunc, dtypes: tuple[DType, ...]) -> tuple[int, int] | None:
    """The addresses of a ufunc's loop for operands and result of these dtypes, and of its data."""
    found = _entry(ufunc, dtypes)
    return found if found and _agrees(ufunc, dtypes, *found) else None


@cache
def matmul_loop(dtype: DType) -> tuple[int, int] | None:
    """The addresses of matmul's loop and of its data: NumPy's own way to BLAS."""
    found = _entry(np.matmul, (dtype,) * 3)
    return found if found and _multiplies(dtype, *found) else None


def _multiplies(dtype: DType, function: int, data: int) -> bool:
    """Whether matmul's loop, called directly, multiplies matrices."""
    x, y, out = (np.arange(1.0, 7.0).reshape(s).astype(dtype) for s in ((2, 3), (3, 2), (6,)))
    pointers = (ctypes.c_void_p * 3)(x.ctypes.data, y.ctypes.data, out.ctypes.data)
    sizes = (ctypes.c_ssize_t * 4)(1, 2, 3, 2)
    strides = (ctypes.c_ssize_t * 9)(
        0, 0, 0, *x.strides, *y.strides, 2 * out.itemsize, out.itemsize
    )
    LOOP(function)(pointers, sizes, strides, data)
    return bool(out[:4].tolist() == (x @ y).ravel().tolist())


def _entry(ufunc: np.ufunc, dtypes: tuple[DType, ...]) -> tuple[int, int] | None:
    """What a ufunc's table has for these dtypes."""
    if np.ufunc.__basicsize__ < HEAD + ctypes.sizeof(_Ufunc):
        return None
    fields = _Ufunc.from_address(id(ufunc) + HEAD)
    expected = (ufunc.nin, ufunc.nout, ufunc.nargs, ufunc.ntypes)
    if (fields.nin, fields.nout, fields.nargs, fields.ntypes) != expected:
        return None
    wanted = [d.num for d in dtypes]
    for i in range(fields.ntypes):
        if fields.types[i * fields.nargs : (i + 1) * fields.nargs] == wanted:
            return int(fields.functions[i] or 0), int(fields.data[i] or 0)
    return None


def has_loop(ufunc: Any, dtypes: tuple[DType, ...]) -> bool:
    """Whether a ufunc has a loop on these dtypes that compiled code can call."""
    return (
        isinstance(ufunc, np.ufunc)
        and all(map(is_native, dtypes))
        and loop_of(ufunc, dtypes) is not None
    )


def _agrees(ufunc: np.ufunc, dtypes: tuple[DType, ...], function: int, data: int) -> bool:
    """Whether the loop, called directly, gives what the ufunc gives."""
    inputs = [np.array(PROBE).astype(d) for d in dtypes[:-1]]
    out = np.zeros(len(PROBE), dtypes[-1])
    arrays = [*inputs, out]
    pointers = (ctypes.c_void_p * len(arrays))(*(x.ctypes.data for x in arrays))
    strides = (ctypes.c_ssize_t * len(arrays))(*(x.itemsize for x in arrays))
    LOOP(function)(pointers, (ctypes.c_ssize_t * 1)(len(PROBE)), strides, data)
    with np.errstate(all="ignore"):
        return bool(np.array_equal(out, ufunc(*inputs), equal_nan=out.dtype.kind == "f"))
