# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import re
from importlib.metadata import entry_points

import pytest

from monai_ept import __main__ as command_line
from monai_ept import __version__, list_methods
from monai_ept.__main__ import main
from monai_ept.methods import method_class

COUNTS = {
    "adapter": 12 * (2 * 768 * 96 + 96 + 768),
    "bias": 12 * (2 * 768 + 3 * 768 + 768 + 3072 + 768) + 2 * 768,
    "damp": 0,
    "ept": 12 * 197 * 100,
    "full": 85_798_656,
    "linear": 0,
    "ln": 25 * 2 * 768,
    "lora": 12 * 2 * 4 * 2 * 768,
    "mlp": 0,
    "partial": 7_087_872 + 2 * 768,
    "proj": 12 * (768 * 768 + 768),
    "vp": 196 * 768,
    "vpt": 12 * 50 * 768,
}


def test_methods_lists_the_registry(capsys):
    assert main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split()[1:3] for line in lines if line and not line.startswith(" ")}
    text = " ".join(" ".join(lines).split())
    for name in list_methods():
        cls = method_class(name)
        if name in COUNTS:
            head = 2 * (768 * 768 + 768) + 768 * 7 + 7 if name == "mlp" else 768 * 7 + 7
            assert rows[name] == [f"{COUNTS[name]:,}", f"{head:,}"], name
        assert " ".join(cls.reference.split()) in text
        for field in dataclasses.fields(cls):
            assert f"{field.name}={field.default!r}" in text
    assert max(map(len, lines)) <= 120


def test_methods_on_another_backbone(capsys):
    assert main(["methods", "--backbone", "beit_base_patch16_224", "--num-classes", "2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "timm.models.beit.Attention is not supported" in out
    assert "linear 0 1,538" in out


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
