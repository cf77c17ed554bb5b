"""What the indexing, arranging and difference functions refuse, and their special points."""

from __future__ import annotations

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import Tensor, Value
from microgradopt.errors import DTypeError, ShapeError, UsageError

A = np.array([[1.0, 2.0, 0.5], [4.0, 0.25, 1.5]])
T = Tensor(A)
ROW = Tensor([1.0, 2.0, 3.0])
V = Value(2.0)

REFUSED = {
    "reshape order": (lambda: mg.reshape(T, 6, "A"), UsageError, r"reshape: order='A' .*'C'.*'F'"),
    "ravel order": (lambda: mg.ravel(T, "K"), UsageError, "ravel: order='K' depends on how"),
    "matrix_transpose": (
        lambda: mg.matrix_transpose(ROW),
        ShapeError,
        r"at least 2 dimensions, got shape \(3,\)",
    ),
    "take": (
        lambda: mg.take(ROW, [0, 3]),
        ShapeError,
        "take: index 3 is out of range for 3 entries; use -3 to 2, or mode='wrap' or 'clip'",
    ),
    "take far below": (lambda: mg.take(T, -3, axis=0), ShapeError, "index -3 is out of range"),
    "take of nothing": (
        lambda: mg.take(np.zeros(0), 0, mode="clip"),
        ShapeError,
        "index 0 is out of range for 0 entries",
    ),
    "take mode": (lambda: mg.take(T, 0, mode="bend"), UsageError, "choose from raise, wrap, clip"),
    "take node": (
        lambda: mg.take(T, V),
        DTypeError,
        r"take: a graph node cannot be an index.*node\.data\.astype\(int\)",
    ),
    "take floats": (
        lambda: mg.take(T, [0.0]),
        DTypeError,
        r"got dtype float64; use \.astype\(int\)",
    ),
    "take axes": (lambda: mg.take(T, 0, axis=(0, 1)), ShapeError, r"one axis, got axis=\(0, 1\)"),
    "take_along_axis": (
        lambda: mg.take_along_axis(T, np.array([0]), 1),
        ShapeError,
        r"indices of shape \(1,\) for an operand of shape \(2, 3\)",
    ),
    "take_along_axis shapes": (
        lambda: mg.take_along_axis(T, np.zeros((3, 1), int), 1),
        ShapeError,
        "could not be broadcast",
    ),
    "partition": (lambda: mg.partition(ROW, 3), ShapeError, "partition: index 3 is out of range"),
    "compress": (
        lambda: mg.compress([True, False, True], T, axis=0),
        ShapeError,
        r"condition of shape \(3,\) for an axis of length 2",
    ),
    "compress matrix": (lambda: mg.compress(A > 0, T), ShapeError, "one truth value per entry"),
    "trim_zeros": (lambda: mg.trim_zeros(ROW, "x"), UsageError, "'f', 'b' or 'fb', got 'x'"),
    "select counts": (
        lambda: mg.select([A > 0], [T, T]),
        UsageError,
        r"1 condition\(s\) and 2 choice\(s\)",
    ),
    "select nothing": (lambda: mg.select([], []), UsageError, "at least one"),
    "select floats": (
        lambda: mg.select([A], [T]),
        DTypeError,
        "condition 0 has dtype float64, not bool; write a comparison, such as x > 0",
    ),
    "choose": (
        lambda: mg.choose([2], [T, T]),
        ShapeError,
        "choose: index 2 is out of range for 2 entries; use 0 to 1",
    ),
    "choose below": (lambda: mg.choose([-1], [T, T]), ShapeError, "index -1 is out of range"),
    "choose shapes": (
        lambda: mg.choose([0, 1], [ROW, V]),
        ShapeError,
        r"shapes \[\(2,\), \(3,\), \(\)\] cannot be broadcast",
    ),
    "nan_to_num": (lambda: mg.nan_to_num(T, copy=False), UsageError, "in place; leave it out"),
    "diag": (lambda: mg.diag(V), ShapeError, r"1 or 2 dimensions, got shape \(\).*mg\.diagonal"),
    "tril": (lambda: mg.tril(V), ShapeError, "tril: the operand is 0-dimensional"),
    "delete": (lambda: mg.delete(ROW, 5), ShapeError, "delete: in an axis of length 3: index 5"),
    "delete node": (
        lambda: mg.delete(ROW, V),
        DTypeError,
        "delete: a graph node cannot be an index",
    ),
    "insert": (lambda: mg.insert(ROW, 5, 1.0), ShapeError, "insert: in an axis of length 3"),
    "insert node": (lambda: mg.insert(ROW, V, 1.0), DTypeError, "a graph node cannot be an index"),
    "insert values": (
        lambda: mg.insert(T, 0, np.ones((2, 4)), axis=1),
        ShapeError,
        "does not broadcast to",
    ),
    "append": (lambda: mg.append(T, ROW, axis=0), ShapeError, "all other dimensions must agree"),
    "roll pairs": (lambda: mg.roll(T, (1, 2, 3), (0, 1)), ShapeError, "do not pair up"),
    "roll half": (lambda: mg.roll(T, 0.5), DTypeError, "roll: indices must be whole numbers"),
    "roll axis": (lambda: mg.roll(T, 1, 2), ShapeError, "roll: axis 2 is out of range"),
    "fliplr": (lambda: mg.fliplr(ROW), ShapeError, r"fliplr: needs at least 2 dimension\(s\)"),
    "flipud": (lambda: mg.flipud(V), ShapeError, r"flipud: needs at least 1"),
    "rot90": (lambda: mg.rot90(T, axes=(0,)), ShapeError, "the two axes of a plane, got"),
    "rot90 twice": (lambda: mg.rot90(T, axes=(0, 0)), ShapeError, "repeated"),
    "rollaxis": (lambda: mg.rollaxis(T, 0, 3), ShapeError, "start 3 is out of range; use -2 to 2"),
    "repeat": (
        lambda: mg.repeat(T, [1, 2], axis=1),
        ShapeError,
        "along an axis of length 3; give one count",
    ),
    "repeat negative": (lambda: mg.repeat(T, -1), ShapeError, "not negative"),
    "tile": (lambda: mg.tile(T, (2, -1)), ShapeError, r"must not be negative, got \(2, -1\)"),
    "resize": (lambda: mg.resize(T, (2, -1)), ShapeError, "must not be negative"),
    "broadcast_arrays": (
        lambda: mg.broadcast_arrays(T, np.ones(2)),
        ShapeError,
        r"shapes \[\(2, 3\), \(2,\)\] do not broadcast together",
    ),
    "meshgrid": (lambda: mg.meshgrid(ROW, indexing="yx"), UsageError, "'xy' or 'ij', got 'yx'"),
    "hstack": (lambda: mg.hstack([]), ShapeError, "hstack: needs at least one array"),
    "vstack": (lambda: mg.vstack([T, np.ones(2)]), ShapeError, "must agree"),
    "block tuple": (lambda: mg.block(([T], [T])), UsageError, "nest lists, not tuples"),
    "block depths": (lambda: mg.block([T, [T]]), UsageError, r"different depths \(\[0, 1\]\)"),
    "block empty": (lambda: mg.block([[T], []]), UsageError, "a list is empty"),
    "array_split": (lambda: mg.array_split(T, 0), ShapeError, "at least one section, got 0"),
    "split unequal": (lambda: mg.split(ROW, 2), ShapeError, r"mg\.array_split makes unequal ones"),
    "hsplit": (lambda: mg.hsplit(V, 1), ShapeError, "hsplit: needs at least 1"),
    "vsplit": (lambda: mg.vsplit(ROW, 3), ShapeError, "vsplit: needs at least 2"),
    "dsplit": (lambda: mg.dsplit(T, 3), ShapeError, "dsplit: needs at least 3"),
    "unstack": (lambda: mg.unstack(V), ShapeError, "unstack: axis 0 is out of range"),
    "diff": (lambda: mg.diff(T, -1), UsageError, "how often to take differences, got -1"),
    "diff number": (lambda: mg.diff(V), ShapeError, "diff: axis -1 is out of range"),
    "trapezoid": (
        lambda: mg.trapezoid(T, np.ones(2)),
        ShapeError,
        r"points x of shape \(2,\) for y of shape \(2, 3\); give the 3 points along axis 1",
    ),
    "gradient counts": (
        lambda: mg.gradient(T, 1.0, 2.0, 3.0),
        UsageError,
        "3 spacings for 2 axes",
    ),
    "gradient order": (lambda: mg.gradient(T, edge_order=3), UsageError, "must be 1 or 2, got 3"),
    "gradient short": (
        lambda: mg.gradient(T, edge_order=2),
        ShapeError,
        r"axis 0 of shape \(2, 3\) needs at least 3 points",
    ),
    "gradient points": (
        lambda: mg.gradient(ROW, np.ones(2)),
        ShapeError,
        r"coordinates of shape \(2,\) for an axis of length 3",
    ),
    "interp": (
        lambda: mg.interp(V, ROW, T),
        ShapeError,
        r"xp of shape \(3,\) and fp of shape \(2, 3\) must be two rows",
    ),
    "interp nothing": (lambda: mg.interp(V, [], []), ShapeError, "of one point or more"),
    "interp period": (lambda: mg.interp(V, ROW, ROW, period=0), UsageError, "not 0, got 0"),
    "convolve": (lambda: mg.convolve(T, ROW), ShapeError, r"shapes \(\(2, 3\), \(3,\)\)"),
    "convolve nothing": (lambda: mg.convolve(ROW, []), ShapeError, "one number or more"),
    "correlate mode": (lambda: mg.correlate(ROW, ROW, "half"), UsageError, "full, same, valid"),
    "polyval": (lambda: mg.polyval(T, V), ShapeError, r"must be one row, got shape \(2, 3\)"),
    "vander": (lambda: mg.vander(T), ShapeError, r"one row of numbers, got shape \(2, 3\)"),
    "vander columns": (lambda: mg.vander(ROW, 0), ShapeError, "at least one column, got N=0"),
    "vecdot": (lambda: mg.vecdot(T, np.ones(2)), ShapeError, "vectors of 3 and of 2 numbers"),
    "matvec": (lambda: mg.matvec(ROW, T), ShapeError, "needs matrices and vectors, got shapes"),
    "vecmat": (lambda: mg.vecmat(V, T), ShapeError, "needs vectors and matrices, got shapes"),
    "cross": (
        lambda: mg.cross(np.ones(2), Tensor([1.0, 2.0])),
        ShapeError,
        r"vectors of 3 numbers.*x\[\.\.\., 0\] \* y\[\.\.\., 1\] - x\[\.\.\., 1\]",
    ),
    "einsum labels": (lambda: mg.einsum(T, ["a", "b"]), UsageError, "a list of ints from 0 to 51"),
    "pad halves": (lambda: mg.pad(T, 0.5), DTypeError, "pad_width must be whole numbers, got 0.5"),
    "pad axis": (lambda: mg.pad(T, {2: 1}), ShapeError, "pad: axis 2 is out of range"),
    "pad width": (lambda: mg.pad(T, {0: (1, 2, 3)}), ShapeError, "does not give"),
    "pad values": (
        lambda: mg.pad(T, 1, constant_values=[1.0, 2.0, V]),
        ShapeError,
        r"constant_values of shape \(3,\) does not give \(before, after\) for 2 axes",
    ),
    "pad option": (
        lambda: mg.pad(T, 1, "edge", stat_length=1),
        UsageError,
        "mode 'edge' does not take stat_length=",
    ),
    "pad reflect_type": (
        lambda: mg.pad(T, 1, "reflect", reflect_type="strange"),
        UsageError,
        "must be 'even' or 'odd', got 'strange'",
    ),
    "pad stat_length": (lambda: mg.pad(T, 1, "mean", stat_length=0), ShapeError, "1 or more"),
    "pad stat_lengths": (
        lambda: mg.pad(T, 1, "mean", stat_length=(1, 2, 3)),
        ShapeError,
        "does not give",
    ),
    "pad of nothing": (
        lambda: mg.pad(np.zeros((0, 2)), 1, "mean"),
        ShapeError,
        "axis 0 of shape .0, 2. has no entry to repeat; use mode='constant'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_explained(name):
    call, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: m.atleast_1d(x, x),
        lambda m, x: m.atleast_3d(x, x),
        lambda m, x: m.broadcast_arrays(x, x),
        lambda m, x: m.meshgrid(x, x),
        lambda m, x: m.split(x, 3),
        lambda m, x: m.array_split(x, 2),
        lambda m, x: m.gradient(m.stack([x, x, x])),
    ],
)
def test_several_results_come_as_numpy_gives_them(call):
    assert type(call(mg, ROW)) is type(call(np, ROW)) is type(call(np, ROW.data))


