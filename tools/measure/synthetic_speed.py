# SPDX-License-Identifier: Apache-2.0

"""How long the synthetic data sets take: 1,000 dermoscopy pictures of 224 pixels must be there in 30 s on two cores.

Run from the repository root: python tools/measure/synthetic_speed.py [--num-workers 2]
"""

from __future__ import annotations

import argparse
import os

from monai_ept.data.sources.synthetic import synthetic_chest, synthetic_derm, synthetic_volume


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-workers", type=int, default=2, help="processes that draw; 0 draws in this one")
    num_workers = parser.parse_args().num_workers
    for name, make in (
        ("derm, 224 x 224", lambda: synthetic_derm(143, 0, num_workers=num_workers)),
        ("chest, 224 x 224", lambda: synthetic_chest(1001, 0, num_workers=num_workers)),
        ("volume, 32 x 32 x 32", lambda: synthetic_volume(500, 0, num_workers=num_workers)),
    ):
        before = os.times()
        count = len(make())
        after = os.times()
        busy = sum(after[:4]) - sum(before[:4])  # of this process and its workers
        seconds = after.elapsed - before.elapsed
        print(
            f"{name}: {count} images in {seconds:.1f} s with num_workers={num_workers}, {busy:.1f} s of processor time"
        )


if __name__ == "__main__":
    main()
