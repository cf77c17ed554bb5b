"""``save`` and ``load``: everything a run needs to go on, in one file, by name, without pickle.

The file is an ``.npz``: a zip of NumPy arrays that ``np.load`` can read. ``manifest.json`` in it
says how they make up what was saved, with the dtype, shape and SHA-256 of each. The zip's comment
ends in the SHA-256 of every byte before it, so that no damage anywhere goes unnoticed.
"""

from __future__ import annotations

import copy
import io
import json
import math
import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microgradopt.engine.graph import Array, Node, copy_raw
from microgradopt.errors import StateError, UsageError
from microgradopt.files import write_atomically
from microgradopt.randomness import check_generator_state, generator_state

if TYPE_CHECKING:
    import zipfile

__all__ = ["load", "save"]

VERSION = 1  # of the file format; a reader refuses those above its own
MANIFEST = "manifest.json"
FORMAT = "microgradopt state"
SEAL = b"microgradopt state, sha256 "  # before the checksum, at the end of the file
DIGITS = 64  # of a SHA-256
DEEPEST = 100  # dicts and lists in each other
LONGEST = 150  # characters of an array's name in the file
KINDS = "biufcSUmM"  # of dtypes that are numbers, words or times, and no Python objects

Arrays = dict[str, bytes]  # by name in the file: each as in a file of np.save


# Saving


def save(path: str | os.PathLike[str], **things: Any) -> Path:
    """Save things by name to one file, in place of any older one, and return its path.

    Args:
        path: the file; ``.npz`` is the usual suffix.
        things: models, optimizers and whatever else has ``state_dict``; random generators; nodes,
            of which the data is kept; arrays, numbers, strings, None; dicts with string keys, lists
            and tuples of these.

    A crash in the middle leaves the older file as it was. The same things make the same bytes.

    Raises:
        StateError: for what cannot be saved, such as a function; it is named.
        UsageError: if nothing is given, or there is no such folder.

    >>> import os, tempfile, numpy as np, microgradopt as mg
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = mg.save(os.path.join(folder, "run.npz"), epoch=3, losses=np.array([0.5, 0.25]))
    ...     mg.load(path)
    {'epoch': 3, 'losses': array([0.5 , 0.25])}
    """
    if not things:
        raise UsageError("save() was given nothing; write mg.save(path, model=model)")
    writer = _Writer()
    tree = {name: writer.written(_as_data(name, thing), (name,)) for name, thing in things.items()}
    return write_atomically(path, _packed(tree, writer.arrays))


def _as_data(name: str, thing: Any) -> Any:
    """What is saved of a thing: its state where it has one."""
    if isinstance(thing, np.random.Generator):
        return generator_state(thing)
    if isinstance(thing, type) or not callable(getattr(thing, "state_dict", None)):
        return thing
    return thing.state_dict()


class _Writer:
    """Turns trees of data into what JSON can hold, arrays put aside under names of their own."""

    def __init__(self) -> None:
        self.arrays: Arrays = {}

    def written(self, x: Any, where: tuple[str, ...]) -> Any:
        """Plain JSON for words, truth values, ints and finite floats; else ``{kind: content}``."""
        if isinstance(x, Node):
            x = x._raw
        kind = type(x)
        if x is None or kind in (bool, str):
            return x
        if kind is int:
            return x if abs(x) < 2**63 else {"int": hex(x)}
        if kind is float:
            return x if math.isfinite(x) else {"float": struct.pack(">d", x).hex()}
        if len(where) > DEEPEST:
            raise StateError(f"{_place(where[:3])}… is nested deeper than {DEEPEST}; is it a loop?")
        if kind is list:
            return [self.written(v, (*where, str(i))) for i, v in enumerate(x)]
        if kind is tuple:
            return {"tuple": [self.written(v, (*where, str(i))) for i, v in enumerate(x)]}
        if kind is dict:
            return {"dict": {_key(k, where): self.written(v, (*where, k)) for k, v in x.items()}}
        if kind is np.ndarray:
            return {"array": self._aside(x, where)}
        if isinstance(x, np.generic):
            return {"scalar": self._aside(np.asarray(x), where)}
        raise StateError(
            f"cannot save {_place(where)}, a {kind.__name__}: only arrays, numbers, strings, None "
            "and dicts, lists and tuples of them can be; models and others with a state_dict are "
            "given by a name of their own, mg.save(path, model=model)"
        )

    def _aside(self, x: Array, where: tuple[str, ...]) -> str:
        if x.dtype.kind not in KINDS:
            raise StateError(
                f"cannot save {_place(where)}, an array of dtype {x.dtype}; only arrays of "
                "numbers, strings or times can be saved"
            )
        plain = re.sub(r"[^\w.-]", lambda c: f"%{ord(c[0]):02X}", ".".join(where))[:LONGEST]
        name, n = f"{plain}.npy", 1
        while name in self.arrays:
            n += 1
            name = f"{plain}~{n}.npy"
        file = io.BytesIO()
        np.lib.format.write_array(file, x, allow_pickle=False)
        self.arrays[name] = file.getvalue()
        return name


