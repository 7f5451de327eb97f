"""The TVM backend: cells as compiled kernels, in this process or as libraries of their own."""

from rnndsl.backends.tvm.export import Artifact as Artifact
from rnndsl.backends.tvm.export import compile_cell as compile_cell
