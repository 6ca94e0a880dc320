# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.__main__ import main
from tests.runs.test_fit_result import OLD


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--formats", "onnx"], "a bundle of MONAI runs model.ts or model.pt2"),
        (["--formats", "tensorrt"], "formats 'tensorrt' is not known: there is 'ts'"),
        (["--version", "one"], "version must be three numbers"),
        (["--check", "some"], "--check must be a whole number"),
        (["--push", "owner/name"], "--push takes hf:owner/name"),
        (["--data-license", "nowhere.txt"], "--data-license nowhere.txt cannot be read"),
    ],
)
def test_wrong_arguments_are_one_line_and_nothing_is_made(arguments, says, tmp_path, capsys):
    assert main(["ship", str(OLD / "bundle"), "--to", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a=runs/a", "runs/b"], "'runs/b' has no value: write it as NAME=VALUE"),
        (["a=runs/a", "a=runs/b"], "a name of its own for each task"),
        (["a=runs/a", "b=runs/b", "--zoo"], "a bank is shipped in TorchScript and from where its images are"),
        (["a=runs/a", "b=runs/b", "--formats", "onnx"], "a bank is shipped in TorchScript"),
        (["a=runs/a", "b=runs/b", "--push", "hf:me/it"], "a bank is shipped in TorchScript"),
        (["a=nowhere/a", "b=runs/b"], "nowhere/a is no folder"),
    ],
)
def test_a_bank_has_names_for_its_tasks_and_is_shipped_as_it_is(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["ship", *arguments, "--to", "out"]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1 and not list(tmp_path.iterdir())
