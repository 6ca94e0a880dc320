# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.data.sources.medfmc import MEDFMC_TASKS
from monai_ept.synthetic.chest import CHEST_CLASSES, chest_findings, render_chest
from monai_ept.synthetic.paint import blur


def test_chest_labels():
    assert MEDFMC_TASKS["chest"].class_names == CHEST_CLASSES
    patients = [chest_findings(0, n) for n in range(400)]
    together = [len(findings) for findings in patients]
    assert 0 in together and max(together) >= 3 and np.mean(together) > 1.4
    for name in CHEST_CLASSES:
        assert sum(name in findings for findings in patients) >= 20
    # findings come together as in clinics, not independently
    with_heart = [f for f in patients if "cardiomegaly" in f]
    without = [f for f in patients if "cardiomegaly" not in f]
    share = [np.mean(["pulmonary_edema" in f for f in some]) for some in (with_heart, without)]
    assert share[0] > 3 * share[1]


@pytest.mark.parametrize("name", CHEST_CLASSES)
def test_chest_finding_is_visible(name):
    """The same chest with and without it: at least a small place changes clearly, in most patients."""
    changes = []
    for patient in range(6):
        healthy, ill = (
            render_chest(f, seed=2, patient=patient, view=0, img_size=112).astype(float) for f in ((), (name,))
        )
        changes.append(np.abs(blur(ill - healthy, 2)).max())
    assert np.median(changes) > 20
