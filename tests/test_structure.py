"""The structure of the three packages: which module knows which, and what bears which name."""

import ast
import builtins
import re
from collections import defaultdict
from pathlib import Path
from typing import Final

import grimp
import networkx as nx
import pytest

from model.driver_files import library
from model.engine.config import SETTINGS

PACKAGES: Final = ("model", "lessons", "tui")
ROOT: Final = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    """Every import, those inside functions and under TYPE_CHECKING included."""
    return grimp.build_graph(*PACKAGES, cache_dir=None)


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    """Path from the root → every module, parsed."""
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


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


def test_no_module_is_forgotten(imports: grimp.ImportGraph) -> None:
    """What nobody imports is a program of its own, or is found by its folder, or by its name in a text."""
    found_by_folder = ("model.invariants.rules.", "tui.commands.")
    programs = {"tui.launcher", "tui.served_session", "tui.live.worker"}
    texts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tui").rglob("*.py"))
    forgotten = [
        module
        for module in sorted(imports.modules - programs)
        if not imports.find_modules_that_directly_import(module)
        and not imports.find_children(module)
        and not module.startswith(found_by_folder)
        and f"'{module.rpartition('.')[2]}." not in texts
    ]
    assert not forgotten, (
        "nobody uses these modules: a pane is a line of LISTS in tui/screens/panes.py, a screen a key in "
        "tui/screens/stage_keys.py, an export format a line of FORMATS in tui/commands/export.py"
    )


def test_every_setting_is_asked_for() -> None:
    """A setting that the kernel never looks at can be set, and changes nothing."""
    texts = [
        path.read_text(encoding="utf-8")
        for path in (ROOT / "model").rglob("*.py")
        if path.relative_to(ROOT).as_posix() != "model/engine/config.py"
    ]
    idle = [key for key in SETTINGS if not any(f'"{key}"' in text or f"'{key}'" in text for text in texts)]
    assert not idle, "ask for these settings where the kernel decides: setting(tx, KEY), from model.engine.config"


def test_every_driver_file_is_in_the_library() -> None:
    files = {path.stem for path in (ROOT / "model/driver_files" / library.FOLDER).glob(f"*{library.SUFFIX}")}
    assert files == set(library.bundled()), (
        "name the driver in NAMES, UNMAPPED or APART of model/driver_files/library.py"
    )


def test_a_class_name_means_one_thing(trees: dict[str, ast.Module]) -> None:
    defined: dict[str, list[str]] = defaultdict(list)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                defined[node.name].append(f"{path}:{node.lineno}")
    assert len(defined) > 500
    twice = {name: places for name, places in defined.items() if len(places) > 1}
    assert not twice, "these class names are taken: give the newer class another one"


def test_a_docstring_names_errors_that_exist(trees: dict[str, ast.Module]) -> None:
    known = {node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    known |= {*dir(builtins), "ToolError"}  # ToolError is of the package mcp
    wrong = [
        f"{path}:{node.lineno}: {error}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for error in re.findall(r"\bRaises (?:\w+ or )?([A-Z]\w+)", ast.get_docstring(node) or "")
        if error not in known
    ]
    assert not wrong
