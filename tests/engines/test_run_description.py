# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from monai_ept.engines.run_description import source_commit


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_only_a_package_that_is_part_of_a_repository_has_its_commit(tmp_path):
    def git(*arguments):
        name = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *name, *arguments], cwd=tmp_path, check=True, capture_output=True)

    installed, own = tmp_path / ".venv" / "package", tmp_path / "package"
    for folder in (installed, own):
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
    assert source_commit(installed) is None and source_commit(own) is None
    git("init")
    git("add", "package")
    git("commit", "-m", "first")
    assert re.fullmatch("[0-9a-f]{40}", source_commit(own))
    assert source_commit(installed) is None
    (own / "__init__.py").write_text("changed")
    assert re.fullmatch("[0-9a-f]{40}-dirty", source_commit(own))
