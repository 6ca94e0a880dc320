# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses

from monai_ept import list_methods
from monai_ept.__main__ import main
from monai_ept.methods import method_class

COUNTS = {
    "adapter": 12 * (2 * 768 * 96 + 96 + 768),
    "bias": 12 * (2 * 768 + 3 * 768 + 768 + 3072 + 768) + 2 * 768,
    "damp": 0,
    "ept": 12 * 197 * 100,
    "full": 85_798_656,
    "linear": 0,
    "ln": 25 * 2 * 768,
    "lora": 12 * 2 * 4 * 2 * 768,
    "mlp": 0,
    "partial": 7_087_872 + 2 * 768,
    "proj": 12 * (768 * 768 + 768),
    "vp": 196 * 768,
    "vpt": 12 * 50 * 768,
}


def test_methods_lists_the_registry(capsys):
    assert main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split()[1:3] for line in lines if line and not line.startswith(" ")}
    text = " ".join(" ".join(lines).split())
    for name in list_methods():
        cls = method_class(name)
        if name in COUNTS:
            head = 2 * (768 * 768 + 768) + 768 * 7 + 7 if name == "mlp" else 768 * 7 + 7
            assert rows[name] == [f"{COUNTS[name]:,}", f"{head:,}"], name
        assert " ".join(cls.reference.split()) in text
        for field in dataclasses.fields(cls):
            assert f"{field.name}={field.default!r}" in text
    assert max(map(len, lines)) <= 120


def test_methods_on_another_backbone(capsys):
    assert main(["methods", "--backbone", "beit_base_patch16_224", "--num-classes", "2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "timm.models.beit.Attention is not supported" in out
    assert "linear 0 1,538" in out
