# SPDX-License-Identifier: Apache-2.0
"""``python -m tools.pretrain``."""

from __future__ import annotations

import argparse
from typing import Any

from tools.pretrain.command import run_pretraining
from tools.pretrain.recipe import PairsRecipe, Recipe

__all__ = ["main"]


def main() -> None:
    """Repeat the pretraining of the embedded backbone, and print where the weights are."""
    parser = argparse.ArgumentParser(prog="python -m tools.pretrain", description=main.__doc__)
    parser.add_argument("--out", default="pretraining", help="folder; the same again goes on there (%(default)s)")
    parser.add_argument("--pictures", type=int, help=f"pictures of the first part ({Recipe.pictures})")
    parser.add_argument("--steps", type=int, help=f"its steps of training ({Recipe.steps})")
    parser.add_argument("--pairs-steps", type=int, help=f"steps of the second part ({PairsRecipe.steps})")
    parser.add_argument("--things", type=int, help=f"things in each of them, seen twice ({PairsRecipe.things})")
    parser.add_argument("--first", help="weights that a first part has ended with, instead of training one")
    parser.add_argument("--seed", type=int, help=f"of everything random ({Recipe.seed})")
    parser.add_argument("--workers", type=int, help="processes that draw (one per core)")
    parser.add_argument("--device", help="where to train (a CUDA card if there is one)")
    args = parser.parse_args()
    first = {"pictures": args.pictures, "steps": args.steps, "seed": args.seed}
    second = {"steps": args.pairs_steps, "things": args.things, "seed": args.seed}
    try:
        recipes = Recipe(**_given(first)), PairsRecipe(**_given(second))
        print(run_pretraining(args.out, *recipes, first=args.first, workers=args.workers, device=args.device))
    except (ValueError, OSError) as error:
        raise SystemExit(f"tools.pretrain: {error}") from None


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


if __name__ == "__main__":
    main()
