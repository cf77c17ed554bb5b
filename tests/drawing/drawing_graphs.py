"""Graphs that the drawing tests draw."""

import numpy as np

from microgradopt import Tensor, Value

NASTY_NAMES = [
    'say "hi"',
    "back\\slash",
    "\\N \\G \\n \\\\",
    "two\nlines",
    "<b>&amp;</b>",
    "{x|y}",
    "node",
    "]]>",
    "-->",
    "日本語 ✓ 𝛼",
    "bell\x07 nul\x00 \ufffe",
    "lone \ud800 surrogate",
    "trailing\\",
    "#quot; `code` ;%%",
    "'",
]


def circuit():
    """f = (x + y) · z, the classic."""
    x, y, z = Value(-2.0, name="x"), Value(5.0, name="y"), Value(-4.0, name="z")
    q = x + y
    q.name = "q"
    f = q * z
    f.name = "f"
    f.backward()
    return f


def tensor_loss():
    """A loss of arrays, with a constant array, parameters of operations, and a shared weight."""
    rng = np.random.default_rng(0)
    inputs = Tensor(rng.normal(size=(30, 2)), name="X", requires_grad=False)
    weight = Tensor(rng.normal(size=(2, 8)).astype(np.float64), name="W")
    hidden = inputs @ weight + rng.normal(size=8)
    loss = (hidden * hidden).sum(axis=0).mean() + (weight * weight).sum() * 0.001
    loss.name = "loss"
    loss.backward()
    return loss


def random_graph(seed, operations=60, leaves=8):
    """A tangled graph of scalars: each operation takes any two earlier results."""
    rng = np.random.default_rng(seed)
    nodes = [Value(float(rng.normal()), name=f"v{i}") for i in range(leaves)]
    for _ in range(operations):
        i, j = rng.integers(0, len(nodes), 2)
        nodes.append(nodes[i] + nodes[j] if rng.random() < 0.5 else nodes[i] * 0.5 - nodes[j])
    return nodes[-4:]


def chain(length):
    """y = x + x + x + …, one operation after the other."""
    x = Value(1.0, name="x")
    y = x
    for _ in range(length):
        y = y + x
    return y


def mlp(samples, width=16):
    """The summed squared outputs of a scalar network with two hidden layers, for some inputs."""
    rng = np.random.default_rng(0)
    sizes = [(2, width), (width, width), (width, 1)]
    weights = [[[Value(float(w)) for w in rng.normal(size=m)] for _ in range(n)] for m, n in sizes]
    total = Value(0.0)
    for _ in range(samples):
        h = [Value(float(v), requires_grad=False) for v in rng.normal(size=2)]
        for layer in weights:
            sums = [[w * v for w, v in zip(row, h, strict=True)] for row in layer]
            h = [sum(terms[1:], terms[0]) for terms in sums]
        total = total + h[0] * h[0]
    return total
