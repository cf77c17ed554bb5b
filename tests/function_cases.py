"""Every public function that is made of rows, with its NumPy counterpart and points to test at."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import microgradopt as mg


class Case(NamedTuple):
    """``f`` of nodes must have the values of ``reference`` of arrays, at ``args``."""

    name: str
    f: Callable[..., Any]
    reference: Callable[..., Any]
    args: tuple[Any, ...]
    label: str

    def __str__(self) -> str:
        return f"{self.name}-{self.label}"


CASES: list[Case] = []
_rng = np.random.default_rng(20)


def _normal(*shape: int) -> Any:
    """Numbers of both signs, lopsided, none close to 0 or to each other's ties."""
    return _rng.normal(0.3, 1.5, shape)


def _add(
    name: str, reference: Callable[..., Any], *args: Any, label: str = "", **options: Any
) -> None:
    shown = ",".join(f"{key}={value!r}" for key, value in options.items()) or label or "plain"
    shapes = "×".join(str(np.shape(x)).replace(" ", "") for x in args)
    f, theirs = partial(getattr(mg, name), **options), partial(reference, **options)
    CASES.append(Case(name, f, theirs, args, f"{shapes}:{shown}"))


def _add_call(name: str, label: str, f: Any, reference: Any, *args: Any) -> None:
    CASES.append(Case(name, f, reference, args, label))


# Reductions, over every kind of axis

AXES: list[Any] = [None, 0, 1, -1, (0,), (0, 1), (-1, 0), (0, 1, 2), ()]
X = _normal(2, 3, 2)
for name, theirs in [
    ("sum", np.sum), ("mean", np.mean), ("prod", np.prod),
    ("max", np.max), ("min", np.min), ("var", np.var), ("std", np.std),
]:  # fmt: skip
    for axis in AXES:
        if axis == () and name in ("std", "var", "max", "min"):
            continue  # the spread of single numbers is constant, its root has a kink
        _add(name, theirs, X, axis=axis, keepdims=bool(axis))
        if axis in (None, 1):
            _add(name, theirs, X, axis=axis, keepdims=not axis)
    if name in ("sum", "mean", "prod"):
        _add(name, theirs, np.array(1.7))
    _add(name, theirs, _normal(5)[::-1])
for name, theirs in [("var", np.var), ("std", np.std)]:
    for ddof in (1, 0.5):
        _add(name, theirs, X, axis=0, ddof=ddof)
        _add(name, theirs, _normal(4), ddof=ddof)
for name, theirs in [("sum", np.sum), ("prod", np.prod)]:
    _add(name, theirs, np.zeros((0, 3)), axis=0)
    _add(name, theirs, np.zeros((2, 0)), axis=1, keepdims=True)
    _add(name, theirs, np.zeros(0))
for zeros in ([2.0, 0.0, 3.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0, 2.0]):
    _add("prod", np.prod, np.array(zeros), label=f"zeros={zeros}")
_add("prod", np.prod, np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 0.5]]), axis=0)


def _logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def _softmax(x: Any, axis: Any = -1) -> Any:
    return np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)


for axis in AXES:
    _add("logsumexp", _logsumexp, X, axis=axis, keepdims=bool(axis))
for axis in (0, 1, -1, None):
    _add("logsumexp", _logsumexp, X, axis=axis, keepdims=True)
    _add("softmax", _softmax, X, axis=axis)
    _add("log_softmax", lambda x, axis=-1: np.log(_softmax(x, axis)), X, axis=axis)
_add("softmax", _softmax, _normal(4))

for order in (None, 1, 2, 3, 0.5, -1, -2.5, np.inf, -np.inf, 0):
    _add("norm", np.linalg.norm, _normal(4), ord=order)
    _add("norm", np.linalg.norm, _normal(3, 2), ord=order, axis=-1)
    _add("norm", np.linalg.norm, _normal(3, 2), ord=order, axis=0, keepdims=True)
_add("norm", np.linalg.norm, X)
_add("norm", np.linalg.norm, _normal(3, 2), ord="fro")
_add("norm", np.linalg.norm, X, ord="fro", axis=(0, 2))
_add("norm", np.linalg.norm, X, axis=(0, -1), keepdims=True)
_add("norm", np.linalg.norm, np.zeros((0,)))
for label, factor in (("huge", 1e200), ("tiny", 1e-200)):
    _add_call(
        "norm", label, mg.norm, lambda x, c=factor: c * np.linalg.norm(x / c), factor * _normal(3)
    )

# Bounds, bends, order

