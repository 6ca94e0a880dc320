# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os

import pytest

from monai_ept.yaml_file import load_yaml, read_yaml

LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


def test_values_are_plain():
    text = "{a: 6e-4, b: 2026-01-01, c: [1, 1.5, true, null], d: &d {e: x}, f: {<<: *d, g: 1}}"
    assert load_yaml(text, "it") == {
        **{"a": 0.0006, "b": "2026-01-01", "c": [1, 1.5, True, None]},
        **{"d": {"e": "x"}, "f": {"e": "x", "g": 1}},
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3", "the key 'a' stands in line 1 and again in line 3"),
        ("x:\n  - {lr: 1, lr: 2}", "the key 'lr' stands in line 2 and again in line 2"),
        ("1: 2", "the key '1' in line 1 is no text"),
        ("? [a]\n: 1", "line 1 is no text"),
        ("a: !!python/name:os.system x", "!!python/name:os.system in line 1 is no plain value"),
        ("a: !!binary aGk=", "!!binary in line 1 is no plain value"),
        ("a: !!bool perhaps", "is no value of its kind"),
        ("a: [", "is no YAML: while parsing a flow node, expected the node content, but found '<stream end>'"),
        ("a: \0", "is no YAML: unacceptable character"),
        ("a: 1\n---\nb: 1", "found another document in line 2"),
        ("a: &x [*x]", "the alias in line 1 contains itself"),
        ("[" * 60, "nested more than 50 deep"),
        (LAUGHS, "more than 50,000 values by line 5"),
        ("a: " + "9" * 5000, "Exceeds the limit"),
    ],
    ids=lambda text: text[:12],
)
def test_what_is_not_taken_is_one_sentence(text, says):
    with pytest.raises(ValueError) as error:
        load_yaml(text, "sweep file x.yaml")
    assert str(error.value).startswith("sweep file x.yaml ") and says in str(error.value)
    assert "\n" not in str(error.value)


def test_files(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")  # as Windows' editor begins it
    assert read_yaml(path, "sweep file") == {"a": 1}
    path.write_bytes("a: 1\nb: ä\n".encode("latin-1"))
    with pytest.raises(ValueError, match="is not in UTF-8 in line 2"):
        read_yaml(path, "sweep file")
    path.write_bytes(b"#" * (2**22 + 1))
    with pytest.raises(ValueError, match="more than 4 MB"):
        read_yaml(path, "sweep file")
    with pytest.raises(FileNotFoundError, match="sweep file .*b.yaml does not exist"):
        read_yaml(tmp_path / "b.yaml", "sweep file")
    os.mkfifo(tmp_path / "pipe.yaml")
    for odd in (tmp_path, tmp_path / "pipe.yaml"):
        with pytest.raises(OSError, match="is no file"):
            read_yaml(odd, "sweep file")
