"""A single neuron of scalars: tanh(w₁x₁ + w₂x₂ + b), and one step that moves its output up."""

from pathlib import Path

import microgradopt as mg
from microgradopt import Value, nn


def main(out: Path = Path("demo")) -> tuple[float, float]:
    neuron = nn.scalar.Neuron(2, activation=mg.tanh, rng=3)
    x = [Value(2.0, name="x1"), Value(-1.0, name="x2")]

    y = neuron(x)
    y.name = "y"
    y.backward()
    print(f"{neuron} says {y:.4f}")
    for name, p in neuron.named_parameters():
        print(f"  {name} = {p.data:+.4f}   dy/d{name} = {p.grad:+.4f}")
    out.mkdir(parents=True, exist_ok=True)
    print("drawn in", mg.draw(y, title="a neuron").save(out / "neuron.svg"))

    for p in neuron.parameters():
        p.data += 0.1 * p.grad  # uphill
    after = neuron(x)
    print(f"after one step uphill it says {after:.4f}")
    return y.item(), after.item()


if __name__ == "__main__":
    main()