# Keys of indexing

KEYS = {
    "full mask": A > 1,
    "mask of rows": np.array([True, False]),
    "mask of columns": (slice(None), np.array([True, False, True])),
    "mask as a list": [True, False],
    "mask of nothing": np.zeros((2, 3), bool),
    "truth": True,
    "untruth": np.bool_(False),
    "new axes": (None, 0, ..., None),
    "backwards": (slice(None, None, -1), slice(2, 0, -2)),
    "beyond the end": (slice(5, 9), slice(-9, 2)),
    "small ints": np.array([1, 0, 1], np.int8),
    "a NumPy int": (np.int64(-1), np.uint8(2)),
    "a list": [1, 1, 0],
    "an empty list": [],
    "an empty list inside": (0, []),
    "a 0-d array": np.array(1),
    "arrays apart": (np.array([0, 1]), None, np.array([2, 2])),
    "an array and an int": (np.array([0, 1, 0]), 1),
    "a grid": np.ix_([1, 0, 1], [2, 2]),
    "nothing": (),
    "everything": ...,
}


@pytest.mark.parametrize("name", KEYS)
def test_every_kind_of_key(name):
    key, t = KEYS[name], Tensor(A)
    y = t[key]
    np.testing.assert_array_equal(y.data, A[key])
    assert y.shape == A[key].shape
    g = np.arange(1.0, y.size + 1.0).reshape(y.shape)
    y.backward(g)
    expected = np.zeros_like(A)
    np.add.at(expected, key, g)
    np.testing.assert_array_equal(t.grad, expected)


