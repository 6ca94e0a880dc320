# SPDX-License-Identifier: Apache-2.0
"""``python -m tools.pretrain``."""

from __future__ import annotations

import argparse

from tools.pretrain.command import run_pretraining
from tools.pretrain.recipe import Recipe

__all__ = ["main"]


def main() -> None:
    """Repeat the pretraining of the embedded backbone, and print where the weights are."""
    parser = argparse.ArgumentParser(prog="python -m tools.pretrain", description=main.__doc__)
    parser.add_argument("--out", default="pretraining", help="folder; the same again goes on there (%(default)s)")
    parser.add_argument("--pictures", type=int, help=f"pictures to make and learn from ({Recipe.pictures})")
    parser.add_argument("--steps", type=int, help=f"steps of training ({Recipe.steps})")
    parser.add_argument("--seed", type=int, help=f"of everything random ({Recipe.seed})")
    parser.add_argument("--workers", type=int, help="processes that make pictures (one per core)")
    parser.add_argument("--device", help="where to train (a CUDA card if there is one)")
    args = parser.parse_args()
    given = {name: value for name in ("pictures", "steps", "seed") if (value := getattr(args, name)) is not None}
    try:
        print(run_pretraining(args.out, Recipe(**given), workers=args.workers, device=args.device))
    except (ValueError, OSError) as error:
        raise SystemExit(f"tools.pretrain: {error}") from None


if __name__ == "__main__":
    main()
