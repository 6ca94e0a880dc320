# SPDX-License-Identifier: Apache-2.0

"""YAML as we take it from people: plain values, no key twice, and no more of it than anybody would write."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import yaml

__all__ = ["load_yaml", "read_yaml"]

MOST_BYTES = 2**22
MOST_VALUES = 50_000
"""Values, with those that an alias repeats: nine lines of aliases of aliases are a billion."""
DEEPEST = 50

_TAG = "tag:yaml.org,2002:"
_PLAIN = {_TAG + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}


class _Loader(yaml.SafeLoader):
    """Takes ``6e-4`` as a number, as YAML 1.2 does; a date stays the text that it is."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = 0
        self._depth = 0
        self._values_of: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        line = self.peek_event().start_mark.line + 1
        alias = self.check_event(yaml.AliasEvent)
        before = self._values
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(f"line {line} is nested more than {DEEPEST} deep")
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._values_of:
            raise ValueError(f"the alias in line {line} contains itself")
        self._values += self._values_of[id(node)] if alias else 1
        if self._values > MOST_VALUES:
            raise ValueError(f"it has more than {MOST_VALUES:,} values by line {line}")
        if node.tag not in _PLAIN:
            raise ValueError(f"{node.tag.replace(_TAG, '!!')} in line {line} is no plain value")
        self._values_of[id(node)] = self._values - before
        return node

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.tag not in (_TAG + "str", _TAG + "merge"):
                name = repr(key.value) if isinstance(key.value, str) else "that is a list or mapping"
                raise ValueError(f"the key {name} in line {line} is no text: put it into quotation marks")
            if key.value in lines:
                raise ValueError(f"the key {key.value!r} stands in line {lines[key.value]} and again in line {line}")
            lines[key.value] = line
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in pairs if tag != _TAG + "timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _TAG + "float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def load_yaml(text: str, what: str) -> Any:
    """
    What a text in YAML says.

    Args:
        what: its name in errors, such as "sweep file mine.yaml".

    Raises:
        ValueError: when it is no YAML, has a key twice, or holds what is no text, number, list or mapping.

    Example::

        >>> load_yaml("{lr: 6e-4, day: 2026-01-01}", "--set recipe")
        {'lr': 0.0006, 'day': '2026-01-01'}
    """
    try:
        return yaml.load(text, _Loader)  # a SafeLoader that takes less
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = ", ".join(filter(None, (error.context, error.problem)))
        raise ValueError(f"{what} is no YAML: {problem}{where}.") from None
    except yaml.YAMLError as error:  # signs that no YAML has
        raise ValueError(f"{what} is no YAML: {' '.join(str(error).split())}.") from None
    except ValueError as error:
        raise ValueError(f"{what} cannot be taken: {error}.") from None
    except LookupError as error:  # such as !!bool with another word behind it
        raise ValueError(f"{what} cannot be taken: {error} is no value of its kind.") from None


def read_yaml(path: str | os.PathLike, what: str) -> Any:
    """
    What a YAML file says.

    Args:
        what: what it is, such as "sweep file"; errors name it with its path.

    Raises:
        OSError: when it cannot be read.
        ValueError: as :py:func:`load_yaml`.
    """
    path = Path(path)
    what = f"{what} {path}"
    if path.exists() and not path.is_file():
        raise OSError(f"{what} is no file: pass the path of a YAML file.")
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"{what} does not exist: pass the path of a YAML file.") from None
    except OSError as error:
        raise OSError(f"{what} cannot be read ({error.strerror or error}): change its rights.") from None
    if len(content) > MOST_BYTES:
        raise ValueError(f"{what} has more than {MOST_BYTES // 2**20} MB, which nobody has written: pass another.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{what} is not in UTF-8 in line {line}: save it as UTF-8.") from None
    return load_yaml(text, what)