def test_key_arrays_are_copied():
    t, key, mask = Tensor(A), np.array([0, 1]), np.array([True, False])
    y = mg.sum(t[key] * 2.0) + mg.sum(mg.take(t, key, 1)) + mg.sum(mg.compress(mask, t, 0))
    key[:], mask[:] = 1, True
    y.backward()
    np.testing.assert_array_equal(t.grad, [[4.0, 4.0, 3.0], [3.0, 3.0, 2.0]])


def test_what_raw_data_refuses_is_ours_too():
    with pytest.raises(ShapeError, match=r"indexing an array of shape \(2, 3\)"):
        mg.take_along_axis(A, np.array([[7]]), 1)


# Special points


def test_repeated_picks_accumulate():
    for f, expected in (
        (lambda x: mg.take(x, [0, 2, 0]), [2.0, 0.0, 1.0]),
        (lambda x: mg.repeat(x, [0, 3, 1]), [0.0, 3.0, 1.0]),
        (lambda x: mg.tile(x, (2, 2)), [4.0, 4.0, 4.0]),
        (lambda x: mg.resize(x, (5,)), [2.0, 2.0, 1.0]),
        (lambda x: mg.choose([0, 0, 1], [x, x]), [1.0, 1.0, 1.0]),
        (lambda x: mg.pad(x, 2, "edge"), [3.0, 1.0, 3.0]),
        (lambda x: mg.roll(x, 4), [1.0, 1.0, 1.0]),
    ):
        np.testing.assert_array_equal(mg.grad(lambda x, f=f: mg.sum(f(x)))(ROW.data), expected)


