"""Write layers/<class>.npz: torch's results and gradients for the samples of every layer.

Needs torch. From the root of the project, for all classes or for those named:

    PYTHONPATH=tests python tests/golden/make_layers.py [Linear …]

The torch module is made from the layer's repr, whose names and defaults are torch's; ``TWINS`` says
where they are not. In training mode, then in evaluation mode, Σ output · weight is differentiated.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from layer_cases import WITHOUT_TWIN, cases, given, modes, weights

from microgradopt import nn
from microgradopt.engine.structure import leaves, map_structure

FOLDER = Path(__file__).with_name("layers")
TWINS: dict[str, Callable[[Any], torch.nn.Module]] = {
    "GLU": lambda layer: torch.nn.GLU(layer.axis),
    "LogSoftmax": lambda layer: torch.nn.LogSoftmax(layer.axis),
    "Softmax": lambda layer: torch.nn.Softmax(layer.axis),
    "Softmin": lambda layer: torch.nn.Softmin(layer.axis),
}


def twin_of(layer: nn.Module) -> torch.nn.Module:
    """The torch module with the layer's options, parameters and buffers, in float64."""
    make = TWINS.get(type(layer).__name__)
    twin = make(layer) if make else eval(repr(layer), vars(torch.nn))
    twin = twin.double()
    named = [*layer.named_parameters(), *layer.named_buffers()]
    twin.load_state_dict({n: torch.tensor(x.data) for n, x in named})
    return twin


def as_tensor(x: Any) -> Any:
    if not isinstance(x, np.ndarray):
        return x
    tensor = torch.tensor(x)
    return tensor.requires_grad_() if x.dtype.kind == "f" else tensor


def run(twin: torch.nn.Module, inputs: Any) -> dict[str, np.ndarray]:
    """Results, gradients by inputs and parameters, and buffers after it."""
    tensors = map_structure(as_tensor, inputs)
    out = leaves(twin(*tensors))
    total = sum((y * torch.tensor(weights(y.detach().numpy(), i))).sum() for i, y in enumerate(out))
    twin.zero_grad()
    if total.requires_grad:
        total.backward()
    found = {f"output {i}": y for i, y in enumerate(out)}
    for i, x in enumerate(leaves(tensors)):
        if isinstance(x, torch.Tensor) and x.requires_grad:
            found[f"gradient of input {i}"] = _filled(x)
    found |= {f"gradient of {name}": _filled(p) for name, p in twin.named_parameters()}
    found |= dict(twin.named_buffers())
    return {name: x.detach().numpy().copy() for name, x in found.items()}


def _filled(x: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(x) if x.grad is None else x.grad


def write(names: list[str]) -> None:
    files: dict[str, dict[str, np.ndarray]] = {}
    for case in cases(nn):
        name = case.kind.__name__
        if name in WITHOUT_TWIN or (names and name not in names):
            continue
        layer, inputs, _ = case.sample()
        arrays = files.setdefault(name, {"torch": np.asarray(torch.__version__)})
        arrays |= {f"{case.number}/given/{k}": x for k, x in given(layer, inputs).items()}
        twin = twin_of(layer)
        for mode in modes(layer):
            results = run(twin.train(mode == "train"), inputs)
            arrays |= {f"{case.number}/{mode}/{k}": x for k, x in results.items()}
    FOLDER.mkdir(exist_ok=True)
    for name, arrays in files.items():
        np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
    print(f"written: {', '.join(files)}")


if __name__ == "__main__":
    write(sys.argv[1:])
