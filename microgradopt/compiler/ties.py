"""What the entries of a recorded call are, and what its results become."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from microgradopt.compiler.program import Program, Var
from microgradopt.compiler.tracing.cells import Attribute, LeafData
from microgradopt.compiler.tracing.recording import Recording
from microgradopt.compiler.tracing.templates import Place
from microgradopt.compiler.tracing.trace import Entry
from microgradopt.compiler.wiring import Role, Tie, WiredProgram
from microgradopt.engine.graph import Node


def wired(program: Program, recording: Recording, name: str) -> WiredProgram:
    """What passes have made of a recording's program, with its outside."""
    targets: list[list[Tie]] = [[] for _ in program.results]
    for number, tie in _targets(recording):
        targets[number].append(tie)
    return WiredProgram(
        program.entries,
        program.instructions,
        program.results,
        name,
        _sources(recording),
        targets,
    )


def name_ends(program: Program, recording: Recording) -> None:
    """Call state and results after what they are, for the source; what has a name keeps it."""
    for tie, x in zip(_sources(recording), program.entries, strict=True):
        if tie.role == "state":
            x.name = _state_name(tie)
    given = set(program.entries)
    for number, tie in _targets(recording):
        x = program.results[number]
        if isinstance(x, Var) and x.name is None and x not in given:
            x.name = _result_name(tie)


def _state_name(tie: Tie) -> str:
    return f"{tie.name}_{tie.of}" if "[" in tie.where else tie.name


def _result_name(tie: Tie) -> str:
    if tie.role == "returned":
        return f"result{tie.name}"
    if tie.role == "grad":
        return f"grad_{tie.name or 'leaf'}"
    return f"new_{_state_name(tie) if tie.role == 'state' else tie.name or 'leaf'}"


def _sources(recording: Recording) -> list[Tie]:
    """One for each entry: arguments, leaves, gradients, attributes."""
    inside = [_of_data(node) for node in recording.data]
    inside += [_of_grad(node) for node in recording.grads]
    for cell, form in zip(recording.attributes, recording.forms, strict=True):
        inside += [_of_attribute(cell, path) for path, _ in _paths(form, Entry)]
    entries: list[Var] = recording.program.entries
    arguments = entries[: len(entries) - len(inside)]
    return [Tie("argument", x.name or "", "", x.name or "") for x in arguments] + inside


def _targets(recording: Recording) -> Iterator[tuple[int, Tie]]:
    """The numbers of results, each with what it becomes."""
    for cell, content in recording.writes:
        for path, place in _paths(content, Place):
            yield place.number, _of_cell(cell, path)
    for path, place in _paths(recording.output, Place):
        at = _written(path)
        yield place.number, Tie("returned", at, "", f"returned{at}")
        if place.grad is not None:
            yield place.grad.number, Tie("returned", f"{at}.grad", "", f"returned{at}.grad")


def _of_cell(cell: Any, path: tuple[Any, ...]) -> Tie:
    if isinstance(cell, Attribute):
        return _of_attribute(cell, path)
    return _of_data(cell.node) if isinstance(cell, LeafData) else _of_grad(cell.node)


def _of_data(node: Node) -> Tie:
    name = node.name or ""
    role: Role = "parameter" if node.requires_grad else "fixed"
    return Tie(role, name, "", f"{name or 'a leaf'}.data")


def _of_grad(node: Node) -> Tie:
    name = node.name or ""
    return Tie("grad", name, "", f"{name or 'a leaf'}.grad")


def _of_attribute(cell: Attribute, path: tuple[Any, ...]) -> Tie:
    """Known by the last word on the way to it, and by the first, or else by its owner."""
    owner = type(cell.owner).__name__
    words = [key for key in path if isinstance(key, str)]
    name = words[-1] if words else cell.name
    of = words[0] if len(words) > 1 else owner
    return Tie("state", name, of, f"{owner}.{cell.name}{_written(path)}")


def _written(path: tuple[Any, ...]) -> str:
    return "".join(f"[{key!r}]" for key in path)


def _paths(
    tree: Any, kind: type, path: tuple[Any, ...] = ()
) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The leaves of a kind in a structure, each with the keys that lead to it."""
    if isinstance(tree, kind):
        yield path, tree
    elif isinstance(tree, dict):
        for key, branch in tree.items():
            yield from _paths(branch, kind, (*path, key))
    elif isinstance(tree, (list, tuple)):
        for i, branch in enumerate(tree):
            yield from _paths(branch, kind, (*path, i))
