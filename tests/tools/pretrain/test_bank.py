# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import torch

from tools.pretrain.bank import UNTOLD, make_bank
from tools.pretrain.fields import FIELDS


def test_a_bank_follows_from_seed_and_index():
    ours, again, other = make_bank(1, 5, 32, 6), make_bank(1, 5, 32, 6), make_bank(1, 6, 32, 6)
    assert all(torch.equal(one, two) for one, two in zip(ours, again, strict=True))
    assert not torch.equal(ours.fields, other.fields) and not torch.equal(ours.shapes, other.shapes)


def test_shapes_are_closed_lines_around_their_middle():
    bank = make_bank(0, 0, 32, 40)
    middle = bank.shapes.shape[-1] // 2
    assert len(bank.shapes) == len(bank.contours) == 20 and set(bank.contours.tolist()) == {0, 1, 2, 3}
    assert (bank.shapes[:, middle, middle] > 0.3).all() and (bank.shapes[:, 0, 0] < -0.2).all()
    assert (bank.hairs.flatten(1) == 255).any(1).all() and (bank.hairs == 0).float().mean() > 0.3


def test_a_part_of_the_fields_is_tissue_which_is_no_family_of_the_first_part():
    families = make_bank(0, 0, 32, 200).families
    assert 0.15 < (families == UNTOLD).float().mean() < 0.35
    assert set(families.tolist()) == {UNTOLD, *range(len(FIELDS))}
