# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import argparse

import pytest

from monai_ept import command_line


def test_pairs_and_their_yaml():
    assert command_line.name_value_pairs("--option", ["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    assert command_line.yaml_options("--option", ["a=1", "b=[x, 2]", "c="]) == {"a": 1, "b": ["x", 2], "c": None}
    args = argparse.Namespace(batch_size="8", prevalence=None, seed="one")
    assert command_line.yaml_values(args, ("batch_size", "prevalence")) == {"batch_size": 8, "prevalence": None}
    with pytest.raises(ValueError, match="--option 'a' has no value: write it as NAME=VALUE"):
        command_line.name_value_pairs("--option", ["a"])
    with pytest.raises(ValueError, match="--batch-size"):
        command_line.yaml_values(argparse.Namespace(batch_size="[1"), ["batch_size"])


def test_trainings_by_the_names_of_their_tasks(tmp_path):
    assert command_line.named_trainings("--run", ["runs/one"]) == {"": "runs/one"}
    assert command_line.named_trainings("--run", ["a=runs/one", "b=c=d"]) == {"a": "runs/one", "b": "c=d"}
    folder = tmp_path / "lr=0.1"
    assert command_line.named_trainings("--run", [f"a={folder}"]) == {"a": str(folder)}
    folder.mkdir()  # which is no task
    assert command_line.named_trainings("--run", [str(folder)]) == {"": str(folder)}
    for given in (["a=one", "a=two"], ["=one", "b=two"]):
        with pytest.raises(ValueError, match="--run takes a name of its own for each task"):
            command_line.named_trainings("--run", given)


def test_spellings_of_bundles_are_understood():
    given = ["train", "--dataset_dir=my_images", "--resume", "true", "--overwrite", "true", "--source", "true", "a_b"]
    wanted = ["train", "--dataset-dir=my_images", "--resume", "--overwrite", "--source", "true", "a_b"]
    assert command_line.as_help_has_them(given) == wanted


def test_what_commands_share_says_its_defaults_and_fits_a_line():
    parser = argparse.ArgumentParser("monai-ept evaluate")
    command_line.one_line_each(parser, "RUN [options]")
    command_line.add_computing_options(parser, batch_size=16)
    command_line.add_data_options(parser, "how DATA is read (found out)")
    command_line.add_result_options(parser, "RUN.out", "--output-dir")
    command_line.add_tracking_uri(parser, "that of the run")
    text = parser.format_help()
    assert text.startswith("usage: monai-ept evaluate RUN [options]\n") and "--output-dir" not in text
    for part in ("(16)", "how DATA is read", "(RUN.out)", "or that of the run)"):
        assert part in " ".join(text.split())
    args = parser.parse_args(["--output-dir", "here", "--option", "a=1", "--option", "b=2"])
    assert (args.out, args.option, args.batch_size, args.overwrite) == ("here", ["a=1", "b=2"], "16", False)
