"""The direction of imports, and what `mlimages --help` may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mlimages

PACKAGE = Path(mlimages.__file__).parent

# Each stage may import those before it. Stages of one tuple may not import each other.
ORDER = [
    ("errors",),
    ("schemas", "storage", "progress", "reports"),
    ("execution",),
    ("manifest", "writer_lock"),
    ("part_results",),
    ("store",),
    ("checking",),
    ("taxonomy",),
    ("labels",),
    ("images",),
    ("importing", "completion", "publishing", "selection"),
    ("divided_runs",),
    ("database",),
    ("pages",),
    ("models", "losses", "metrics"),
    ("training",),
    ("transfer", "tagging", "convert"),
    ("quickstart",),
    ("cli",),
]
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}


def imported_stages(path: Path) -> set[str]:
    """First components under `mlimages` that a module imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "mlimages":
                names = [f"mlimages.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("mlimages.")}
    return found & RANK.keys()


def stage_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if stage_of(path) in RANK]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_left_only(path: Path) -> None:
    stage = stage_of(path)
    wrong = {
        other for other in imported_stages(path) if other != stage and RANK[other] >= RANK[stage]
    }
    assert not wrong, f"{stage} must not import {wrong}"


def test_every_module_has_a_place_in_the_order() -> None:
    stages = {stage_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__"}
    assert stages <= RANK.keys()


def test_engines_know_nothing_of_what_they_run() -> None:
    known = {
        stage for path in (PACKAGE / "execution").glob("*.py") for stage in imported_stages(path)
    }
    assert known == {"errors", "execution", "progress"}


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("mlimages.taxonomy.categories", "torch"),
        ("mlimages.labels.derivation.rules", "torch"),
        ("mlimages.images.packing", "torch"),
        ("mlimages.database", "torch"),
        ("mlimages.pages.statistics", "torch"),
    ],
)
def test_data_stages_do_not_load_torch(statement: str, forbidden: str) -> None:
    code = f"import sys, {statement}; sys.exit({forbidden!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_help_loads_no_heavy_module() -> None:
    code = (
        "import sys; from mlimages.cli import run; run(['--help']);"
        "sys.exit(' '.join({'torch', 'pyarrow', 'duckdb', 'numpy'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    assert "usage: mlimages COMMAND" in done.stdout