def _key(key: Any, where: tuple[str, ...]) -> str:
    if type(key) is not str:
        raise StateError(f"cannot save {_place(where)}: its key {key!r} is not a string")
    return key


def _place(where: tuple[str, ...]) -> str:
    return repr(".".join(where))


def _sha256(content: Any) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def _packed(tree: dict[str, Any], arrays: Arrays) -> bytes:
    """The whole file: manifest and arrays in a zip, sealed by the checksum in its comment."""
    import zipfile

    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "tree": tree,
        "arrays": {name: _described(content) for name, content in arrays.items()},
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in {MANIFEST: _as_json(manifest), **arrays}.items():
            member = zipfile.ZipInfo(name)  # of 1980, so that the same makes the same
            member.create_system = 3  # on every system
            archive.writestr(member, content)
        archive.comment = SEAL + b"0" * DIGITS
    body = file.getvalue()[:-DIGITS]
    return body + _sha256(body).encode()


def _as_json(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, allow_nan=False, separators=(",", ":")).encode()


def _described(content: bytes) -> dict[str, Any]:
    array = _array(content)
    return {"dtype": array.dtype.str, "shape": list(array.shape), "sha256": _sha256(content)}


def _array(content: bytes) -> Array:
    file = io.BytesIO(content)
    array: Array = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):
        raise ValueError("more bytes than the array has")
    return array


# Loading


def load(path: str | os.PathLike[str], **things: Any) -> dict[str, Any]:
    """Load a file of :func:`save`: into the things given by name, and the rest as plain data.

    Args:
        path: the file.
        things: what to restore in place: models, optimizers and others with ``load_state_dict``,
            random generators, leaf nodes.

    Returns:
        A dict of everything that was not restored in place.

    All or nothing: when one thing refuses its state, all are as before.

    Raises:
        StateError: if the file is damaged, of another format or a newer version, has no such name,
            or was saved of something else; the message says which and where.

    >>> import os, tempfile, microgradopt as mg
    >>> model, other = mg.nn.Linear(2, 3, rng=0), mg.nn.Linear(2, 3, rng=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = mg.save(os.path.join(folder, "run.npz"), model=model, epoch=3)
    ...     mg.load(path, model=other)
    {'epoch': 3}
    >>> bool((model.weight.data == other.weight.data).all())
    True
    """
    source = os.fspath(path)
    found = _unpacked(Path(source).read_bytes(), str(source))
    missing = [name for name in things if name not in found]
    if missing:
        raise StateError(
            f"{source}: nothing named {missing[0]!r} is in it; it has {', '.join(found)}"
        )
    targets = [(name, _target(name, thing)) for name, thing in things.items()]
    undo: list[Callable[[], None]] = []
    try:
        for name, (restore, state) in targets:
            before = copy.deepcopy(state())
            _restore_one(f"{source}: {name}", restore, found[name])
            undo.append(lambda restore=restore, before=before: restore(before))  # type: ignore[misc]
    except BaseException:
        for step in reversed(undo):
            step()
        raise
    return {name: x for name, x in found.items() if name not in things}


Restore = Callable[[Any], None]


def _target(name: str, thing: Any) -> tuple[Restore, Callable[[], Any]]:
    """How to restore a thing, and how to ask for its state."""
    if isinstance(thing, np.random.Generator):
        return lambda state: _restore_generator(thing, state), lambda: generator_state(thing)
    if isinstance(thing, Node):
        return lambda data: _restore_node(thing, data), lambda: copy_raw(thing._raw)
    restore, state = (getattr(thing, f"{verb}state_dict", None) for verb in ("load_", ""))
    if isinstance(thing, type) or not callable(restore) or not callable(state):
        raise UsageError(
            f"load() cannot restore {name}, a {type(thing).__name__}, in place: it has no "
            f"load_state_dict; leave it out, and take mg.load(path)[{name!r}]"
        )
    return restore, state


def _restore_generator(rng: np.random.Generator, state: Any) -> None:
    check_generator_state(rng, state)
    rng.bit_generator.state = state


def _restore_node(node: Node, data: Any) -> None:
    own = node._raw
    form = (type(own), np.shape(own), np.asarray(own).dtype)
    if (type(data), np.shape(data), getattr(data, "dtype", np.asarray(own).dtype)) != form:
        raise StateError(
            f"is {form[2]} of shape {form[1]} here, {type(data).__name__} of dtype "
            f"{getattr(data, 'dtype', None)} and shape {np.shape(data)} in the file"
        )
    node.data = data


def _restore_one(what: str, restore: Restore, state: Any) -> None:
    try:
        restore(state)
    except Exception as error:
        raise StateError(f"{what} was refused, nothing was changed: {error}") from error


