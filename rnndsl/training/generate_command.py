"""``rnndsl generate``: sample text from a trained model."""

from __future__ import annotations

import argparse
import sys

from rnndsl.training.options import BACKENDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rnndsl generate``."""
    parser.add_argument(
        "checkpoint", metavar="RUN", help="the folder of a run, or a checkpoint file in it"
    )
    parser.add_argument("--prime", default="", help="text to begin with (default: a new line)")
    parser.add_argument(
        "--length", type=int, default=500, metavar="N", help="characters or words (default 500)"
    )
    parser.add_argument(
        "--temperature", type=float, default=0.8, help="0 takes the likeliest (default 0.8)"
    )
    parser.add_argument("--top-k", type=int, metavar="K", help="draw among the K likeliest")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="auto",
        help="what computes; auto is TVM on the CPU where it is installed (default auto)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the text as it is drawn."""
    from rnndsl.training.generate import generate, load_trained

    trained = load_trained(args.checkpoint, backend=args.backend)
    pieces = generate(trained, args.length, args.prime, args.temperature, args.top_k, args.seed)
    sys.stdout.write(args.prime)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    return 0
