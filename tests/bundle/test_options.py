# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sys

import pytest

from monai_ept.bundle.options import check_command_line, config_files, short_errors


@pytest.fixture
def line(monkeypatch, tmp_path):
    """Pretend that the command line of MONAI's bundles was used."""
    for name in ("train", "more"):
        (tmp_path / f"{name}.yaml").write_text(f"{name}_only: 1\nshots: 5\ntrain#handlers: []\n+train::list: []\n")
    monkeypatch.chdir(tmp_path)

    def typed(*arguments):
        monkeypatch.setattr(sys, "argv", ["/lib/monai/bundle/__main__.py", "run", *arguments])

    return typed


def test_config_files(line):
    line("--config_file", "train.yaml")
    assert [path.name for path in config_files()] == ["train.yaml"]
    line("--shots", "3", "--config_file=['train.yaml','more.yaml']")
    assert [path.name for path in config_files()] == ["train.yaml", "more.yaml"]
    line("--config-file", "train.yaml,more.yaml")
    assert [path.name for path in config_files()] == ["train.yaml", "more.yaml"]


def test_known_settings(line):
    line("--config_file", "['train.yaml','more.yaml']", "--shots", "3", "--more_only=2", "--train#handlers#0", "x")
    check_command_line()
    line("--config_file", "train.yaml", "--tracking", "mlflow", "--output_dir", "there", "--meta_file", "m.json")
    check_command_line()
    line("--config_file", "train.yaml", "--lr", "-1")
    with pytest.raises(ValueError, match="--lr is no setting of train.yaml: open the file to see what there is"):
        check_command_line()


def test_misspelled_settings(line):
    line("--config_file", "train.yaml", "--shot", "3")
    with pytest.raises(ValueError, match="--shot is no setting of train.yaml: did you mean 'shots'?"):
        check_command_line()
    line("--config_file", "train.yaml", "--output_dir", "there")
    with pytest.raises(ValueError, match="--output_dir is no setting"):
        check_command_line()


def test_other_programs_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest", "--config_file", "train.yaml", "--whatever"])
    assert config_files() == []
    check_command_line()


def raised(error, wrapped=True):
    """An error as MONAI's configuration parser hands it on."""
    try:
        try:
            raise error
        except BaseException as inner:
            if not wrapped:
                raise
            raise RuntimeError("Failed to evaluate ConfigExpression") from inner
    except BaseException as outer:
        return type(outer), outer, outer.__traceback__


def test_short_errors(line, monkeypatch, capsys):
    line("--config_file", "train.yaml")
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    short_errors()
    assert sys.excepthook is not sys.__excepthook__
    sys.excepthook(*raised(ConnectionError("no hub: pass pretrained='PATH'")))
    shown = capsys.readouterr().err
    assert "error: no hub: pass pretrained='PATH'\n" in shown and "Traceback" not in shown
    sys.excepthook(*raised(KeyboardInterrupt("stopped by Ctrl-C in epoch 3"), wrapped=False))
    assert capsys.readouterr().err == "\nstopped by Ctrl-C in epoch 3\n"
    sys.excepthook(*raised(AttributeError("a bug of ours")))
    assert "Traceback" in capsys.readouterr().err


def test_long_errors_on_demand(line, monkeypatch):
    line("--config_file", "train.yaml")
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setenv("MONAI_EPT_TRACEBACK", "1")
    short_errors()
    assert sys.excepthook is sys.__excepthook__
