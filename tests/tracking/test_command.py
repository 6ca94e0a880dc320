# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

from monai_ept.__main__ import main
from monai_ept.tracking import open_run
from tests.tracking.scenes import NOWHERE, runs_of


def test_what_becomes_of_each_run_is_a_line(database, capsys):
    for name in ("one", "two"):
        open_run(name, name, "lines", tracking_uri=NOWHERE).close()
    assert main(["sync", "one", "--tracking-uri", NOWHERE]) == 2
    said = capsys.readouterr()
    assert said.out.startswith("failed    one ") and f"{NOWHERE} does not answer" in said.out
    assert said.err.startswith("monai-ept sync: 1 of 1 could not be uploaded and stay here. one")
    assert main(["sync", "--tracking-uri", database]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["uploaded", "one"],
        ["uploaded", "two"],
    ]
    assert main(["sync", "--tracking-uri", database]) == 0
    assert (
        capsys.readouterr().out == "Nothing to upload: MLflow has everything.\n"
        and len(runs_of(database, "lines")) == 2
    )


def test_a_folder_that_is_not_there_is_said(capsys):
    assert main(["sync", "nowhere"]) == 2
    assert "folder nowhere does not exist" in capsys.readouterr().err
    assert not list(Path().iterdir())
