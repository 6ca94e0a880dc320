# SPDX-License-Identifier: Apache-2.0

"""docs/methods.md: its example runs, and its table says what is counted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import timm
import torch

from monai_ept import TunedViT, list_methods, register_method
from monai_ept.methods import base, method_class, thaw
from tests.backbones import images_for, monai_vit, timm_vit
from tests.methods.cases import tuned

PAGE = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")


@pytest.fixture
def own_methods(monkeypatch):
    """What the page's example defines, registered for one test."""
    monkeypatch.setattr(base, "_METHODS", dict(base._METHODS))
    example, imports, thawing = re.findall(r"```python\n(.*?)```", PAGE.split("## Add your own")[1], re.DOTALL)
    scope: dict = {"__name__": "own_methods", "thaw": thaw}
    for source in (imports, example, thawing):
        exec(compile(source, "docs/methods.md", "exec", dont_inherit=True), scope)
    return scope


@pytest.mark.parametrize("build", [timm_vit, lambda: monai_vit(3)])
def test_add_your_own(own_methods, build, tmp_path):
    backbone = build()
    net = tuned(backbone, own_methods["Gain"](start=0.5))
    x = images_for(net.vit)
    assert net.count().delta == 2
    assert "gain" in list_methods()
    plain = TunedViT(backbone, 3, method="linear").eval().features(x)
    with net.disabled():
        assert torch.equal(net.features(x), plain)
    assert not torch.allclose(net.features(x), plain, atol=1e-4)
    net.save_delta(tmp_path / "gain.safetensors")
    again = TunedViT.from_delta(tmp_path / "gain.safetensors", backbone=backbone).eval()
    assert torch.equal(again(x), net(x))
    both = tuned(backbone, ["gain", "ept"])
    assert both.count().delta == 2 + 2 * both.vit.num_tokens * 100


def test_add_your_own_by_thawing(own_methods):
    net = TunedViT(timm_vit(), 2, method="mlps")
    assert net.count().delta == 2 * (192 * 48 + 48)
    with pytest.raises(ValueError, match=r"method 'mlps' finds no second layer of an MLP in ViT, .*mlp\.linear1"):
        TunedViT(monai_vit(), 2, method="mlps")


def test_a_registered_method_stays_with_its_test():
    assert "gain" not in list_methods()
    with pytest.raises(ValueError, match="not registered"):
        method_class("gain")
    assert callable(register_method)


def test_table_says_what_is_counted():
    rows = dict(re.findall(r"^\| \[`(\w+)`\]\(#\w+\) \| ([\d,]+)", PAGE, re.MULTILINE))
    assert set(list_methods()) == set(rows)
    with torch.device("meta"):
        backbone = timm.create_model("vit_base_patch16_224", num_classes=0)
        for name, number in rows.items():
            assert TunedViT(backbone, 7, method=name).count().delta == int(number.replace(",", "")), name


def test_every_setting_is_named():
    for name in list_methods():
        section = re.search(rf"^### {name}\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
        assert section, name
        method = method_class(name)()
        for key, value in method.settings().items():
            assert key == "name" or f"{key}={value!r}".replace("'", '"') in section[1], (name, key)
