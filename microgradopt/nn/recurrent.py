"""Recurrent layers, over sequences and a step at a time: RNN, LSTM and GRU, as torch's.

The equations are those of torch's documentation, with its names of parameters, its order of gates
and its two biases, so that states carry over.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from microgradopt.engine.ops.shapes import concatenate, expand_dims, flip, index, stack, swapaxes
from microgradopt.engine.rules import Fused, shape_of as shape
from microgradopt.errors import ShapeError, UsageError
from microgradopt.nn import init as initialisers
from microgradopt.nn.arguments import call_of, count, flag, one_of, operand
from microgradopt.nn.batches import as_batches, as_given
from microgradopt.nn.dropout import Dropout
from microgradopt.nn.init import Initialiser, normal
from microgradopt.nn.layers import linear
from microgradopt.nn.module import Module, Sample
from microgradopt.nn.recurrences import CELLS, ROWS
from microgradopt.nn.weights import started
from microgradopt.randomness import RandomSource, as_generator

NONLINEARITIES = ("tanh", "relu")


def _one_or_pair(states: list[Any]) -> Any:
    """h, or of an LSTM (h, c)."""
    return states[0] if len(states) == 1 else tuple(states)


class _Recurrent(Module):
    """What sequences and single steps share: parameters, and states as one array."""

    cell: str
    input_size: int
    hidden_size: int
    bias: bool

    def _make(self, ins: int, suffix: str, init: Initialiser | None, rng: Any, dtype: Any) -> None:
        """Weights and biases of one layer and direction: uniform ±1/√hidden_size, or by ``init``.

        With ``init``, biases start at 0.
        """
        bound = 1.0 / math.sqrt(self.hidden_size)
        outs = CELLS[self.cell].gates * self.hidden_size
        usual = partial(initialisers.uniform, bound=bound)
        sizes: dict[str, tuple[int, ...]] = {
            "weight_ih": (outs, ins),
            "weight_hh": (outs, self.hidden_size),
        }
        if self.bias:
            sizes |= {"bias_ih": (outs,), "bias_hh": (outs,)}
        for kind, size in sizes.items():
            start = (init if len(size) == 2 else initialisers.zeros) if init else usual
            name = kind + suffix
            setattr(self, name, started(repr(self), name, size, start, rng, dtype))

    def _parameters_of(self, suffix: str) -> list[Any]:
        """weight_ih, weight_hh, bias_ih and bias_hh; None where there is no bias."""
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [getattr(self, kind + suffix, None) for kind in kinds]

    def _over(self, x: Any, start: Any, suffix: str) -> Any:
        """The states after every step, shape (steps, states, samples, hidden)."""
        w_ih, w_hh, b_ih, b_hh = self._parameters_of(suffix)
        row: Fused = ROWS[self.cell]
        biases = () if b_hh is None else (b_hh,)
        return row(linear(x, w_ih, b_ih), start, w_hh, *biases)

    def _states(self, hx: Any, size: tuple[int, ...], dtype: Any) -> list[Any]:
        """The initial states given, checked, or zeros: for an LSTM h and c, else h alone."""
        number, user = CELLS[self.cell].states, repr(self)
        if hx is None:
            return [np.zeros(size, dtype)] * number
        if number == 1:
            hx = (hx,)
        elif not isinstance(hx, (tuple, list)) or len(hx) != number:
            raise UsageError(f"{user}: initial states are a pair (h, c), got {type(hx).__name__}")
        states = [operand(user, h, dtype) for h in hx]
        for h in states:
            if shape(h) != size:
                raise ShapeError(
                    f"{user}: these inputs need initial states of shape {size}, got {shape(h)}"
                )
        return states

    def _more_options(self) -> dict[str, tuple[Any, Any]]:
        """What repr shows besides the options that all have, each beside its default."""
        return {}


class _Sequence(_Recurrent):
    """RNN, LSTM and GRU."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        init: Initialiser | None = None,
        rng: RandomSource = None,
        dtype: Any = np.float64,
    ) -> None:
        user = type(self).__name__
        self.input_size = count(user, "input_size", input_size)
        self.hidden_size = count(user, "hidden_size", hidden_size)
        self.num_layers = count(user, "num_layers", num_layers)
        self.bias = flag(user, "bias", bias)
        self.batch_first = flag(user, "batch_first", batch_first)
        self.bidirectional = flag(user, "bidirectional", bidirectional)
        rng = as_generator(rng)
        self.dropout = Dropout(dropout, rng=rng) if dropout != 0.0 else None
        ins = self.input_size
        for layer in range(self.num_layers):
            for suffix in self._suffixes(layer):
                self._make(ins, suffix, init, rng, dtype)
            ins = self.hidden_size * len(self._suffixes(layer))

    def _suffixes(self, layer: int) -> list[str]:
        """What the names of a layer's parameters end with, for each direction."""
        forth = f"_l{layer}"
        return [forth, f"{forth}_reverse"] if self.bidirectional else [forth]

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        rng = np.random.default_rng(0)
        states = CELLS[cls.cell].states

        def draw(*size: int) -> Any:
            return normal(size, rng, dtype, std=1.0)

        def start(*size: int) -> Any:
            found = tuple(draw(*size) for _ in range(states))
            return found if states > 1 else found[0]

        def make(*args: Any, **options: Any) -> Any:
            return cls(*args, **options, rng=1, dtype=dtype)

        x = draw(3, 2, 3)
        return [
            Sample(make(3, 2), (x,), ((x[..., :2],), (x[0, 0],), (x[:0],), (x[None],))),
            Sample(make(3, 2, bias=False), (x[:, 0], start(1, 2)), ((x[:, 0], start(2, 2)),)),
            Sample(
                make(2, 1, 2, batch_first=True, bidirectional=True),
                (draw(2, 3, 2), start(4, 2, 1)),
                ((draw(2, 3, 2), start(4, 3, 1)),),
            ),
            Sample(make(2, 1, 3, dropout=0.3), (draw(2, 2, 2),)),
        ]

    def forward(self, x: Any, hx: Any = None) -> Any:
        """The last layer's h at every step, and the states of every layer after the last step."""
        dtype = self.weight_ih_l0.dtype  # type: ignore[attr-defined]
        x = operand(repr(self), x, dtype)
        self._check(shape(x))
        alone = len(shape(x)) == 2
        swapped = self.batch_first and not alone
        x = swapaxes(x, 0, 1) if swapped else x
        runs = self.num_layers * (2 if self.bidirectional else 1)
        states = self._states(hx, (runs, *shape(x)[1:-1], self.hidden_size), dtype)
        x, *states = as_batches(alone, x, *states, axis=1)
        x, last = self._through(x, states)
        x, *last = as_given(alone, x, *last, axis=1)
        return swapaxes(x, 0, 1) if swapped else x, _one_or_pair(last)

    def _check(self, have: tuple[int, ...]) -> None:
        if len(have) not in (2, 3) or have[-1] != self.input_size:
            layout = "samples, steps" if self.batch_first else "steps, samples"
            raise ShapeError(
                f"{self!r} takes inputs of shape ({layout}, {self.input_size}) or "
                f"(steps, {self.input_size}), got {have}"
            )
        if not have[1 if self.batch_first and len(have) == 3 else 0]:
            raise ShapeError(f"{self!r} needs at least one step, got inputs of shape {have}")

    def _through(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """All layers one after the other: the last one's outputs, and each kind of last states."""
        last: list[Any] = []
        for layer in range(self.num_layers):
            if layer and self.dropout is not None:
                x = self.dropout(x)
            outputs = []
            for back, suffix in enumerate(self._suffixes(layer)):
                start = stack([index(s, len(last)) for s in states])
                after = self._over(flip(x, 0) if back else x, start, suffix)
                last.append(index(after, -1))
                outputs.append(index(after, (slice(None), 0)))
            if self.bidirectional:
                x = concatenate([outputs[0], flip(outputs[1], 0)], axis=2)
            else:
                x = outputs[0]
        runs = stack(last, axis=1)
        return x, [index(runs, i) for i in range(len(states))]

    def __repr__(self) -> str:
        return call_of(
            self,
            self.input_size,
            self.hidden_size,
            num_layers=(self.num_layers, 1),
            bias=(self.bias, True),
            batch_first=(self.batch_first, False),
            dropout=(0.0 if self.dropout is None else self.dropout.p, 0.0),
            bidirectional=(self.bidirectional, False),
            **self._more_options(),
        )


class RNN(_Sequence):
    """h ← tanh(W x + b + W′ h + b′), or relu, over sequences; as torch's RNN.

    Args:
        input_size, hidden_size: the lengths of inputs and of h.
        num_layers: how many on top of each other, each seeing the h of the one below.
        nonlinearity: "tanh" or "relu".
        bias: whether there are a b and a b′.
        batch_first: whether inputs are (samples, steps, input_size) and not (steps, samples, …).
        dropout: the probability with which h is dropped between layers, in training.
        bidirectional: whether a second run sees the sequence backwards; its h is put beside.
        init: the weights' initialiser; biases then start at 0. Left out, all start uniform between
            ±1/√hidden_size.
        rng: a generator or seed.
        dtype: float64 or float32.

    Called with inputs of shape (steps, samples, input_size) or, for one sample, (steps,
    input_size), and optionally the initial h of shape (runs, samples, hidden_size), it returns the
    last layer's h at every step, shape (steps, samples, hidden_size), and the last h of every run;
    a run is a layer in a direction. Parameters are called ``weight_ih_l0``, ``weight_hh_l0``,
    ``bias_ih_l0``, ``bias_hh_l0``, …, with ``_reverse`` at the end for the second direction.

    Raises:
        ShapeError: when called on other shapes, or no steps at all.

    Source: J. L. Elman, "Finding structure in time", 1990.

    >>> import numpy as np, microgradopt as mg
    >>> output, h = mg.nn.RNN(3, 5, rng=0)(np.zeros((7, 2, 3)))
    >>> output.shape, h.shape
    ((7, 2, 5), (1, 2, 5))
    """

    cell = "rnn_tanh"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        init: Initialiser | None = None,
        rng: RandomSource = None,
        dtype: Any = np.float64,
    ) -> None:
        self.cell = _simple_cell("RNN", nonlinearity)
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            init=init,
            rng=rng,
            dtype=dtype,
        )

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x = normal((4, 2, 3), 5, dtype, std=1.0)
        bent = cls(3, 2, 1, "relu", bidirectional=True, rng=2, dtype=dtype)
        return [*super().samples(dtype), Sample(bent, (x,))]

    def _more_options(self) -> dict[str, tuple[Any, Any]]:
        return {"nonlinearity": (self.nonlinearity, "tanh")}


