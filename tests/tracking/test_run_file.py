# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from monai_ept.tracking.run_file import name_store, read_about, write_about

OLD, NEW = ({"id": name, "run_name": "ept", "experiment": "e", "tracking_uri": "u"} for name in ("old", "new"))


def test_the_store_is_added_to_what_is_known(tmp_path):
    write_about(tmp_path, OLD)
    name_store(tmp_path, {"id": "old", "run_id": "7", "tracking_uri": "v"})
    assert read_about(tmp_path) == {**OLD, "run_id": "7", "tracking_uri": "v"}


def test_a_folder_that_a_later_training_has_taken_stays_its_own(tmp_path):
    for _ in range(100):
        write_about(tmp_path, OLD)
        with ThreadPoolExecutor(2) as pool:
            done = [pool.submit(name_store, tmp_path, {**OLD, "run_id": "7"}), pool.submit(write_about, tmp_path, NEW)]
        assert [one.result() for one in done] == [None, None]
        assert read_about(tmp_path) == NEW


def test_no_file_is_made_for_a_run_that_has_none(tmp_path):
    name_store(tmp_path, {**OLD, "run_id": "7"})
    assert read_about(tmp_path) is None


def test_damage_is_said(tmp_path):
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        name_store(tmp_path, OLD)
