# SPDX-License-Identifier: Apache-2.0

"""Settings of a training that no training can have."""

from __future__ import annotations

import pytest

from tests.bad_inputs.case import BadInput, parameters, refuse

TRAIN = {"config": "ept_derm/train.yaml", "shots": 1, "img_size": 32, "run_dir": "run"}

CASES = [
    BadInput("no-epochs", ["epochs", "0"], bundle={**TRAIN, "epochs": 0}),
    BadInput("no-batch", ["batch_size", "0"], bundle={**TRAIN, "batch_size": 0}),
]


@pytest.mark.parametrize("case", parameters(CASES))
def test_refused(case, tmp_path, monkeypatch):
    refuse(case, tmp_path, monkeypatch)
