# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import math
import resource

import pytest

from monai_ept.files import WriteError
from monai_ept.tracking.journal import Journal

OPENING = {"id": "0123456789abcdef", "run_name": "first", "experiment": "x", "tracking_uri": "http://host"}


def contents(journal: Journal, offset: int = 0) -> list[dict]:
    return [content for content, _ in journal.read(offset)]


def test_what_is_written_is_read_from_any_place_on(tmp_path):
    journal = Journal.create(tmp_path, OPENING)
    journal.append("metrics", step=1, time=5, metrics={"loss": math.nan, "größe": 1.5, "inf": -math.inf})
    records = list(journal.read())
    assert records[0].content == {"kind": "open", **OPENING} == {"kind": "open", **journal.opening | OPENING}
    metrics = records[1].content["metrics"]
    assert math.isnan(float(metrics["loss"])) and float(metrics["inf"]) == -math.inf and metrics["größe"] == 1.5
    assert contents(journal, records[0].end) == [records[1].content]
    assert records[1].end == journal.size
    json.loads((journal.folder / "journal.jsonl").read_text().splitlines()[1], parse_constant=pytest.fail)
    journal.close()
    with pytest.raises(ValueError, match="is closed"):
        journal.append("metrics", step=2, time=6, metrics={})


def test_half_a_line_is_left_alone_and_cut_off_when_its_writer_is_gone(tmp_path):
    journal = Journal.create(tmp_path, OPENING)
    path = journal.folder / "journal.jsonl"
    whole = path.read_bytes()
    with open(path, "ab") as file:
        file.write(b'{"kind": "metr')
    assert len(contents(journal)) == 1
    other = Journal(journal.folder)
    assert not other.reopen()  # the writer is still there
    journal.close()
    assert other.reopen()
    assert path.read_bytes() == whole
    other.append("status", status="KILLED", time=1)
    assert contents(other)[1]["status"] == "KILLED"
    other.close()


def test_a_damaged_line_costs_only_itself(tmp_path):
    journal = Journal.create(tmp_path, OPENING)
    with open(journal.folder / "journal.jsonl", "ab") as file:
        file.write(b"\0\0\0\0\n17\n")
    journal.append("tags", tags={"a": "b"})
    assert contents(journal) == [{"kind": "open", **OPENING}, {}, {}, {"kind": "tags", "tags": {"a": "b"}}]
    journal.close()


def test_a_disk_that_is_full_for_a_while_leaves_whole_lines(tmp_path):
    journal = Journal.create(tmp_path, OPENING)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal.size + 20, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            journal.append("tags", tags={"a": "lost, since there is room for 20 bytes only"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.append("tags", tags={"b": "kept"})
    assert contents(journal)[1:] == [{"kind": "tags", "tags": {"b": "kept"}}]
    journal.close()


def test_artifacts_inside_are_named_and_those_outside_copied(tmp_path):
    run = tmp_path / "run"
    (run / "figures").mkdir(parents=True)
    (run / "figures" / "a.png").write_bytes(b"inside")
    (tmp_path / "b.txt").write_text("outside")
    journal = Journal.create(run, OPENING)
    assert journal.keep(run / "figures" / "a.png") == "figures/a.png"
    kept = run / journal.keep(tmp_path / "b.txt")
    (tmp_path / "b.txt").unlink()
    assert kept.name == "b.txt" and kept.read_text() == "outside" and kept.is_relative_to(journal.folder)
    journal.close()


def test_journals_of_one_second_stay_in_order(tmp_path):
    folders = []
    for _ in range(20):
        journal = Journal.create(tmp_path, OPENING)
        folders.append(journal.folder)
        journal.close()
    assert folders == sorted(folders) and len(set(folders)) == 20


def test_journals_stay_in_order_when_the_second_ends(tmp_path, monkeypatch):
    names = []
    for moment in (1_700_000_000_300_000_000, 1_700_000_001_002_579_737):
        monkeypatch.setattr("monai_ept.tracking.journal.time.time_ns", lambda moment=moment: moment)
        journal = Journal.create(tmp_path, OPENING)
        names.append(journal.folder.name[:25])
        journal.close()
    assert names == ["20231114-221320-300000000", "20231114-221321-002579737"]


def test_a_disk_without_any_room_is_one_sentence_and_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(WriteError, match=r"cannot write the records of a run into .*\(File too large\): make room"):
            Journal.create(tmp_path, OPENING)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "tracking").iterdir()) == []
