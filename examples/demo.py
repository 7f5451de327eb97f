"""The whole path in some minutes: show a cell, train it, compile it, run it, search for others.

Every step is a command that a user would type; it is printed before it runs.  All that it
writes goes into one folder, ``demo_output`` unless another is named.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("demo_output"), help="folder to write to")
    parser.add_argument("--steps", type=int, default=400, help="training steps")
    parser.add_argument("--trials", type=int, default=24, help="candidates to search")
    arguments = parser.parse_args()
    out = new_folder(arguments.out)
    began = time.monotonic()

    heading("A cell, as its equations and as a picture")
    rnndsl("show", "lstm", "--at", "source")
    rnndsl("show", "lstm", "--svg", f"{out}/lstm.svg")
    print(f"the drawing: {out}/lstm.svg")

    heading("Train it on tiny Shakespeare")
    run_dir = out / "train"
    rnndsl(
        *("train", "lstm", "--steps", str(arguments.steps), "--hidden", "192"),
        *("--seconds", "100", "--out", str(run_dir)),
    )
    rnndsl("generate", str(run_dir), "--length", "300", "--prime", "ROMEO:", "--seed", "1")

    heading("Compile it to a library, and run that without rnndsl and torch")
    rnndsl("compile", str(run_dir), "--out", f"{out}/library")
    run([sys.executable, str(ROOT / "examples" / "run_library.py"), f"{out}/library"])

    heading("Search for other cells")
    rnndsl(
        *("search", "gated"),
        *("--trials", str(arguments.trials), "--sampler", "tpe", "--study", f"{out}/search"),
        *("--steps", "60", "--seconds", "120"),
    )

    print(f"\nDone in {time.monotonic() - began:.0f} s. Everything is in {out}/:")
    for path in sorted(out.rglob("*")):
        if path.is_file():
            print(f"  {path.relative_to(out)}")
    return 0


def new_folder(wanted: Path) -> Path:
    """``wanted``, or ``wanted-2``, ``wanted-3``, … where there is something already."""
    folder, count = wanted, 1
    while folder.exists():
        count += 1
        folder = wanted.with_name(f"{wanted.name}-{count}")
    folder.mkdir(parents=True)
    return folder


def heading(text: str) -> None:
    print(f"\n\033[1m== {text} ==\033[0m" if sys.stdout.isatty() else f"\n== {text} ==", flush=True)


def rnndsl(*words: str) -> None:
    """Run a subcommand as a user would."""
    print(f"$ rnndsl {shlex.join(words)}", flush=True)
    run([sys.executable, "-m", "rnndsl", *words])


def run(command: list[str]) -> None:
    """Run a command; end the demo with its exit code if it fails."""
    try:
        finished = subprocess.run(command, check=False)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    if finished.returncode:
        raise SystemExit(finished.returncode)


if __name__ == "__main__":
    raise SystemExit(main())
