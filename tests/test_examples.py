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
    "linear_softmax": lambda accuracy: 0.45 <= accuracy <= 0.6,
    "neuron": lambda result: result[1] > result[0],
    "sigmoid_network_by_hand": lambda result: result[1] < result[0],
    "two_layer_spiral": lambda accuracies: accuracies[100] >= 0.97 > accuracies[4],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path, capsys):
    result = run(path, tmp_path)
    assert EXPECTED[path.stem](result), f"{path.stem} ended with {result}"
    assert capsys.readouterr().out
    assert list(tmp_path.iterdir()), "it leaves a picture"
