# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.files import WriteError
from monai_ept.runs.folder_exchange import settle
from tests.runs.test_result_folder import names, write

LEFT = [("run.next", ".run.replaced"), (".run.replaced",), ("run", ".run.replaced")]


@pytest.mark.parametrize("left", LEFT, ids="+".join)
def test_a_replacement_that_was_cut_short_is_finished(tmp_path, left):
    new = "old" if "run.next" not in left and "run" not in left else "new"
    for name in left:
        write(tmp_path / name, "old" if name == ".run.replaced" else "new", "delta.safetensors", "split.json")
    settle(tmp_path / "run")
    assert names(tmp_path) == ["run"] and (tmp_path / "run" / "delta.safetensors").read_text() == new


def test_what_cannot_be_finished_is_said_with_both_places(tmp_path):
    write(tmp_path / ".run.replaced", "old", "delta.safetensors")
    write(tmp_path / "run.next", "new", "delta.safetensors")
    (tmp_path / "run").write_text("a file is in the way")
    with pytest.raises(WriteError, match=r"the old one is .*\.run\.replaced, the new one is .*run\.next"):
        settle(tmp_path / "run")
    assert names(tmp_path) == [".run.replaced", "run", "run.next"]
