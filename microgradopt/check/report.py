"""What a check found: entries side by side, in tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

WORST = 5  # how many wrong entries an error lists
WHOLE = [()]  # the index of a number


class Entries(NamedTuple):
    """Some entries of one leaf, as two sides have them, one row each."""

    indices: Sequence[tuple[int, ...]]
    claimed: Any
    true: Any
    allowed: Any

    @property
    def wrong(self) -> Any:
        """Where the two differ by more than is allowed; NaN does so from anything."""
        with np.errstate(all="ignore"):
            near = np.abs(self.claimed - self.true) <= self.allowed
        return np.asarray(~(near | (self.claimed == self.true)))

    @property
    def relative(self) -> Any:
        """How far apart the two are, relative to the larger; inf where one is NaN."""
        with np.errstate(all="ignore"):
            size = np.maximum(np.abs(self.claimed), np.abs(self.true))
            apart = np.abs(self.claimed - self.true) / np.maximum(size, np.finfo(float).tiny)
        return np.nan_to_num(np.where(self.claimed == self.true, 0.0, apart), nan=np.inf)

    def only_wrong(self) -> "Entries":
        """The wrong ones."""
        wrong = self.wrong
        indices = [index for index, bad in zip(self.indices, wrong, strict=True) if bad]
        return Entries(indices, self.claimed[wrong], self.true[wrong], self.allowed[wrong])

    def table(self, heads: tuple[str, str] = ("analytic", "numeric")) -> list[str]:
        """The worst entries, side by side."""
        bad = self.only_wrong()
        worst = np.argsort(-bad.relative, kind="stable")[:WORST]
        rows = [f"{'index':>13} {heads[0]:>16} {heads[1]:>16}  relative error"]
        for i in worst:
            place = str(tuple(map(int, bad.indices[i]))) if bad.indices[i] else ""
            rows.append(
                f"{place:>13} {bad.claimed[i]:16.9g} {bad.true[i]:16.9g} {bad.relative[i]:15.2e}"
            )
        return rows


def every_entry(claimed: Any, true: Any, allowed: Any) -> Entries:
    """All entries of two arrays."""
    a, n = np.asarray(claimed, np.float64), np.asarray(true, np.float64)
    indices = list(np.ndindex(a.shape))
    return Entries(indices, a.ravel(), n.ravel(), np.broadcast_to(allowed, a.shape).ravel())


def one_number(claimed: float, true: float, allowed: float) -> Entries:
    """Two numbers."""
    return every_entry(float(claimed), float(true), float(allowed))


class Finding(NamedTuple):
    """What one comparison looked at, and how far apart the two sides were."""

    what: str
    place: str
    entries: str
    result: str


@dataclass
class Report:
    """What a check that found nothing wrong looked at."""

    findings: list[Finding] = field(default_factory=list)

    def add(self, what: str, place: str, entries: Entries, of: int) -> None:
        """Note one comparison."""
        worst = float(np.max(entries.relative, initial=0.0))
        looked_at = f"{len(entries.indices)} of {of}"
        self.findings.append(Finding(what, place, looked_at, f"{worst:.1e}"))

    def note(self, what: str, place: str, rate: float | None) -> None:
        """Note how a remainder fell."""
        result = "all rounding" if rate is None else f"h^{rate:.2f}"
        self.findings.append(Finding(what, place, "a direction", result))

    def __str__(self) -> str:
        rows = [("what", "where", "entries", "worst relative error"), *self.findings]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
        return "\n".join(line.rstrip() for line in lines)
