# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

import monai_ept
from monai_ept import Method, list_methods, register_method
from monai_ept.methods import Ept, Lora, build_methods, method_class

NAMES = ["adapter", "bias", "damp", "ept", "full", "linear", "ln", "lora", "mlp", "partial", "proj", "vp", "vpt"]


def test_all_are_registered_exported_and_described():
    assert set(NAMES) <= set(list_methods())
    for name in NAMES:
        cls = method_class(name)
        assert getattr(monai_ept, cls.__name__) is cls
        assert cls.__doc__.strip()
        assert cls.reference or name in ("full", "linear")


def test_specifications():
    assert build_methods("lora", rank=2) == (Lora(rank=2),)
    assert build_methods({"name": "lora", "targets": ["v"]}) == (Lora(targets=("v",)),)
    assert build_methods(["ept", Lora(rank=2)]) == (Ept(), Lora(rank=2))
    for method in (Lora(rank=2), Ept(prompt_layers=(0, 1))):
        assert build_methods(method.settings()) == (method,)
    with pytest.raises(TypeError, match="method must be a name"):
        build_methods(3)
    with pytest.raises(ValueError, match="settings rank were given beside"):
        build_methods(Lora(), rank=3)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="method name 'lora' is taken by Lora"):

        @register_method
        @dataclass(frozen=True)
        class Other(Method):
            name: ClassVar[str] = "lora"

    with pytest.raises(ValueError, match="has no name"):
        register_method(type("Nameless", (Method,), {}))
