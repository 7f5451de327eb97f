"""Training steps find the memory of the steps before them."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

pytest.importorskip("tvm")

STEPS = """
import resource
import torch, rnndsl
torch.set_num_threads(1)
layer = rnndsl.layer("s4d", 8, 200, backend="tvm")
x = torch.randn(35, 20, 8)
faults = []
for _ in range(12):
    layer(x)[0].sum().backward()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print((faults[-1] - faults[1]) // 10)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is known to learn")
def test_training_steps_do_not_ask_the_system_for_memory_again() -> None:
    # What a step saves for its gradients alone is 4.5 MB: 1,100 pages.
    ran = subprocess.run(
        [sys.executable, "-c", STEPS], capture_output=True, text=True, check=True, timeout=300
    )
    assert int(ran.stdout) < 200
