"""A bit to remember: how far back can a recurrent network look?

The first number of a sequence is 1 or −1, all others are noise. After the last step the network
must say which it was. On the right, the gradient of the answer by the input of each step, before
training (dashed) and after: where it vanishes there is little to learn from.

As they come, all three forget: a gate that starts half open halves what is kept at each step. The
plain RNN finds a way out here, GRU and LSTM stay where they are. With the biases of the gates that
keep set so that they start open, both remember (F. A. Gers, J. Schmidhuber and F. Cummins,
"Learning to forget", 2000; R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of
recurrent network architectures", 2015).
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import microgradopt as mg
from microgradopt import nn, optim

STEPS, HIDDEN, BATCH, UPDATES = 40, 16, 32, 250
KEEPING = 4.0  # the bias of a gate that starts nearly open: σ(4) = 0.98

NETWORKS = [(nn.RNN, False), (nn.GRU, False), (nn.LSTM, False), (nn.GRU, True), (nn.LSTM, True)]


def sequences(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of shape (steps, n, 1) and the bits, 0 or 1."""
    bits = rng.integers(0, 2, n)
    x = 0.3 * rng.normal(size=(STEPS, n, 1))
    x[0, :, 0] = 2.0 * bits - 1.0
    return x, bits


class Memory(nn.Module):
    """A recurrent layer, and two scores read from its last hidden state."""

    def __init__(self, kind: type, keeping: bool, rng: int) -> None:
        self.recurrent = kind(1, HIDDEN, rng=rng)
        if keeping:  # the second gate: an LSTM's f, a GRU's z
            bias = self.recurrent.bias_hh_l0
            gate = np.arange(len(bias.data)) // HIDDEN == 1
            bias.data = np.where(gate, KEEPING, bias.data)
        self.scores = nn.Linear(HIDDEN, 2, rng=rng)
        self.name_parameters()

    def forward(self, x):
        output, _ = self.recurrent(x)
        return self.scores(output[-1])


def train(model: Memory, rng: np.random.Generator) -> list[float]:
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(UPDATES):
        x, bits = sequences(rng, BATCH)
        loss = nn.cross_entropy(model(x), bits)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def reach(model: Memory, x: np.ndarray) -> np.ndarray:
    """The mean size of the gradient of the scores' difference by each step's input."""
    gradient = mg.grad(lambda x: mg.sum(model(x)[:, 1] - model(x)[:, 0]))(x)
    return np.abs(gradient).mean(axis=(1, 2))


def main(out: Path = Path("demo"), seed: int = 0) -> dict[str, float]:
    out.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    test, bits = sequences(np.random.default_rng(seed + 1), 500)
    accuracies = {}
    for i, (kind, keeping) in enumerate(NETWORKS):
        name = f"{kind.__name__}, keeping" if keeping else kind.__name__
        model = Memory(kind, keeping, rng=seed)
        right.semilogy(reach(model, test), "--", color=f"C{i}", linewidth=1)
        losses = train(model, np.random.default_rng(seed))
        accuracies[name] = float(np.mean(model(test).argmax(axis=1) == bits))
        print(f"{name}: loss {np.mean(losses[-20:]):.3f}, accuracy {accuracies[name]:.3f}")
        smooth = np.convolve(losses, np.ones(10) / 10.0, mode="valid")
        left.plot(smooth, color=f"C{i}", label=f"{name}: accuracy {accuracies[name]:.2f}")
        right.semilogy(reach(model, test), color=f"C{i}", label=name)
    left.axhline(np.log(2.0), color="grey", linewidth=0.8)
    left.text(UPDATES, np.log(2.0), "guessing", ha="right", va="bottom", color="grey")
    left.set(xlabel="update", ylabel="cross-entropy", title=f"the bit of {STEPS} steps ago")
    right.set(xlabel="step of the input", title="gradient of the answer (dashed: untrained)")
    left.legend()
    right.legend()
    figure.savefig(out / "sequence_memory.png", dpi=120)
    print("drawn in", out / "sequence_memory.png")
    return accuracies


if __name__ == "__main__":
    main()
