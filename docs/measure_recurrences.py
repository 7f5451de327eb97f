"""Measures the forms of linear recurrences: PYTHONPATH=. python docs/measure_recurrences.py

Each form of ours on each backend, beside public PyTorch implementations where those are
installed (pip install minGRU-pytorch accelerated-scan fla-core einops mlstm_kernels).  All run
in turns in one process, on one thread, on the same weights; outputs are compared before
anything is timed.  Times are processor time of the process, medians over rounds, in ms.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TVM_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import rnndsl

FORMS = ("steps", "chunked", "convolution")
# Cells, with their sizes H and numbers.
CASES: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("mingru", 64, {}),
    ("aft", 64, {}),
    ("s4d", 64, {}),
    ("linear_attention", 64, {}),
    ("gated_linear_attention", 64, {}),
    ("mlstm", 64, {}),
    ("deltanet", 64, {}),
)
AGREE = 2e-3  # of the largest output, in float32
SLOW = 8.0  # seconds: what takes longer is run once
Weights = dict[str, Tensor]
Peer = Callable[[Tensor, Weights], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--steps", type=int, default=16384, metavar="T")
    parser.add_argument("--batch", type=int, default=1, metavar="B")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cells", help="names with commas (default: all)")
    parser.add_argument("--skip", default="", help="leave out what has such a text in its name; |")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    chosen = args.cells.split(",") if args.cells else [name for name, _, _ in CASES]
    rows = []
    for name, hidden, numbers in CASES:
        if name in chosen:
            found = measure(name, hidden, numbers, args.steps, args.batch, args.rounds, args.skip)
            rows += found
            print(table(found), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measure(
    name: str,
    hidden: int,
    numbers: dict[str, Any],
    steps: int,
    batch: int,
    rounds: int,
    skip: str = "",
) -> list[dict[str, Any]]:
    """One row for each implementation of a cell."""
    torch.manual_seed(0)
    first = rnndsl.layer(name, hidden, hidden, backend="torch", form="steps", **numbers)
    x = torch.randn(steps, batch, hidden)
    runs: dict[str, Callable[[Tensor], Tensor]] = {}
    for backend in ("torch", "tvm"):
        for form in (*FORMS, "auto"):
            try:
                made = rnndsl.layer(name, hidden, hidden, backend=backend, form=form, **numbers)
            except rnndsl.RnndslError:
                continue
            made.load_state_dict(first.state_dict())
            runs[f"ours, {backend}, {form}"] = partial(_output, made)
    weights = {s.name: first.first.tensor(s.name) for s in first.first.specs}
    for label, peer in peers(name):
        runs[label] = partial(_output_of_peer, peer, weights)
    skipped = [text for text in skip.split("|") if text]
    runs = {label: run for label, run in runs.items() if not any(t in label for t in skipped)}
    runs = {label: run for label, run in runs.items() if agrees(label, run, first, x[:256])}
    modes = {"inference": forward, "training": train}
    times: dict[str, dict[str, list[float]]] = {label: {m: [] for m in modes} for label in runs}
    for mode, call in modes.items():
        slow = set()
        for turn in range(rounds + 1):
            for label, run in runs.items():
                if label in slow:
                    continue
                start = time.process_time()
                try:
                    call(run, x)
                except (RuntimeError, NotImplementedError) as error:
                    print(f"{name}: {label} does not do {mode}: {str(error).splitlines()[0][:90]}")
                    slow.add(label)
                    continue
                spent = time.process_time() - start
                if turn or spent > 4 * SLOW:  # the first turn compiles
                    times[label][mode].append(1e3 * spent)
                if spent > (SLOW if turn else 4 * SLOW):
                    slow.add(label)
    return [
        {"cell": name, "T": steps, "B": batch, "H": hidden, "what": label}
        | {mode: statistics.median(t) if t else None for mode, t in found.items()}
        for label, found in times.items()
    ]


def forward(run: Callable[[Tensor], Tensor], x: Tensor) -> None:
    with torch.no_grad():
        run(x)


def _output(layer: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = layer(x)[0]
    return found


def _output_of_peer(peer: Peer, weights: Weights, x: Tensor) -> Tensor:
    return peer(x, weights)


def train(run: Callable[[Tensor], Tensor], x: Tensor) -> None:
    torch.autograd.backward(run(x.detach().requires_grad_()).sum())


def agrees(label: str, run: Callable[[Tensor], Tensor], first: Any, x: Tensor) -> bool:
    """Whether it computes what steps compute; a peer that does not is left out, aloud."""
    with torch.no_grad():
        wanted = first(x)[0]
        try:
            found = run(x)
        except (RuntimeError, NotImplementedError, ImportError) as error:
            print(f"{label} does not run: {str(error).splitlines()[0][:90]}")
            return False
    off = float((found - wanted).abs().max() / wanted.abs().max())
    if off > AGREE:
        print(f"{label} is left out: off by {off:.1e}")
    return off <= AGREE


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown; times in ms, and as a multiple of the form chosen on TVM."""
    chosen = next((r for r in rows if r["what"] == "ours, tvm, auto"), rows[0])
    lines = [f"| {rows[0]['cell']}, H = {rows[0]['H']} | inference | training |", "|---|---|---|"]
    for row in rows:
        cells = []
        for mode in ("inference", "training"):
            spent, best = row[mode], chosen[mode]
            cells.append(f"{spent:,.1f} ({spent / best:.2f})" if spent and best else "")
        lines.append(f"| {row['what']} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------ peers


def peers(cell: str) -> Iterator[tuple[str, Peer]]:
    """Public implementations of a cell's recurrence, with the cell's own projections."""
    for name, label, package, peer in PEERS:
        if name == cell and (package == "torch" or importlib.util.find_spec(package)):
            yield label, peer


def alone(package: str, path: str) -> Any:
    """One file of a package, without the package: some need a GPU's compiler to be imported."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    place = Path(spec.submodule_search_locations[0]) / path
    found = importlib.util.spec_from_file_location(f"alone_{place.stem}", place)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@contextmanager
def quiet() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _mingru_parts(x: Tensor, w: Weights) -> tuple[Tensor, Tensor]:
    z, u = F.linear(x, w["z.x.weight"]), F.linear(x, w["u.x.weight"])
    z, n = z.sigmoid(), torch.where(u >= 0, u + 0.5, u.sigmoid())
    return 1 - z, z * n


def mingru_heinsen(x: Tensor, w: Weights) -> Tensor:
    module = importlib.import_module("minGRU_pytorch.minGRU")
    u, z = F.linear(x, w["u.x.weight"]), F.linear(x, w["z.x.weight"])
    logs = -F.softplus(-z) + module.log_g(u)
    found: Tensor = module.heinsen_associative_scan_log(
        -F.softplus(z).transpose(0, 1), logs.transpose(0, 1)
    )
    return found.transpose(0, 1)


def mingru_tree(x: Tensor, w: Weights) -> Tensor:
    module = importlib.import_module("accelerated_scan.ref")
    a, b = (t.permute(1, 2, 0).contiguous() for t in _mingru_parts(x, w))
    found: Tensor = module.scan(a, b)
    return found.permute(2, 0, 1)


def mingru_associative(x: Tensor, w: Weights) -> Tensor:
    module = importlib.import_module("torch._higher_order_ops.associative_scan")

    def combine(left: Any, right: Any) -> Any:
        return left[0] * right[0], right[0] * left[1] + right[1]

    with quiet():
        found: list[Tensor] = module.associative_scan(
            combine, _mingru_parts(x, w), 0, combine_mode="generic"
        )
    return found[1]


def _qkv(x: Tensor, w: Weights, heads: int = 1) -> list[Tensor]:
    """[B, T, heads, d]."""
    rows = [F.linear(x, w[f"{n}.x.weight"], w.get(f"{n}.bias")) for n in "qkv"]
    return [row.transpose(0, 1).reshape(*row.shape[1::-1], heads, -1) for row in rows]


def linear_attention_naive(which: str) -> Peer:
    def run(x: Tensor, w: Weights) -> Tensor:
        module = alone("fla", "ops/linear_attn/naive.py")
        q, k, v = _qkv(x, w)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        found = getattr(module, which)(q, k, v, scale=1.0, normalize=True)
        y: Tensor = found[0] if isinstance(found, tuple) else found
        return y.flatten(2).transpose(0, 1)

    return run


def gla_naive(x: Tensor, w: Weights) -> Tensor:
    module = alone("fla", "ops/gla/naive.py")
    q, k, v = _qkv(x, w)
    low = F.linear(x, w["low.x.weight"])
    g = F.logsigmoid(F.linear(low, w["f.low.weight"], w["f.bias"])) / 16
    found: list[Tensor] = module.naive_recurrent_gla(q, k, v, g.transpose(0, 1).unsqueeze(2))
    return found[0].flatten(2).transpose(0, 1)


def delta_naive(which: str) -> Peer:
    def run(x: Tensor, w: Weights) -> Tensor:
        module = alone("fla", "ops/delta_rule/naive.py")
        q, k, v = (t.transpose(1, 2) for t in _qkv(x, w))  # [B, heads, T, d]
        q, k = (F.normalize(F.silu(t), dim=-1) for t in (q, k))
        beta = F.linear(x, w["b.x.weight"]).sigmoid().permute(1, 2, 0)
        found = getattr(module, which)(q * q.shape[-1] ** 0.5, k, v, beta)
        y: Tensor = found[0] if isinstance(found, tuple) else found
        return y.transpose(1, 2).flatten(2).transpose(0, 1)

    return run


def mlstm_native(which: str) -> Peer:
    def run(x: Tensor, w: Weights) -> Tensor:
        module = importlib.import_module("mlstm_kernels.torch.chunkwise.native")
        rows = [F.linear(x, w[f"{n}.x.weight"], w[f"{n}.bias"]) for n in "qkv"]
        qkv = torch.cat(rows, -1)
        i, f = (F.linear(qkv, w[f"{n}.qkv.weight"], w[f"{n}.bias"]).permute(1, 2, 0) for n in "if")
        q, k, v = (t.transpose(0, 1).unsqueeze(1).contiguous() for t in rows)
        found = getattr(module, which)(q, k, v, i.contiguous(), f.contiguous(), chunk_size=64)
        made = F.layer_norm(found[:, 0].transpose(0, 1), (q.shape[-1],))
        return made * w["y.gamma"].flatten()

    return run


def s4d_convolution(x: Tensor, w: Weights) -> Tensor:
    """The usual way of such layers: one kernel for all memories of a channel, and an FFT."""
    steps = len(x)
    u = F.linear(x, w["u.x.weight"], w["u.bias"])
    a = -w["pole"].exp()
    rate = w["step"].exp()[:, None] * a
    weight = w["C"] * (rate.exp() - 1) / a
    powers = (rate[..., None] * torch.arange(steps)).exp()
    kernel = torch.einsum("hn,hnt->th", weight, powers)
    size = 2 * steps
    hat = torch.fft.rfft(kernel, size, dim=0)[:, None] * torch.fft.rfft(u, size, dim=0)
    y: Tensor = torch.fft.irfft(hat, size, dim=0)[:steps]
    return y + w["skip"] * u


PEERS: tuple[tuple[str, str, str, Peer], ...] = (
    ("mingru", "minGRU-pytorch 0.2, logcumsumexp", "minGRU_pytorch", mingru_heinsen),
    ("mingru", "accelerated-scan 0.3, reference", "accelerated_scan", mingru_tree),
    ("mingru", "torch associative_scan, generic", "torch", mingru_associative),
    (
        "linear_attention",
        "fla-core 0.6, naive recurrent",
        "fla",
        linear_attention_naive("naive_recurrent_linear_attn"),
    ),
    (
        "linear_attention",
        "fla-core 0.6, naive chunk",
        "fla",
        linear_attention_naive("naive_chunk_linear_attn"),
    ),
    ("gated_linear_attention", "fla-core 0.6, naive recurrent", "fla", gla_naive),
    (
        "mlstm",
        "mlstm_kernels 2.0, chunkwise native",
        "mlstm_kernels",
        mlstm_native("mlstm_chunkwise__native_autograd"),
    ),
    (
        "mlstm",
        "mlstm_kernels 2.0, chunkwise native, own backward",
        "mlstm_kernels",
        mlstm_native("mlstm_chunkwise__native_custbw"),
    ),
    ("deltanet", "fla-core 0.6, naive recurrent", "fla", delta_naive("delta_rule_recurrence")),
    ("deltanet", "fla-core 0.6, chunkwise", "fla", delta_naive("delta_rule_chunkwise")),
    ("s4d", "FFT of one kernel per channel, in PyTorch", "torch", s4d_convolution),
)


if __name__ == "__main__":
    main()
