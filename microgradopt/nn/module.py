"""``Module``: something with parameters that is called like a function."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from reprlib import recursive_repr
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np

from microgradopt.engine import modes
from microgradopt.engine.binding import is_bound
from microgradopt.engine.graph import Node
from microgradopt.errors import StateError, UsageError
from microgradopt.nn.arguments import flag
from microgradopt.nn.states import Buffer, check_state, is_generator, restore, state_of
from microgradopt.nn.summary import Summary, summarize

Hook: TypeAlias = Callable[["Module", tuple[Any, ...], Any], Any]


class Sample(NamedTuple):
    """A layer made for the tests, with inputs it takes and inputs it refuses."""

    layer: Module
    inputs: tuple[Any, ...]
    refused: tuple[tuple[Any, ...], ...] = ()


class HookHandle:
    """What :meth:`Module.register_forward_hook` returns; leaving its ``with`` block removes it."""

    def __init__(self, module: Module) -> None:
        self._module = module

    def remove(self) -> None:
        """Take the hook off; once is enough, twice does no harm."""
        left = {h: hook for h, hook in self._module._hooks.items() if h is not self}
        self._module._hooks = left  # a new dict: a call may be going through the old one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


class Module:
    """The base of networks and layers: write ``__init__`` and ``forward``.

    Every leaf that is an attribute, or in a list, tuple or dict that is one, belongs to the state;
    so do those of modules found the same way. Those that require a gradient are the parameters.
    A :class:`Buffer` is a leaf that never trains. Nothing needs registering.

    >>> import microgradopt as mg
    >>> class Line(mg.nn.Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = mg.Value(2.0), mg.Value(1.0)
    ...     def forward(self, x):
    ...         return self.slope * x + self.offset
    >>> line = Line()
    >>> line(3.0).item(), list(line.named_parameters())
    (7.0, [('slope', Value(2.0)), ('offset', Value(1.0))])
    """

    training = True
    _hooks: dict[HookHandle, Hook] = {}

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        """Layers of this class with inputs, for the checks every layer goes through."""
        return []

    def forward(self, *args: Any, **options: Any) -> Any:
        """What calling the module computes; subclasses say it."""
        raise NotImplementedError(f"{type(self).__name__} must define forward()")

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        modes.settings_changed()

    def __call__(self, *args: Any, **options: Any) -> Any:
        if (tracer := modes.tracer()) is not None:
            tracer.depends_on(self)
        if self._hooks:
            return self._call_with_hooks(args, options)
        return self.forward(*args, **options)

    def _call_with_hooks(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        out = self.forward(*args, **options)
        for hook in self._hooks.values():
            changed = hook(self, args, out)
            if changed is not None:
                out = changed
        return out

    # What is inside

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once, with dotted names such as ``layers.0``."""
        for name, x in _contents(self, prefix):
            if isinstance(x, Module):
                yield name, x

    def modules(self) -> list[Module]:
        """This module and all below it, each once."""
        return [module for _, module in self.named_modules()]

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Node]]:
        """The parameters, each once, with dotted names such as ``layers.0.weight``."""
        for name, x in _contents(self, prefix):
            if isinstance(x, Node) and _is_parameter(x):
                yield name, x

    def parameters(self) -> list[Any]:
        """The parameters, in the order in which they were defined; frozen ones are left out."""
        return [p for _, p in self.named_parameters()]

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Buffer]]:
        """The buffers, such as running averages, each once, with dotted names."""
        for name, x in _contents(self, prefix):
            if isinstance(x, Buffer):
                yield name, x

    def buffers(self) -> list[Buffer]:
        """The buffers, in the order in which they were defined."""
        return [buffer for _, buffer in self.named_buffers()]

    def name_parameters(self) -> Self:
        """Call each parameter by its dotted name, in pictures and messages."""
        for name, p in self.named_parameters():
            p.name = name
        return self

    def apply(self, f: Callable[[Module], Any]) -> Self:
        """Call ``f`` with this module and with each below it, in the order of their names."""
        for module in self.modules():
            f(module)
        return self

    # Training

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.grad = None

    def train(self, mode: bool = True) -> Self:
        """Switch this module and all below it to training mode, or out of it."""
        mode = flag(type(self).__name__, "mode", mode)
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch to evaluation mode; the same as ``train(False)``."""
        return self.train(False)

    def freeze(self, *names: str) -> Self:
        """Train no longer: all parameters, or those of the given names and modules.

        The same as ``requires_grad = False`` on each of them, and their gradients are forgotten;
        one that is shared goes by each of its names. They leave :meth:`parameters` and stay in
        :meth:`state_dict`. An optimizer made before has them still, and leaves them alone.

        Raises:
            UsageError: for a name that no parameter and no module with parameters has.

        >>> import microgradopt as mg
        >>> net = mg.nn.MLP(2, [4, 3], rng=0).freeze("layers.0")
        >>> [name for name, _ in net.named_parameters()]
        ['layers.2.weight', 'layers.2.bias']
        """
        for p in self._trainable(names):
            p.requires_grad, p.grad = False, None
        return self

    def unfreeze(self, *names: str) -> Self:
        """Train again: all leaves but buffers, or those of the given names and modules.

        So a constant that is never to be trained is a :class:`Buffer`.

        Raises:
            UsageError: for a name that no parameter and no module with parameters has.
        """
        for p in self._trainable(names):
            p.requires_grad = True
        return self

    def _trainable(self, names: tuple[str, ...]) -> list[Node]:
        """The leaves but buffers, trained now or not, under some names; of no name, all."""
        found: list[Node] = []
        for name in names or ("",):
            inside = [p for part in _reached(self, name) for _, p in _trainable_leaves(part)]
            if not inside and name:
                have = [known for known, _ in _trainable_leaves(self)]
                raise UsageError(
                    f"{type(self).__name__} has no parameter and no module with parameters named "
                    f"{name!r}; its parameters are {', '.join(have) or 'none'}"
                )
            found += inside
        return found

    # State

    def _state(self) -> Iterator[tuple[str, Any]]:
        """All leaves, whether trained or not, and random generators."""
        for name, x in _contents(self, ""):
            if is_generator(x) or (isinstance(x, Node) and x.op is None):
                yield name, x

    def _state_by_name(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, x in self._state():
            if name in found:
                raise StateError(
                    f"{type(self).__name__}: two parameters are named {name!r}; rename an "
                    "attribute or a key of a dict, so that a state can tell them apart"
                )
            found[name] = x
        return found

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything that training changes, by dotted name.

        Parameters, frozen ones too, and buffers as arrays or floats; random generators as their
        state, nested dicts of ints, words and arrays. What is reached under several names is there
        once, under the first.
        """
        return {name: state_of(x) for name, x in self._state_by_name().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, after checking that all of it fits.

        Raises:
            StateError: naming all that is missing, not expected, or of another shape, dtype or
                kind; nothing is changed then.
        """
        own = self._state_by_name()
        check_state(type(self).__name__, own, state)
        for name, x in own.items():
            restore(x, state[name])

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: hooks belong to this very object and stay behind."""
        return {name: x for name, x in vars(self).items() if name != "_hooks"}

    # Looking inside

    def register_forward_hook(self, hook: Hook) -> HookHandle:
        """Call ``hook(module, args, output)`` after each forward pass through this module.

        What the hook returns replaces the output, unless it is None. Copies and pickles of the
        module have no hooks.

        >>> import microgradopt as mg
        >>> layer = mg.nn.ReLU()
        >>> with layer.register_forward_hook(lambda module, args, output: print(args, output)):
        ...     y = layer(-2.0)
        (-2.0,) 0.0
        """
        if not callable(hook):
            raise UsageError(f"a hook is a function (module, args, output), got {hook!r}")
        handle = HookHandle(self)
        self._hooks = {**self._hooks, handle: hook}
        return handle

    @contextmanager
    def activations(self) -> Generator[dict[str, Any], None, None]:
        """Collect what each module inside returns: ``with model.activations() as seen:``.

        ``seen`` maps dotted names to outputs, those of the latest call where there are several.
        They are nodes of the graph: after ``backward()`` each has its gradient.

        >>> import numpy as np, microgradopt as mg
        >>> net = mg.nn.MLP(2, [4, 3], rng=0)
        >>> with net.activations() as seen:
        ...     out = net(np.zeros((5, 2)))
        >>> {name: x.shape for name, x in seen.items()}
        {'layers.0': (5, 4), 'layers.1': (5, 4), 'layers.2': (5, 3)}
        """
        seen: dict[str, Any] = {}
        handles = [
            module.register_forward_hook(_Collector(seen, name))
            for name, module in self.named_modules()
            if module is not self
        ]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    def summary(self, *inputs: Any) -> Summary:
        """A table of the modules: output shapes, parameters, and the work of one forward pass.

        Args:
            inputs: what to call the module with; a tuple of ints stands for an array of that shape
                and of the parameters' dtype, also inside another tuple.

        The pass runs on a copy: running averages and random generators stay as they are. See
        :class:`microgradopt.nn.summary.Summary` for how work is counted.

        >>> import microgradopt as mg
        >>> print(mg.nn.MLP(2, [4, 3], rng=0).summary((5, 2)))
        name      layer         output  parameters  flops
        layers.0  Linear(2, 4)  (5, 4)          12    100
        layers.1  relu          (5, 4)           0     20
        layers.2  Linear(4, 3)  (5, 3)          15    135
        27 parameters, all trainable; 216 bytes; 255 flops
        """
        return summarize(self, inputs)

    @recursive_repr()
    def __repr__(self) -> str:
        inner = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if isinstance(v, Module))
        return f"{type(self).__name__}({inner})"


