"""``Optimizer``: torch's face on a chain of transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from microgradopt.atomic import made_whole
from microgradopt.engine import modes
from microgradopt.engine.graph import Node
from microgradopt.engine.structure import map_structure
from microgradopt.errors import NonFiniteError, UsageError
from microgradopt.optim.groups import Group
from microgradopt.optim.options import (
    Exclusion,
    as_groups,
    by_decay,
    by_name,
    check_choice,
    check_group,
    check_names,
    check_options,
)
from microgradopt.optim.saving import (
    check_header,
    check_state,
    copied,
    read_options,
    remembered,
    schedules_in,
    written_options,
)
from microgradopt.optim.transforms import State, Transform
from microgradopt.optim.wrappers import partition


def given(arguments: dict[str, Any]) -> dict[str, Any]:
    """The options that a constructor was called with, from its ``locals()`` at the start."""
    return {k: v for k, v in arguments.items() if k not in ("self", "params", "__class__")}


class Optimizer:
    """Moves parameters by what a chain of transforms makes of their gradients.

    Args:
        params: parameters (leaf nodes), pairs (name, parameter) as ``named_parameters`` gives, or
            groups with options of their own: dicts ``{"params": …, **options}``.
        transform: the update rule, or a function that makes it of a group's options.
        nonfinite: what a gradient that is NaN or infinite leads to: ``"raise"``, an error that
            names the parameter, or ``"skip"``, no step, which ``skipped`` counts.
        no_decay: what ``weight_decay`` leaves alone: ``"biases_and_norms"``, every parameter of
            fewer than two dimensions, or ``f(name, data) -> bool``. They become a group.
        options: what groups start from.

    ``param_groups`` are dicts as torch's: ``optimizer.param_groups[0]["lr"] = 0.01`` sets a rate by
    hand. A parameter whose ``grad`` is None takes no part in a step.

    >>> import microgradopt as mg
    >>> from microgradopt.optim import clip_by_global_norm, scale_by_adam, scale_by_learning_rate
    >>> x = mg.Value(1.0)
    >>> rule = mg.optim.chain(
    ...     clip_by_global_norm(1.0), scale_by_adam(), scale_by_learning_rate(0.1))
    >>> optimizer = mg.optim.Optimizer([x], rule)
    >>> (x * x).backward()
    >>> optimizer.step()
    >>> round(x.data, 6)
    0.9
    """

    samples: ClassVar[tuple[dict[str, Any], ...]] = ()
    """Arguments for the checks that every optimizer goes through."""
    needs_closure: ClassVar[bool] = False
    """Whether ``step`` must be given a closure."""
    only_matrices: ClassVar[bool] = False
    """Whether it refuses parameters that are not two-dimensional."""

    def __init__(
        self,
        params: Iterable[Any],
        transform: Transform | Callable[..., Transform],
        *,
        nonfinite: str = "raise",
        no_decay: Exclusion = None,
        **options: Any,
    ) -> None:
        user = type(self).__name__
        check_choice(user, "nonfinite", nonfinite, ("raise", "skip"))
        check_options(type(self), options)
        if isinstance(transform, Transform):
            check_names(user, options, {})
        self.defaults = options
        self.nonfinite, self.no_decay = nonfinite, no_decay
        self.steps = self.skipped = 0
        self._rule = transform
        self._groups: list[Group] = []
        for group in as_groups(params, user):
            self.add_param_group(group)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """A dict for each group: its ``params``, their ``names``, and options to read or assign."""
        return [group.options for group in self._groups]

    @property
    def params(self) -> dict[str, Node]:
        """All parameters by name."""
        return {name: p for group in self._groups for name, p in group.nodes.items()}

    @property
    def state(self) -> list[State]:
        """The state of each group's transform: by parameter name, or a transform's own."""
        return [group.state() for group in self._groups]

    @property
    def transform(self) -> Transform:
        """The chain that the options make; for several groups, a partition into theirs."""
        self._refresh()
        transforms = {str(i): g.transform for i, g in enumerate(self._groups) if g.transform}
        if len(transforms) == 1:
            return transforms["0"]
        labels = {name: str(i) for i, g in enumerate(self._groups) for name in g.nodes}
        return partition(transforms, labels)

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters; an option that the group leaves out is as it was at construction.

        Raises:
            UsageError: for an option that this optimizer does not have, or a bad value.
        """
        user = type(self).__name__
        check_group(user, group)
        own = {k: v for k, v in group.items() if k not in ("params", "names")}
        check_names(user, {**self.defaults, **own}, self.defaults)
        nodes = by_name(group["params"], user, self.params)
        for name, p in nodes.items():
            self.check_parameter(name, p)
        options = {**self.defaults, **own}
        new = [Group(part, o) for part, o in by_decay(user, nodes, options, self.no_decay)]
        for made in new:
            made.use(self._made(made.settings()), made.settings())
        self._groups += new

    def check_parameter(self, name: str, p: Node) -> None:
        """Refuse a parameter of a form that the rule cannot take; subclasses say which."""

    def _made(self, settings: dict[str, Any]) -> Transform:
        """The transform that options make."""
        check_names(type(self).__name__, settings, self.defaults)
        if isinstance(self._rule, Transform):
            return self._rule
        check_options(type(self), settings)
        return self._rule(**settings)

    def _refresh(self) -> None:
        """Make the transforms anew whose options have been assigned."""
        for group in self._groups:
            settings = group.settings()
            if settings != group.made_of:
                group.use(self._made(settings), settings)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self._groups:
            for p in group.nodes.values():
                p.grad = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; with a ``closure`` that computes loss and gradients, call that first.

        Returns:
            What the closure returned; None without one.

        Raises:
            NonFiniteError: if a gradient holds NaN or infinity and ``nonfinite`` is ``"raise"``;
                nothing is changed then.
            UsageError: if the rule looks ahead and there is no closure.
        """
        self._refresh()
        if (tracer := modes.tracer()) is not None:
            return self._traced_step(tracer, closure)
        return self._step(closure)

    @property
    def _setup(self) -> tuple[Any, ...]:
        """What a step takes as fixed besides the options of groups."""
        return len(self._groups), self.nonfinite

    def _traced_step(self, tracer: Any, closure: Callable[[], Any] | None) -> Any:
        """A step that is being recorded: state and learning rate come from here at each replay."""
        before = [group.transform for group in self._groups]
        tracer.hold(self, "steps")
        if self.nonfinite == "skip":
            tracer.hold(self, "skipped")
        tracer.depends(self, "_setup")
        try:
            for group in self._groups:
                group.enter(tracer, self._made)
            return self._step(closure)
        finally:
            for group, transform in zip(self._groups, before):
                group.transform = transform

    def _step(self, closure: Callable[[], Any] | None) -> Any:
        step = self.steps + 1
        with self._ahead(closure, step):
            loss = closure() if closure is not None else None
        try:
            moves = [group.moved(step) for group in self._groups]
        except NonFiniteError:
            if self.nonfinite == "raise":
                raise
            self.skipped += 1
            return loss

        def finish() -> None:
            for move in moves:
                move()
            self.steps = step

        made_whole(finish)
        return loss

    @contextmanager
    def _ahead(self, closure: Callable[[], Any] | None, step: int) -> Iterator[None]:
        """Parameters at the points whose gradients the rules want, and back."""
        points = [(p, x) for group in self._groups for p, x in group.points_ahead(step)]
        if points and closure is None:
            raise UsageError(
                f"{type(self).__name__}: looking ahead takes the gradient at another point; give "
                "step(closure) a function that zeroes the gradients, computes the loss, calls its "
                "backward() and returns it"
            )
        before = [(p, p._raw) for p, _ in points]

        def go_back() -> None:
            for p, x in before:
                p.assign(x)

        try:
            for p, x in points:
                p.assign(x)
            yield
        finally:
            made_whole(go_back)

    def state_dict(self) -> dict[str, Any]:
        """All that a later run needs to go on bit for bit: nested dicts of arrays and numbers.

        Schedules are functions and stay with the program; what one of them remembers is kept.
        """
        return {
            "optimizer": type(self).__name__,
            "steps": self.steps,
            "skipped": self.skipped,
            "groups": [
                {
                    "names": list(group.nodes),
                    "options": written_options(self._written(group)),
                    "state": map_structure(copied, group.state()),
                }
                for group in self._groups
            ],
        }

    def _written(self, group: Group) -> dict[str, Any]:
        """A group's options, and what remembers something in a transform that was given whole."""
        return {**schedules_in(self._rule), **group.settings()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, after checking that all of it fits.

        Numbers and words among the options become the saved ones; a schedule stays the one given
        here, at the step that was saved.

        Raises:
            UsageError: where something is missing, or was saved of another optimizer, other
                parameters or another set of options; nothing is changed then.
        """
        user = type(self).__name__
        saved_groups = check_header(user, state, [list(group.nodes) for group in self._groups])
        new, memories = [], []
        for i, (group, saved) in enumerate(zip(self._groups, saved_groups)):
            found = read_options(user, saved["options"], self._written(group))
            memories += remembered(saved["options"], found)
            settings = {name: found[name] for name in group.settings()}
            transform = self._made(settings)
            form = transform.init(group.data())
            own = check_state(user, saved["state"], form, f"groups.{i}.state")
            new.append((group, settings, transform, own))

        def go_on() -> None:
            for schedule, memory in memories:
                schedule.load_state_dict(memory)
            for group, settings, transform, own in new:
                group.restore(settings, transform, own)
            self.steps, self.skipped = state["steps"], state["skipped"]

        made_whole(go_on)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if not isinstance(self._rule, Transform):  # made anew from the options
            state["_groups"] = [group.without_transform() for group in self._groups]
        return state

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.params)} parameters, {self.steps} steps taken)"
