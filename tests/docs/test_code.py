# SPDX-License-Identifier: Apache-2.0

"""Code in the docs compiles, what it imports is there, and commands have the options that are shown."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import re
import shlex

import pytest

from monai_ept.__main__ import main
from tests.docs.pages import blocks, pages, phrases

OURS = {"monai_ept", "tools"}
COMMAND = re.compile(r"(?:^|\s)(monai-ept|python -m (?:tools\.[\w.]+|monai_ept))((?:[ \t]+[^\s#|&]+)*)")


def _python(page: str) -> list[tuple[str, str]]:
    return [(f"{page}:{line}", code) for kind, code, line in blocks(page) if kind == "python"]


def _imported(tree: ast.AST) -> set[str]:
    """Names of ours that a block imports, with their module."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
            names |= {f"{node.module}:{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.split(".")[0] in OURS}
    return names


def _commands(text: str) -> list[list[str]]:
    """Commands of ours in a text, as lists of words; a line that ends in a backslash goes on."""
    found = []
    for program, rest in COMMAND.findall(text.replace("\\\n", " ")):
        try:
            found.append([program, *shlex.split(rest)])
        except ValueError:  # a quote that ends on another line: what stands before it
            found.append([program, *rest.split()])
    return found


def test_commands_are_found():
    text = "monai-ept sync runs --tracking-uri X   # why\npython -m tools.pretrain --out Y \\\n    --steps 3"
    assert _commands(text) == [
        ["monai-ept", "sync", "runs", "--tracking-uri", "X"],
        ["python -m tools.pretrain", "--out", "Y", "--steps", "3"],
    ]


@pytest.mark.parametrize("page", pages())
def test_python_compiles_and_its_imports_exist(page):
    for where, code in _python(page):
        for name in _imported(ast.parse(code, where)):
            assert pkgutil.resolve_name(name) is not None, where


@pytest.mark.parametrize("page", [page for page in pages() if page != "CHANGELOG.md"])  # it names what is gone
def test_commands_exist_with_their_options(page, capsys):
    texts = [code for kind, code, _ in blocks(page) if kind != "python"] + phrases(page)
    for program, *words in (command for text in texts for command in _commands(text)):
        if program.startswith("python -m tools."):
            module = program.removeprefix("python -m ")
            spec = importlib.util.find_spec(module)
            assert spec is not None, program
            if spec.submodule_search_locations:  # a package runs by its __main__
                assert importlib.util.find_spec(f"{module}.__main__") is not None, program
            continue
        names = words[: next((n for n, word in enumerate(words[:2]) if not re.fullmatch(r"[a-z]+", word)), 2)]
        with pytest.raises(SystemExit) as stop:
            main([*names, "--help"])
        said = capsys.readouterr()
        assert stop.value.code == 0, f"{page}: {program} {' '.join(words)}: {said.err}"
        options = {word.split("=")[0].replace("_", "-") for word in words if word.startswith("--")}
        assert options <= set(re.findall(r"--[a-z][a-z-]*", said.out.replace("_", "-"))), f"{page}: {' '.join(words)}"
