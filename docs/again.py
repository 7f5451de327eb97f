"""Runs a script of this folder in a process of its own, so that its memory and imports count."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run_again(
    script: str, *words: object, timeout: float | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The script with these words and variables besides those that there are, and its output.

    subprocess.TimeoutExpired if it takes longer than ``timeout`` seconds.
    """
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, script, *map(str, words)],
        check=False,
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def output_of(done: subprocess.CompletedProcess[str]) -> str:
    """Its last line; CalledProcessError, with what it said, if it failed."""
    if done.returncode:
        sys.stderr.write(done.stderr)
    done.check_returncode()
    return done.stdout.splitlines()[-1]
