# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import yaml

from monai_ept import TunedViT
from monai_ept.benchmark.plan.adapted_file import adapted_file
from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.start import start_hash, write_start
from tests.benchmark.plan.scenes import make


def test_a_file_that_has_gone_is_known_by_the_hash_that_it_had(tmp_path):
    assert adapted_file(None) is None
    write_start(TunedViT("embedded_random", 2, method="ln", img_size=32), tmp_path / "a.safetensors")
    known = adapted_file(str(tmp_path / "a.safetensors"))
    assert known == {"file": str(tmp_path / "a.safetensors"), "check": True, "hash": start_hash(known["file"])}
    (tmp_path / "a.safetensors").unlink()
    assert adapted_file(known) == known
    with pytest.raises(ValueError, match="does not exist"):
        adapted_file(known["file"])


def test_an_adaptation_is_known_by_its_content(tmp_path, monkeypatch):
    net = TunedViT("embedded_random", 2, method="ln", img_size=32)
    monkeypatch.setenv("ADAPTED", str(tmp_path))
    write_start(net, tmp_path / "one.safetensors")
    methods = [{"method": "ln", "adapted": "${ADAPTED}/one.safetensors"}]
    sweep = make(methods=methods)
    assert sweep.methods[0]["adapted"]["hash"] == start_hash(tmp_path / "one.safetensors")
    (first, *_) = sweep_cells(sweep)
    (tmp_path / "one.safetensors").rename(tmp_path / "two.safetensors")
    (moved, *_) = sweep_cells(make(methods=[{"method": "ln", "adapted": {"file": "${ADAPTED}/two.safetensors"}}]))
    assert moved.id == first.id
    assert moved.adapted["file"] == "${ADAPTED}/two.safetensors"
    assert sweep_cells(make(methods=["ln"]))[0].id != first.id
    # What was begun can be reported on without the file, and goes on with no other.
    monkeypatch.delenv("ADAPTED")
    again = sweep_from(yaml.safe_load(sweep.to_yaml()))
    assert sweep_cells(again)[0].id == first.id
    monkeypatch.setenv("ADAPTED", str(tmp_path))
    with pytest.raises(ValueError, match="delta .*one.safetensors does not exist"):
        make(methods=methods)
    write_start(net, tmp_path / "one.safetensors", another=1)
    with pytest.raises(ValueError, match="is not the adaptation that the sweep was begun with"):
        sweep_from(yaml.safe_load(sweep.to_yaml()))
    with pytest.raises(ValueError, match="frozen leaves a method as it was drawn"):
        make(methods=[{**methods[0], "frozen": True}])
