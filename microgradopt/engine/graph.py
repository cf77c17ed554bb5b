"""Nodes, the counter that orders them, and the one walk over a graph.

Every node takes the next number of one counter when it is made, so sorting the nodes below a
result by that number *is* the topological order: nothing here recurses, and a chain of a million
links is as good as a short one. Assigning a leaf's ``data`` moves the leaf to the counter's end;
a backward pass that meets a leaf numbered later than its user knows the graph is stale.
"""

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ContextDecorator
from operator import attrgetter
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from microgradopt.engine.quiet import restore, silence
from microgradopt.errors import DTypeError, GraphError, ShapeError, StaleGraphError, UsageError

Array: TypeAlias = npt.NDArray[Any]
Raw: TypeAlias = float | Array  # data outside any graph

tick = itertools.count(1).__next__  # the counter; drawing a number is atomic

EVERYTHING = -1  # the mask that lets every differentiable node through
USER_LEAF = 1  # mask bit of leaves made by hand; higher bits belong to mg.grad and friends

LOOSE = frozenset((int, list, tuple, str, type(None)))  # no kernel's own kind of operand
ASSIGNED = "assigned"  # in a leaf's spare slot: its number is that of an assignment

_by_index = attrgetter("_index")


class Node:
    """A value in a computation graph: its data, and the operation and operands that made it.

    The two kinds are :class:`Value` (a float) and :class:`Tensor` (an array). Nodes compare by
    identity. An operation with one or two scalar operands keeps them in the slots ``_a`` and
    ``_b``; any other keeps a tuple in ``_a``, and in ``_b`` what its kernel saved. ``_mask`` tells
    what the node depends on: bit 0, a leaf that requires a gradient; bit k, an input of the k-th
    nested functional transform.
    """

    __slots__ = ("_a", "_b", "_data", "_index", "_mask", "grad", "name", "op")
    _data: Any
    _mask: int
    _index: int
    _a: Any
    _b: Any
    op: "Primitive | None"
    grad: Any
    name: str | None

    def _become_leaf(self, data: Any, mask: int, name: str | None = None) -> Self:
        self._data = data
        self._mask = mask
        self._index = tick()
        self.op = self._a = self._b = self.grad = None
        if name is not None and not isinstance(name, str):
            raise DTypeError(f"name must be a str, got {type(name).__name__}: {name!r}")
        self.name = name
        return self

    @property
    def data(self) -> Any:
        """The number (float) or array behind the node; assignable on leaves."""
        return self._data

    @data.setter
    def data(self, new: Any) -> None:
        if self.op is not None:
            raise GraphError(
                f"{describe(self)} is the result of {self.op.name!r}, so its data cannot be "
                "assigned; assign a leaf's data, or make a new leaf from the array"
            )
        self.assign(self._accept(new))

    def assign(self, new: Any) -> None:
        """Set a leaf's data, unchecked, and number it anew: graphs that used it are stale now."""
        self._data = new
        self._index = tick()
        self._b = ASSIGNED

    @classmethod
    def leaf_data(cls, data: Any) -> Any:
        """Bring a leaf's data into this kind's form, or refuse it."""
        raise NotImplementedError

    def _accept(self, new: Any) -> Any:
        """Bring newly assigned data into this node's form, or refuse it."""
        return self.leaf_data(new)

    @property
    def index(self) -> int:
        """The node's number: larger than those of all its operands."""
        return self._index

    @property
    def requires_grad(self) -> bool:
        """Whether a backward pass reaches a differentiable leaf from here."""
        return self._mask != 0

    @property
    def params(self) -> dict[str, Any]:
        """The static parameters of the operation, such as an axis."""
        return {}

    @property
    def args(self) -> tuple[Any, ...]:
        """The operands in order: nodes, and constants as floats or arrays."""
        if self.op is None:
            return ()
        if type(self._a) is tuple:
            return self._a
        return (self._a,) if self._b is None else (self._a, self._b)

    @property
    def parents(self) -> "tuple[Node, ...]":
        """The operands that are nodes."""
        return tuple(x for x in self.args if isinstance(x, Node))

    def detach(self) -> Self:
        """A leaf with the same data and name that no gradient flows through."""
        return type(self).__new__(type(self))._become_leaf(self._data, 0, self.name)

    def zero_grad(self) -> None:
        """Forget the gradient: ``grad`` is None again."""
        self.grad = None

    def item(self) -> float:
        """The one number behind this node, as a float outside the graph."""
        data = self._data
        if isinstance(data, np.ndarray) and data.size != 1:
            raise UsageError(
                f"item() needs a single number, and {describe(self)} holds {data.size}; "
                "index it first, or use .numpy()"
            )
        return float(data if isinstance(data, float) else data.item())

    def __float__(self) -> float:
        if self._mask & _depth.bits:
            raise GraphError(
                f"float() on {describe(self)} would cut it out of the derivative being taken: "
                "use mg.exp, mg.sin, … instead of math's functions, or .item() if you mean it"
            )
        return self.item()

    def __eq__(self, other: object) -> bool:
        return self is other  # said here, or `node == array` would ask the array

    __hash__ = object.__hash__

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __reduce__(self) -> Any:
        nodes = _current_ancestors(self)
        if len(nodes) == 1 and self.op is None:
            return _restore_leaf, (type(self), self._data, self._mask, self.name, self.grad)
        return _restore_last, (flatten(nodes),)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Node":
        return copy_graph(self, memo)