class LSTM(_Sequence):
    """Long short-term memory over sequences; as torch's LSTM.

    i, f, o = σ(a), g = tanh(a), c ← f·c + i·g, h ← o·tanh(c), each with its own part of
    a = W x + b + W′ h + b′.

    Arguments are those of :class:`RNN` without ``nonlinearity``. Called with inputs and optionally
    a pair of initial states (h, c), it returns the last layer's h at every step and the pair of
    last states. The weights' rows belong to the gates i, f, g, o in this order.

    Source: S. Hochreiter and J. Schmidhuber, "Long short-term memory", 1997; with the forget gate
    of F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to forget", 2000.

    >>> import numpy as np, microgradopt as mg
    >>> output, (h, c) = mg.nn.LSTM(3, 5, rng=0)(np.zeros((7, 2, 3)))
    >>> output.shape, h.shape, c.shape
    ((7, 2, 5), (1, 2, 5), (1, 2, 5))
    """

    cell = "lstm"


class GRU(_Sequence):
    """Gated recurrent units over sequences; as torch's GRU.

    r, z = σ(W x + b + W′ h + b′), n = tanh(W x + b + r·(W′ h + b′)), h ← (1 − z)·n + z·h.

    Arguments, inputs and results are those of :class:`RNN` without ``nonlinearity``. The weights'
    rows belong to the gates r, z, n in this order.

    Source: K. Cho et al., "Learning phrase representations using RNN encoder–decoder", 2014; r
    stands where torch has it.
    """

    cell = "gru"


