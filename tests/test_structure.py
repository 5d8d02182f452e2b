"""The structure of the three packages: which module knows which, and what bears which name."""

import ast
from collections import defaultdict
from pathlib import Path
from typing import Final

import grimp
import networkx as nx
import pytest

PACKAGES: Final = ("model", "lessons", "tui")
ROOT: Final = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    """Every import, those inside functions and under TYPE_CHECKING included."""
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def circles(edges: list[tuple[str, str]]) -> list[list[str]]:
    """Modules that import each other, however many stand between."""
    return [sorted(group) for group in nx.strongly_connected_components(nx.DiGraph(edges)) if len(group) > 1]


def test_no_modules_import_each_other(imports: grimp.ImportGraph) -> None:
    edges = [
        (module, imported)
        for module in imports.modules
        for imported in imports.find_modules_directly_imported_by(module)
    ]
    assert len(edges) > 1000
    assert not circles(edges)


def test_a_circle_is_found() -> None:
    assert circles([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]) == [["a", "b", "c"]]


def test_only_the_command_line_imports_a_command(imports: grimp.ImportGraph) -> None:
    for command in imports.find_descendants("tui.commands"):
        importers = imports.find_modules_that_directly_import(command)
        assert all(importer == "tui.cli" or importer.startswith("tui.commands.") for importer in importers), command


def test_a_class_name_means_one_thing() -> None:
    defined: dict[str, list[str]] = defaultdict(list)
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                defined[node.name].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert len(defined) > 500
    twice = {name: places for name, places in defined.items() if len(places) > 1}
    assert not twice, "these class names are taken: give the newer class another one"