_add_call("clip", "both", lambda x: mg.clip(x, -0.5, 1.0), lambda x: np.clip(x, -0.5, 1.0), X)
_add_call("clip", "low", lambda x: mg.clip(x, 0.1), lambda x: np.maximum(x, 0.1), X)
_add_call("clip", "high", lambda x: mg.clip(x, None, 0.1), lambda x: np.minimum(x, 0.1), X)
_add_call("clip", "arrays", mg.clip, np.clip, X, _normal(3, 1) - 2.0, _normal(1, 2) + 2.0)
_add_call("leaky_relu", "default", mg.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), X)
_add_call(
    "leaky_relu", "learned", mg.leaky_relu, lambda x, a: np.where(x > 0, x, a * x), X, _normal(3, 1)
)
_add_call("elu", "default", mg.elu, lambda x: np.where(x > 0, x, np.expm1(x)), X)
_add_call("elu", "alpha", mg.elu, lambda x, a: np.where(x > 0, x, a * np.expm1(x)), X, 1.7)
_add_call("log_sigmoid", "plain", mg.log_sigmoid, lambda x: -np.log1p(np.exp(-x)), X)
_add_call("stop_gradient", "half", lambda x: mg.stop_gradient(2.0) * x, lambda x: 2.0 * x, X)
for axis in (0, 1, -1, None):
    _add("sort", np.sort, X, axis=axis)
    _add("cumsum", np.cumsum, X, axis=axis)
_add("sort", np.sort, _normal(5)[::-1])
_add("cumsum", np.cumsum, np.zeros((0, 3)), axis=0)

# Shapes

for shape in (6, (3, 4), (-1, 2), (2, 1, -1, 3), [12]):
    source = X if np.prod(shape) != 6 else _normal(2, 3)
    _add_call("reshape", repr(shape), lambda x, s=shape: mg.reshape(x, s),
              lambda x, s=shape: np.reshape(x, s), source)  # fmt: skip
_add_call("reshape", "fortran", lambda x: mg.reshape(x, (3, 2)), lambda x: np.reshape(x, (3, 2)),
          np.asfortranarray(_normal(2, 3)))  # fmt: skip
_add_call("reshape", "to 0-d", lambda x: mg.reshape(x, ()), lambda x: np.reshape(x, ()), _normal(1))
_add_call("reshape", "empty", lambda x: mg.reshape(x, (3, 0)), lambda x: np.reshape(x, (3, 0)),
          np.zeros((0, 2)))  # fmt: skip
for axes in (None, (2, 0, 1), (-1, 0, -2)):
    _add("transpose", np.transpose, X, axes=axes)
for source, target in ((0, -1), (-1, 0), ((0, 1), (-1, 0)), ([2, 0], [0, 1])):
    _add("moveaxis", np.moveaxis, X, source=source, destination=target)
for a, b in ((0, 1), (-1, 0), (1, 1)):
    _add("swapaxes", np.swapaxes, X, axis1=a, axis2=b)
for axis in (0, 1, -1, (0, 2), (-1, 0)):
    _add("expand_dims", np.expand_dims, _normal(2, 3), axis=axis)
_add("expand_dims", np.expand_dims, np.array(2.5), axis=0)
for axis in (None, 1, -1, (1, 3), ()):
    _add("squeeze", np.squeeze, _normal(2, 1, 3, 1), axis=axis)
_add("ravel", np.ravel, X.T)
_add("ravel", np.ravel, np.array(3.5))
for axis in (None, 0, -1, (0, 2)):
    _add("flip", np.flip, X, axis=axis)
for shape in ((4, 2, 3), (2, 3), (1, 2, 3)):
    _add("broadcast_to", np.broadcast_to, _normal(2, 1), shape=shape)
_add("broadcast_to", np.broadcast_to, np.array(0.7), shape=(2, 2))
_add("broadcast_to", np.broadcast_to, _normal(1, 3), shape=(0, 3))
_add("astype", lambda x, dtype: x.astype(dtype), X, dtype=np.float64)

# Joining and splitting


def _joined(name: str, **options: Any) -> tuple[Any, Any]:
    ours, theirs = getattr(mg, name), getattr(np, name)
    return (lambda *xs: ours(xs, **options)), (lambda *xs: theirs(xs, **options))


for axis in (0, 1, -1, None):
    parts = (_normal(2, 3), _normal(2, 3) if axis != 0 else _normal(1, 3), _normal(2, 3))
    _add_call("concatenate", f"axis={axis}", *_joined("concatenate", axis=axis), *parts)
_add_call("concatenate", "empty part", *_joined("concatenate"), _normal(2), np.zeros(0))
for axis in (0, 1, -1, -3):
    _add_call("stack", f"axis={axis}", *_joined("stack", axis=axis), _normal(2, 3), _normal(2, 3))
_add_call("stack", "numbers", *_joined("stack"), 0.5, 1.5, np.array(-2.0))
for sections, axis in ((3, 0), ([1, 4], 0), ([2, 2, 9], 0), ([-2], 0), (2, 1), ((1,), -1)):
    _add_call(
        "split", f"{sections},axis={axis}",
        lambda x, s=sections, a=axis: mg.split(x, s, axis=a),
        lambda x, s=sections, a=axis: np.split(x, s, axis=a), _normal(6, 2),
    )  # fmt: skip
