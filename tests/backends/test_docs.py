"""docs/layers.md, memory.md and deployment.md: their programs run, their scripts work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
needs_tvm = pytest.mark.skipif(find_spec("tvm") is None, reason="TVM is not installed")


@pytest.mark.parametrize("name", ["layers", "memory", pytest.param("deployment", marks=needs_tvm)])
def test_python_runs(name: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    subprocess.run(command, check=True, cwd=tmp_path, env=here, capture_output=True)


@pytest.mark.parametrize("name", ["layers", "deployment"])
def test_every_link_leads_somewhere(name: str) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page):
        assert (ROOT / "docs" / target).exists(), target


def test_the_soak_test_finds_nothing_in_a_short_run() -> None:
    command = [sys.executable, "docs/soak.py", "--steps", "40", "--backend", "torch"]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(command, check=True, cwd=ROOT, env=here, capture_output=True, text=True)
    assert "40 steps in two threads" in found.stdout
    assert "same problems: equal" in found.stdout
