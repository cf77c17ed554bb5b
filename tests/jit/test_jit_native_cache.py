"""Machine code on the disk: for the next process, and never in the way of this one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from programs import Builder

from microgradopt.compiler.native import compiler
from microgradopt.compiler.native.runner import compile_native
from microgradopt.errors import MissingExtraError

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from test_jit_native_cache import softmax
from microgradopt.compiler.native import compiler
if {cached}:
    compiler.Machine.compiled = None
assert softmax() == {expected!r}
assert "numba" not in sys.modules
"""


def softmax():
    x = np.arange(12.0).reshape(3, 4)
    b = Builder(x)
    e = b("exp", b("subtract", b.entries[0], b("max", b.entries[0], axis=1, keepdims=True)))
    program = b.program(b("divide", e, b("sum", e, axis=1, keepdims=True)))
    return compile_native(program, {})([x], [None])[0].tolist()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROGRADOPT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(cached, expected):
    script = SCRIPT.format(folder=str(Path(__file__).parent), cached=cached, expected=expected)
    subprocess.run([sys.executable, "-c", script], check=True, env=dict(os.environ))


def test_another_process_takes_what_one_has_compiled(folder):
    run(False, softmax())
    assert len(list(folder.iterdir())) == 1
    run(True, softmax())


def refused(*_):
    raise AssertionError("compiled again")


def test_a_damaged_file_is_compiled_anew(folder, monkeypatch):
    expected = softmax()
    (path,) = folder.iterdir()
    content = path.read_bytes()
    for damaged in (content[:-1], content[:40] + b"x" + content[41:], b"", content + b"y"):
        path.write_bytes(damaged)
        assert softmax() == expected
        assert path.read_bytes()[: compiler.DIGEST] == content[: compiler.DIGEST]
    monkeypatch.setattr(compiler.Machine, "compiled", refused)
    assert softmax() == expected


def test_a_folder_that_cannot_be_made_is_no_obstacle(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("here is no room for a folder")
    monkeypatch.setenv("MICROGRADOPT_CACHE_DIR", str(tmp_path / "file" / "cache"))
    assert softmax()


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "microgradopt"),
        ("win32", "LOCALAPPDATA", "microgradopt/Cache"),
        ("darwin", "HOME", "Library/Caches/microgradopt"),
    ],
)
def test_the_folder_is_where_the_system_has_caches(
    platform, variable, expected, tmp_path, monkeypatch
):
    monkeypatch.delenv("MICROGRADOPT_CACHE_DIR", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    assert compiler.cache_folder() == tmp_path / expected


def test_without_llvm(monkeypatch):
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    with pytest.raises(MissingExtraError, match=r"microgradopt\[jit\]"):
        compiler.binding()


TRAINING = """
import numpy as np, microgradopt as mg
from microgradopt import nn, optim
net = nn.Sequential(nn.Linear(3, 40, rng=0), nn.LayerNorm(40), mg.tanh, nn.Linear(40, 4, rng=0))
opt = optim.AdamW(net.parameters())
@mg.jit(backend="llvm")
def step(x, y):
    opt.zero_grad()
    loss = nn.cross_entropy(net(x), y)
    loss.backward()
    opt.step()
    return loss
for _ in range(3):
    step(np.ones((50, 3)), np.arange(50) % 4)
"""


def test_every_process_gives_the_same_text_to_the_compiler(folder):
    found = []
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        environment["MICROGRADOPT_CACHE_DIR"] = str(folder / seed)
        subprocess.run([sys.executable, "-c", TRAINING], check=True, env=environment)
        found.append({path.name for path in (folder / seed).iterdir()})
    assert found[0]
    assert found[0] == found[1]


def test_without_a_home_nothing_is_kept(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("MICROGRADOPT_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert compiler.cache_folder() is None
    assert softmax()
