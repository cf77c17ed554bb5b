"""Which operation it was: each one in a recorded graph is checked by itself, on the data it met."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from microgradopt.check.numeric import Flat, Leaves
from microgradopt.check.suspicions import Case, Suspected, suspect
from microgradopt.engine.graph import Node, ancestors
from microgradopt.engine.rules import data_of
from microgradopt.engine.structure import of_places

USES = 50  # of one row that are looked at, in the order in which they were made
TIES = {"maximum", "minimum", "fmax", "fmin", "max", "min", "sort"}

Local = Callable[[Flat, Leaves, str], Case | None]  # checks one operation in one mode


def blame(case: Case, local: Local, said: str | None) -> str:
    """The first operation whose own rule disagrees; or that none does, and where to look then.

    A rule at a kink is right by agreement, so it is named only when no other is wrong. What has
    been ``said`` of the whole is not said again.
    """
    singular: list[str] = []
    unknown: set[str] = set()
    uses: Counter[str] = Counter()
    for node in _operations(case):
        assert node.op is not None
        name = node.op.name
        uses[name] += 1
        if uses[name] > USES:
            continue
        f, xs, places = _again(node)
        try:
            same = np.array_equal(f(xs)[0], node.data, equal_nan=True)
            found = local(f, xs, case.mode) if same and xs else None
            what = suspect(found) if found else None
        except Exception:  # a row that cannot be applied by itself
            same, found, what = False, None, None
        if not same:
            unknown.add(name)
        if found is None or (what and what.kind in ("unsteady", "rough", "narrow")):
            continue
        if what and what.kind == "undefined":
            singular.append(f"it becomes so in the {case.mode} rule of {_described(node)}")
            continue
        if what and what.kind in ("kink", "not_finite"):
            singular.append(f"{_described(node)} is at a special point: {_at(node, what)}")
            continue
        how = _how(found, what)
        operand = "" if found.k is None else f" for operand {places[found.k]}"
        known = "" if how == said else f": {how}"
        return f"the {case.mode} rule of {_described(node)} is wrong{operand}{known}"
    return next(iter(singular), _nothing_wrong(unknown, uses))


def _operations(case: Case) -> list[Node]:
    """What the function did, oldest first."""
    results = case.f(case.nodes())
    return [x for x in ancestors([y for y in results if isinstance(y, Node)]) if x.op is not None]


def _again(node: Node) -> tuple[Flat, Leaves, list[int]]:
    """The operation as a function of those operands that can have a derivative, and these."""
    op: Any = node.op
    raw = [data_of(x) for x in node.args]
    places = [i for i, x in enumerate(node.args) if isinstance(x, Node) and x.requires_grad]
    of_chosen = of_places(op, raw, places, node.params)
    return lambda values: [of_chosen(*values)], [raw[i] for i in places], places


def _described(node: Node) -> str:
    shapes = ", ".join(str(np.shape(data_of(x))) for x in node.args)
    assert node.op is not None
    return f"{node.op.name!r} on shape{'s' if len(node.args) > 1 else ''} {shapes}"


def _at(node: Node, what: Suspected) -> str:
    assert node.op is not None
    tie = what.kind == "kink" and node.op.name in TIES
    return f"a tie, which splits the gradient evenly; {what.text}" if tie else what.text


def _how(found: Case, what: Suspected | None) -> str:
    """What is wrong with a rule."""
    if what is not None:
        return what.text
    bad = found.entries.only_wrong()
    index = f" at {bad.indices[0]}" if bad.indices[0] else ""
    return f"it gives {bad.claimed[0]:.6g}{index} where differences give {bad.true[0]:.6g}"


def _nothing_wrong(unknown: set[str], uses: Counter[str]) -> str:
    many = [f"of {name!r} the first {USES} of {n}" for name, n in uses.items() if n > USES]
    left_out = [f"not {name!r}, which cannot be applied by itself" for name in sorted(unknown)]
    looked = f" ({'; '.join([*many, *left_out])})" if many or left_out else ""
    return (
        f"every local rule agrees{looked}: look for .data or .item(), stop_gradient, a "
        "value changed in place, or a kink nearby"
    )
