# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_ept.analysis import Change
from monai_ept.analysis.sections.features import about_distances

CHANGES = {
    "within": Change(100.0, 88.0, -13.0, -10.0),
    "between": Change(20.0, 20.0, -1.0, 1.0),
    "total": Change(120.0, 108.0, -13.0, -10.0),
    "within_share": Change(0.833, 0.815, -0.03, -0.01),
    "silhouette": Change(0.1, 0.05, -0.1, 0.02),
    "separability": Change(0.5, 0.6, -0.01, 0.2),
}


def test_what_is_said_of_distances_follows_from_the_numbers():
    said = about_distances(CHANGES, 4)
    assert "fell by 12.0 %, from 100 to 88; the spread of all images together fell by 10.0 %" in said[0]
    assert "classes became tighter: 83.3 % of it lies within classes before, 81.5 % after" in said[1]
    assert "difference −1.8 points, 95 % interval −3.0 to −1.0" in said[1]
    assert "fell from 0.100 to 0.050" in said[2]
    assert "does as well as before, as far as" in said[3] and "guessing gives 0.250" in said[3]
    assert "no clear change" in said[2]
    assert "does better:" in about_distances({**CHANGES, "separability": Change(0.5, 0.6, 0.01, 0.2)}, 4)[3]
    other = {**CHANGES, "within": Change(100, 110), "within_share": Change(0.8, 0.81, -0.01, 0.02)}
    said = about_distances(other, 4)
    assert "rose by 10.0 %" in said[0] and "no clear change" in said[1] and "tighter" not in " ".join(said)
    assert "looser" in about_distances({**CHANGES, "within_share": Change(0.8, 0.9, 0.05, 0.12)}, 4)[1]
    same = {name: Change(1.0, 1.0, 0.0, 0.0) for name in CHANGES}
    said = about_distances(same, 4)
    assert "did not change" in said[0] and "does as well as before" in said[3] and "stayed" in said[2]
