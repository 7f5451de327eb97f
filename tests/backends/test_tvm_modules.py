"""The functions of a kernel are compiled in modules of their own, and do the same there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch

tvm = pytest.importorskip("tvm", reason="TVM is not installed")

import rnndsl
from rnndsl.backends.tvm import making
from rnndsl.backends.tvm import modules as modules_of
from rnndsl.backends.tvm.lower_kernel import Kernel, lower
from rnndsl.backends.tvm.modules import in_modules
from rnndsl.backends.tvm.options import Options, Passed
from rnndsl.backends.tvm.toolchain import has_linker
from rnndsl.cell import load
from rnndsl.compiler.lower import lower as lower_cell
from rnndsl.compiler.separate import separate
from rnndsl.compiler.sizes import bind_sizes
from rnndsl.compiler.split import split


def kernel(cell: str, parts: bool = True) -> Kernel:
    found = load(cell)
    graph = bind_sizes(lower_cell(found).graph, {"D": 5, "H": 9}, found.sources())
    options = Options(packed_weights=False, passing=Passed.TABLE, shared=True, in_modules=parts)
    return lower(split(separate(graph).step), options=options).without_entry()


def names(module: Mapping[Any, Any]) -> set[str]:
    return {str(getattr(name, "name_hint", name)) for name in module}


def test_every_function_is_in_one_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules_of, "_LEAST", 10)
    functions = kernel("hyperlstm").functions
    modules = in_modules(functions, 3)
    found = [name for module in modules for name in names(module)]
    assert sorted(found) == sorted(names(functions))
    assert len(modules) == 3


def test_the_kernel_is_in_the_first_of_modules_of_about_the_same_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(modules_of, "_LEAST", 10)
    first, *others = in_modules(kernel("hyperlstm").functions, 3)
    assert "sequence_worker" in names(first)
    assert len(others) == 2
    assert all(abs(len(other) - len(first)) <= 1 for other in others)


def test_few_functions_are_not_scattered() -> None:
    functions = kernel("lstm").functions
    (module,) = in_modules(functions, 16)
    assert names(module) == names(functions)


def test_a_kernel_made_for_one_module_is_not_scattered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules_of, "_LEAST", 1)
    functions = kernel("hyperlstm", parts=False).functions
    (module,) = in_modules(functions, 3)
    assert len(module) == len(functions) > 3


@pytest.mark.skipif(not has_linker(), reason="no C compiler")
def test_kernels_in_modules_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNDSL_CACHE", "off")
    monkeypatch.setattr(making, "_MANY_NODES", 0)
    monkeypatch.setattr(modules_of, "_LEAST", 5)
    x = torch.randn(5, 3, 5)

    def run() -> list[torch.Tensor]:
        torch.manual_seed(1)
        layer = rnndsl.layer("layernorm_lstm", 5, 9, backend="tvm")
        y, _ = layer(x)
        y.square().sum().backward()
        return [y.detach(), *(p.grad for p in layer.parameters() if p.grad is not None)]

    linked = run()
    monkeypatch.setattr(making, "has_linker", lambda: False)
    rnndsl.backends.torch.programs._runners.clear()
    in_memory = run()
    assert len(linked) == len(in_memory) > 1
    assert all(torch.equal(a, b) for a, b in zip(linked, in_memory, strict=True))
