"""Who may import whom, and what an import may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import otoyol

SOURCE = Path(otoyol.__file__).parent

# Each layer, the layers it may import, and the libraries. One way: nothing imports what stands below it here.
LAYERS: dict[str, tuple[set[str], set[str]]] = {
    "errors": (set(), set()),
    "spec": ({"errors"}, {"pydantic", "yaml", "tomli_w"}),
    "ops": ({"errors", "spec"}, set()),
    "cost": ({"errors", "spec", "ops"}, {"numpy"}),
    "audit": ({"errors", "spec", "ops"}, set()),
    "explain": ({"errors", "spec", "ops", "cost", "audit"}, set()),
    "search": ({"errors", "spec", "ops", "cost"}, {"numpy", "pydantic"}),
    "draw": ({"errors", "spec", "ops", "cost", "audit", "explain"}, {"matplotlib", "numpy"}),
    "report": (
        {"errors", "spec", "ops", "cost", "audit", "explain", "draw", "__version__"},
        {"jinja2", "markupsafe"},
    ),
    "nn": ({"errors", "spec", "ops"}, {"torch", "timm"}),
    "measure": (
        {"errors", "spec", "ops", "cost", "nn"},
        {"numpy", "torch", "sklearn", "threadpoolctl", "onnx", "onnxruntime", "openvino"},
    ),
    "weights": ({"errors", "spec", "ops", "nn"}, {"torch", "safetensors"}),
    "check": (
        {"errors", "spec", "ops", "cost", "nn", "weights"},
        {"torch", "torchvision", "timm", "sklearn", "PIL", "numpy"},
    ),
    "data": ({"errors", "spec"}, {"torch", "torchvision", "numpy", "sklearn", "PIL"}),
    "detect": (
        {"errors", "spec", "ops", "nn", "weights", "data", "draw"},
        {"torch", "torchvision", "numpy", "PIL", "pydantic", "faster_coco_eval"},
    ),
    "train": (
        {"errors", "spec", "ops", "nn", "weights", "data", "draw", "detect", "__version__"},
        {"torch", "torchvision", "lightning_fabric", "numpy", "pydantic", "yaml", "PIL", "safetensors"},
    ),
    "proxy": ({"errors", "spec", "nn", "data"}, {"torch"}),
    "probe": ({"errors", "spec", "ops", "audit", "explain", "draw", "nn", "data", "train"}, {"torch"}),
    "deploy": (
        {"errors", "spec", "ops", "audit", "nn", "weights", "data", "measure"},
        {"numpy", "pydantic", "torch", "torchvision", "PIL", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf"},
    ),
    "trials": ({"errors", "spec"}, {"optuna", "sqlalchemy"}),
    "design": (
        {"errors", "spec", "ops", "cost", "explain", "search", "draw", "report", "nn", "measure"},
        {"numpy", "torch", "yaml", "PIL"},
    ),
    "share": (
        {"errors", "spec", "cost", "explain", "nn", "weights", "detect", "train", "deploy", "design", "__version__"},
        {"pydantic", "torch", "safetensors", "yaml", "huggingface_hub"},
    ),
    "serve": (
        {"errors", "spec", "data", "deploy", "__version__"},
        {"numpy", "pydantic", "torch", "torchvision", "PIL", "onnxruntime", "fastapi", "starlette", "uvicorn", "h11"}
        | {"prometheus_client"},
    ),
    "web": (
        {"errors", "spec", "ops", "cost", "audit", "explain", "draw", "report", "search", "measure", "design"}
        | {"__version__"},
        {"fastapi", "starlette", "pydantic", "numpy", "yaml"},
    ),
    "cli": (
        {"errors", "spec", "ops", "cost", "audit", "explain", "draw", "report", "check", "search", "measure", "nn"}
        | {"train", "trials", "probe", "proxy", "design", "share", "serve", "web", "data", "deploy", "__version__"},
        {"cyclopts", "rich", "uvicorn"},
    ),
    "__main__": ({"cli"}, set()),
    "__init__": (
        {"errors", "spec", "ops", "cost", "audit", "explain", "draw", "report", "search", "measure", "nn"}
        | {"train", "trials", "probe", "proxy", "design", "weights", "data", "deploy", "detect", "share", "serve"},
        set(),
    ),
}
FILES = sorted(SOURCE.rglob("*.py"))


def layer_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """(library, first name below it) of every import statement, at whatever depth it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules = [f"{node.module}.{a.name}" for a in node.names] if node.module == "otoyol" else [str(node.module)]
        else:
            continue
        for module in modules:
            library, _, rest = module.partition(".")
            yield library, rest.partition(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_keep_to_the_layers(path: Path) -> None:
    layer = layer_of(path)
    layers, libraries = LAYERS[layer]  # a new package needs a row
    for library, name in imports(path):
        if library == "otoyol":
            assert name in layers | {layer}, f"{layer} imports {name}"
        elif library not in sys.stdlib_module_names:
            assert library in libraries, f"{layer} imports {library}"


def test_the_layers_have_no_cycle() -> None:
    order = list(LAYERS)
    for layer, (layers, _) in LAYERS.items():
        if not layer.startswith("__"):
            assert all(order.index(below) < order.index(layer) for below in layers if not below.startswith("__"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_are_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


HEAVY = {"torch", "torchvision", "timm", "matplotlib", "PIL", "sklearn", "safetensors"}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import otoyol", {*HEAVY, "numpy", "pydantic", "yaml", "rich", "cyclopts", "jinja2"}),
        ("import otoyol; otoyol.lower(otoyol.parse('resnet50'))", {*HEAVY, "numpy", "rich", "jinja2"}),
        ("import otoyol.cost; otoyol.cost.count(otoyol.parse('resnet50'))", {*HEAVY, "numpy", "rich", "jinja2"}),
        ("import otoyol.cost.conventions", {*HEAVY, "numpy"}),
        ("import otoyol.audit; otoyol.audit.highway(otoyol.parse('resnet50'))", {*HEAVY, "numpy"}),
        ("import otoyol.explain; otoyol.explain.why_all(otoyol.parse('resnet18'))", {*HEAVY, "numpy"}),
        ("import otoyol.draw; otoyol.draw.network_svg(otoyol.parse('resnet18'))", {*HEAVY, "numpy"}),
        ("import otoyol.report; otoyol.report.html([otoyol.parse('resnet18')])", {*HEAVY, "numpy"}),
        ("import otoyol.trials", {*HEAVY}),
        (
            "import otoyol, tempfile; path = tempfile.mkdtemp() + '/net.json'\n"
            "otoyol.save(otoyol.parse('resnet18'), path); otoyol.load(path)",
            {*HEAVY, "numpy", "rich", "jinja2", "huggingface_hub"},
        ),
        ("from otoyol.cli.main import run; run(['show', 'resnet50'])", {*HEAVY, "numpy", "rich", "jinja2"}),
    ],
)
def test_what_an_import_loads(statement: str, absent: set[str]) -> None:
    code = (
        f"{statement}\nimport sys\nprint([name for name in {sorted(absent)} if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "[]"
