"""Every activation with its derivative, and how steep each one gets.

A gradient is multiplied by the derivative of every activation on its way back: sigmoid's is never
above ¼, so ten layers of it leave less than a millionth; those close to 1 hand it on.
"""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import microgradopt as mg
from microgradopt import nn, plot

ACTIVATIONS = {
    "sigmoid": mg.sigmoid,
    "tanh": mg.tanh,
    "softsign": mg.softsign,
    "ReLU": mg.relu,
    "leaky ReLU, slope 0.1": nn.LeakyReLU(0.1),
    "PReLU, as it starts": nn.PReLU(),
    "ELU": mg.elu,
    "CELU, α = 2": nn.CELU(2.0),
    "SELU": mg.selu,
    "softplus": mg.softplus,
    "softplus, β = 3": nn.Softplus(3.0),
    "GELU": mg.gelu,
    "SiLU (swish)": mg.silu,
    "Swish, β = 3": nn.Swish(init=3.0),
    "Mish": mg.mish,
    "hard swish": mg.hardswish,
    "hard sigmoid": mg.hardsigmoid,
    "hard tanh": mg.hardtanh,
    "ReLU6": mg.relu6,
    "log sigmoid": mg.log_sigmoid,
    "tanhshrink": mg.tanhshrink,
    "softshrink": mg.softshrink,
    "hardshrink": mg.hardshrink,
    "threshold": nn.Threshold(1.0, -1.0),
}
COLUMNS = 5


def main(out: Path = Path("demo")) -> dict[str, float]:
    places = np.linspace(-7.0, 7.0, 1401)
    steepest = {}
    for name, f in ACTIVATIONS.items():
        slopes = mg.vjp(f, places)[1](np.ones_like(places))[0]
        steepest[name] = float(np.max(slopes))
        print(f"{name:>22}: slopes from {np.min(slopes):6.3f} to {steepest[name]:.3f}")

    rows = -(-len(ACTIVATIONS) // COLUMNS)
    figure = Figure(figsize=(2.6 * COLUMNS, 1.9 * rows), layout="constrained")
    grid = figure.subplots(rows, COLUMNS).ravel()
    for axes, (name, f) in zip(grid, ACTIVATIONS.items()):
        plot.activation(f, ax=axes, low=-7.0, high=7.0, legend=False)
        axes.set_title(name, fontsize="medium")
        axes.set_ylim(-2.2, 3.2)
    for axes in grid[len(ACTIVATIONS) :]:
        axes.set_axis_off()
    lines = grid[0].get_lines()[-2:]
    figure.legend(lines, ["function", "derivative"], loc="lower right", frameon=False)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "activations.png", dpi=120)
    print("drawn in", out / "activations.png")
    return steepest


if __name__ == "__main__":
    main()
