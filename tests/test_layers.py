"""The layers of docs/architecture.md: each imports only from its right, heavy libraries late."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "tadsr"
LAYERS = [
    "cli", "commands", "publish", "report", "compare", "sweeps", "evaluation", "distillation",
    "training", "pipeline", "models", "diffusion", "data", "metrics", "plan", "runs", "weights",
    "config",
]  # fmt: skip
BASE = ("files", "locks", "seeds", "signals", "errors")
TORCH_LAYERS = LAYERS[LAYERS.index("evaluation") : LAYERS.index("metrics") + 1]
ONLY_IN = {"matplotlib": ["report"], "mlflow": ["publish"], "optuna": ["sweeps"],
           "rocrate": ["report"]}  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, top_level: bool) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = list(_top_level(tree)) if top_level else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def _top_level(tree: ast.AST) -> list[ast.stmt]:
    """Statements that run at import: not in functions, not under TYPE_CHECKING."""
    found = []
    for node in getattr(tree, "body", []):
        if isinstance(node, ast.If):
            if "TYPE_CHECKING" not in ast.unparse(node.test):
                found += _top_level(node)
        elif isinstance(node, ast.Try | ast.ClassDef):
            found += _top_level(node)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_to_the_right(path: Path) -> None:
    layer = layer_of(path)
    if layer in ("__init__", "__main__"):
        return
    order = [*LAYERS, *BASE]
    assert layer in order, f"{layer} is not in the list of layers: add it, or move the file"
    for module in imports(path, top_level=False):
        parts = module.split(".")
        if parts[0] != "tadsr" or len(parts) == 1 or parts[1] in (layer, "__version__"):
            continue
        assert order.index(parts[1]) > order.index(layer), f"{layer} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_libraries_stay_in_their_layers(path: Path) -> None:
    layer = layer_of(path)
    top = {module.split(".")[0] for module in imports(path, top_level=True)}
    if layer not in TORCH_LAYERS:
        assert not top & {"torch", "torchvision", "diffusers", "pyiqa", "lpips"}
    everywhere = {module.split(".")[0] for module in imports(path, top_level=False)}
    for library, layers in ONLY_IN.items():
        if layer not in layers:
            assert library not in everywhere
    assert "snakemake" not in everywhere


@pytest.mark.parametrize("command", [["--help"], ["schema"], ["plan"], ["status"]])
def test_quick_commands_import_no_torch(command: list[str], tmp_path: Path) -> None:
    if command[0] in ("plan", "status"):
        command = [*command, str(REPOSITORY / "ablations" / "demo.yaml")]
    code = (
        "import sys\nfrom tadsr.cli import main\n"
        f"try: main({command!r})\nexcept SystemExit: pass\n"
        "loaded = {'torch', 'diffusers', 'pyiqa', 'mlflow', 'matplotlib'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)
