"""Every example runs, leaves its pictures, and shows what it is there to show."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def run(path: Path, out: Path):
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(out)


EXPECTED = {
    "activations": lambda steepest: (
        steepest["tanh"] == 1.0 and steepest["sigmoid"] == 0.25 and 1.12 < steepest["GELU"] < 1.13
    ),
    "circuit": lambda result: result == {"x": -4.0, "y": -4.0, "z": 3.0},
    "digits_convnet": lambda accuracy: accuracy >= 0.96,
    "gaussian_process": lambda found: all(
        low < true < high for (low, high), true in zip(found.values(), (0.7, 1.5, 0.2), strict=True)
    ),
    "gradient_check": lambda found: (
        "'tutorial_relu'" in found["central"]
        and "falls as h^1.0" in found["taylor"]
        and found["slope σ(1 − σ)"] > found["right slope"] + 0.03
    ),
    "jit_training": lambda found: found["apart"] < 1e-6 and found["accuracy"] >= 0.97,
    "linear_softmax": lambda accuracy: 0.45 <= accuracy <= 0.6,
    "neuron": lambda result: result[1] > result[0],
    "optimizer_race": lambda table: (
        len(table) > 20
        and table["Adam"]["spiral loss"] < table["SGD"]["spiral loss"]
        and table["Rprop"]["elliptic ravine"] < table["SGD, momentum"]["elliptic ravine"] < 100
    ),
    "property_test": lambda source: "return swish(x0)" in source,
    "random_search": lambda accuracies: (
        0.32 < min(accuracies["random"]) < 0.45 < max(accuracies["random"]) < 0.56
        and 0.48 < min(accuracies["local random"]) < max(accuracies["local random"]) < 0.57
        and 0.48 < min(accuracies["gradient descent"]) < max(accuracies["gradient descent"]) < 0.57
    ),
    "solver_paths": lambda found: (
        all(r.success for name, r in found.items() if name not in ("gd", "random", "local-random"))
        and max(
            r.fun for name, r in found.items() if name not in ("l-bfgs-b", "gauss-newton", "lm")
        )
        < 0.02
        and found["lm"].cost == found["gauss-newton"].cost == 0.0
        and found["l-bfgs-b"].x.round(6).tolist() == [0.5, 0.25]
    ),
    "schedules": lambda losses: (
        losses["warmup >> cosine"] < losses["step_decay"] and max(losses.values()) < 0.2
    ),
    "sequence_memory": lambda accuracies: (
        min(accuracies["RNN"], accuracies["GRU, keeping"], accuracies["LSTM, keeping"]) > 0.95
        and max(accuracies["GRU"], accuracies["LSTM"]) < 0.6
    ),
    "sigmoid_network_by_hand": lambda result: result[1] < result[0],
    "surface": lambda found: (
        found["kinds"] == {"minimum": 4, "saddle": 4, "maximum": 1}
        and found["ends"]["1/β"] < 0.01 < 1e6 < found["ends"]["2.1/β"]
        and found["spectra"]["after training"].nodes.max()
        > 1.5 * found["spectra"]["before training"].nodes.max()
    ),
    "two_layer_spiral": lambda accuracies: accuracies[100] >= 0.97 > accuracies[4],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path, capsys):
    result = run(path, tmp_path)
    assert EXPECTED[path.stem](result), f"{path.stem} ended with {result}"
    assert capsys.readouterr().out
    assert list(tmp_path.iterdir()), "it leaves a picture"
