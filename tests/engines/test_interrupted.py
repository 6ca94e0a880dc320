# SPDX-License-Identifier: Apache-2.0

"""Trainings that are killed, stopped or run out of disk: what is left of them is whole, and they go on as if nothing
had happened. See ``interrupted.py`` for how they come to their ends."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.engines import interrupted
from tests.fresh_process import fresh_processes

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork, which this system has not")

KILLED = [*interrupted.MOMENTS, *(f"outside {turn}" for turn in range(3)), "again and again"]


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """A file system of one megabyte; None where this user may not mount one."""
    place = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    yield place if mounted else None
    if mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def report(tmp_path_factory, small_disk):
    with fresh_processes() as pool:
        return pool.submit(interrupted.main, tmp_path_factory.mktemp("trainings"), small_disk).result()


@pytest.mark.parametrize("moment", KILLED)
def test_killed_and_resumed_is_equal_to_the_bit(report, moment):
    case = report[f"kill {moment}"]
    early = moment.startswith("outside")  # which may come when all is done
    assert case["killed"]["signal"] == 9 or early, case["killed"]
    assert case["resumed"]["status"] == 0, case["resumed"]["said"]
    assert case["equal"]
    assert case["leftovers"] == []


def test_kills_came_before_and_after_checkpoints(report):
    assert not report["kill first step"]["had_checkpoint"]
    assert report["kill third epoch"]["had_checkpoint"]
    assert report["kill again and again"]["all"] == [9, 9, 9, 9]


@pytest.mark.parametrize("name", ["SIGTERM", "Ctrl-C"])
def test_signals_end_after_the_step_with_a_message(report, name):
    case = report[f"signal {name}"]
    said = case["ended"]["said"].strip().splitlines()
    assert said[-1] == "TrainingStopped"
    assert f"stopped by {name} in epoch 2 of 4, step 6; the last good state is" in said[-2]
    assert said[-2].endswith("(epoch 1): the same command with resume goes on from there.")
    assert "stopping after this step, once more stops at once" in case["ended"]["said"]
    assert case["equal"] and case["leftovers"] == []


@pytest.mark.parametrize(("name", "why", "epoch"), [("limit", "File too large", 3), ("disk", "No space left", 2)])
def test_full_disk(report, small_disk, name, why, epoch):
    if name == "disk" and small_disk is None:
        pytest.skip("this user may not mount a small file system")
    case = report[f"full {name}"]
    said = case["ended"]["said"].strip().splitlines()
    assert said[-1] == "WriteError"
    assert f"the checkpoint of epoch {epoch} cannot be written to" in said[-2] and why in said[-2]
    assert f"the checkpoint of epoch {epoch - 1} is intact: make room" in said[-2]
    assert case["had_checkpoint"] and case["resumed"]["status"] == 0, case["resumed"]["said"]
    assert case["equal"] and case["leftovers"] == []
