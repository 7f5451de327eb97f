"""Kernels for what is made of parameters alone: poles of a state space, positive rates.

There PyTorch would take many operations on small arrays, each of which costs microseconds
however small they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

from torch import Tensor

from rnndsl.backends.torch.by_dtype import ByDtype
from rnndsl.backends.torch.ownership import as_it_lies
from rnndsl.backends.torch.picking import pick
from rnndsl.backends.torch.refusing import refuse_others
from rnndsl.backends.torch.scratch import scratch_of
from rnndsl.backends.tvm.lower_names import PREPARED_OPS
from rnndsl.backends.tvm.signature import Signature
from rnndsl.backends.tvm.worker import Worker
from rnndsl.compiler.as_step import as_step, constant_results
from rnndsl.compiler.ir import Graph
from rnndsl.compiler.ops import node_flops
from rnndsl.compiler.split import split

# Operations that take as long as a call of a kernel.
_LEAST_OPERATIONS = 6
# Elements from which on PyTorch has several threads work on an operation.
_MOST_ELEMENTS = 1 << 15
# What a library does best.
_LIBRARY = PREPARED_OPS | {"contract"}

Make = Callable[[Sequence[Tensor | None], Tensor], tuple[Tensor, ...]]


def is_worth_a_kernel(graph: Graph) -> bool:
    """Whether a prepare graph has many operations, all on small arrays, and all of one kernel."""
    if any(node.op in _LIBRARY for node in graph.nodes) or constant_results(graph):
        return False
    kinds = [graph.type_of(value) for value in range(len(graph.leaves) + len(graph.nodes))]
    if any(prod(kind.sizes) >= _MOST_ELEMENTS for kind in kinds):
        return False
    computing = sum(node_flops(graph, node) > 0 for node in graph.nodes)
    return computing >= _LEAST_OPERATIONS


def compile_small(graph: Graph) -> Make:
    """A function like that of emit_shared; a kernel per dtype, made on first use.

    Leaves that the graph does not read may be None.
    """
    from rnndsl.backends.tvm.runtime import begin_worker

    count = len(graph.leaves)  # a result may be a leaf
    made = list(dict.fromkeys(r.value for r in graph.results if r.value >= count))
    results = pick(
        [r.value if r.value < count else count + made.index(r.value) for r in graph.results]
    )
    first = {result.value: result for result in reversed(graph.results)}
    step = as_step(replace(graph, results=tuple(first[value] for value in made)))
    names = [leaf.name for leaf in graph.leaves]
    leaves = pick([names.index(leaf.name) for leaf in step.leaves])
    plan = split(step)

    def begin(dtype: str) -> Callable[[], Make]:
        begun = begin_worker(plan, dtype)
        return lambda: _caller(*begun())

    kernel = ByDtype(begin)

    def make(params: Sequence[Tensor | None], like: Tensor) -> tuple[Tensor, ...]:
        return results((*params, *kernel(like)(leaves(params), like)))

    return make


def _caller(signature: Signature, worker: Worker) -> Make:
    """The kernel as a function of the parameters that it takes, on the thread that calls."""
    shapes = [stream.shape for stream in signature.outputs]
    expected = [stream.shape for stream in signature.inputs]
    names = [f"parameter `{stream.name}`" for stream in signature.inputs]
    elements = signature.workspace.elements(1, 1, 1)
    scratch = scratch_of(signature.dtype)

    def call(params: Sequence[Tensor | None], like: Tensor) -> tuple[Tensor, ...]:
        arrays = [as_it_lies(p) for p in params if p is not None]
        refuse_others(arrays, expected, like.dtype, names)
        made = tuple([like.new_empty(shape) for shape in shapes])
        work = scratch.take(elements)
        worker([array.data_ptr() for array in (*arrays, *made, work)] + [1, 1, work.numel(), 1], 1)
        scratch.give_back(work)
        return made

    return call
