# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pandas as pd
import pytest

from monai_ept.benchmark.report.costs import costs_of


def cell(label, seconds, *, sampling="0", backbone="small", trained=10, memory=100.0):
    return {
        **{"id": f"{label}-{sampling}-{backbone}", "label": label, "backbone": backbone, "source": "derm"},
        **{"shots": "5", "sampling": sampling, "seed": "0", "train_seconds": seconds, "test_seconds": seconds / 10},
        **{"trained": trained, "head": 7, "peak_memory_mb": memory},
    }


def test_medians_extremes_and_the_ratio_to_the_reference_with_the_same_images():
    cells = [cell("linear", 10.0), cell("linear", 30.0, sampling="1")]
    cells += [cell("ept", 40.0), cell("ept", 60.0, sampling="1", trained=20, memory=300.0)]
    cells += [cell("ept", 500.0, sampling="2"), cell("left out", 1.0), cell("ept", 7.0, backbone="large")]
    found = costs_of(pd.DataFrame(cells), ["ept", "linear"], "linear").set_index(["backbone", "label"])
    assert list(found.index) == [("small", "ept"), ("small", "linear"), ("large", "ept")]
    ept = found.loc["small", "ept"]
    assert (ept["trained_least"], ept["trained_most"], ept["memory"], ept["cells"]) == (10, 20, 300, 3)
    assert (ept["train"], ept["test"]) == (60, 6)
    assert ept["ratio"] == 3  # of 4 and 2; the third sampling has nothing beside it
    for nothing in (("small", "linear"), ("large", "ept")):
        assert pd.isna(found.loc[nothing, "ratio"])
    assert found.loc["small", "linear"]["train"] == pytest.approx(20)
