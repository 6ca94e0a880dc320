# SPDX-License-Identifier: Apache-2.0

"""``python -m tools.pretrain``: repeat the pretraining of the embedded backbone."""

from __future__ import annotations

import argparse

from tools.pretrain.command import run_pretraining
from tools.pretrain.recipe import Recipe


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.pretrain", description=__doc__)
    parser.add_argument("--out", default="pretraining", help="folder; the same again goes on there (%(default)s)")
    parser.add_argument("--pictures", type=int, help="pictures to make and learn from")
    parser.add_argument("--steps", type=int, help="steps of training")
    parser.add_argument("--seed", type=int, help="of everything random")
    parser.add_argument("--workers", type=int, help="processes that make pictures (one per core)")
    parser.add_argument("--device", help="where to train (a CUDA card if there is one)")
    args = parser.parse_args()
    given = {name: value for name in ("pictures", "steps", "seed") if (value := getattr(args, name)) is not None}
    print(run_pretraining(args.out, Recipe(**given), workers=args.workers, device=args.device))


if __name__ == "__main__":
    main()
