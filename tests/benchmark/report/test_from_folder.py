# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.benchmark.report import read_folder
from tests.benchmark.report.report_folder import BASE, made_up, write_cell, write_sweep


def test_what_the_sweep_file_no_longer_asks_for_is_left_out(tmp_path):
    write_sweep(tmp_path / "s", {**BASE, "recipe": {"epochs": 3}})
    for cell in write_sweep(tmp_path / "t", BASE, missing=lambda cell: True):
        write_cell(tmp_path / "s", cell, made_up(cell))
    (tmp_path / "s" / "sweep.yaml").write_text((tmp_path / "t" / "sweep.yaml").read_text())
    sweep = read_folder(tmp_path / "s")
    assert len(sweep.finished) == 8 and sweep.notes == ["8 cells left out that the sweep file no longer asks for."]

    # Without the file nothing says which counts: different settings are different methods.
    (tmp_path / "s" / "sweep.yaml").unlink()
    sweep = read_folder(tmp_path / "s")
    assert set(sweep.cells["label"]) == {
        f"{method} (recipe.epochs={epochs})" for method in ("linear", "bias") for epochs in (3, 20)
    }


def test_what_cannot_be_read_is_noted_and_another_folder_refused(tmp_path):
    first, second, *_ = write_sweep(tmp_path / "s", BASE)
    (tmp_path / "s" / "cells" / first.id / "result.json").write_text('{"status": "fini')
    (tmp_path / "s" / "cells" / second.id / "cell.json").write_text("")
    sweep = read_folder(tmp_path / "s")
    assert sweep.cells.set_index("id").loc[[first.id, second.id], "status"].tolist() == ["missing", "missing"]
    assert len(sweep.finished) == 6 and len(sweep.notes) == 2
    assert any(f"{first.id}/result.json cannot be read" in note for note in sweep.notes)
    with pytest.raises(FileNotFoundError, match="is not the folder of a sweep"):
        read_folder(tmp_path)