def test_what_is_left_out_has_a_derivative_of_exactly_zero():
    x = np.array([[1.0, np.nan], [np.inf, 2.0]])
    np.testing.assert_array_equal(
        mg.grad(lambda x: mg.sum(mg.nan_to_num(x) ** 2))(x), [[2.0, 0.0], [0.0, 4.0]]
    )
    np.testing.assert_array_equal(
        mg.grad(lambda x: mg.sum(mg.triu(x, 2)))(x), [[0.0, 0.0], [0.0, 0.0]]
    )
    np.testing.assert_array_equal(mg.tril(x, -2), np.zeros((2, 2)))
    picked = mg.grad(lambda x: mg.sum(mg.select([x > 1.5], [mg.log(x - 1.5)], x)))
    np.testing.assert_array_equal(picked(np.array([1.0, 2.5])), [1.0, 1.0])


def test_nan_to_num_replaces_as_numpy_does():
    x = np.array([np.nan, np.inf, -np.inf, 1.5])
    for options in ({}, {"nan": 1.0}, {"posinf": 2.0, "neginf": -3.0}):
        for dtype in (np.float32, np.float64):
            y = mg.nan_to_num(Tensor(x, dtype=dtype), **options)
            np.testing.assert_array_equal(y.data, np.nan_to_num(x.astype(dtype), **options))
            assert y.dtype == dtype
    assert mg.nan_to_num(Value(np.inf)).data == np.finfo(float).max
    assert type(mg.nan_to_num(Value(np.nan))) is Value


