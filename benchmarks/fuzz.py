"""Random graphs against other libraries and numerical derivatives: ``python -m benchmarks.fuzz``.

The gradient of every graph is compared with that of torch (or JAX) of the same expression, and with
the derivative along a random direction: by a complex step where every row of the graph has an
analytic continuation, or else by central differences. Some graphs take forward mode or the second
order as well, some are float32, some are made of numbers only. With ``--against jit`` or ``native``
the graph is jitted too and called several times. A disagreement is shrunk by Hypothesis and printed
as source.

Graphs come in chunks, each with a seed of its own: ``--seed 0 --chunk 17`` repeats one alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase, Verbosity, given, settings, strategies as st

from benchmarks.fuzzing import checks
from benchmarks.fuzzing.jitted import BACKENDS, check_jit
from benchmarks.fuzzing.rows import Table, jax_rows, torch_rows
from microgradopt import nn  # noqa: F401  # whose layers declare rows
from microgradopt.check.expressions import Expression, library_rows
from microgradopt.check.strategies import graphs

CHUNK = 1000
REFERENCES = ("complex", "torch", "jax", *BACKENDS)
PARTS = ("reverse", "forward", "second order")


class Kind(NamedTuple):
    """What the graphs of a chunk are made of."""

    name: str
    peer: bool = False  # only rows that the other library has
    options: dict[str, Any] = {}  # never written to


KINDS = (  # taken in turn
    Kind("rows of the peer", peer=True),
    Kind("every row"),
    Kind("rows of the peer", peer=True),
    Kind("float32", options={"dtype": np.float32}),
    Kind("rows of the peer", peer=True),
    Kind("numbers only", options={"scalars": True}),
)


@dataclass
class Fuzzer:
    """What graphs are compared with, and the count of what has been compared."""

    against: Sequence[str] = ("complex",)
    steps: int = 12
    graphs: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    compared: Counter[str] = field(default_factory=Counter)
    failing: tuple[str, Expression] | None = None

    def __post_init__(self) -> None:
        self.torch: Table = torch_rows() if "torch" in self.against else {}
        self.jax: Table = jax_rows() if "jax" in self.against else {}

    def run(self, kind: Kind, seed: int, count: int) -> str | None:
        """Compare ``count`` graphs of a kind; what went wrong with the smallest that fails."""
        test = given(self.drawn(kind), st.sampled_from(PARTS))(self.check)
        quiet = settings(
            max_examples=count, database=None, deadline=None, report_multiple_bugs=False,
            phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )  # fmt: skip
        try:
            hypothesis.seed(seed)(quiet(test))()
        except Exception as error:  # a crash is as wrong as a wrong number
            part, expression = self.failing or ("generation", "")
            return f"{part}: {type(error).__name__}: {error}\n\n{expression}"
        return None

    def drawn(self, kind: Kind) -> st.SearchStrategy[Expression]:
        """The graphs of a kind."""
        rows = library_rows()
        peer = self.torch or self.jax
        if kind.peer and peer:
            rows = tuple(row for row in rows if checks.covers(peer, row))
        return graphs(rows, max_steps=self.steps, **kind.options)

    def check(self, expression: Expression, part: str) -> None:
        """Compare one graph with every reference that knows its rows.

        Raises:
            DisagreementError: saying which, and by how much.
        """
        self.failing = part, expression
        case = checks.Case.of(expression)
        found = checks.gradients(case)
        rows = expression.rows
        self.graphs += 1
        self.operations.update(row.name for row in rows)
        for reference in set(BACKENDS).intersection(self.against):
            self.compared[reference] += 1
            check_jit(case, part, reference)
        if case.dtype == np.float32:
            self.compared["float64"] += 1
            checks.check_narrow(case, found)
            return
        if self.torch and all(checks.covers(self.torch, row) for row in rows):
            self.compared["torch"] += 1
            checks.check_torch(case, found, self.torch, second=part == "second order")
            part = PARTS[0] if part == "second order" else part  # done
        if self.jax and all(checks.covers(self.jax, row) for row in rows):
            self.compared["jax"] += 1
            checks.check_jax(case, found, self.jax)
        self.compared[checks.check_slope(case, found, part)] += 1

    def summary(self, disagreements: int) -> str:
        """The last line."""
        rows = library_rows()
        rarest = min(rows, key=lambda row: self.operations[row.name])
        return (
            f"{self.graphs:,} graphs, {self.operations.total():,} operations, "
            f"{len(self.operations)} of {len(rows)} rows, the rarest {rarest.name} "
            f"({self.operations[rarest.name]:,} times); compared with "
            + ", ".join(f"{name} {n:,}" for name, n in self.compared.most_common())
            + f"; {disagreements} disagreement(s)"
        )


def main() -> int:
    """Fuzz as the command line asks; 1 if anything disagreed."""
    arguments = _parser().parse_args()
    against = REFERENCES if arguments.against == "all" else (arguments.against, "complex")
    fuzzer = Fuzzer(against, arguments.steps)
    chunks = range(-(-arguments.graphs // CHUNK))
    disagreements = 0
    start = time.perf_counter()
    for chunk in chunks if arguments.chunk is None else [arguments.chunk]:
        kind = KINDS[chunk % len(KINDS)]
        wrong = fuzzer.run(kind, seed_of(arguments.seed, chunk), min(CHUNK, arguments.graphs))
        if wrong is not None:
            disagreements += 1
            print(f"--seed {arguments.seed} --chunk {chunk} ({kind.name}): {wrong}\n", flush=True)
        rate = fuzzer.graphs / (time.perf_counter() - start)
        print(f"chunk {chunk}: {fuzzer.graphs:,} graphs, {rate:.0f}/s", file=sys.stderr, flush=True)
    print(fuzzer.summary(disagreements))
    return int(disagreements > 0)


def seed_of(seed: int, chunk: int) -> int:
    """The seed of a chunk."""
    return seed * 1_000_003 + chunk


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--graphs", type=int, default=100_000, help="how many (100000)")
    parser.add_argument("--seed", type=int, default=0, help="of the whole run (0)")
    parser.add_argument("--chunk", type=int, help="this chunk of the run only")
    parser.add_argument("--steps", type=int, default=12, help="operations of a graph at most (12)")
    parser.add_argument(
        "--against", choices=(*REFERENCES, "all"), default="torch",
        help="the reference, always besides numerical derivatives (torch)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    sys.exit(main())
