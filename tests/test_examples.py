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
    "circuit": lambda result: result == {"x": -4.0, "y": -4.0, "z": 3.0},
    "gaussian_process": lambda found: all(
        low < true < high for (low, high), true in zip(found.values(), (0.7, 1.5, 0.2), strict=True)
    ),
    "gradient_check": lambda found: (
        "'tutorial_relu'" in found["central"]
        and "falls as h^1.0" in found["taylor"]
        and found["slope σ(1 − σ)"] > found["right slope"] + 0.03
    ),
    "linear_softmax": lambda accuracy: 0.45 <= accuracy <= 0.6,
    "neuron": lambda result: result[1] > result[0],
    "property_test": lambda source: "return swish(x0)" in source,
    "sigmoid_network_by_hand": lambda result: result[1] < result[0],
    "two_layer_spiral": lambda accuracies: accuracies[100] >= 0.97 > accuracies[4],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path, capsys):
    result = run(path, tmp_path)
    assert EXPECTED[path.stem](result), f"{path.stem} ended with {result}"
    assert capsys.readouterr().out
    assert list(tmp_path.iterdir()), "it leaves a picture"
