# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import re
from dataclasses import replace

from monai_ept.deploy.model_card import write_documents
from monai_ept.deploy.shipment import Expected
from tests.bundles.zoo import HEADINGS


def test_the_card_says_what_was_trained_and_measured(shipment):
    expected = Expected([{"id": "x"}] * 3, shipment.expected.probabilities, "the training's evaluation", 8)
    write_documents(replace(shipment, expected=expected, licence="Mine.\n\n", data_licence="CC0"))
    text = (shipment.folder / "docs" / "README.md").read_text()
    assert tuple(line for line in text.splitlines() if re.match(r"#{1,3} ", line)) == HEADINGS
    auc = shipment.training.intervals["auc"]
    assert re.search(rf"\| auc +\| {auc.value:.3f} +\| {auc.low:.3f} to {auc.high:.3f} ", text)
    for part in (
        "`ept` (prompt_length 2",
        "64 × 64 pixels",
        "three channels",
        shipment.training.metrics["baseline"]["said"],
    ):
        assert part in text, part
    assert re.search(r"\b3 of\s+8\b", text) and ": Apache-2.0" in text  # the licence of the embedded weights
    assert str(shipment.training.folder) not in text
    assert (shipment.folder / "LICENSE").read_text() == "Mine.\n"
    assert (shipment.folder / "docs" / "data_license.txt").read_text() == "CC0\n"