class Primitive:
    """An operation the graph can record, declared once; see rules.py for the row shapes.

    Calling it applies it: to raw floats and arrays it just computes; as soon as one operand is a
    node, the result is a node.
    """

    table: ClassVar[dict[str, "Primitive"]] = {}
    saves = False  # whether the kernel also returns something for its pullback
    in_place: ClassVar[bool] = False  # whether scalar operands may sit in the node's own slots

    def __init__(
        self,
        name: str,
        *,
        array: Callable[..., Any],
        scalar: Callable[..., Any] | None = None,
        symbol: str | None = None,
        sample: Callable[..., Any] | None = None,
        kinks: Callable[..., Any] | None = None,
        doc: str | None = None,
    ) -> None:
        if not name.isidentifier():
            raise UsageError(f"a primitive's name must be an identifier, got {name!r}")
        if name in Primitive.table:
            raise UsageError(f"a primitive named {name!r} exists already; choose another name")
        self.name = self.__name__ = name
        self.symbol = symbol or name
        self.array = array
        self.scalar = scalar
        self.sample = sample
        self.kinks = kinks
        if doc is not None:
            self.__doc__ = doc
        Primitive.table[name] = self

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> Any:
        return _primitive_named, (self.name,)

    def __call__(self, *args: Any, **params: Any) -> Any:
        mask = 0
        raw = []
        recorded = unchecked = loose = False
        for x in args:
            if isinstance(x, Node):
                recorded = True
                mask |= x._mask
                raw.append(x._data)
            else:
                raw.append(x)
                if x.__class__ is not float:
                    unchecked = True
                    loose = loose or x.__class__ in LOOSE
        if not recorded:
            if loose:
                raw = [constant(x, self) if x.__class__ in LOOSE else x for x in raw]
            return self.compute(raw, params)
        operands: Sequence[Any] = args
        if unchecked:
            operands, raw = _with_constants(self, args)
        if not self.saves:
            return attach(self, operands, self.compute(raw, params), mask, params)
        data, saved = self.forward(raw, params)
        node = attach(self, operands, data, mask, params)
        if node.op is not None:
            node._b = saved
        return node

    def compute(self, args: Sequence[Any], params: dict[str, Any]) -> Any:
        """The kernel on raw data: plain floats stay plain floats, and nothing raises or warns."""
        if self.scalar is not None:
            for x in args:
                if type(x) is not float and type(x) is not bool:
                    break
            else:
                try:
                    return self.scalar(*args, **params)
                except (ArithmeticError, ValueError, TypeError):
                    return self.rescue(*args, **params)
        before = silence()
        try:
            return self.array(*args, **params)
        except ValueError as error:
            raise _explained(error, self, args) from None
        finally:
            restore(before)

    def forward(self, args: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
        """The result, and what the kernel saves for a pullback."""
        return self.compute(args, params), None

    def rescue(self, *args: float, **params: Any) -> float:
        """Where Python's arithmetic raises, the array kernel gives the IEEE result."""
        before = silence()
        try:
            return float(self.array(*map(np.float64, args), **params))
        finally:
            restore(before)


def _explained(error: ValueError, primitive: Primitive, args: Sequence[Any]) -> ValueError:
    if "broadcast" not in str(error) or not hasattr(primitive, "partials"):
        return error
    shapes = " and ".join(str(np.shape(x)) for x in args)
    return ShapeError(
        f"{primitive.name}: shapes {shapes} cannot be broadcast together; each pair of dimensions, "
        "counted from the last, must be equal or have a 1: reshape one operand"
    )


def attach(
    primitive: Primitive, operands: Sequence[Any], data: Any, mask: int, params: dict[str, Any]
) -> Node:
    """The node of a computed result: linked to its operands, or a constant where none counts."""
    scalar = data.__class__ is float
    kind = KINDS["scalar" if scalar else "array"]
    node: Node = kind.__new__(kind)
    if not scalar and data.__class__ is not np.ndarray:
        data = np.asarray(data)
    if not mask or (PAUSED and threading.get_ident() in PAUSED):
        return node._become_leaf(data, 0)
    node._data = data
    node._mask = mask
    node._index = tick()
    node.op = primitive
    node.grad = node.name = None
    if scalar and primitive.in_place and len(operands) <= 2:
        node._a, node._b = operands if len(operands) == 2 else (operands[0], None)
        return node
    node._a = operands if operands.__class__ is tuple else tuple(operands)
    node._b = None
    if not scalar:
        node._params = params  # type: ignore[attr-defined]  # a slot of Tensor's own
    return node


KINDS: dict[str, type[Node]] = {}  # "scalar" is Value and "array" Tensor, entered where defined


def constant(x: Any, user: Primitive) -> Raw:
    """Bring an operand that is not a node into the form kernels take: a float or an array."""
    if type(x) is float:
        return x
    if isinstance(x, np.ndarray):
        data: Any = x
    elif isinstance(x, (bool, int, float, np.floating, np.integer, np.bool_)):
        return float(x)  # also NumPy's scalars, which would promote float32 if they were kept
    elif isinstance(x, (list, tuple)):
        if any(isinstance(item, Node) for item in x):
            raise DTypeError(
                f"{user.name}: a {type(x).__name__} that holds graph nodes is not an operand; "
                "join them with mg.stack([...]) first"
            )
        data = np.asarray(x)
    else:
        raise DTypeError(
            f"{user.name}: cannot use {type(x).__name__} {x!r} as an operand; "
            "give a number, an array, a Value or a Tensor"
        )
    if data.dtype.kind not in "fiub":
        raise DTypeError(
            f"{user.name}: an operand of dtype {data.dtype} cannot be used; "
            "only real numbers can (float32 or float64)"
        )
    return data  # type: ignore[no-any-return]


def _with_constants(primitive: Primitive, args: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Operands and raw data with every constant checked; whole numbers become floats."""
    operands = [x if isinstance(x, Node) else constant(x, primitive) for x in args]
    dtypes = [x._data.dtype for x in args if isinstance(x, Node) and type(x._data) is not float]
    for i, x in enumerate(operands):
        if isinstance(x, np.ndarray) and x.dtype.kind in "iu":
            operands[i] = x.astype(dtypes[0] if dtypes else np.float64)
    return operands, [x._data if isinstance(x, Node) else x for x in operands]


def reach(
    roots: Iterable[Node], mask: int = EVERYTHING
) -> tuple[list[Node], list[Node], dict[Node, Any]]:
    """Walk down from ``roots`` along the nodes that ``mask`` lets through.

    Returns those made by operations, in creation order; the leaves met; and a table with a 0.0 for
    each node met, among them operands at which the walk stopped.
    """
    met: dict[Node, Any] = dict.fromkeys(roots, 0.0)
    leaves: list[Node] = []
    order: list[Node] = []
    stack = list(met)
    everywhere = mask == EVERYTHING
    while stack:
        node = stack.pop()
        if node.op is None:
            leaves.append(node)
            continue
        if not everywhere and not node._mask & mask:
            continue
        order.append(node)
        a = node._a
        if a.__class__ is tuple:
            for x in a:
                if isinstance(x, Node) and x not in met:
                    met[x] = 0.0
                    stack.append(x)
            continue
        if a.__class__ is not float and a not in met:
            met[a] = 0.0
            stack.append(a)
        b = node._b
        if b is not None and b.__class__ is not float and b not in met:
            met[b] = 0.0
            stack.append(b)
    order.sort(key=_by_index)
    return order, leaves, met


def refuse_stale(order: Sequence[Node], leaves: Iterable[Node]) -> None:
    """Raise if one of the leaves was assigned after a node of the order had used it."""
    oldest = order[0]._index if order else 0
    changed = {x for x in leaves if x._b is ASSIGNED and x._index > oldest}
    for user in order if changed else ():
        for x in user.parents:
            if x in changed and x._index > user._index:
                raise StaleGraphError(
                    f"{describe(x)} was assigned new data after {describe(user)} had used it, so "
                    "the recorded graph no longer belongs to it; compute the result again, or "
                    "call backward() before assigning"
                )


def ancestors(roots: Iterable[Node]) -> list[Node]:
    """Every node that the roots were computed from, roots included, in creation order."""
    return sorted(reach(roots)[2], key=_by_index)


PAUSED: list[int] = []  # the ident of a thread, once for each no_grad() it is inside of


class no_grad(ContextDecorator):  # noqa: N801  # torch's name, used like a keyword
    """Inside, nothing is recorded: results are constants. A context manager and a decorator.

    It holds for the current thread only, nests, and ends after an exception too.

    >>> import microgradopt as mg
    >>> w = mg.Value(3.0)
    >>> with mg.no_grad():
    ...     y = w * 2
    >>> y.requires_grad
    False
    """

    def __enter__(self) -> None:
        PAUSED.append(threading.get_ident())

    def __exit__(self, *exception: object) -> None:
        PAUSED.remove(threading.get_ident())


def is_recording() -> bool:
    """Whether operations of the current thread are recorded."""
    return not PAUSED or threading.get_ident() not in PAUSED


class recording(ContextDecorator):  # noqa: N801
    """Inside, the current thread records, even within :class:`no_grad`: mg.grad needs to."""

    def __enter__(self) -> None:
        me = threading.get_ident()
        self.pauses = PAUSED.count(me)
        for _ in range(self.pauses):
            PAUSED.remove(me)

    def __exit__(self, *exception: object) -> None:
        PAUSED.extend([threading.get_ident()] * self.pauses)


class _Depth(threading.local):
    levels = 0
    bits = 0  # the mask bits of all functional transforms in progress


_depth = _Depth()


class level:  # noqa: N801  # reads like the keyword it is
    """One functional transform in progress; gives the mask bit of its inputs."""

    def __enter__(self) -> int:
        _depth.levels += 1
        _depth.bits |= 1 << _depth.levels
        return 1 << _depth.levels

    def __exit__(self, *exception: object) -> None:
        _depth.bits ^= 1 << _depth.levels
        _depth.levels -= 1


def describe(node: Node) -> str:
    """How an error message calls a node: its kind, name, operation and shape."""
    name = f" {node.name!r}" if node.name else ""
    made = f" made by {node.op.name!r}" if node.op else ""
    shape = f" of shape {node._data.shape}" if isinstance(node._data, np.ndarray) else ""
    return f"the {type(node).__name__}{name}{made}{shape}"


# Pickling and copying walk the graph here: both would otherwise recurse once per link.


def _current_ancestors(node: Node) -> list[Node]:
    """What a copy is made of, operands first, which a stale graph no longer has an order for."""
    order, leaves, _ = reach([node])
    refuse_stale(order, leaves)
    return sorted(leaves, key=_by_index) + order


def flatten(nodes: list[Node]) -> list[tuple[Any, ...]]:
    """Nodes in creation order as rows that name their operands by position."""
    place = {node: i for i, node in enumerate(nodes)}
    rows: list[tuple[Any, ...]] = []
    for node in nodes:
        if node.op is None:
            rows.append((node,))  # a leaf pickles by itself, so that two graphs may share it
            continue
        operands = [(place[x], None) if isinstance(x, Node) else (None, x) for x in node.args]
        rows.append((type(node), node.op, operands, node._data, node.params, node.name, node.grad))
    return rows


def _restore_leaf(kind: type[Node], data: Any, mask: int, name: str | None, grad: Any) -> Node:
    node = kind.__new__(kind)._become_leaf(data, mask & USER_LEAF, name)
    node.grad = grad
    return node


def _restore_last(rows: list[tuple[Any, ...]]) -> Node:
    nodes: list[Node] = []
    for row in rows:
        if len(row) == 1:
            nodes.append(row[0])
            continue
        _, op, operands, data, params, name, grad = row
        args = [x if i is None else nodes[i] for i, x in operands]
        nodes.append(_relink(op, args, data, params, name, grad))
    return nodes[-1]


def _relink(op: Primitive, args: list[Any], data: Any, params: Any, name: Any, grad: Any) -> Node:
    mask = USER_LEAF * any(x._mask for x in args if isinstance(x, Node))
    with recording():
        node = attach(op, args, data, mask, params)
    node.name = name
    node.grad = grad
    return node


def _primitive_named(name: str) -> Primitive:
    try:
        return Primitive.table[name]
    except KeyError:
        raise UsageError(
            f"no primitive is named {name!r} here; import the module that declares it first"
        ) from None


def copy_graph(node: Node, memo: dict[int, Any]) -> Node:
    """A deep copy of ``node`` and of everything below it; what ``memo`` holds is reused."""
    for old in _current_ancestors(node):
        if id(old) in memo:
            continue
        data, grad = copy_raw(old._data), copy_raw(old.grad)
        if old.op is None:
            memo[id(old)] = _restore_leaf(type(old), data, old._mask, old.name, grad)
        else:
            args = [memo[id(x)] if isinstance(x, Node) else copy_raw(x) for x in old.args]
            memo[id(old)] = _relink(old.op, args, data, old.params, old.name, grad)
    copied: Node = memo[id(node)]
    return copied


def copy_raw(x: Any) -> Any:
    """A copy of an array; floats and None are themselves."""
    return x.copy() if isinstance(x, np.ndarray) else x
