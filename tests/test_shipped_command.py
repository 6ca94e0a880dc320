# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monai_ept.__main__ import main
from monai_ept.shipped import list_shipped

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("kind", "one"), [("bundle", "ept_derm"), ("sweep", "quick")])
def test_list(kind, one, capsys):
    assert main([kind, "list"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert one in rows
    assert set(rows) == set(list_shipped(kind)) and all(rows.values())


def test_copies_are_whole(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["bundle", "copy", "ept_derm", "mine"]) == 0
    assert capsys.readouterr().out.split()[-1] == os.path.join("mine", "ept_derm", "configs", "train.yaml")
    for path in (ROOT / "bundles" / "ept_derm" / "configs").iterdir():
        assert Path("mine/ept_derm/configs", path.name).read_bytes() == path.read_bytes()
    assert [path.name for path in Path("mine").iterdir()] == ["ept_derm"]
    assert main(["sweep", "copy", "quick"]) == 0
    assert Path("quick.yaml").read_bytes() == (ROOT / "sweeps" / "quick.yaml").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bundle", "copy", "ept_derm"], "ept_derm is there already and stays as it is"),
        (["sweep", "copy", "quick"], "quick.yaml is there already and stays as it is"),
        (["sweep", "copy", "quik"], "sweep 'quik' does not come with monai_ept: did you mean 'quick'?"),
        (["bundle", "copy", "derm"], "bundle 'derm' does not come with monai_ept: did you mean 'ept_derm'?"),
    ],
)
def test_refused(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("ept_derm").mkdir()
    Path("quick.yaml").write_text("mine")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert not list(Path("ept_derm").iterdir()) and Path("quick.yaml").read_text() == "mine"
