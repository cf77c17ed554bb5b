"""Parameters that share their options, the state of their update rule, and one step of it."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any, TypeAlias

import numpy as np

from microgradopt.engine import modes
from microgradopt.engine.graph import Array, Node, to_float
from microgradopt.engine.quiet import quietly
from microgradopt.engine.structure import map_structure
from microgradopt.errors import DTypeError, NonFiniteError, ShapeError, UsageError
from microgradopt.optim.strips import Strip, lay_out
from microgradopt.optim.transforms import Known, State, Transform, at, check_hyper

Move: TypeAlias = Callable[[], None]  # makes a step that has been computed


VARYING = ("params", "names", "lr")  # entries of the options that a traced step does not fix


class Group:
    """Parameters by name, their options, and the state of the transform that options make."""

    def __init__(self, nodes: dict[str, Node], options: dict[str, Any]) -> None:
        self.nodes = nodes
        self.options = {"params": list(nodes.values()), "names": list(nodes), **options}
        self.transform: Transform | None = None
        self.made_of: dict[str, Any] = {}
        self._slots: list[Any] = []
        self._state: State = {}
        self._strips: list[Strip] = []
        self._in_strips: list[Node] = []

    def settings(self) -> dict[str, Any]:
        """The options without the parameters; a list as a tuple, which nobody can write into."""
        return {
            k: tuple(v) if isinstance(v, list) else v
            for k, v in self.options.items()
            if k not in ("params", "names")
        }

    def data(self) -> dict[str, Any]:
        """The parameters' arrays; a Value's number as an array of no dimensions."""
        return {name: np.asarray(p._raw) for name, p in self.nodes.items()}

    def state(self) -> State:
        """The transform's state, by parameter name where it has one for each."""
        held = {k: s for strip in self._strips for k, s in strip.by_name().items()}
        return {name: held.get(name, s) for name, s in self._state.items()}

    @property
    def fixed(self) -> tuple[Any, ...]:
        """The options that a traced step takes as constants: all but the learning rate."""
        options = [v for k, v in self.options.items() if k not in VARYING]
        return callable(self.options.get("lr")), *options

    def enter(self, tracer: Any, made: Callable[[dict[str, Any]], Transform]) -> None:
        """Let a traced step take the state, and the learning rate, from here at each replay."""
        self.set_state(self.state())
        tracer.hold(self, "_state")
        tracer.depends(self, "fixed")
        if "lr" not in self.options:
            return
        if callable(self.options["lr"]):
            self.transform = made(
                {**self.settings(), "lr": lambda step: at(self.options["lr"], step)}
            )
        else:
            self.transform = made({**self.settings(), "lr": Known(tracer.read(self, "rate"))})

    @property
    def rate(self) -> float:
        """The learning rate as it is now, a number."""
        rate = self.options["lr"]
        check_hyper("optimizer", "lr", rate)
        return float(rate)

    def set_state(self, state: State) -> None:
        """Go on from a state as :meth:`state` gives it."""
        self._state, self._strips, self._in_strips = state, [], []

    def use(self, transform: Transform, made_of: dict[str, Any]) -> None:
        """Go on with another transform; of the state is kept what it has in common.

        Raises:
            UsageError: if a piece of it looks ahead and the whole cannot.
        """
        if transform.rule is None and _looks_ahead(transform):
            raise UsageError(
                f"{transform!r} has a piece that looks ahead, which only works where all pieces "
                "treat arrays one by one; for clipping take clip_by_norm or clip_by_value"
            )
        if self._slots != (slots := _slots(transform)):
            self.set_state(_carried(transform.init(self.data()), self.state()))
        self.transform, self.made_of, self._slots = transform, made_of, slots

    def restore(self, settings: dict[str, Any], transform: Transform, state: State) -> None:
        """Go on with saved options and state."""
        self.options.update(settings)
        self.set_state(state)
        self.transform, self.made_of, self._slots = transform, settings, _slots(transform)

    def without_transform(self) -> Group:
        """The same group with its transform still to be made; functions do not pickle."""
        other = copy(self)
        other.transform, other.made_of = None, {}
        return other

    def points_ahead(self, step: int) -> list[tuple[Node, Any]]:
        """Parameters with the points at which the rule wants their gradients, if it looks ahead."""
        rule = self.transform.rule if self.transform else None
        if rule is None or rule.lookahead is None:
            return []
        point, state = rule.lookahead(step), self.state()
        return [
            (p, p._accept(_plain(point(state[name], np.asarray(p._raw)), p)))
            for name, p in self.nodes.items()
            if p.requires_grad
        ]

    @quietly
    def moved(self, step: int) -> Move:
        """Compute a step and change nothing yet.

        Raises:
            NonFiniteError: if a gradient is NaN or infinite.
        """
        active = {name: p for name, p in self.nodes.items() if p.grad is not None}
        gradients = [_converted(name, p) for name, p in active.items()]
        rule = self.transform.rule if self.transform else None
        if rule and rule.entrywise and modes.tracer() is None:
            return self._moved_in_strips(rule.at(step), active, gradients)
        return self._moved_by_name(active, gradients, step)

    def _moved_in_strips(
        self, apply: Callable[..., Any], active: dict[str, Node], gradients: list[Any]
    ) -> Move:
        nodes = list(active.values())
        if nodes != self._in_strips:
            self.set_state(self.state())
            self._strips = lay_out(active, self._state)
            self._in_strips = nodes
        found = dict(zip(active, gradients))
        moves = []
        for strip in self._strips:
            own = [found[name] for name in strip.names]
            try:
                moves.append(strip.moved(apply, own))
            except FloatingPointError:
                _refuse_nonfinite(dict(zip(strip.names, own)))
                raise  # not for a gradient: the rule's own

        def accept() -> None:
            for strip, (new, states) in zip(self._strips, moves):
                strip.accept(new, states)

        return accept

    def _moved_by_name(self, active: dict[str, Node], gradients: list[Any], step: int) -> Move:
        assert self.transform is not None
        self.set_state(self.state())
        g = {name: np.asarray(x) for name, x in zip(active, gradients)}
        _refuse_nonfinite(g)
        data = {name: np.asarray(p._raw) for name, p in active.items()}
        updates, after = self.transform.update(g, self._state, data, step)
        new = {name: p._accept(_plain(data[name] + updates[name], p)) for name, p in active.items()}

        def accept() -> None:
            for name, p in active.items():
                p.assign(new[name])
            self.set_state(map_structure(_as_entries, after))

        return accept


