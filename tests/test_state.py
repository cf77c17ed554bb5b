"""save and load: what can be saved, that it comes back to the bit, and how files are replaced."""

from __future__ import annotations

import copy
import json
import os
import stat
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

import microgradopt as mg
from microgradopt import files, nn, optim, state
from microgradopt.errors import StateError, UsageError

PAYLOAD = np.array([0x7FF8DEADBEEF0001, 0xFFF0000000000001], np.uint64).view(np.float64)

PLAIN = {
    "nothing": None,
    "yes": True,
    "small": -3,
    "huge": -(10**5000),
    "limits": [2**63 - 1, 2**63, -(2**63), 0],
    "half": 0.1,
    "minus_zero": -0.0,
    "odd": [float("inf"), float("-inf"), float("nan")],
    "text": 'é "quoted" \x00 \ud800 / .. \\',
    "empty": [{}, [], (), ""],
    "nested": {"a": [1, {"b": (2.5, None)}], "": {"..": 1, "a/b": 2, "tuple": 3}},
}
ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "nan": PAYLOAD,
    "nan32": np.array([0x7FC12345], np.uint32).view(np.float32),
    "zero_d": np.array(2.5),
    "no_entries": np.zeros((3, 0, 2)),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(10.0)[::-3],
    "big_endian": np.arange(3, dtype=">f8"),
    "ints": np.arange(3, dtype=np.uint8),
    "truth": np.array([True, False]),
    "complex": np.array([1 + 2j]),
    "words": np.array(["a", "bcd"]),
    "times": np.array(["2020-01-01"], "datetime64[D]"),
    "scalar": np.float32(1.5),
    "scalar_of_64": np.float64(1.5),
}


def same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y)
    elif isinstance(a, (np.ndarray, np.generic)):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    else:
        assert a == b if a == a else b != b
        assert not isinstance(a, float) or np.signbit(a) == np.signbit(b)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


def test_plain_data_comes_back_the_same(path):
    mg.save(path, **PLAIN)
    same(mg.load(path), PLAIN)


def test_arrays_come_back_to_the_bit(path):
    mg.save(path, **ARRAYS)
    found = mg.load(path)
    same(found, ARRAYS)
    assert found["fortran"].flags.f_contiguous
    assert found["float32"].flags.c_contiguous


def test_np_load_reads_the_arrays(path):
    mg.save(path, model=nn.Linear(2, 3, rng=0), x=np.arange(3.0))
    with np.load(path) as arrays:
        assert set(arrays) == {"manifest.json", "model.weight", "model.bias", "x"}
        np.testing.assert_array_equal(arrays["x"], np.arange(3.0))


def test_names_of_any_kind_stay_apart(path):
    x = {
        "a.b": np.zeros(1), "a": {"b": np.ones(1)}, "../../etc": np.full(1, 2.0),
        "a/b": np.full(1, 3.0), "ü\x00\ud800": np.full(1, 4.0), "": np.full(1, 5.0),
        "manifest.json": np.full(1, 6.0), "l" * 100_000: np.full(1, 7.0),
    }  # fmt: skip
    mg.save(path, x=x, **{"..": np.full(1, 8.0)})
    same(mg.load(path), {"x": x, "..": np.full(1, 8.0)})
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert len(set(names)) == len(names)
    assert not any("/" in name or "\\" in name or "\x00" in name for name in names)


def test_the_same_things_make_the_same_bytes(path, tmp_path):
    things = {**PLAIN, **ARRAYS, "model": nn.Linear(2, 3, rng=0)}
    first = mg.save(path, **things).read_bytes()
    time.sleep(0.01)
    assert mg.save(tmp_path / "again.npz", **things).read_bytes() == first


