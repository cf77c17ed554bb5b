"""Nodes, the counter that orders them, and the one walk over a graph.

Every node takes the next number of one counter when it is made, so sorting the nodes below a
result by that number *is* the topological order: nothing here recurses, and a chain of a million
links is as good as a short one. Assigning a leaf's ``data`` moves the leaf to the counter's end;
a backward pass that meets a leaf numbered later than its user knows the graph is stale.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np

from microgradopt.engine.modes import PAUSED, in_progress, paused, settings_changed
from microgradopt.engine.quiet import in_ieee, restore, silence
from microgradopt.errors import DTypeError, GraphError, ShapeError, StaleGraphError, UsageError

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Raw: TypeAlias = "float | Array"  # data outside any graph

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
    ``_b``; any other keeps a tuple in ``_a``, and in ``_b`` what its kernel saved. ``_bits`` tells
    what the node depends on: bit 0, a leaf that requires a gradient; any other, an input of the
    functional transform that has this bit. (Masked arrays look for ``_data`` and ``_mask`` in what
    they meet, hence the names.)
    """

    __slots__ = ("_a", "_b", "_bits", "_index", "_raw", "grad", "name", "op")
    _raw: Any
    _bits: int
    _index: int
    _a: Any
    _b: Any
    op: "Primitive | None"
    grad: Any
    name: str | None

    def _become_leaf(self, data: Any, mask: int, name: str | None = None) -> Self:
        self._raw = data
        self._bits = mask
        self._index = tick()
        self.op = self._a = self._b = self.grad = None
        if name is not None and not isinstance(name, str):
            raise DTypeError(f"name must be a str, got {type(name).__name__}: {name!r}")
        self.name = name
        return self

    @property
    def data(self) -> Any:
        """The number (float) or array behind the node; assignable on leaves."""
        return self._raw

    @data.setter
    def data(self, new: Any) -> None:
        if self.op is not None:
            raise GraphError(
                f"{describe(self)} is the result of {self.op.name!r}, so its data cannot be "
                "assigned; assign a leaf's data, or make a new leaf from the array"
            )
        accepted = self._accept(new)
        self.assign(accepted if accepted is self._raw else copy_raw(accepted))

    def assign(self, new: Any) -> None:
        """Set a leaf's data, unchecked, and number it anew: graphs that used it are stale now."""
        self._raw = new
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
        """Whether a backward pass reaches a differentiable leaf from here; assignable on leaves."""
        return self._bits != 0

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if self.op is not None:
            raise GraphError(
                f"{describe(self)} requires a gradient because an operand does; use .detach() for "
                "a constant with its data, or set requires_grad on the leaves"
            )
        self._bits = int(bool(wanted))
        settings_changed()

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
        """A leaf with a copy of the data and the same name that no gradient flows through."""
        return type(self).__new__(type(self))._become_leaf(copy_raw(self._raw), 0, self.name)

    def zero_grad(self) -> None:
        """Forget the gradient: ``grad`` is None again."""
        self.grad = None

    def item(self) -> float:
        """The one number behind this node, as a float outside the graph."""
        data = self._raw
        if isinstance(data, np.ndarray) and data.size != 1:
            raise UsageError(
                f"item() needs a single number, and {describe(self)} holds {data.size}; "
                "index it first, or use .numpy()"
            )
        return to_float(data if isinstance(data, float) else data.item())  # type: ignore[no-any-return]

    def __float__(self) -> float:
        if in_progress(self._bits):
            raise GraphError(
                f"float() on {describe(self)} would cut it out of the derivative being taken: "
                "use mg.exp, mg.sin, … instead of math's functions, or .item() if you mean it"
            )
        return float(self.item())

    def __eq__(self, other: object) -> bool:
        return self is other  # said here, or `node == array` would ask the array

    __hash__ = object.__hash__

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)