_add_call("split", "empty", lambda x: mg.split(x, 2), lambda x: np.split(x, 2), np.zeros((0, 2)))
for width in (1, (2, 1), ((1, 0), (0, 3)), ((1, 2),), 0):
    for mode in ("constant", "edge", "reflect", "symmetric", "wrap"):
        _add("pad", np.pad, _normal(3, 2), pad_width=width, mode=mode)
_add("pad", np.pad, _normal(2, 1), pad_width=2, mode="symmetric")
_add("pad", np.pad, _normal(2, 3), pad_width=((4, 5), (3, 4)), mode="reflect")
_add("pad", np.pad, _normal(2), pad_width=1, constant_values=7.0)
_add("pad", np.pad, _normal(2), pad_width=1, constant_values=-np.inf)

# Products

for a, b in [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 2)),
    ((2, 3), (4, 3, 1)), ((1, 4, 2, 3), (2, 1, 3, 2)), ((3,), (2, 3, 2)), ((4, 2, 3), (3,)),
    ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((1, 1), (1, 1)), ((2, 1, 2, 3), (3,)),
]:  # fmt: skip
    _add("matmul", np.matmul, _normal(*a), _normal(*b))
    if len(b) < 3 or len(a) < 4:
        _add("dot", np.dot, _normal(*a), _normal(*b))
_add("matmul", np.matmul, np.asfortranarray(_normal(2, 3)), _normal(4, 3).T)
_add("dot", np.dot, 1.5, _normal(2, 2))
_add("dot", np.dot, _normal(3), np.array(2.5))
_add("outer", np.outer, _normal(3), _normal(2))
_add("outer", np.outer, _normal(2, 2), 1.5)
_add("outer", np.outer, _normal(2), np.zeros(0))
for axes in (0, 1, 2, ([0, 1], [1, 0]), (-1, 0), ([2], [1])):
    _add("tensordot", np.tensordot, _normal(3, 2, 2), _normal(2, 2, 3) if axes in (1, 2, (-1, 0), 0)
         else _normal(2, 3, 2) if axes != ([2], [1]) else _normal(4, 2), axes=axes)  # fmt: skip
for subscripts, *shapes in [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ba", (2, 3)), ("ij->ji", (2, 3)),
    ("ii", (3, 3)), ("ii->i", (3, 3)), ("iij->j", (2, 2, 3)), ("iii->", (2, 2, 2)),
    ("i,i->", (3,), (3,)), ("i,j->ij", (2,), (3,)), ("i,j->", (2,), (3,)),
    ("ij,kl->", (2, 3), (2, 2)), ("ij->", (2, 3)), ("...ij,...jk->...ik", (4, 2, 3), (3, 2)),
    ("...i->...", (2, 3)), ("i...->...", (2, 3, 2)), ("...,...", (2, 3), (3,)),
    ("i...,i...->i...", (2, 3), (2, 1)), ("...i,...i", (2, 1, 3), (4, 3)),
    ("ij,j->i", (2, 1), (3,)), ("ij,ij->ij", (1, 3), (2, 3)), ("jk,jk->", (1, 4), (3, 1)),
    ("ij,jk,kl->il", (2, 3), (3, 2), (2, 4)), ("i,i,i->", (3,), (3,), (3,)),
    ("ii,jj->", (2, 2), (3, 3)), ("ii,i->i", (3, 3), (3,)), ("ij,kj->i", (2, 3), (4, 3)),
    ("i,->i", (3,), ()), (",", (), ()), ("ijk,ik->kj", (2, 3, 2), (2, 2)),
    ("aB,Bc", (2, 3), (3, 2)), ("ij , jk -> ki", (2, 3), (3, 4)), ("ij,jk->ik", (0, 3), (3, 2)),
    ("ij,jk->ik", (2, 0), (0, 3)), ("iij,jji->", (2, 2, 3), (3, 3, 2)),
]:  # fmt: skip
    _add_call(
        "einsum", f"{subscripts}:{shapes}",
        partial(mg.einsum, subscripts), partial(np.einsum, subscripts),
        *(_normal(*shape) for shape in shapes),
    )  # fmt: skip
for offset in (0, 1, -1, 2, -5):
    _add("diagonal", np.diagonal, _normal(3, 4), offset=offset)
    _add("trace", np.trace, _normal(3, 4), offset=offset)
for a, b in ((1, 0), (0, 2), (-1, 1), (2, 0)):
    _add("diagonal", np.diagonal, _normal(2, 3, 4), axis1=a, axis2=b, offset=1)
    _add("trace", np.trace, _normal(2, 3, 4), axis1=a, axis2=b)