def test_models_optimizers_generators_and_nodes_are_restored_in_place(path):
    def run(seed):
        model = nn.MLP(2, [4, 3], rng=seed)
        return {
            "model": model,
            "optimizer": optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
            "rng": np.random.default_rng(seed),
            "scale": mg.Value(float(seed)),
            "table": mg.Tensor(np.full((2, 2), seed, np.float32)),
        }

    first, second = run(0), run(1)
    for p in first["model"].parameters():
        p.grad = np.ones_like(p.data)
    first["optimizer"].step()
    mg.save(path, **first, epoch=3)
    assert mg.load(path, **second) == {"epoch": 3}
    same(second["model"].state_dict(), first["model"].state_dict())
    same(second["optimizer"].state_dict(), first["optimizer"].state_dict())
    assert second["rng"].random() == first["rng"].random()
    assert second["scale"].data == 0.0
    same(second["table"].data, first["table"].data)


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_all_or_nothing(path, order):
    a, b, rng = nn.Linear(2, 3, rng=0), nn.Linear(3, 3, rng=1), np.random.default_rng(5)
    mg.save(path, rng=np.random.default_rng(0), a=nn.Linear(2, 3, rng=7), b=nn.Linear(4, 3, rng=8))
    before = a.state_dict(), b.state_dict(), rng.bit_generator.state
    things = {"a": a, "b": b}
    with pytest.raises(
        StateError, match=r"b was refused, nothing was changed: .*\n  weight is"
    ) as e:
        mg.load(path, rng=rng, **{name: things[name] for name in order})
    assert "float64 of shape (3, 3) here, float64 of shape (3, 4) in the state" in str(e.value)
    same((a.state_dict(), b.state_dict(), rng.bit_generator.state), before)


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_kind_of_generator_goes_on(path, kind):
    first, second = (np.random.Generator(getattr(np.random, kind)(i)) for i in (1, 2))
    first.random(3, np.float32)
    mg.save(path, rng=first)
    mg.load(path, rng=second)
    np.testing.assert_array_equal(first.random(700), second.random(700))
    other = np.random.Generator(np.random.MT19937(3) if kind != "MT19937" else np.random.PCG64(3))
    with pytest.raises(StateError, match="cannot take the state of"):
        mg.load(path, rng=other)


@pytest.mark.parametrize("pos", [-1, 625, 10**9])
def test_a_generator_never_reads_past_its_block(path, pos):
    rng = np.random.Generator(np.random.MT19937(0))
    bad = mg.randomness.generator_state(rng)
    bad["state"]["pos"] = pos
    mg.save(path, rng=bad)
    before = rng.bit_generator.state["state"]["pos"]
    with pytest.raises(StateError, match="MT19937"):
        mg.load(path, rng=rng)
    assert rng.bit_generator.state["state"]["pos"] == before


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (lambda x: x, r"cannot save 'x\.y', a function"),
        (object(), r"cannot save 'x\.y', a object"),
        (np.array([None]), r"cannot save 'x\.y', an array of dtype object"),
        (np.zeros(1, [("a", "f8")]), r"an array of dtype \[\('a'"),
        (np.ma.array([1.0], mask=[True]), "a MaskedArray"),
        ({1: 2}, r"cannot save 'x\.y': its key 1 is not a string"),
        ({1, 2}, "a set"),
        (b"bytes", "a bytes"),
        (nn.ReLU(), "given by a name of their own"),
    ],
)
def test_what_cannot_be_saved_is_refused_by_name(path, thing, message):
    with pytest.raises(StateError, match=message):
        mg.save(path, x={"y": thing})
    assert not list(path.parent.iterdir())


def test_loops_are_refused(path):
    loop = []
    loop.append(loop)
    with pytest.raises(StateError, match=r"'loop\.0\.0'… is nested deeper than 100; is it a loop"):
        mg.save(path, loop=loop)


def test_what_is_asked_for_must_be_there_and_restorable(path):
    mg.save(path, model=nn.ReLU(), epoch=3)
    with pytest.raises(StateError, match="nothing named 'net' is in it; it has model, epoch"):
        mg.load(path, net=nn.ReLU())
    with pytest.raises(UsageError, match=r"has no load_state_dict; leave it out.*\['epoch'\]"):
        mg.load(path, epoch=0)
    with pytest.raises(UsageError, match="was given nothing"):
        mg.save(path)
    with pytest.raises(FileNotFoundError):
        mg.load(path.with_name("other.npz"))


def test_files_of_others_are_refused_for_what_they_are(path):
    for content, message in [
        (b"", "the file is empty"),
        (b"hello", r"not a file of mg\.save"),
    ]:
        path.write_bytes(content)
        with pytest.raises(StateError, match=message):
            mg.load(path)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(StateError, match=r"a zip, but no file of mg\.save"):
        mg.load(path)