def _unpacked(content: bytes, source: str) -> dict[str, Any]:
    """All that a file holds, after checking every byte of it.

    Raises:
        StateError: saying what is wrong with it.
    """
    import zipfile

    tail = content[-len(SEAL) - DIGITS :]
    if not tail.startswith(SEAL) or not content.startswith(b"PK\x03\x04"):
        raise StateError(f"{source}: {_not_sealed(content)}")
    if tail[len(SEAL) :] != _sha256(memoryview(content)[:-DIGITS]).encode():
        raise StateError(f"{source}: the file is damaged: {_damage(content)}")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            manifest = _manifest(archive)
            arrays = dict(_checked_arrays(archive, manifest["arrays"]))
        reader = _Reader(arrays)
        found = {name: reader.read(x) for name, x in manifest["tree"].items()}
        if reader.unused:
            raise StateError(f"nothing refers to the array {min(reader.unused)!r}")
    except StateError as error:
        raise StateError(f"{source}: {error}") from None
    except _BROKEN as error:
        raise StateError(f"{source}: not in the form that save() writes: {error!r}") from error
    return found


_BROKEN = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
    OSError,
    struct.error,
)


def _not_sealed(content: bytes) -> str:
    """What a file is that does not begin and end as ours do."""
    start = content[:200]
    if not content:
        return "the file is empty"
    if content[-len(SEAL) - DIGITS :].startswith(SEAL):
        return "the file is damaged: its first bytes are not those of a zip"
    if SEAL in content and len(content) - content.rindex(SEAL) > len(SEAL) + DIGITS:
        return "the file is damaged: there are bytes after its end"
    if MANIFEST.encode() in start and FORMAT.encode() in start:
        return (
            f"the file is truncated or damaged: its last bytes are missing, {len(content)} are left"
        )
    if start.startswith(b"PK"):
        return "a zip, but no file of mg.save, or one that lost its end; try np.load"
    return "not a file of mg.save"


def _damage(content: bytes) -> str:
    """Where the damage is, as far as what is left of the file can tell."""
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            try:
                described = json.loads(archive.read(MANIFEST))["arrays"]
            except Exception:
                return "its manifest cannot be read"
            for name in described:
                if name not in names:
                    return f"the array {name!r} is gone, or its name was changed"
            for name, entry in described.items():
                try:
                    same = _sha256(archive.read(name)) == entry["sha256"]
                except Exception:
                    same = False
                if not same:
                    return f"the array {name!r} is not what was saved"
    except Exception:
        return "its table of contents cannot be read; bytes are missing, added or changed"
    return "not in an array, but between them or in the checksum"


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    names = archive.namelist()
    if MANIFEST not in names:
        raise StateError(f"a zip without {MANIFEST}, so no file of mg.save")
    manifest = json.loads(archive.read(MANIFEST), object_pairs_hook=_without_doubles)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StateError(f"{MANIFEST} is not that of mg.save, but of another format")
    version = manifest.get("version")
    if type(version) is not int or version < 1:
        raise StateError(f"the version of the format is {version!r}, which never was")
    if version > VERSION:
        raise StateError(
            f"saved in version {version} of the format, and this microgradopt reads up to "
            f"{VERSION}; install a newer one"
        )
    if sorted(names) != sorted([MANIFEST, *manifest["arrays"]]):
        odd = set(names) ^ {MANIFEST, *manifest["arrays"]}
        raise StateError(f"its arrays are not those of its manifest: {sorted(odd) or 'doubles'}")
    return manifest


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise StateError("a name is in its manifest twice")
    return table


def _checked_arrays(
    archive: zipfile.ZipFile, described: dict[str, Any]
) -> Iterator[tuple[str, Array]]:
    for name, entry in described.items():
        content = archive.read(name)
        if _sha256(content) != entry["sha256"]:
            raise StateError(f"the array {name!r} is not what was saved")
        array = _array(content)
        if array.dtype.str != entry["dtype"] or list(array.shape) != entry["shape"]:
            raise StateError(
                f"the array {name!r} is {array.dtype.str} of shape {array.shape}, and "
                f"{entry['dtype']} of shape {tuple(entry['shape'])} in the manifest"
            )
        yield name, array


class _Reader:
    """Turns what :class:`_Writer` wrote back into data."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self.unused = arrays

    def read(self, x: Any) -> Any:
        """The data that a piece of the manifest stands for."""
        if isinstance(x, list):
            return [self.read(v) for v in x]
        if not isinstance(x, dict):
            return x
        ((kind, content),) = x.items()
        match kind:
            case "dict":
                return {key: self.read(v) for key, v in content.items()}
            case "tuple":
                return tuple(self.read(v) for v in content)
            case "array":
                return self._take(content)
            case "scalar":
                return self._take(content)[()]
            case "int":
                return int(content, 16)
            case "float":
                return struct.unpack(">d", bytes.fromhex(content))[0]
            case _:
                raise StateError(f"its manifest has an entry of unknown kind {kind!r}")

    def _take(self, name: str) -> Array:
        if name not in self.unused:
            raise StateError(f"its manifest refers to an array {name!r} that is not there")
        return self.unused.pop(name)
