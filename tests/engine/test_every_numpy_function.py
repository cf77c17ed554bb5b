"""Every function NumPy hands over: here under its own name, plain, or refused by name.

The registry is NumPy itself: whatever dispatches must be one of the three, and each function that
is supported must have an example below, whose results are compared with NumPy's.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value
from microgradopt.engine.graph import Node
from microgradopt.engine.interop import FUNCTIONS, PLAIN, PLAIN_NAMES
from microgradopt.engine.rules import Plain
from microgradopt.errors import UsageError

NAMESPACES = {"np": np, "np.linalg": np.linalg, "np.fft": np.fft}


def _dispatching():
    """(name, function) for all that goes through __array_function__ or __array_ufunc__."""
    for where, namespace in NAMESPACES.items():
        for name, thing in vars(namespace).items():
            if isinstance(thing, np.ufunc) or hasattr(thing, "_implementation"):
                yield f"{where}.{name}".removeprefix("np."), thing


DISPATCHING = dict(_dispatching())
A = np.array([[1.0, 2.0, 0.5], [4.0, 0.25, 1.5]])
V = np.array([0.3, 0.7, -0.2, 0.9])
S = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -0.25], [0.5, -0.25, 2.0]])
CUBE = np.arange(1.0, 9.0).reshape(2, 2, 2) ** 1.5
INPUTS = {"A": A, "V": V, "S": S}

# Most functions are called with just an array that suits them; the others as CALLS says.
ALONE = {
    "A": "abs absolute amax amin arcsinh arctan asinh atan atleast_1d atleast_2d atleast_3d "
    "average broadcast_arrays cbrt ceil conj conjugate copy cos cosh cumprod cumsum deg2rad "
    "degrees diag diagflat diagonal diff ediff1d exp exp2 expm1 fabs flip fliplr flipud floor "
    "frexp gradient isfinite isinf isnan log log10 log1p log2 logical_not matrix_transpose "
    "max mean median meshgrid min modf nan_to_num nancumprod nancumsum nanmax nanmean "
    "nanmedian nanmin nanprod nanstd nansum nanvar negative permute_dims positive prod ptp "
    "rad2deg radians ravel real real_if_close reciprocal rint rot90 sign signbit sin sinc "
    "sinh sort sqrt square squeeze std sum tan tanh trace transpose trapezoid tril triu trunc "
    "unstack var",
    "V": "acos arccos arcsin arctanh asin atanh cumulative_prod cumulative_sum trim_zeros unwrap "
    "vander",
    "S": "linalg.cholesky linalg.cond linalg.det linalg.diagonal linalg.eigh linalg.eigvalsh "
    "linalg.inv linalg.matrix_norm linalg.matrix_rank linalg.matrix_transpose linalg.norm "
    "linalg.pinv linalg.qr linalg.slogdet linalg.svd linalg.svdvals linalg.trace "
    "linalg.vector_norm",
}
TWO_OPERANDS = (
    "add arctan2 atan2 copysign divide divmod equal float_power floor_divide fmax fmin fmod "
    "greater greater_equal heaviside hypot less less_equal logaddexp logaddexp2 logical_and "
    "logical_or logical_xor maximum minimum mod multiply not_equal pow power remainder subtract "
    "true_divide"
)
LISTS = "column_stack concat concatenate dstack hstack stack vstack"
CALLS = {
    **{name: (INPUTS[key], lambda f, x: f(x)) for key in ALONE for name in ALONE[key].split()},
    **dict.fromkeys(TWO_OPERANDS.split(), (A, lambda f, x: f(x, x[::-1]))),
    **dict.fromkeys(LISTS.split(), (A, lambda f, x: f([x, x]))),
    **dict.fromkeys(["dot", "matmul", "linalg.matmul"], (A, lambda f, x: f(x, x.T))),
    **dict.fromkeys(
        ["inner", "kron", "linalg.outer", "linalg.vecdot", "outer", "vdot", "vecdot"],
        (V, lambda f, x: f(x, x)),
    ),
    **dict.fromkeys(["cross", "linalg.cross"], (A, lambda f, x: f(x[0], x[1]))),
    **dict.fromkeys(["tensordot", "linalg.tensordot"], (A, lambda f, x: f(x, x, axes=[[0], [0]]))),
    **dict.fromkeys(["convolve", "correlate"], (V, lambda f, x: f(x, [1.0, 0.5, -1.0]))),
    **dict.fromkeys(["acosh", "arccosh"], (A, lambda f, x: f(x + 1.0))),
    "append": (A, lambda f, x: f(x, [[1.0, 2.0, 3.0]], axis=0)),
    "array_split": (A, lambda f, x: f(x, 2, axis=1)),
    "astype": (A, lambda f, x: f(x, np.float32)),
    "block": (A, lambda f, x: f([[x, x], [x, x]])),
    "broadcast_to": (A, lambda f, x: f(x, (2, 2, 3))),
    "choose": (A, lambda f, x: f([1, 0, 1], x)),
    "clip": (A, lambda f, x: f(x, 0.4, 1.2)),
    "compress": (A, lambda f, x: f([True, False, True], x, axis=1)),
    "delete": (A, lambda f, x: f(x, 1, axis=1)),
    "dsplit": (CUBE, lambda f, x: f(x, 2)),
    "einsum": (A, lambda f, x: f("ij,kj->ik", x, x, optimize=True)),
    "expand_dims": (A, lambda f, x: f(x, (0, -1))),
    "extract": (A, lambda f, x: f(A > 0.7, x)),
    "hsplit": (A, lambda f, x: f(x, [1, 2])),
    "insert": (A, lambda f, x: f(x, 1, 9.0, axis=1)),
    "interp": (A + 0.01, lambda f, x: f(x, [0.0, 1.0, 5.0], [1.0, 3.0, 2.0])),
    "ldexp": (A, lambda f, x: f(x, [1, 0, -2])),
    "linalg.lstsq": (S, lambda f, x: f(x, np.ones(3), rcond=None)[0]),
    "linalg.matrix_power": (S, lambda f, x: f(x, 3)),
    "linalg.multi_dot": (A, lambda f, x: f([x.T, x, S])),
    "linalg.solve": (S, lambda f, x: f(x, np.ones((3, 2)))),
    "linalg.tensorinv": (S, lambda f, x: f(x, ind=1)),
    "linalg.tensorsolve": (S, lambda f, x: f(x, np.ones(3))),
    "matvec": (A, lambda f, x: f(x, V[:3])),
    "moveaxis": (A, lambda f, x: f(x, 0, 1)),
    "nanpercentile": (A, lambda f, x: f(x, [20.0, 70.0], axis=1)),
    "nanquantile": (A, lambda f, x: f(x, 0.3)),
    "pad": (A, lambda f, x: f(x, 1, mode="edge")),
    "partition": (A, lambda f, x: f(x, 1)),
    "percentile": (A, lambda f, x: f(x, 30.0, 1)),
    "polyval": (V, lambda f, x: f(x, 0.7)),
    "quantile": (A, lambda f, x: f(x, [0.2, 0.9], 0, method="hazen", keepdims=True)),
    "repeat": (A, lambda f, x: f(x, 2, axis=1)),
    "reshape": (A, lambda f, x: f(x, (3, 2))),
    "resize": (A, lambda f, x: f(x, (3, 3))),
    "roll": (A, lambda f, x: f(x, 1, axis=1)),
    "rollaxis": (A, lambda f, x: f(x, 1)),
    "select": (A, lambda f, x: f([A > 1.0, A > 0.4], [x, 2.0 * x], 0.5)),
    "split": (A, lambda f, x: f(x, 3, axis=1)),
    "swapaxes": (A, lambda f, x: f(x, 0, 1)),
    "take": (A, lambda f, x: f(x, [0, 2, 0], axis=1)),
    "take_along_axis": (A, lambda f, x: f(x, np.array([[0, 1], [2, 2]]), axis=1)),
    "tile": (A, lambda f, x: f(x, (2, 1))),
    "vecmat": (A, lambda f, x: f(V[:2], x)),
    "vsplit": (A, lambda f, x: f(x, 2)),
    "where": (A, lambda f, x: f(A > 1.0, x, 0.5)),
}
CALLS_OF_PLAIN = {
    **dict.fromkeys(["allclose", "array_equal", "array_equiv", "isclose"], lambda f, x: f(x, A)),
    **dict.fromkeys(["may_share_memory", "shares_memory"], lambda f, x: f(x, x)),
    "argpartition": lambda f, x: f(x, 1),
    "bincount": lambda f, x: f(np.array([0, 1, 1]), minlength=x.shape[1]),
    "can_cast": lambda f, x: f(x.dtype, np.float32),
    "diag_indices_from": lambda f, x: f(x[:2, :2]),
    "digitize": lambda f, x: f(x, [0.0, 1.0, 3.0]),
    "full_like": lambda f, x: f(x, 2.5),
    "histogram": lambda f, x: f(x, 3),
    "histogram2d": lambda f, x: f(x[0], x[1], 2),
    "histogramdd": lambda f, x: f([x[0], x[1]], 2),
    "isin": lambda f, x: f(x, [0.5]),
    "searchsorted": lambda f, x: f(np.sort(x[0]), [0.7, 3.0]),
}
ERRORS_OF_OUR_OWN = {"linalg.eig", "linalg.eigvals"}  # here, to say why they are not
SUPPORTED = sorted(
    name for name, f in DISPATCHING.items() if f in FUNCTIONS and name not in ERRORS_OF_OUR_OWN
)
REFUSED = sorted(
    name for name, f in DISPATCHING.items() if f not in FUNCTIONS | dict.fromkeys(PLAIN)
)


def _parts(x):
    return [part for item in x for part in _parts(item)] if isinstance(x, (tuple, list)) else [x]


def _same(got, expected):
    assert len(_parts(got)) == len(_parts(expected))
    for y, theirs in zip(_parts(got), _parts(expected)):
        data = y.data if isinstance(y, Node) else y
        assert np.shape(data) == np.shape(theirs)
        np.testing.assert_allclose(data, theirs, rtol=1e-12, atol=1e-14)


def test_every_supported_function_has_an_example():
    assert set(SUPPORTED) - CALLS.keys() == set()


@pytest.mark.parametrize("name", SUPPORTED)
def test_supported_functions_give_what_numpy_gives(name):
    f, (x, call) = DISPATCHING[name], CALLS[name]
    got = call(f, Tensor(x))
    _same(got, call(f, x))
    nodes = [y for y in _parts(got) if isinstance(y, Node)]
    assert bool(nodes) != (isinstance(FUNCTIONS[f], Plain) or name == "linalg.matrix_rank")
    assert all(y.requires_grad for y in nodes)


SCALAR = [n for n in SUPPORTED if getattr(DISPATCHING[n], "signature", "") is None]


@pytest.mark.parametrize("name", SCALAR)
def test_ufuncs_of_values_are_values(name):
    f = DISPATCHING[name]
    x = 1.5 if name in ("arccosh", "acosh") else 0.5
    rest = (2,) if name == "ldexp" else (0.75,) * (f.nin - 1)
    got = f(Value(x), *rest)
    _same(got, f(x, *rest))
    assert all(isinstance(y, (Value, float, bool, np.bool_, np.integer)) for y in _parts(got))


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("leaf", [Tensor(A), Value(2.0)], ids=["Tensor", "Value"])
def test_every_other_function_is_refused_by_name(name, leaf):
    f = DISPATCHING[name]
    operands = [leaf] * getattr(f, "nin", 1)
    handed_over = partial(leaf.__array_function__, f, (type(leaf),), operands, {})
    call = partial(f, *operands) if isinstance(f, np.ufunc) else handed_over
    with pytest.raises(UsageError, match=rf"np\.(\w+\.)?{f.__name__} is not supported on graph"):
        call()


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_plain_functions_give_what_numpy_gives(name):
    f, call = getattr(np, name), CALLS_OF_PLAIN.get(name, lambda f, x: f(x))
    got, expected = call(f, Tensor(A)), call(f, A)
    for y, theirs in zip(_parts(got), _parts(expected), strict=True):
        assert not isinstance(y, Node)
        assert np.shape(y) == np.shape(theirs)
        if name != "empty_like":
            np.testing.assert_array_equal(y, theirs)


def test_a_function_of_a_later_numpy_is_refused_by_name():
    def latest(x):
        raise AssertionError

    latest.__module__ = "numpy"
    with pytest.raises(UsageError, match=r"np\.latest is not supported.*\.data"):
        Tensor(A).__array_function__(latest, (Tensor,), (A,), {})


def test_namesakes_are_the_same_thing_everywhere():
    for name in ("exp", "sum", "matmul", "nanmean", "quantile"):
        theirs = getattr(np, name)
        assert FUNCTIONS[theirs] is getattr(mg, name)