class _Collector:
    """A hook that notes what a module returned."""

    def __init__(self, seen: dict[str, Any], name: str) -> None:
        self.seen, self.name = seen, name

    def __call__(self, module: Module, args: tuple[Any, ...], out: Any) -> None:
        self.seen[self.name] = out


def _is_parameter(x: Node) -> bool:
    """A leaf that requires a gradient; or one that a solver has computed for a while."""
    return is_bound(x) or (x.op is None and x.requires_grad)


def _contents(root: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Modules, nodes and random generators reachable through attributes and containers.

    Depth first, each once.
    """
    seen: set[int] = set()
    stack = [(prefix, root)]
    while stack:
        name, x = stack.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if isinstance(x, (Module, Node)) or is_generator(x):
            yield name, x
        for key, child in reversed(_children(x)):
            stack.append((f"{name}.{key}" if name else key, child))


def _children(x: Any) -> list[tuple[str, Any]]:
    """What a module or a container holds, by name; of anything else, nothing."""
    held: Iterable[tuple[Any, Any]] = ()
    if isinstance(x, Module):
        held = (pair for pair in vars(x).items() if pair[0] != "_hooks")
    elif isinstance(x, dict):
        held = x.items()
    elif isinstance(x, (list, tuple)):
        held = enumerate(x)
    return [(str(key), child) for key, child in held]


def _reached(root: Any, name: str) -> Iterator[Any]:
    """What a dotted name leads to, be it the first name of that or another."""
    stack = [(root, name)]
    while stack:
        x, rest = stack.pop()
        if not rest:
            yield x
            continue
        for key, child in _children(x):
            if rest == key or rest.startswith(f"{key}."):
                stack.append((child, rest[len(key) + 1 :]))


def _trainable_leaves(root: Any) -> Iterator[tuple[str, Node]]:
    for name, x in _contents(root, ""):
        if isinstance(x, Node) and x.op is None and not isinstance(x, Buffer):
            yield name, x
