"""A training process for tests to kill: ``worker.py CONFIG [--resume] [--pause STEP]``.

CONFIG is the configuration as JSON.  Prints ``step N`` after each step; at ``--pause`` it waits
a second, to be killed or interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import torch
from torch import nn

from rnndsl.training.config import config_from_json
from rnndsl.training.loop import train
from rnndsl.training.progress import Progress


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
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

    config = config_from_json(json.loads(args.config), "lstm")
    result = train(config, on_progress, resume=args.resume, make_layer=nn.LSTM)
    return 130 if result.stopped == "interrupted" else 0


if __name__ == "__main__":
    sys.exit(main())
