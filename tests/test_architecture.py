"""The floors of the house, and what holds for every public name."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import microgradopt as mg

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "microgradopt"
FLOORS = {
    "arguments": 0,
    "atomic": 0,
    "errors": 0,
    "files": 0,
    "randomness": 0,
    "engine": 1,
    "compiler": 2,
    "state": 2,
    "nn": 3,
    "optim": 3,
    "check": 3,
    "drawing": 3,
    "train": 4,
    "plot": 4,
    "tune": 5,
    "datasets": 5,
    "surfaces": 5,
    "__init__": 6,
    "cli": 6,
}
INSIDE = {  # within a folder: a file imports only files that come before it
    "engine": [
        "quiet", "modes", "lines", "graph", "copying", "rules", "ops", "reductions", "composites",
        "activations", "padding", "norms", "linalg", "interop", "structure", "sweeps", "value",
        "tensor", "derive", "binding", "packing", "custom", "debug", "__init__",
    ],
    "compiler": [
        "program", "wiring", "report", "layout", "tracing", "passes", "ties", "printed", "native",
        "tape", "backends", "replay", "function", "__init__",
    ],
    "nn": [
        "arguments", "batches", "states", "summary", "module", "init", "weights", "activations",
        "layers", "learned", "standardizing", "normalization", "dropout", "recurrences",
        "recurrent", "attention", "convolution", "pooling", "reshaping", "embedding", "targets",
        "classification", "losses", "penalties", "scalar", "__init__",
    ],
    "optim": [
        "transforms", "wrappers", "clipping", "strips", "groups", "options", "saving", "optimizer",
        "sgd", "adam", "adaptive", "rmsprop", "adamax", "nadam", "rprop", "nesterov", "signs",
        "layerwise", "adafactor", "muon", "schedule_free", "prodigy", "solvers", "surface",
        "curvature", "kronecker", "kfac",
        "presets", "schedules",
        "__init__",
    ],
    "plot": ["reading", "axes", "points", "curves", "surfaces", "__init__"],
}  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def imports(path: Path) -> list[tuple[ast.stmt, str]]:
    """Every import of the package's own modules, wherever in the file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.append((node, whole if whole in MODULES else node.module))
    return [(node, name) for node, name in found if name.split(".")[0] == "microgradopt"]


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_imports_only_lower_floors(path):
    mine = room(module_name(path))
    assert mine in FLOORS, f"{mine} has no floor: add it to FLOORS where the design puts it"
    for _, name in imports(path):
        theirs = room(name)
        if theirs != mine:
            lower = FLOORS[theirs] < FLOORS[mine] or theirs == "errors" or mine == "cli"
            assert lower, f"{mine} imports {theirs}"


@pytest.mark.parametrize("folder", INSIDE)
def test_within_a_folder_imports_point_back(folder):
    order = INSIDE[folder]
    for path in sorted((PACKAGE / folder).glob("*.py")):
        assert path.stem in order, f"{folder}/{path.name} is missing from INSIDE"
        for _, name in imports(path):
            parts = name.split(".")
            if parts[1:2] == [folder] and len(parts) > 2:
                assert order.index(parts[2]) < order.index(path.stem), f"{path.name}: {name}"


def test_there_is_no_import_cycle():
    edges = {
        name: {target for _, target in imports(path) if target != name}
        for name, path in MODULES.items()
        if name != "microgradopt"
    }
    done: set[str] = set()
    while len(done) < len(edges):
        ready = [n for n in edges if n not in done and edges[n] - {"microgradopt"} <= done]
        assert ready, f"a cycle among {sorted(set(edges) - done)}"
        done.update(ready)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_import_of_ours_hides_inside_a_function(path):
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom):
                    assert node.module.split(".")[0] != "microgradopt", f"in {function.name}"
                if isinstance(node, ast.Import):
                    assert not any(a.name.startswith("microgradopt") for a in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_file_outgrows_its_room(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 600


def test_all_is_sorted_out():
    assert len(mg.__all__) == len(set(mg.__all__))
    for name in mg.__all__:
        assert getattr(mg, name) is not None


def test_the_readme_promises_exactly_what_is_public():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("## Everything public")[1].split("\nModules:")[0]
    promised = re.findall(r"`(\w+)`", section.split("|---|---|")[1])
    assert sorted(promised) == sorted(mg.__all__)


@pytest.mark.parametrize("name", sorted(mg.__all__))
def test_public_names_have_docstrings(name):
    thing = getattr(mg, name)
    assert inspect.getdoc(thing), f"mg.{name} has no docstring"
    if type(thing).__module__.startswith("microgradopt"):  # a primitive
        assert thing.__doc__ is not type(thing).__doc__, f"mg.{name} needs doc="


@pytest.mark.parametrize("module", [mg.nn, mg.optim, mg.check, mg.linalg, mg.nn.init, mg.nn.scalar])
def test_public_members_of_modules_have_docstrings(module):
    names = getattr(module, "__all__", None) or [
        n for n, x in vars(module).items()
        if getattr(x, "__module__", None) == module.__name__ and not n.startswith("_")
    ]  # fmt: skip
    for name in names:
        thing = getattr(module, name)
        assert inspect.getdoc(thing), f"{module.__name__}.{name} has no docstring"


def test_optional_packages_are_not_imported_with_the_library():
    heavy = [
        "matplotlib", "hypothesis", "tqdm", "scipy", "torch", "numba", "graphviz", "numpy.random",
    ]  # fmt: skip
    code = f"import microgradopt, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
