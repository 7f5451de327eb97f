"""Options and fixtures that all tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# Kernels are kept between runs of the tests, beside what pytest keeps, not among the user's own.
_KERNELS = Path(__file__).resolve().parents[1] / ".pytest_cache" / "rnndsl"
os.environ.setdefault("RNNDSL_CACHE", str(_KERNELS))

# A shell that runs the tests in the background lets them ignore Ctrl-C, and so would the programs
# that they start in order to interrupt them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the expected part of golden files"
    )
    parser.addoption(
        "--every-cell", action="store_true", help="compile every random cell with TVM, not some"
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten rather than compared."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture
def every_cell(request: pytest.FixtureRequest) -> bool:
    """Whether TVM is to compile every random cell."""
    return bool(request.config.getoption("--every-cell"))
