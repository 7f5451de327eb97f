"""The backend ``auto``: TVM for tensors in main memory, PyTorch everywhere else.

It is decided at each call by the tensors themselves, so a layer can be moved to another device
or dtype and back.  Whatever TVM should compile and cannot is an error, never a reason to take
PyTorch instead.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib.util import find_spec

from torch import Tensor

from rnndsl.backends.torch.by_dtype import DTYPES

_MISSING = (
    "apache-tvm is not installed, so cells run as PyTorch code, which is slower on the CPU; "
    "pip install 'rnndsl[tvm]', or say backend=\"torch\" to be rid of this line"
)
_log = logging.getLogger("rnndsl")


def resolve(backend: str, like: Tensor) -> str:
    """Who runs a plan of that backend on such tensors: "tvm" or "torch"."""
    return backend_for(like) if backend == "auto" else backend


def backend_for(like: Tensor) -> str:
    """Who runs a plan on such tensors under "auto"."""
    if not like.is_cpu or like.dtype not in DTYPES:
        return "torch"
    return "tvm" if tvm_is_installed() else "torch"


@lru_cache(maxsize=1)
def tvm_is_installed() -> bool:
    """Whether there is TVM; where there is not, the log says so once per process."""
    if find_spec("tvm") is not None:
        return True
    _log.warning(_MISSING)
    return False
