"""From LLVM's language to machine code, and the code on the disk for the next process."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

from microgradopt.errors import MissingExtraError, UsageError
from microgradopt.files import write_atomically

DIGEST = 32  # bytes of checksum in front of what is stored
DRIVER = f"""
define i32 @drive(ptr %frame, ptr %steps, ptr %work, ptr %objects, ptr %targets, i64 %count) {{
entry:
  %binding = icmp ne ptr %objects, null
  br i1 %binding, label %bind, label %next
bind:
  %n = phi i64 [ 0, %entry ], [ %n.next, %bound ]
  %left = icmp ult i64 %n, %count
  br i1 %left, label %one, label %done
one:
  %place = getelementptr ptr, ptr %objects, i64 %n
  %object = load ptr, ptr %place
  %inside = getelementptr i8, ptr %object, i64 {object.__basicsize__}
  %data = load ptr, ptr %inside
  %target = getelementptr [2 x i64], ptr %targets, i64 %n
  %slot = load i64, ptr %target
  %kind.at = getelementptr i64, ptr %target, i64 1
  %kind = load i64, ptr %kind.at
  %is.array = icmp ne i64 %kind, 0
  %address = select i1 %is.array, ptr %data, ptr %inside
  %where = getelementptr ptr, ptr %frame, i64 %slot
  store ptr %address, ptr %where
  br label %bound
bound:
  %n.next = add i64 %n, 1
  br label %bind
next:
  %i = phi i64 [ 0, %entry ], [ %j, %call ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %call, label %done
call:
  %step = getelementptr [2 x ptr], ptr %steps, i64 %i
  %function = load ptr, ptr %step
  %at = getelementptr ptr, ptr %step, i64 1
  %slots = load ptr, ptr %at
  %status = call i32 %function(ptr %frame, ptr %slots, ptr %work)
  %j = add i64 %i, 1
  %failed = icmp ne i32 %status, 0
  br i1 %failed, label %stop, label %next
stop:
  %code = trunc i64 %j to i32
  ret i32 %code
done:
  ret i32 0
}}
"""
"""Binds objects: puts the address of an array's data, or of a number's, into a slot of the frame.
Without objects, calls kernels one after the other: the number, from 1, of the first that failed."""


class Machine:
    """This machine, as LLVM knows it."""

    def __init__(self) -> None:
        self.llvm = llvm = binding()
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.cpu = llvm.get_host_cpu_name()
        features = llvm.get_host_cpu_features()
        self.features = features.flatten()
        self.vector = 64 if features.get("avx512f") else 32 if features.get("avx") else 16
        target = llvm.Target.from_triple(llvm.get_process_triple())
        # Code may be put further from its constants than the default code model reaches.
        reloc = "static" if target.name.startswith("x86") else "default"
        self.target = target.create_target_machine(
            cpu=self.cpu, features=self.features, opt=3, reloc=reloc, codemodel="jitdefault"
        )
        self.jit = llvm.create_lljit_compiler()
        self.numbers = count()

    def compiled(self, text: str) -> bytes:
        """The object file of a module's text."""
        module = self.llvm.parse_assembly(text)
        module.verify()
        options = self.llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_vectorization = options.slp_vectorization = False
        builder = self.llvm.create_pass_builder(self.target, options)
        builder.getModulePassManager().run(module, builder)
        code: bytes = self.target.emit_object(module)
        return code

    def loaded(self, code: bytes, names: Sequence[str]) -> Any:
        """The addresses of an object file's functions; what holds them has to be kept."""
        library = self.llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
        for name in names:
            library.export_symbol(name)
        return library.link(self.jit, f"program{next(self.numbers)}")


def binding() -> ModuleType:
    """LLVM."""
    try:
        import llvmlite.binding as llvm
    except ImportError:
        raise MissingExtraError(
            'jit: backend="llvm" needs llvmlite, which is not installed; '
            'pip install "microgradopt[jit]", or use backend="numpy"'
        ) from None
    return llvm  # type: ignore[no-any-return]


@cache
def machine() -> Machine:
    """This machine."""
    return Machine()


_one_at_a_time = threading.Lock()


def built(text: str, names: Sequence[str]) -> Any:
    """The addresses of a module's functions by name, its code from the disk if it is there."""
    with _one_at_a_time:
        return _built(text, names)


def _built(text: str, names: Sequence[str]) -> Any:
    m = machine()
    parts = (text, m.cpu, m.features, str(m.llvm.llvm_version_info), sys.platform)
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    folder = cache_folder()
    if folder is None:
        return m.loaded(m.compiled(text), names)
    code = stored(folder / name)
    if code is None:
        code = m.compiled(text)
        store(folder / name, code)
    return m.loaded(code, names)


def cache_folder() -> Path | None:
    """Where compiled code is kept: MICROGRADOPT_CACHE_DIR, or the user's folder for caches.

    None for a user without a home.
    """
    chosen = os.environ.get("MICROGRADOPT_CACHE_DIR")
    if chosen:
        return Path(chosen)
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home)) / "microgradopt" / "Cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "microgradopt"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "microgradopt"


def stored(path: Path) -> bytes | None:
    """The code in a file; None where there is none or it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    code = content[DIGEST:]
    return code if hashlib.sha256(code).digest() == content[:DIGEST] else None


def store(path: Path, code: bytes) -> None:
    """Keep code for the next process; where that cannot be, it compiles again."""
    with suppress(OSError, UsageError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, hashlib.sha256(code).digest() + code)
