# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from dataclasses import replace

import pytest

from monai_ept.deploy import zoo
from monai_ept.deploy.zoo import check_version, hub_place, push, write_zoo_files


def test_a_version_is_three_numbers():
    assert check_version("1.20.3") == "1.20.3"
    for version in ("one", "1.2", "1.2.3-beta", "1.2.3.4"):
        with pytest.raises(ValueError, match="version must be three numbers with points between them"):
            check_version(version)


def test_a_place_of_the_hub():
    assert hub_place("hf:owner/name.one") == "owner/name.one"
    for address in ("owner/name", "hf:name", "hf:a/b/c"):
        with pytest.raises(ValueError, match="--push takes hf:owner/name"):
            hub_place(address)


def test_what_the_zoo_does_not_take_is_listed(shipment, monkeypatch):
    for part in ("configs", "models"):
        (shipment.folder / part).mkdir()
    (shipment.folder / "models" / "model.ts").write_bytes(b"large enough")
    (shipment.folder / "models" / "model.pt").write_bytes(b"small")
    write_zoo_files(shipment)
    assert not list((shipment.folder / "configs").iterdir())  # nobody has asked for them
    write_zoo_files(replace(shipment, zoo=True))
    assert (shipment.folder / "configs" / "logging.conf").stat().st_size
    assert not (shipment.folder / "large_files.yml").exists()
    monkeypatch.setattr(zoo, "LARGEST", 10)
    write_zoo_files(replace(shipment, zoo=True))
    listed = (shipment.folder / "large_files.yml").read_text()
    assert 'path: "models/model.ts"' in listed and "model.pt" not in listed and 'hash_type: "sha256"' in listed


def test_where_there_is_no_hub_it_is_said(shipment):
    before = sorted(path.name for path in shipment.folder.iterdir())
    with pytest.raises(ConnectionError, match="is shipped and was not pushed to owner/name .* log in with"):
        push(shipment.folder, hub_place("hf:owner/name"), "1.2.0")
    assert sorted(path.name for path in shipment.folder.iterdir()) == before
