"""Rows that run a recurrent cell over a whole sequence: one node of the graph for all steps.

Each takes ``(x, start, weight, bias)``:

- ``x``, what the inputs send to the gates at every step, shape (steps, samples, gates · hidden);
- ``start``, the states before the first step, shape (states, samples, hidden);
- ``weight`` and ``bias``, what the hidden state sends to the gates, shapes (gates · hidden, hidden)
  and (gates · hidden,); the bias may be left out;

and gives the states after every step, shape (steps, states, samples, hidden). The gates follow each
other in torch's order. The kernel is back-propagation through time; the weight's gradient is one
product of matrices for all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from microgradopt.engine.graph import Array
from microgradopt.engine.ops.elementwise import relu, sigmoid, tanh
from microgradopt.engine.ops.products import matmul
from microgradopt.engine.ops.shapes import cut, index, stack, transpose
from microgradopt.engine.rules import Fused, shape_of as shape

Arrays = tuple[Array, ...]


class Cell(NamedTuple):
    """One step of a recurrence.

    ``forward(x, h, before)`` takes what inputs and hidden state send to the gates, and the states
    before; it gives the states after the step, and what ``backward`` needs.
    ``backward(g, before, saved)`` takes the gradient by the states after; it gives those by x, by h
    and, besides the way through h, by the states before.
    ``formula(x, h, before)`` is forward in the library's functions, for nodes.
    """

    gates: int
    states: int
    forward: Callable[[Array, Array, Array], tuple[Sequence[Array], Arrays]]
    backward: Callable[[Array, Array, Arrays], tuple[Array, Array, Sequence[Any]]]
    formula: Callable[[Any, Any, Any], list[Any]]


# h ← tanh(x + h), or relu


def _simple_forward(activation: Any, x: Array, h: Array, before: Array) -> tuple[Any, Arrays]:
    after = activation(x + h)
    return (after,), (after,)


def _tanh_backward(g: Array, before: Array, saved: Arrays) -> tuple[Array, Array, Any]:
    (after,) = saved
    by_gate = g[0] * (1.0 - after * after)
    return by_gate, by_gate, (0.0,)


def _relu_backward(g: Array, before: Array, saved: Arrays) -> tuple[Array, Array, Any]:
    (after,) = saved
    by_gate = np.where(after > 0.0, g[0], 0.0)
    return by_gate, by_gate, (0.0,)


# Long short-term memory: gates i, f, g, o; c ← f·c + i·g; h ← o·tanh(c)


def _lstm_forward(x: Array, h: Array, before: Array) -> tuple[Any, Arrays]:
    gates = x + h
    n = gates.shape[1] // 4
    i, f, o = sigmoid(gates[:, :n]), sigmoid(gates[:, n : 2 * n]), sigmoid(gates[:, 3 * n :])
    g = tanh(gates[:, 2 * n : 3 * n])
    c = f * before[1] + i * g
    bent = tanh(c)
    return (o * bent, c), (i, f, g, o, bent)


def _lstm_backward(by: Array, before: Array, saved: Arrays) -> tuple[Array, Array, Any]:
    i, f, g, o, bent = saved
    by_h, by_c = by
    by_c = by_c + by_h * o * (1.0 - bent * bent)
    by_gates = (
        by_c * g * i * (1.0 - i),
        by_c * before[1] * f * (1.0 - f),
        by_c * i * (1.0 - g * g),
        by_h * bent * o * (1.0 - o),
    )
    together = np.concatenate(by_gates, axis=1)
    return together, together, (0.0, by_c * f)


def _lstm_formula(x: Any, h: Any, before: Any) -> list[Any]:
    i, f, g, o = _split(x + h, 4)
    c = sigmoid(f) * index(before, 1) + sigmoid(i) * tanh(g)
    return [sigmoid(o) * tanh(c), c]


# Gated recurrent unit: gates r, z, n, where n sees r times what the hidden state sends;
# h ← (1 − z)·n + z·h


def _gru_forward(x: Array, h: Array, before: Array) -> tuple[Any, Arrays]:
    n = x.shape[1] // 3
    both = sigmoid(x[:, : 2 * n] + h[:, : 2 * n])
    r, z, sent = both[:, :n], both[:, n:], h[:, 2 * n :]
    new = tanh(x[:, 2 * n :] + r * sent)
    return (new + z * (before[0] - new),), (r, z, new, sent)


def _gru_backward(g: Array, before: Array, saved: Arrays) -> tuple[Array, Array, Any]:
    r, z, new, sent = saved
    by_new = g[0] * (1.0 - z) * (1.0 - new * new)
    by_z = g[0] * (before[0] - new) * z * (1.0 - z)
    by_r = by_new * sent * r * (1.0 - r)
    by_x = np.concatenate((by_r, by_z, by_new), axis=1)
    by_h = np.concatenate((by_r, by_z, by_new * r), axis=1)
    return by_x, by_h, (g[0] * z,)


def _gru_formula(x: Any, h: Any, before: Any) -> list[Any]:
    (x_r, x_z, x_n), (h_r, h_z, h_n) = _split(x, 3), _split(h, 3)
    new = tanh(x_n + sigmoid(x_r + h_r) * h_n)
    return [new + sigmoid(x_z + h_z) * (index(before, 0) - new)]


def _split(x: Any, parts: int) -> list[Any]:
    n = shape(x)[1] // parts
    return [cut(x, 1, i * n, (i + 1) * n) for i in range(parts)]


# Over a sequence


def _sent(before: Any, weight: Array, bias: Array | None) -> Any:
    """What the hidden state sends to the gates."""
    sent = before[0] @ weight.T
    return sent if bias is None else sent + bias


def _run(
    x: Array, start: Array, weight: Array, bias: Array | None = None, *, cell: Cell
) -> tuple[Array, list[Arrays]]:
    dtype = np.result_type(x, start, weight, *(() if bias is None else (bias,)))
    out = np.empty((len(x), *start.shape), dtype)
    saved = []
    before = start
    for t, step in enumerate(x):
        out[t], kept = cell.forward(step, _sent(before, weight, bias), before)
        saved.append(kept)
        before = out[t]
    return out, saved


def _pull(
    g: Array,
    out: Array,
    x: Array,
    start: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    cell: Cell,
    saved: list[Arrays],
) -> Arrays:
    by_x, by_sent = np.empty(x.shape, out.dtype), np.empty(x.shape, out.dtype)
    carried = np.zeros(start.shape, out.dtype)
    before = np.concatenate([start[None], out[:-1]])
    for t in reversed(range(len(x))):
        by_x[t], by_sent[t], direct = cell.backward(carried + g[t], before[t], saved[t])
        for into, part in zip(carried, direct):
            into[...] = part
        carried[0] += by_sent[t] @ weight
    flat = by_sent.reshape(len(x) * x.shape[1], x.shape[2])
    by_weight = flat.T @ before[:, 0].reshape(len(flat), start.shape[2])
    by_bias = () if bias is None else (np.add.reduce(flat, 0),)
    return by_x, carried, by_weight, *by_bias


def _formula(x: Any, start: Any, weight: Any, bias: Any = None, *, cell: Cell) -> Any:
    states, out = start, []
    for t in range(len(x)):
        sent = matmul(index(states, 0), transpose(weight))
        states = stack(cell.formula(index(x, t), sent if bias is None else sent + bias, states))
        out.append(states)
    return stack(out)


def _samples(cell: Cell, rng: np.random.Generator) -> list[Any]:
    gates = 2 * cell.gates
    shapes = [(3, 4, gates), (cell.states, 4, 2), (gates, 2), (gates,)]
    operands = [rng.normal(size=size) for size in shapes]
    return [(tuple(operands), {}), (tuple(operands[:3]), {})]


def _row(name: str, cell: Cell) -> Fused:
    return Fused(
        name,
        array=partial(_run, cell=cell),
        saves=True,
        pullback=partial(_pull, cell=cell),
        composite=partial(_formula, cell=cell),
        sample=partial(_samples, cell),
    )


CELLS = {
    "rnn_tanh": Cell(
        1, 1, partial(_simple_forward, tanh), _tanh_backward, lambda x, h, before: [tanh(x + h)]
    ),
    "rnn_relu": Cell(
        1, 1, partial(_simple_forward, relu), _relu_backward, lambda x, h, before: [relu(x + h)]
    ),
    "lstm": Cell(4, 2, _lstm_forward, _lstm_backward, _lstm_formula),
    "gru": Cell(3, 1, _gru_forward, _gru_backward, _gru_formula),
}
ROWS = {name: _row(name, cell) for name, cell in CELLS.items()}