def test_interpolation_at_the_points_and_outside():
    xp, fp = np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0, 4.0])
    at = np.array([-1.0, 0.0, 1.0, 3.0, 4.0, np.nan])
    y, slopes = mg.value_and_grad(lambda x: mg.sum(mg.nan_to_num(mg.interp(x, xp, fp))))(at)
    np.testing.assert_array_equal(mg.interp(at, xp, fp), np.interp(at, xp, fp))
    assert y == 0.0 + 0.0 + 2.0 + 4.0 + 4.0
    np.testing.assert_array_equal(slopes, [0.0, 2.0, 1.0, 0.0, 0.0, 0.0])
    infinite = mg.grad(lambda x: mg.interp(x, xp, np.array([0.0, 1.0, np.inf])))
    assert infinite(0.5) == 1.0


def test_a_maximum_that_pads_splits_ties():
    g = mg.grad(lambda x: mg.sum(mg.pad(x, (0, 2), "maximum")))(np.array([2.0, 1.0, 2.0]))
    np.testing.assert_array_equal(g, [2.0, 1.0, 2.0])


def test_gradient_does_not_let_one_point_spoil_another():
    x = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    np.testing.assert_array_equal(mg.gradient(x), np.gradient(x))
    x[2] = np.inf
    np.testing.assert_array_equal(mg.gradient(x), np.gradient(x))


def test_trimming_looks_at_the_numbers():
    x = Tensor([0.0, 0.0, 1.5, 0.0, -2.0, 0.0])
    for trim, kept in (("fb", slice(2, 5)), ("f", slice(2, 6)), ("b", slice(0, 5))):
        x.zero_grad()
        y = mg.trim_zeros(x, trim)
        np.testing.assert_array_equal(y.data, np.trim_zeros(x.data, trim))
        mg.sum(y).backward()
        np.testing.assert_array_equal(np.flatnonzero(x.grad), np.arange(6)[kept])


def test_numbers_do_not_promote_float32():
    x, v = Tensor(np.ones(2, np.float32)), Value(0.5)
    for y in (
        mg.hstack([x, v, 2.0]),
        mg.append(x, v),
        mg.insert(x, 1, v),
        mg.block([x, v]),
        mg.diff(x, prepend=v),
        mg.ediff1d(x, v, 1.0),
        mg.pad(x, 1, constant_values=v),
        mg.pad(x, 1, "linear_ramp", end_values=(v, 1.0)),
        mg.convolve(x, v),
        mg.kron(x, v),
        mg.choose([0, 1], [x, v]),
        mg.gradient(x, np.arange(2.0)),
        *mg.broadcast_arrays(x, v),
        *mg.meshgrid(x, v),
        *mg.atleast_2d(x, v),
    ):
        assert y.dtype == np.float32