def test_damage_is_located(path):
    mg.save(path, model=nn.Linear(2, 3, rng=0), x=np.full(100, 7.0))
    good = path.read_bytes()
    for at, message in [
        (good.index(np.full(3, 7.0).tobytes()), r"the array 'x\.npy' is not what was saved"),
        (good.index(b'"tree"'), "its manifest cannot be read"),
        (len(good) - 1, "between them or in the checksum"),
        (0, "its first bytes are not those of a zip"),
    ]:
        bad = bytearray(good)
        bad[at] ^= 1
        path.write_bytes(bad)
        with pytest.raises(StateError, match=message):
            mg.load(path)
    path.write_bytes(good[:-40])
    with pytest.raises(StateError, match="truncated or damaged: its last bytes are missing"):
        mg.load(path)
    path.write_bytes(good + b"x")
    with pytest.raises(StateError, match="bytes after its end"):
        mg.load(path)


def test_a_newer_version_is_refused_with_advice(path, monkeypatch):
    monkeypatch.setattr(state, "VERSION", 2)
    mg.save(path, x=1)
    monkeypatch.undo()
    with pytest.raises(StateError, match=r"version 2 of the format.*up to 1; install a newer one"):
        mg.load(path)


# Replacing the file


@pytest.mark.parametrize("stage", ["open", "write", "fsync", "replace", "chmod"])
def test_a_failure_at_any_stage_leaves_the_old_file_alone(path, monkeypatch, stage):
    mg.save(path, x=1)
    path.chmod(0o640)
    before = path.read_bytes()

    def fail(*args, **options):
        raise OSError("no space left")

    if stage == "fsync":
        monkeypatch.setattr(files.os, "fsync", fail)
    elif stage == "write":
        monkeypatch.setattr(files, "_write", lambda fresh, x: (fresh.write_bytes(x[:9]), fail()))
    else:
        monkeypatch.setattr(files.Path, stage, fail)
    with pytest.raises(OSError, match="no space left"):
        mg.save(path, x=2)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


KILLED = """
import os, sys
import numpy as np
import microgradopt as mg
from microgradopt import files
stage, path = sys.argv[1:]
def die(*args, **options):
    os._exit(9)
if stage == "write":
    def half(fresh, content):
        fresh.write_bytes(content[: len(content) // 2])
        die()
    files._write = half
elif stage == "fsync":
    files.os.fsync = die
else:
    files.Path.replace = die
mg.save(path, x=np.ones(1000))
"""


@pytest.mark.parametrize("stage", ["write", "fsync", "replace"])
def test_a_process_killed_in_the_middle_leaves_the_old_file(path, stage):
    mg.save(path, x=1)
    run = subprocess.run([sys.executable, "-c", KILLED, stage, str(path)], check=False)
    assert run.returncode == 9
    assert mg.load(path) == {"x": 1}
    (left,) = [p for p in path.parent.iterdir() if p != path]
    mg.save(path, x=2)
    assert left.exists(), "it may be another process's, still writing"
    os.utime(left, (0, time.time() - 2 * files.FORGOTTEN))
    mg.save(path, x=3)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="permissions are a matter of Unix")
def test_permissions_and_links(path):
    before = os.umask(0o027)
    try:
        mg.save(path, x=1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    link = path.with_name("latest.npz")
    link.symlink_to(path)
    assert mg.save(link, x=2) == path.resolve()
    assert link.is_symlink()
    assert mg.load(path) == {"x": 2}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_where_nothing_can_be_written(tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        mg.save(tmp_path / "none" / "run.npz", x=1)
    with pytest.raises(UsageError, match="it is a folder"):
        mg.save(tmp_path, x=1)


def test_the_manifest_reads_well(path):
    mg.save(path, epoch=3, losses=[0.5, 0.25], w=np.zeros((2, 3), np.float32))
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["tree"] == {"epoch": 3, "losses": [0.5, 0.25], "w": {"array": "w.npy"}}
    assert manifest["arrays"]["w.npy"]["shape"] == [2, 3]
    assert manifest["version"] == 1


def test_importing_the_library_does_not_import_what_saving_needs():
    code = "import microgradopt, sys; print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "microgradopt.state" not in out.stdout


def test_a_generator_refuses_a_state_that_numpy_refuses(path):
    rng = np.random.default_rng(0)
    bad = copy.deepcopy(rng.bit_generator.state)
    before = copy.deepcopy(bad)
    bad["state"]["state"] = -1
    mg.save(path, rng=bad)
    with pytest.raises(StateError, match="a PCG64 generator refused the state"):
        mg.load(path, rng=rng)
    assert rng.bit_generator.state == before
