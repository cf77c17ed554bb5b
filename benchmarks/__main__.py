"""Run the works and print one table: ``python -m benchmarks [names] [--repeats N] [--quick]``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from benchmarks.harness import Row, Work, measure, table
from benchmarks.works import WORKS

LEGEND = (
    "÷ ours: the median over ours, so above 1 ours is faster or smaller; "
    "a target is what that ratio, or ours itself, must reach"
)
PEERS = (
    "numpy", "llvmlite", "micrograd", "torch", "autograd", "mygrad", "jax", "optax",
    "casadi", "numexpr", "scipy",
)  # fmt: skip


def main() -> None:
    """Measure the works asked for and print the table."""
    arguments = _parser().parse_args()
    _stay_on_one_core()
    rows: list[Row] = []
    for work in _chosen(arguments.names):
        print(f"measuring {work.title} …", file=sys.stderr)
        rows += measure(work, arguments.repeats or (2 if arguments.quick else None))
    print(_machine(), table(rows), LEGEND, sep="\n\n")


def _stay_on_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _parser() -> argparse.ArgumentParser:
    keys = ", ".join(work.key for work in WORKS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"works, or beginnings of their names: {keys}")
    parser.add_argument("--repeats", type=int, help="rounds of each work, instead of its own")
    parser.add_argument("--quick", action="store_true", help="two rounds each: does it run at all")
    return parser


def _chosen(names: list[str]) -> list[Work]:
    unknown = [n for n in names if not any(work.key.startswith(n) for work in WORKS)]
    if unknown:
        _parser().error(f"no work is called {', '.join(unknown)}")
    return [w for w in WORKS if not names or any(w.key.startswith(n) for n in names)]


def _machine() -> str:
    where = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return f"{where}, one thread; " + ", ".join(map(_version, PEERS))


def _version(peer: str) -> str:
    try:
        return f"{peer} {version(peer)}"
    except PackageNotFoundError:
        return f"{peer} not installed"


if __name__ == "__main__":
    main()
