"""Train the models of the zoo and write their weights and cards.

    python scripts/train_models.py mnist                           # all, into models/
    python scripts/train_models.py mnist --model lenet1 --check    # one, scored inside the training part

A domain is a file of `scripts/training`: its `MODELS`, and `train(chosen)`.
"""

import argparse
import importlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that it also runs from a checkout that is not installed

from xplore._util.errors import InputError  # noqa: E402

DOMAINS = sorted(file.stem for file in Path(__file__).with_name("training").glob("[a-z]*.py"))


def main() -> None:
    """Train what the command line names."""
    parser = argparse.ArgumentParser(description="Train the models of the zoo and write weights and cards.")
    parser.add_argument("domain", choices=DOMAINS, help="whose models are trained")
    parser.add_argument("--model", action="append", help="one of them; may be repeated (all)")
    parser.add_argument("--data", type=Path, help="where the data lies, for domains that do not carry theirs")
    parser.add_argument("--rng", type=int, default=0, help="start of the random numbers (0)")
    parser.add_argument("--epochs", type=int, help="passes over the training part")
    parser.add_argument("--out", type=Path, default=ROOT / "models", help="folder to write to (models)")
    parser.add_argument(
        "--check", action="store_true", help="score on some of the training part; write nothing"
    )
    chosen = parser.parse_args()
    if not 0 <= chosen.rng < 2**32:
        parser.error(f"argument --rng: expected a number from 0 to 2**32 - 1, got {chosen.rng}")
    if chosen.epochs is not None and chosen.epochs < 1:
        parser.error(f"argument --epochs: expected a whole number >= 1, got {chosen.epochs}")
    domain = importlib.import_module(f"training.{chosen.domain}")
    for name in chosen.model or ():
        if name not in domain.MODELS:
            parser.error(f"argument --model: expected one of {', '.join(domain.MODELS)}, got {name!r}")
    try:
        domain.train(chosen)
    except InputError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
