"""The examples run: the demo's steps on a small scale, and the library without torch."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

has_tvm = importlib.util.find_spec("tvm") is not None


@pytest.mark.skipif(not has_tvm, reason="TVM is not installed")
def test_the_demo_goes_from_a_cell_to_a_leaderboard(tmp_path: Path) -> None:
    words = ["--out", "demo", "--steps", "2", "--trials", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "torch False, rnndsl False" in found.stdout
    assert "lstm" in found.stdout.split("Search for other cells")[1]
    made = {path.name for path in (tmp_path / "demo").rglob("*")}
    assert {"lstm.svg", "best.pt", "liblstm.so", "winner.rnn", "leaderboard.csv"} <= made