def _slots(transform: Transform) -> list[Any]:
    """What says how a transform's state is made up: its pieces, and their choices."""
    choices = {k: v for k, v in transform.options.items() if isinstance(v, (bool, str))}
    return [transform.name, choices, *map(_slots, transform.pieces)]


def _looks_ahead(transform: Transform) -> bool:
    own = transform.rule is not None and transform.rule.lookahead is not None
    return own or any(map(_looks_ahead, transform.pieces))


def _carried(fresh: State, old: State) -> State:
    """A fresh state with what an old one has in the same places."""
    if not isinstance(fresh, dict) or not isinstance(old, dict):
        return old
    return {key: _carried(s, old[key]) if key in old else s for key, s in fresh.items()}


def _as_entries(leaf: Any) -> Any:
    """A leaf of a state; a number that NumPy took out of an array of no dimensions, back in one."""
    return np.asarray(leaf) if isinstance(leaf, np.generic) else leaf


def _plain(x: Any, like: Node) -> Any:
    """A new number for a Value as a float, for a Tensor as an array."""
    if like._raw.__class__ is float and np.shape(x) == ():
        return to_float(x)
    return np.asarray(x)


def _converted(name: str, p: Node) -> Any:
    """The gradient of a parameter in its form, also where it was set by hand."""
    g, data = p.grad, p._raw
    if data.__class__ is float:
        return g if g.__class__ is float else to_float(_as_array(name, g, np.float64, ()))
    if g.__class__ is np.ndarray and g.shape == data.shape and g.dtype is data.dtype:
        return g
    return _as_array(name, g, data.dtype, data.shape)


def _as_array(name: str, g: Any, dtype: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(g)
    if array.shape != shape:
        raise ShapeError(f"the gradient of {name!r} has shape {array.shape}, the parameter {shape}")
    if array.dtype.kind not in "fiu":
        raise DTypeError(
            f"the gradient of {name!r} must hold real numbers, got dtype {array.dtype}"
        )
    return array.astype(dtype)


def _refuse_nonfinite(gradients: dict[str, Any]) -> None:
    if (tracer := modes.tracer()) is not None:
        if not tracer.all_finite(list(gradients.values())):
            tracer.concretely(_refuse_nonfinite_arrays, (gradients,))
        return
    _refuse_nonfinite_arrays(gradients)


def _refuse_nonfinite_arrays(gradients: dict[str, Any]) -> None:
    for name, g in gradients.items():
        bad = 0 if g is None else int(np.count_nonzero(~np.isfinite(g)))
        if bad:
            entries = "entry that is" if bad == 1 else "entries that are"
            raise NonFiniteError(
                f"the gradient of {name!r} has {bad} {entries} NaN or infinite; nothing was "
                "updated. Lower the learning rate, or look for log or division of 0 in the loss"
            )
