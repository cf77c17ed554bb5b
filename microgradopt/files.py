"""Files that are replaced in one step: whoever reads sees the old one or the new, never half."""

import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path

from microgradopt.errors import UsageError

__all__ = ["write_atomically"]

FORGOTTEN = 3600.0  # seconds after which what a killed process left behind is removed


def write_atomically(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write ``content`` to a new file beside the old, and rename it when it is on the disk.

    A crash at any point leaves the old file. The new one has the permissions of the old, or where
    there is none those of any new file. A link stays a link.

    Raises:
        UsageError: if the folder does not exist, or the path is a folder.
        OSError: as the system says, such as a disk that is full; the old file is there then.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise UsageError(f"cannot save to {str(path)!r}: there is no folder {str(target.parent)!r}")
    if target.is_dir():
        raise UsageError(f"cannot save to {str(path)!r}: it is a folder; give a file in it")
    prefix = f".{target.name[:80]}."
    _remove_forgotten(target.parent, prefix)
    fresh = target.with_name(f"{prefix}{secrets.token_hex(6)}.tmp")
    try:
        _write(fresh, content)
        if target.exists():
            fresh.chmod(stat.S_IMODE(target.stat().st_mode))
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    _flush_folder(target.parent)
    return target


def _write(fresh: Path, content: bytes) -> None:
    """Write a file that nobody else has, and wait until it is on the disk."""
    with fresh.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Wait until the new name is on the disk, too."""
    if os.name == "nt":  # pragma: no cover  # Windows cannot open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_forgotten(folder: Path, prefix: str) -> None:
    """Remove what processes that were killed had begun to write."""
    for name in os.listdir(folder):
        if name.startswith(prefix) and name.endswith(".tmp"):
            with suppress(OSError):  # another process was faster
                if time.time() - (folder / name).stat().st_mtime > FORGOTTEN:
                    (folder / name).unlink()
