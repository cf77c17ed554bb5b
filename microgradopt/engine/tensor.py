"""``Tensor``: an array node, with NumPy's operators, methods and indexing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from microgradopt.engine import composites, copying, reductions, sweeps
from microgradopt.engine.graph import KINDS, Array, Node, describe
from microgradopt.engine.interop import Interoperable
from microgradopt.engine.ops import arranging, elementwise as ops, indexing, products, shapes
from microgradopt.errors import DTypeError, GraphError, ShapeError

__all__ = [
    "Tensor",
]  # fmt: skip


class Tensor(Interoperable, Node):
    """An array in a computation graph.

    Args:
        data: floats, nested lists of numbers, or a floating-point array, which is copied. A
            Python int or list of ints becomes float64.
        dtype: a floating-point dtype; that of the array, or float64, when left out.
        name: what pictures and messages call it.
        requires_grad: whether backward passes give it a gradient.

    Raises:
        DTypeError: for anything that is not made of real numbers, and for whole-number arrays,
            whose gradient would have no meaning.

    >>> import numpy as np
    >>> W = Tensor(np.ones((2, 3)), name="W")
    >>> loss = (np.array([[1.0, 2.0]]) @ W).sum()
    >>> loss.backward()
    >>> W.grad
    array([[1., 1., 1.],
           [2., 2., 2.]])
    """

    __slots__ = ("_params",)
    data: Array
    grad: Array | None
    _params: dict[str, Any]

    def __init__(
        self,
        data: Any,
        *,
        dtype: Any = None,
        name: str | None = None,
        requires_grad: bool = True,
    ) -> None:
        array = self.leaf_data(data, dtype)
        if array is data or array.base is not None:
            array = array.copy()
        self._become_leaf(array, int(bool(requires_grad)), name)

    @classmethod
    def leaf_data(cls, data: Any, dtype: Any = None) -> Array:
        """``data`` as a floating-point array, or an error that says what to give instead."""
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise DTypeError(f"dtype={dtype!r}: a Tensor holds floats; use np.float64 or float32")
        if isinstance(data, Node):
            raise DTypeError(
                f"Tensor({data!r}): this is a graph node already; use it as it is, or its "
                ".detach() for a constant with the same data"
            )
        if isinstance(data, (list, tuple)) and any(isinstance(x, Node) for x in data):
            raise DTypeError(
                f"Tensor of a {type(data).__name__} of graph nodes would cut them out of their "
                "graph; join them with mg.stack([...])"
            )
        if isinstance(data, np.ma.MaskedArray):
            raise DTypeError("a Tensor has no mask; fill the masked array first: data.filled(0.0)")
        try:
            array = np.asarray(data)
        except ValueError:
            raise ShapeError("the rows of a Tensor must all have the same length") from None
        if isinstance(data, np.ndarray) and array.dtype.kind in "iub" and dtype is None:
            raise DTypeError(
                f"an array of dtype {array.dtype} cannot be differentiated; use "
                "array.astype(float), or keep it as a plain array if it is an index or a label"
            )
        if array.dtype.kind not in "fiub":
            raise DTypeError(
                f"a Tensor holds real numbers, got {type(data).__name__} of dtype {array.dtype}"
            )
        wanted = dtype or (array.dtype if array.dtype.kind == "f" else np.float64)
        return array.astype(wanted, copy=False)

    def _accept(self, new: Any) -> Array:
        have = self._raw
        if new.__class__ is np.ndarray and new.shape == have.shape and new.dtype is have.dtype:
            return new
        if np.shape(new) != self._raw.shape:
            raise ShapeError(
                f"{describe(self)} cannot take data of shape {np.shape(new)}; "
                "make a new Tensor for another shape"
            )
        return self.leaf_data(new, self._raw.dtype)

    @property
    def params(self) -> dict[str, Any]:
        """The static parameters of the operation, such as an axis."""
        return {} if self.op is None else self._params

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the entries."""
        return self._raw.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of entries."""
        return int(self._raw.size)

    @property
    def T(self) -> Any:  # noqa: N802  # NumPy's name
        """The transpose: axes in reverse order."""
        return shapes.transpose(self)

    def numpy(self) -> Array:
        """A copy of the entries as a plain array."""
        return np.array(self._raw)

    def __repr__(self) -> str:
        entries = np.array2string(self._raw, separator=", ", prefix="Tensor(")
        name = f", name={self.name!r}" if self.name else ""
        dtype = "" if self._raw.dtype == np.float64 else f", dtype={self._raw.dtype}"
        return f"Tensor({entries}{dtype}{name})"

    def __bool__(self) -> bool:
        if self._raw.size != 1:
            raise ShapeError(
                f"the truth of {describe(self)} is ambiguous; compare with mg.where, or use "
                ".data.any() or .data.all()"
            )
        return bool(self._raw)

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("len() of a 0-dimensional Tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        return shapes.index(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise GraphError(
            f"{describe(self)} cannot be written in place: recorded operations still need its "
            "data. Build a new one with mg.where or mg.concatenate; on a leaf outside any "
            "graph, assign .data"
        )

    backward = sweeps.backward
    __reduce__ = copying.reduce_node
    __copy__ = copying.copy_node
    __deepcopy__ = copying.copy_graph

    def __add__(self, other: Any) -> Any:
        return ops.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return ops.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return ops.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return ops.subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return ops.multiply(self, other)

    def __rmul__(self, other: Any) -> Any:
        return ops.multiply(other, self)

    def __truediv__(self, other: Any) -> Any:
        return ops.divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return ops.divide(other, self)

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, (int, float)) and other == 2:
            return ops.square(self)  # np.power is ten times slower
        return ops.power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return ops.power(other, self)

    def __matmul__(self, other: Any) -> Any:
        return products.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return products.matmul(other, self)

    def __neg__(self) -> Any:
        return ops.negative(self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return ops.absolute(self)

    def reshape(self, *shape: Any) -> Any:
        """The same entries in another shape: ``t.reshape(2, 3)`` or ``t.reshape((2, 3))``."""
        return shapes.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Any:
        """The axes in another order; reversed when none is given."""
        listed = len(axes) == 1 and isinstance(axes[0], (tuple, list))
        return shapes.transpose(self, axes[0] if listed else axes or None)

    sum = shapes.sum
    cumsum = shapes.cumsum
    cumprod = reductions.cumprod
    mean = reductions.mean
    var = reductions.var
    std = reductions.std
    max = reductions.max
    min = reductions.min
    prod = reductions.prod
    clip = composites.clip
    dot = products.dot
    trace = products.trace
    diagonal = products.diagonal
    squeeze = shapes.squeeze
    swapaxes = shapes.swapaxes
    ravel = flatten = shapes.ravel
    astype = shapes.astype
    copy = arranging.copy
    repeat = arranging.repeat
    take = indexing.take

    def exp(self) -> Any:
        """eˣ, entry by entry."""
        return ops.exp(self)

    def log(self) -> Any:
        """The natural logarithm, entry by entry."""
        return ops.log(self)

    def sqrt(self) -> Any:
        """The square root, entry by entry."""
        return ops.sqrt(self)

    def sin(self) -> Any:
        """Sine of radians, entry by entry."""
        return ops.sin(self)

    def cos(self) -> Any:
        """Cosine of radians, entry by entry."""
        return ops.cos(self)

    def tanh(self) -> Any:
        """Hyperbolic tangent, entry by entry."""
        return ops.tanh(self)

    def sigmoid(self) -> Any:
        """1 / (1 + e⁻ˣ), entry by entry."""
        return ops.sigmoid(self)

    def relu(self) -> Any:
        """max(x, 0), entry by entry."""
        return ops.relu(self)

    def argmax(self, axis: int | None = None) -> Any:
        """Where the largest entry is; plain ints, no derivative."""
        return self._raw.argmax(axis)

    def argmin(self, axis: int | None = None) -> Any:
        """Where the smallest entry is; plain ints, no derivative."""
        return self._raw.argmin(axis)

    def argsort(self, axis: int | None = -1) -> Any:
        """The places of the entries in ascending order, ties in theirs; plain ints."""
        return self._raw.argsort(axis, kind="stable")

    def nonzero(self) -> Any:
        """Where the entries are not 0: an array of plain ints for each dimension."""
        return self._raw.nonzero()

    def any(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Whether some entry is not 0; plain truth values."""
        return self._raw.any(axis, keepdims=keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Whether no entry is 0; plain truth values."""
        return self._raw.all(axis, keepdims=keepdims)

    def round(self, decimals: int = 0) -> Any:
        """The entries rounded, ties to even; plain numbers, no derivative."""
        return self._raw.round(decimals)


KINDS["array"] = Tensor

# glibc hands the memory of a freed array back to the system, page by page, until the program has
# freed one large array; then it recycles. A training step that allocates a few hundred kilobytes
# takes three times as long before than after, so free one now. None of it is ever touched.
np.empty(30_000_000, np.uint8)
