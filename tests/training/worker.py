"""A training process for tests to kill: ``worker.py DATA RUN_DIR [--resume] [--pause STEP]``.

Prints ``step N`` after each step; at ``--pause`` it waits there to be killed or interrupted.
"""

from __future__ import annotations

import argparse
import sys
import time

import torch
from torch import nn

from rnndsl.training.config import TrainConfig
from rnndsl.training.loop import train
from rnndsl.training.progress import Progress


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("run_dir")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--pause", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)

    def on_progress(progress: Progress) -> None:
        print(f"step {progress.step}", flush=True)
        if progress.step == args.pause:
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:  # a noted Ctrl-C does not end a sleep early
                time.sleep(0.01)

    result = train(
        worker_config(args.data, args.run_dir),
        on_progress,
        resume=args.resume,
        make_layer=lambda inputs, hidden: nn.LSTM(inputs, hidden),
    )
    return 130 if result.stopped == "interrupted" else 0


def worker_config(data: str, run_dir: str) -> TrainConfig:
    return TrainConfig(
        data=data,
        hidden=8,
        embedding=6,
        layers=2,
        batch=8,
        bptt=17,
        steps=30,
        epochs=None,
        eval_every=10,
        checkpoint_every=7,
        dropout=0.2,
        input_dropout=0.1,
        embedding_dropout=0.1,
        schedule="plateau",
        plateau_patience=1,
        run_dir=run_dir,
    )


if __name__ == "__main__":
    sys.exit(main())