class Primitive:
    """An operation the graph can record, declared once; see rules.py for the row shapes.

    Calling it applies it: to raw floats and arrays it just computes; as soon as one operand is a
    node, the result is a node.
    """

    table: ClassVar[dict[str, "Primitive"]] = {}
    array: Callable[..., Any]
    saves = False  # whether the kernel also returns something for its pullback
    operands: int | None = None  # how many it takes, and then no parameters; None: any of both
    listed: ClassVar[bool] = True  # whether the table holds it, so that names are unique
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
        if self.listed:
            old = Primitive.table.get(name)
            # A notebook cell that declares an operation may be run again.
            again = getattr(old and old.array, "__module__", None) == array.__module__ == "__main__"
            if old is not None and not again:
                raise UsageError(f"a primitive named {name!r} exists already; choose another name")
            Primitive.table[name] = self
        self.name = self.__name__ = name
        self.symbol = symbol or name
        self.array = array
        self.scalar = scalar
        self.sample = sample
        self.kinks = kinks
        if doc is not None:
            self.__doc__ = doc

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> Any:
        return _primitive_named, (self.name,)

    def __call__(self, *args: Any, **params: Any) -> Any:
        if self.operands is not None and (params or len(args) != self.operands):
            given = ", ".join([f"{len(args)} operand(s)", *params])
            raise UsageError(
                f"{self.name} takes {self.operands} operand(s) and no keywords; it got {given}"
            )
        mask = 0
        raw = []
        recorded = unchecked = loose = False
        for x in args:
            if isinstance(x, Node):
                recorded = True
                mask |= x._bits
                raw.append(x._raw)
            else:
                raw.append(x)
                if x.__class__ is not float and (
                    x.__class__ is not np.ndarray or x.dtype.kind != "f"
                ):
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
        """The result, and what the kernel saves for a pullback; of a primitive that ``saves``."""
        raise NotImplementedError

    def rescue(self, *args: float, **params: Any) -> float:
        """Where Python's arithmetic raises, the array kernel gives the IEEE result."""
        return in_ieee(self.array, *args, **params)


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
    scalar = data.__class__ is float and not params  # a Value has no room for parameters
    kind = KINDS["scalar" if scalar else "array"]
    node: Node = kind.__new__(kind)
    if not scalar and data.__class__ is not np.ndarray:
        data = np.asarray(data)
    if not mask or (PAUSED and paused()):
        if not scalar and data.base is not None:
            data = data.copy()  # a constant must not change when the array it was cut from does
        return node._become_leaf(data, 0)
    node._raw = data
    node._bits = mask
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
    if isinstance(x, np.ma.MaskedArray):
        raise DTypeError(
            f"{user.name}: masked arrays are not supported; fill them, or use mg.where"
        )
    if isinstance(x, np.ndarray):
        data: Any = np.asarray(x)
    elif isinstance(x, (bool, int, float, np.floating, np.integer, np.bool_)):
        return to_float(x)  # type: ignore[no-any-return]  # NumPy's scalars would promote float32
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
    dtypes = [x._raw.dtype for x in args if isinstance(x, Node) and x._raw.__class__ is not float]
    for i, x in enumerate(operands):  # as do lists, which have no dtype of their own
        if isinstance(x, np.ndarray) and (x.dtype.kind in "iu" or isinstance(args[i], list)):
            operands[i] = x.astype(dtypes[0] if dtypes else np.float64)
    return operands, [x._raw if isinstance(x, Node) else x for x in operands]


def reach(
    roots: Iterable[Node], mask: int = EVERYTHING, since: int = 0
) -> tuple[list[Node], list[Node], dict[Node, Any]]:
    """Walk down from ``roots`` along the nodes that ``mask`` lets through.

    Returns those made by operations, in creation order; the leaves met; and a table with a 0.0 for
    each node met, among them operands at which the walk stopped. What was made before the number
    ``since`` counts as a leaf.
    """
    met: dict[Node, Any] = dict.fromkeys(roots, 0.0)
    leaves: list[Node] = []
    order: list[Node] = []
    stack = list(met)
    narrow = mask != EVERYTHING or since > 0
    while stack:
        node = stack.pop()
        if node.op is None:
            leaves.append(node)
            continue
        if narrow:
            if node._index < since:
                leaves.append(node)
                continue
            if not node._bits & mask:
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


def ancestors(roots: Iterable[Node], *, stale: bool = True) -> list[Node]:
    """Every node that the roots were computed from, roots included, operands before their users.

    Leaves come first, then the rest, each in creation order: so a leaf stays before its users also
    in a ``stale`` graph, where it was assigned after they had used it. False refuses such a graph.
    """
    order, leaves, _ = reach(roots)
    if not stale:
        refuse_stale(order, leaves)
    return sorted(leaves, key=_by_index) + order


def describe(node: Node) -> str:
    """How an error message calls a node: its kind, name, operation and shape."""
    name = f" {node.name!r}" if node.name else ""
    made = f" made by {node.op.name!r}" if node.op else ""
    shape = f" of shape {node._raw.shape}" if isinstance(node._raw, np.ndarray) else ""
    return f"the {type(node).__name__}{name}{made}{shape}"


def _primitive_named(name: str) -> Primitive:
    try:
        return Primitive.table[name]
    except KeyError:
        raise UsageError(
            f"no primitive is named {name!r} here; import the module that declares it first"
        ) from None


def to_float(x: Any) -> Any:
    """A number as a float; what stands for a number in a trace goes on standing for one."""
    return float(x) if not hasattr(x, "as_float") else x.as_float()


def copy_raw(x: Any) -> Any:
    """A copy of an array; floats and None are themselves."""
    return x.copy() if isinstance(x, np.ndarray) else x
