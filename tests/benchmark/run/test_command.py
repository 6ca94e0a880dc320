# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import yaml

from monai_ept.__main__ import main
from tests.benchmark.report.report_folder import made_up, write_sweep
from tests.benchmark.run.scenes import SWEEP


@pytest.fixture
def sweep(tmp_path):
    """The file of a sweep whose cells are done but for one method, which has failed."""
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SWEEP))
    write_sweep(tmp_path / "out", SWEEP, lambda cell: None if cell.label == "too fast" else made_up(cell))
    return ["benchmark", "run", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "out")]


def test_failed_cells_are_counted_and_the_command_has_failed(sweep, capsys):
    with pytest.raises(SystemExit) as end:
        main([*sweep, "--no-track", "--workers", "1"])
    said = capsys.readouterr()
    assert end.value.code == 1 and "8 of 10 cells finished; 0 run now" in said.out
    last = said.err.strip().splitlines()[-1]
    assert "2 of 10 cells have failed: CUDA out of memory" in last and "(2×)" in last and "--retry-failed" in last


def test_a_dry_run_says_what_there_is_to_do(sweep, tmp_path, capsys):
    assert main([*sweep, "--dry-run", "--workers", "2"]) == 0
    text = capsys.readouterr().out
    assert "sweep tiny: 10 cells" in text and "damp c=4.6     2 cells" in text and "10 cells are done" in text
    assert main([*sweep, "--dry-run", "--workers", "2", "--set", "samplings=50", "methods.0=full"]) == 0
    text = capsys.readouterr().out
    assert "250 cells" in text and len(text.splitlines()) < 15
    assert main(["benchmark", "run", str(tmp_path / "none.yaml")]) == 2
    assert "does not exist" in capsys.readouterr().err
