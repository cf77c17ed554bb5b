"""The chain rule on three numbers: f = (x + y)·z, drawn with the value and gradient of every node.

Backpropagation starts with df/df = 1 and multiplies local derivatives on its way to the inputs:
× passes on its other operand's value, + passes its gradient on unchanged.
"""

from pathlib import Path

import microgradopt as mg
from microgradopt import Value


def main(out: Path = Path("demo")) -> dict[str, float]:
    x, y, z = Value(-2.0, name="x"), Value(5.0, name="y"), Value(-4.0, name="z")
    q = x + y
    q.name = "q"
    f = q * z
    f.name = "f"
    f.backward()

    for node in (f, q, x, y, z):
        print(f"{node.name}: value {node:g}, df/d{node.name} = {node.grad:g}")
    out.mkdir(parents=True, exist_ok=True)
    print("drawn in", mg.draw(f, title="f = (x + y) · z").save(out / "circuit.svg"))
    return {node.name: node.grad for node in (x, y, z)}


if __name__ == "__main__":
    main()
