# SPDX-License-Identifier: Apache-2.0

"""The rules of the house, read off the source: what a file looks like, and who may import whom."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "monai_ept"

# From the ground up; a room may import those below it and its neighbours on the same floor.
FLOORS = [
    "_lazy _moved checks command_line files yaml_file",
    "metrics shipped synthetic",
    "reporting",
    "data networks",
    "methods",
    "delta delta_contents model start",
    "serving",
    "tracking",
    "handlers",
    "runs",
    "engines evaluation",
    "analysis benchmark bundle deploy federated",
    "adapt_command backbones_command check_command evaluate_command methods_command predict_command register_command "
    "ship_command shipped_command train_command",
    "__init__ __main__",
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}
# Imported where they are used: each costs more than our own code.
HEAVY = {"jinja2", "matplotlib", "mlflow", "pandas", "peft", "ray", "scipy", "sklearn"}
# Nobody has to have them: they are used where they are there.
OPTIONAL = {"IPython", "triton", "umap"}
# `from monai_ept.engines.fit import fit` is what users of 0.1 write, and a module cannot be renamed behind a function.
KNOWN = {"monai_ept.engines.fit"}

# Modules whose tests are elsewhere, and why.
WITHOUT_MIRROR = {
    "monai_ept/deploy/run_without_us.py": "a program that test_bundle_folder.py lets run in a process of its own",
    "monai_ept/networks/sink_gate_triton.py": "test_sink_gate.py has its kernels beside the formulas that they compute",
    "tools/figures/*": "drawn by hand, when a docs page asks for it: test_scripts.py imports them",
    "tools/measure/*": "measured by hand, for minutes: test_scripts.py imports them",
}


class Import(NamedTuple):
    target: str  # module, or a package for what it exports
    kind: str  # "module", "function", or "types" where only type checkers come


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> dict[str, ast.Module]:
    return {module_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def is_package(module: str) -> bool:
    return ROOT.joinpath(*module.split("."), "__init__.py").exists()


@cache
def imports(module: str) -> list[Import]:
    """What a module imports; that of lazy exports counts as done in a function."""
    lazy = is_package(module) and "__getattr__" in vars(importlib.import_module(module))
    found = []

    def walk(node: ast.AST, kind: str) -> None:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            kind = "function" if lazy else "types"
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            kind = "function"
        elif isinstance(node, ast.Import):
            found.extend(Import(alias.name, kind) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import in line {node.lineno}"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.append(Import(inner if inner in modules() else str(node.module), kind))
        for child in ast.iter_child_nodes(node):
            walk(child, kind)

    walk(modules()[module], "module")
    return found


def floor_of(module: str) -> int:
    _, _, inside = module.partition(".")
    return FLOOR[inside.split(".")[0] or "__init__"]


def test_every_room_has_a_floor():
    assert {([*module.split("."), "__init__"])[1] for module in modules()} == set(FLOOR)


def test_nothing_imports_upwards():
    up = {
        f"{module} imports {target}"
        for module in modules()
        for target, kind in imports(module)
        if target in modules() and kind != "types" and floor_of(target) > floor_of(module)
    }
    assert up <= KNOWN | {f"{module} imports monai_ept" for module in asks_for_version()}


def asks_for_version() -> set[str]:
    """Modules that import the package for its version, which is no room above them."""
    return {
        module
        for module, tree in modules().items()
        if {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "monai_ept"
            for alias in node.names
            if f"monai_ept.{alias.name}" not in modules()
        }
        == {"__version__"}
    }


def test_there_are_no_circles():
    state: dict[str, bool] = {}

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            pytest.fail(" → ".join([*path[path.index(module) :], module]))
        if not state.get(module):
            for target, kind in imports(module):
                if kind == "module" and target in modules() and target != "monai_ept":
                    visit(target, [*path, module])
            state[module] = True

    for module in modules():
        visit(module, [])


def test_heavy_libraries_are_imported_where_they_are_used():
    heavy = {
        f"{module} imports {target}"
        for module in modules()
        for target, kind in imports(module)
        if kind == "module" and target.split(".")[0] in HEAVY
    }
    assert heavy <= KNOWN


def test_what_is_imported_is_declared():
    # What is installed may be older than what is declared by now.
    named_now = re.findall(r'"([\w-]+[><=].+?)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    everything = [*(requires("monai_ept") or []), *named_now]
    declared = {re.split(r"[^\w-]", one)[0].lower().replace("_", "-") for one in everything}
    providers = packages_distributions()
    missing = set()
    for module, tree in modules().items():
        named = {target.split(".")[0] for target, _ in imports(module)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "optional_import":
                named.add(node.args[0].value.split(".")[0])  # type: ignore[attr-defined]
        for name in named - set(sys.stdlib_module_names) - {"monai_ept"} - OPTIONAL:
            if not {one.lower().replace("_", "-") for one in providers.get(name, [name])} & declared:
                missing.add(f"{module} needs {name}")
    assert not missing


@pytest.mark.parametrize("module", modules())
def test_all_is_true(module):
    tree = modules()[module]
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    }
    there = importlib.import_module(module)
    exported = getattr(there, "__all__", None)
    if exported is None:
        assert not defined and {target for target, _ in imports(module)} <= {"__future__"}, f"{module} has no __all__"
        return
    assert list(exported) == sorted(set(exported), key=list(exported).index), "a name stands twice"
    missing = [name for name in exported if not hasattr(there, name)]
    assert not missing, f"{module} has no {missing}"
    left_out = {f"{module} leaves out {name}" for name in defined - set(exported)}
    assert left_out <= KNOWN


@pytest.mark.parametrize("package", [module for module in modules() if is_package(module)])
def test_no_module_is_called_as_something_that_its_package_exports(package):
    inside = {module.rpartition(".")[2] for module in modules() if module.rpartition(".")[0] == package}
    both = inside & set(getattr(importlib.import_module(package), "__all__", []))
    assert {f"{package}.{name}" for name in both} <= KNOWN


def test_the_test_of_a_module_is_found_by_its_name():
    for room in (PACKAGE, ROOT / "tools"):
        for path in sorted(room.rglob("*.py")):
            place = path.relative_to(ROOT)
            inside = path.relative_to(PACKAGE if room == PACKAGE else ROOT)
            if path.name in ("__init__.py", "__main__.py") or any(place.match(one) for one in WITHOUT_MIRROR):
                continue
            mirror = ROOT / "tests" / inside.with_name(f"test_{path.name.lstrip('_')}")
            assert mirror.exists(), f"{place} has no {mirror.relative_to(ROOT)}"


@pytest.mark.parametrize(
    "path", sorted(path for room in ("monai_ept", "tests", "tools") for path in (ROOT / room).rglob("*.py")), ids=str
)
def test_a_file_has_one_line_of_licence_and_no_more_than_400(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines:
        assert lines[0] == "# SPDX-License-Identifier: Apache-2.0"
        assert sum(line.startswith("# SPDX") for line in lines) == 1
    reason = any("Longer than our files are" in line for line in lines[:12])
    assert len(lines) <= 400 or reason or str(path.relative_to(ROOT)) in KNOWN, (
        "too long, and its first lines say not why"
    )