def _simple_cell(user: str, nonlinearity: str) -> str:
    return f"rnn_{one_of(user, 'nonlinearity', nonlinearity, NONLINEARITIES)}"


class _Cell(_Recurrent):
    """RNNCell, LSTMCell and GRUCell."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        init: Initialiser | None = None,
        rng: RandomSource = None,
        dtype: Any = np.float64,
    ) -> None:
        user = type(self).__name__
        self.input_size = count(user, "input_size", input_size)
        self.hidden_size = count(user, "hidden_size", hidden_size)
        self.bias = flag(user, "bias", bias)
        self._make(self.input_size, "", init, as_generator(rng), dtype)

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        x, h, c = (normal((4, n), n, dtype, std=1.0) for n in (3, 2, 2))
        states = (h, 0.5 * c[::-1]) if CELLS[cls.cell].states == 2 else h
        one = (h[0], c[1]) if CELLS[cls.cell].states == 2 else h[0]
        return [
            Sample(cls(3, 2, rng=1, dtype=dtype), (x,), ((h,), (x[None],), (x[0, 0],))),
            Sample(cls(3, 2, rng=1, dtype=dtype), (x, states), ((x[:3], states), (x[0], states))),
            Sample(cls(3, 2, bias=False, rng=1, dtype=dtype), (x[0], one)),
        ]

    def forward(self, x: Any, hx: Any = None) -> Any:
        """The states after one step."""
        dtype = self.weight_ih.dtype  # type: ignore[attr-defined]
        x = operand(repr(self), x, dtype)
        have = shape(x)
        if len(have) not in (1, 2) or have[-1] != self.input_size:
            raise ShapeError(
                f"{self!r} takes inputs of shape (samples, {self.input_size}) or "
                f"({self.input_size},), got {have}"
            )
        states = self._states(hx, (*have[:-1], self.hidden_size), dtype)
        alone = len(have) == 1
        x, *states = as_batches(alone, x, *states)
        after = index(self._over(expand_dims(x, 0), stack(states), ""), 0)
        each = [index(after, i) for i in range(len(states))]
        return _one_or_pair(as_given(alone, *each))

    def __repr__(self) -> str:
        return call_of(
            self, self.input_size, self.hidden_size, bias=(self.bias, True), **self._more_options()
        )


class RNNCell(_Cell):
    """One step of an :class:`RNN`; as torch's RNNCell.

    Args:
        input_size, hidden_size, bias, nonlinearity, init, rng, dtype: as there.

    Called with inputs of shape (samples, input_size) or (input_size,), and optionally h of shape
    (samples, hidden_size), it returns the new h. Parameters are called ``weight_ih``,
    ``weight_hh``, ``bias_ih`` and ``bias_hh``.
    """

    cell = "rnn_tanh"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        init: Initialiser | None = None,
        rng: RandomSource = None,
        dtype: Any = np.float64,
    ) -> None:
        self.cell = _simple_cell("RNNCell", nonlinearity)
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, init=init, rng=rng, dtype=dtype)

    @classmethod
    def samples(cls, dtype: Any = np.float64) -> list[Sample]:
        bent = cls(3, 2, nonlinearity="relu", rng=2, dtype=dtype)
        return [*super().samples(dtype), Sample(bent, (normal((4, 3), 6, dtype, std=1.0),))]

    def _more_options(self) -> dict[str, tuple[Any, Any]]:
        return {"nonlinearity": (self.nonlinearity, "tanh")}


class LSTMCell(_Cell):
    """One step of an :class:`LSTM`: takes and returns the pair (h, c); as torch's LSTMCell.

    Everything else is as in :class:`RNNCell`.
    """

    cell = "lstm"


class GRUCell(_Cell):
    """One step of a :class:`GRU`; as torch's GRUCell. Everything else is as in RNNCell."""

    cell = "gru"