def test_copies_are_their_own():
    raw = A.copy()
    for copied in (mg.copy(raw), mg.rot90(raw, 4), mg.block(raw), mg.reshape(raw, 6, copy=True)):
        copied[...] = 0.0
    np.testing.assert_array_equal(raw, A)
    t = Tensor(A)
    assert mg.copy(t) is not t
    assert mg.copy(t).parents == (t,)


def test_a_single_number_can_be_indexed():
    for f in (
        lambda v: mg.trim_zeros(v),
        lambda v: mg.take(v, [0])[0],
        lambda v: mg.select([np.array(True)], [v]),
        lambda v: mg.pad(mg.atleast_1d(v), 1)[1],
        lambda v: mg.interp(v, [0.0, 4.0], [0.0, 4.0]),
    ):
        v = Value(1.5)
        y = f(v)
        assert y.item() == 1.5
        y.backward()
        assert v.grad == 1.0


def test_padding_by_a_dict_of_axes():
    for width in ({0: 1}, {-1: (1, 2)}, {0: (0, 1), 1: 3}):
        full = [width.get(0, 0), width.get(1, width.get(-1, 0))]
        pairs = [w if isinstance(w, tuple) else (w, w) for w in full]
        np.testing.assert_array_equal(mg.pad(T, width).data, np.pad(A, pairs))


# NumPy's own functions, called as for arrays

