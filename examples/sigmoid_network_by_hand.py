"""A 3–2–3 network of sigmoids small enough to check with a pocket calculator.

Twelve named weights, the loss ½Σ(ŷ − y)², one update, the loss before and after. The derivative of
one weight is worked out below with the chain rule written in full, and must agree.
"""

from math import exp
from pathlib import Path

import microgradopt as mg
from microgradopt import Value

INPUTS, TARGETS, RATE = [1.0, 4.0, 5.0], [0.1, 0.05, 0.9], 0.5


def forward(w: dict[str, Value]) -> tuple[list[Value], list[Value], Value]:
    """Hidden activations, outputs and loss; w1 … w6 lead to the hidden layer, w7 … w12 on."""
    hidden, outputs = [], []
    for i in range(2):
        h = mg.sigmoid(sum(w[f"w{3 * i + j + 1}"] * x for j, x in enumerate(INPUTS)))
        h.name = f"h{i + 1}"
        hidden.append(h)
    for i in range(3):
        o = mg.sigmoid(sum(w[f"w{7 + 2 * i + j}"] * h for j, h in enumerate(hidden)))
        o.name = f"o{i + 1}"
        outputs.append(o)
    loss = 0.5 * sum((o - t) ** 2 for o, t in zip(outputs, TARGETS))
    loss.name = "loss"
    return hidden, outputs, loss


def main(out: Path = Path("demo")) -> tuple[float, float]:
    w = {f"w{k}": Value(0.1 * k, name=f"w{k}") for k in range(1, 13)}
    hidden, outputs, loss = forward(w)
    loss.backward()

    o1, h1 = outputs[0].item(), hidden[0].item()
    by_hand = (o1 - TARGETS[0]) * o1 * (1.0 - o1) * h1  # ∂loss/∂o1 · ∂o1/∂net · ∂net/∂w7
    print(f"dloss/dw7: {w['w7'].grad:.9f} by backpropagation, {by_hand:.9f} by hand")
    s = [h.item() for h in hidden]
    assert abs(s[0] - 1.0 / (1.0 + exp(-(0.1 * 1 + 0.2 * 4 + 0.3 * 5)))) < 1e-15

    out.mkdir(parents=True, exist_ok=True)
    print("drawn in", mg.draw(loss, title="3–2–3 sigmoids").save(out / "sigmoid_network.svg"))
    print("weight   before      gradient     after")
    for name, p in w.items():
        before = p.data
        p.data -= RATE * p.grad
        print(f"{name:>4}   {before:8.6f}   {p.grad:+.6f}   {p.data:8.6f}")
    after = forward(w)[2]
    print(f"loss {loss:.6f} before, {after:.6f} after")
    return loss.item(), after.item()


if __name__ == "__main__":
    main()
