# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import yaml

from tests.bundles.cases import SMALL
from tools.bundles import ROOT, bundle_files, bundle_names


def test_there_is_a_case_for_each():
    assert bundle_names() == sorted(SMALL)


@pytest.mark.parametrize("bundle", bundle_names())
def test_files_are_those_that_are_built(bundle):
    files = bundle_files(bundle)
    for path, text in files.items():
        assert (ROOT / bundle / path).read_text(encoding="utf-8") == text, f"{path}: run python -m tools.bundles"
        if path.endswith(".yaml"):
            assert isinstance(yaml.safe_load(text), dict) and "{{" not in text
    assert len((ROOT / bundle / "bundle.yaml").read_text().splitlines()) <= 60