B, K = A.T.copy(), np.array([0.5, -1.0, 2.0])
NUMPY = {
    "take": lambda t: np.take(t, [[0], [-1]], axis=1),
    "take mode": lambda t: np.take(a=t, indices=[9], mode="wrap"),
    "take_along_axis": lambda t: np.take_along_axis(t, np.argsort(A, axis=1), axis=1),
    "partition": lambda t: np.partition(t, 1),
    "compress": lambda t: np.compress([True, False], t, axis=0),
    "extract": lambda t: np.extract(A > 1, t),
    "trim_zeros": lambda t: np.trim_zeros(t),
    "select": lambda t: np.select([t > 1.2, A > 0.4], [t**2, 1.0 / t], default=7.0),
    "choose": lambda t: np.choose([1, 0, 1], [t, 2.0 * t]),
    "nan_to_num": lambda t: np.nan_to_num(t, nan=1.0),
    "where": lambda t: t[np.where(t > 1.2)],
    "diag": lambda t: np.diag(t, k=1),
    "diagflat": lambda t: np.diagflat(v=t),
    "tril": lambda t: np.tril(t, -1),
    "triu": lambda t: np.triu(m=t, k=1),
    "insert": lambda t: np.insert(t, 1, values=t[:, 0], axis=1),
    "insert into data": lambda t: np.insert(A, 1, t[:, 0], axis=1),
    "delete": lambda t: np.delete(arr=t, obj=[0, 2], axis=1),
    "append": lambda t: np.append(A, t),
    "roll": lambda t: np.roll(t, (1, 2), axis=(0, 1)),
    "fliplr": lambda t: np.fliplr(t),
    "flipud": lambda t: np.flipud(t),
    "rot90": lambda t: np.rot90(t, k=3, axes=(1, 0)),
    "rollaxis": lambda t: np.rollaxis(t, 1),
    "repeat": lambda t: np.repeat(t, repeats=[1, 2], axis=0),
    "tile": lambda t: np.tile(A=t, reps=(1, 2)),
    "resize": lambda t: np.resize(t, (4, 2)),
    "copy": lambda t: np.copy(t),
    "atleast_3d": lambda t: np.atleast_3d(t),
    "hstack": lambda t: np.hstack((t, A)),
    "vstack": lambda t: np.vstack([A, t]),
    "dstack": lambda t: np.dstack([t, t]),
    "column_stack": lambda t: np.column_stack([t, A[:, 0]]),
    "concat": lambda t: np.concat([t, A], axis=1),
    "block": lambda t: np.block([[t, A], [A, t]]),
    "split": lambda t: np.split(t, [1], axis=1)[1],
    "array_split": lambda t: np.array_split(t, 2, axis=1)[0],
    "hsplit": lambda t: np.hsplit(t, 3)[2],
    "vsplit": lambda t: np.vsplit(t, 2)[0],
    "meshgrid": lambda t: np.meshgrid(t, K, indexing="ij")[0],
    "broadcast_arrays": lambda t: np.broadcast_arrays(K, t)[1],
    "permute_dims": lambda t: np.permute_dims(t, (1, 0)),
    "matrix_transpose": lambda t: np.matrix_transpose(t),
    "reshape": lambda t: np.reshape(t, shape=(3, -1), order="F"),
    "ravel": lambda t: np.ravel(t, order="F"),
    "pad": lambda t: np.pad(t, [(1, 2), (0, 1)], mode="linear_ramp", end_values=(1.0, 2.0)),
    "diff": lambda t: np.diff(t, prepend=0.0),
    "ediff1d": lambda t: np.ediff1d(t, to_begin=1.0),
    "gradient": lambda t: np.gradient(t, K[[1, 0, 2]], axis=1, edge_order=2),
    "trapezoid": lambda t: np.trapezoid(t, x=K, axis=1),
    "interp": lambda t: np.interp(t, [0.0, 2.2, 9.0], [1.0, 5.0, -2.0]),
    "interp of the points": lambda t: np.interp(K, [0.0, 0.7, 9.0], t[0]),
    "unwrap": lambda t: np.unwrap(t),
    "convolve": lambda t: np.convolve(t[0], K, mode="same"),
    "correlate": lambda t: np.correlate(K, t[1], "full"),
    "polyval": lambda t: np.polyval(K, t),
    "vander": lambda t: np.vander(t[0], increasing=True),
    "cross": lambda t: np.cross(t, K),
    "inner": lambda t: np.inner(t, K),
    "vdot": lambda t: np.vdot(t, A),
    "kron": lambda t: np.kron(t, K),
    "einsum": lambda t: np.einsum("ij,jk->ik", t, B, optimize=True),
    "einsum labels": lambda t: np.einsum(t, [0, 1], B, [1, 2], [0, 2]),
}
NEWER = {  # than the oldest NumPy that works
    "unstack": lambda t: np.unstack(t, axis=1)[1],
    "vecdot": lambda t: np.vecdot(t, K),
    "vecdot axis": lambda t: np.vecdot(t, A, axis=0),
    "matvec": lambda t: np.matvec(t, K),
    "vecmat": lambda t: np.vecmat(K, B @ t),
}
NUMPY |= {name: f for name, f in NEWER.items() if hasattr(np, name.split()[0])}


@pytest.mark.parametrize("name", NUMPY)
def test_numpy_code_written_for_arrays_differentiates_unchanged(name):
    f, t = NUMPY[name], Tensor(A)
    y = f(t)
    assert isinstance(y, Tensor)
    np.testing.assert_allclose(y.data, f(A), rtol=1e-13, atol=1e-13)
    mg.check.check_grads(f, A)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.put(t, [0], 1.0),
        lambda t: np.put_along_axis(t, np.array([[0]]), 1.0, 1),
        lambda t: np.place(t, A > 1, [1.0]),
        lambda t: np.copyto(t, A),
        lambda t: np.fill_diagonal(t, 1.0),
    ],
)
def test_writing_in_place_is_refused_with_what_to_write_instead(call):
    with pytest.raises(UsageError, match=r"not supported.* in place; build .* with mg\.where"):
        call(Tensor(A))


def test_joining_takes_a_dtype():
    for f in (mg.concatenate, mg.stack, mg.hstack, mg.vstack, np.concatenate, np.hstack):
        t = Tensor(A)
        y = f([t, A], dtype=np.float32)
        assert y.dtype == np.float32
        mg.sum(y).backward()
        np.testing.assert_array_equal(t.grad, np.ones((2, 3)))
    with pytest.raises(DTypeError, match="astype: nodes hold floating-point numbers; int64"):
        mg.stack([T, T], dtype=int)
