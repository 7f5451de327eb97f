"""Everyone who can be measured, as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rnndsl.diagnostics import RnndslError, did_you_mean
from rnndsl.errors_bench import UnknownPeer

if TYPE_CHECKING:
    from rnndsl.bench.problem import Problem
    from rnndsl.bench.subject import Subject


@dataclass(frozen=True, slots=True)
class Peer:
    """``prepare`` makes the subject of a problem; ``why_not`` says why there can be none, or
    nothing.  Both are ``module:function``, imported when first needed; ``package`` must be
    installed.  ``ours`` are the implementations that the others are compared with."""

    name: str
    doc: str
    package: str
    prepare: str
    why_not: str = ""
    ours: bool = False

    def missing(self, problem: Problem) -> str:
        """Why this peer cannot take part; empty if it can."""
        if find_spec(self.package) is None:
            return f"{self.package} is not installed"
        return _load(self.why_not)(problem) if self.why_not else ""

    def subject(self, problem: Problem) -> Subject:
        made: Subject = _load(self.prepare)(problem)
        return made


def _load(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(f"rnndsl.bench.{module}"), name)
    return found


PEERS = {
    peer.name: peer
    for peer in (
        Peer("auto", "ours, as layers are by default", "torch", "ours:prepare_auto", ours=True),
        Peer("torch", "ours, on PyTorch", "torch", "ours:prepare_torch", ours=True),
        Peer("tvm", "ours, on TVM", "tvm", "ours:prepare_tvm", ours=True),
        Peer("eager", "the cell as a loop of PyTorch operations", "torch", "eager:prepare_eager"),
        Peer(
            "hoisted",
            "eager, with what does not recur done before the loop",
            "torch",
            "eager:prepare_hoisted",
            "eager:why_not_hoisted",
        ),
        Peer(
            "compile",
            "torch.compile of the whole loop; slow to compile",
            "torch",
            "compiled:prepare",
            "compiled:why_not",
        ),
        Peer(
            "compile_cell",
            "the loop over torch.compile of a step",
            "torch",
            "compiled:prepare_cell",
            "compiled:why_no_cell",
        ),
        Peer(
            "nn",
            "nn.LSTM, nn.GRU or nn.RNN; their cells when streaming",
            "torch",
            "torch_nn:prepare",
            "torch_nn:why_not",
        ),
        Peer("jax", "lax.scan and jit of JAX", "jax", "jax_scan:prepare"),
        Peer(
            "ort",
            "the LSTM, GRU or RNN of ONNX Runtime",
            "onnxruntime",
            "ort:prepare",
            "ort:why_not",
        ),
        Peer(
            "ort_scan",
            "the cell's ops in a Scan of ONNX Runtime; bare when streaming",
            "onnxruntime",
            "ort_scan:prepare",
            "ort_scan:why_not",
        ),
    )
}

OURS = "auto"
DEFAULT_PEERS = ("eager", "nn")


def choose(names: str | None) -> tuple[Peer, ...]:
    """The peers of a list with commas, in the table's order, with ``auto`` if none of ours is named.

    RnndslError (E0902) for a name that is not in the table.
    """
    wanted = {n.strip() for n in names.split(",")} - {""} if names else set(DEFAULT_PEERS)
    for name in sorted(wanted - set(PEERS)):
        known, close = ", ".join(PEERS), did_you_mean(name, PEERS)
        raise RnndslError(UnknownPeer(None, name, known, close))
    ours = {peer.name for peer in PEERS.values() if peer.ours}
    if not wanted & ours:
        wanted.add(OURS)
    return tuple(peer for peer in PEERS.values() if peer.name in wanted)
