# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import re
from importlib.metadata import entry_points

import pytest

from monai_ept import __main__ as command_line
from monai_ept import __version__
from monai_ept.__main__ import main


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["methods", "--backbone", "vit_bse_patch16_224"], "did you mean"),
        (["methods", "--num-classes", "0"], "num_classes must be a whole number of at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_one_line(argv, says, capsys):
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("monai-ept methods: ")
    assert says in error
    assert error.count("\n") == 1


def test_it_is_installed_as_a_command():
    (command,) = entry_points(group="console_scripts", name="monai-ept")
    assert command.load() is main


def test_no_command_is_told_what_there_is(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "monai-ept" in capsys.readouterr().err


def help_of(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


PAGES = ["", "methods", "analyze", "benchmark", "benchmark run", "benchmark report", "bundle copy", "sweep list"]


PLAIN = ["train", "evaluate", "predict"]


@pytest.mark.parametrize("page", [*PAGES, *PLAIN, "compare", "ship", "sync"])
def test_every_page_says_what_it_is_for_in_one_spelling(page, capsys):
    text = help_of(page.split(), capsys)
    usage, description = text.split("\n\n")[:2]
    assert usage.startswith(f"usage: monai-ept {page}".strip())
    assert re.fullmatch(r"[A-Z][^:]+(:.*)?\.", " ".join(description.split()))
    assert not re.findall(r"--\w+_\w+", text)


@pytest.mark.parametrize("page", PLAIN)
def test_the_plain_way_fits_one_screen(page, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    lines = help_of([page], capsys).splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 100


def test_options_may_be_written_as_in_a_bundle(tmp_path, monkeypatch, capsys):
    assert main(["methods", "--backbone=deit_tiny_patch16_224", "--num_classes", "3"]) == 0
    assert "with 3 classes" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--resume", "true", "--overwrite", "true"]) == 2  # and not: no argument true
    assert "name a folder of labelled images" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"monai_ept {__version__}\n"


def test_a_mistake_of_ours_shows_where_it_is(monkeypatch):
    def broken(args):
        return len(None)

    broken_command = dataclasses.replace(command_line.COMMANDS[0], run=broken)
    monkeypatch.setattr(command_line, "COMMANDS", [broken_command])
    with pytest.raises(TypeError):
        main(["methods"])


def test_a_command_that_is_gone_says_what_took_its_place(capsys):
    assert main(["pretrain", "--steps", "3"]) == 2
    assert "python -m tools.pretrain" in capsys.readouterr().err
