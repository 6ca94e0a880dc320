# SPDX-License-Identifier: Apache-2.0

"""A small sweep file."""

from __future__ import annotations

from monai_ept.benchmark.plan.sweep_file import sweep_from

SMALL = {
    "name": "small",
    "sources": ["synthetic_derm"],
    "shots": [1, 5],
    "samplings": 2,
    "methods": ["linear", {"method": "ept", "prompt_length": 10}],
}


def make(**changes):
    return sweep_from({**SMALL, **changes})
