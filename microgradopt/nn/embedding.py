"""``Embedding``: a row of numbers for each of many things."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from microgradopt.arguments import is_integer
from microgradopt.engine.graph import Array
from microgradopt.engine.ops.elementwise import where
from microgradopt.engine.ops.indexing import whole
from microgradopt.engine.ops.shapes import index
from microgradopt.engine.rules import data_of
from microgradopt.errors import DTypeError, UsageError
from microgradopt.nn.arguments import call_of, count
from microgradopt.nn.init import Initialiser, normal
from microgradopt.nn.module import Module, Sample
from microgradopt.nn.weights import weight_and_bias
from microgradopt.randomness import RandomSource

standard_normal = partial(normal, std=1.0)


class Embedding(Module):
    """A table of vectors: whole numbers in, of any shape, and for each of them its row.

    From shape (...) to (..., embedding_dim). The gradient of a row is the sum over all places it
    went to.

    Args:
        num_embeddings: how many rows there are; inputs are from 0 to one less.
        embedding_dim: how many numbers a row has.
        padding_idx: the input that stands for nothing: its row starts at 0 and gets no gradient.
        init: the weight's initialiser, normal with standard deviation 1 when left out.
        rng: a generator or seed.
        dtype: float64 or float32.

    ``weight`` has shape (num_embeddings, embedding_dim).

    Raises:
        DTypeError: when called on anything but whole numbers.
        UsageError: when called on a number without a row.

    >>> import numpy as np, microgradopt as mg
    >>> layer = mg.nn.Embedding(10, 3, rng=0)
    >>> layer(np.array([[1, 2], [5, 1]])).shape
    (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        init: Initialiser | None = None,
        rng: RandomSource = None,
        dtype: Any = np.float64,
    ) -> None:
        self.num_embeddings = count("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = count("Embedding", "embedding_dim", embedding_dim)
        self.padding_idx = None if padding_idx is None else self._row(padding_idx)
        call = f"Embedding({num_embeddings}, {embedding_dim})"
        size = (self.num_embeddings, self.embedding_dim)
        self.weight, _ = weight_and_bias(
            call, size, self.embedding_dim, False, init or standard_normal, rng, dtype
        )
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0.0

    def _row(self, padding_idx: Any) -> int:
        n = self.num_embeddings
        if not is_integer(padding_idx) or not -n <= padding_idx < n:
            raise UsageError(
                f"Embedding: padding_idx must be the number of one of the {n} rows, got "
                f"{padding_idx!r}"
            )
        return int(padding_idx) % n

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        rows = np.array([[3, 1, 3], [4, 2, 1]])
        return [
            Sample(cls(5, 3, rng=0, dtype=dtype), (rows,)),
            Sample(cls(5, 1, 0, rng=0, dtype=dtype), (rows[0],)),
            Sample(cls(5, 2, rng=0, dtype=dtype), (rows[:, :1],)),
        ]

    def forward(self, x: Any) -> Any:
        chosen = self._indices(x)
        out = index(self.weight, chosen)
        if self.padding_idx is None:
            return out
        void = np.asarray(chosen == self.padding_idx)[..., None]
        return where(void, data_of(out), out) if void.any() else out

    def _indices(self, x: Any) -> Array:
        given = np.asarray(data_of(x))
        if given.dtype == bool:
            raise DTypeError("Embedding: takes whole numbers, got truth values; use .astype(int)")
        chosen: Array = whole(x, "Embedding")
        outside = chosen[(chosen < 0) | (chosen >= self.num_embeddings)]
        if outside.size:
            raise UsageError(
                f"{self!r}: has rows 0 to {self.num_embeddings - 1}, and was given {outside[0]}"
            )
        return chosen

    def __repr__(self) -> str:
        return call_of(
            self, self.num_embeddings, self.embedding_dim, padding_idx=(self.padding_idx, None)
        )
