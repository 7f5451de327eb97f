"""Measures what torch.compile takes to compile a cell: python docs/measure_torch_compile.py

writes torch_compile.json (see records.py): processor time of the first training step beyond the
second one (T = 35, B = 20, D = H = 200, forward and backward, compilers that it starts included),
each in a process of its own that compiles on one thread and finds nothing compiled yet.

    python docs/measure_torch_compile.py --keep FOLDER [--cells lstm,sru] [--peers compile]

keeps what was compiled: with TORCHINDUCTOR_CACHE_DIR=FOLDER, `rnndsl bench` finds it there.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile

from again import run_again
from records import read_here, write_here

CELLS = "lstm,sru,layernorm_lstm,rhn"
PEERS = "compile_cell,compile"
SHAPE = "35,20,200,200"


def in_this_process(name: str, peer: str) -> float:
    """Seconds of processor time."""
    import torch

    from rnndsl.bench.cases import parse_shape
    from rnndsl.bench.peers import PEERS as KNOWN
    from rnndsl.bench.problem import make_problem
    from rnndsl.cell import load

    torch.set_num_threads(2)  # what is compiled is for as many
    subject = KNOWN[peer].subject(make_problem(load(name), parse_shape(SHAPE), "train", {}))
    spent = []
    for _ in range(2):
        before = _processor_time()
        subject.run()
        spent.append(_processor_time() - before)
    return spent[0] - spent[1]


def _processor_time() -> float:
    """Of this process and of those that it started and that have ended."""
    both = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def elsewhere(name: str, peer: str, folder: str, limit: float) -> float | str:
    """The same in a process of its own; in words, if it did not come to its end."""
    here = {"TORCHINDUCTOR_CACHE_DIR": folder, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    try:
        done = run_again(__file__, "--one", name, peer, timeout=limit, **here)
    except subprocess.TimeoutExpired:
        return f"not ready after {limit:g} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it failed"])[-1][:200]
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cells", default=CELLS)
    parser.add_argument("--peers", default=PEERS)
    parser.add_argument("--keep", metavar="FOLDER")
    parser.add_argument("--limit", type=float, default=1800.0, metavar="SECONDS")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(in_this_process(*args.one))
        return
    found = read_here("torch_compile") or {}
    for peer in args.peers.split(","):
        for name in args.cells.split(","):
            with tempfile.TemporaryDirectory() as scratch:
                folder = args.keep or scratch
                found.setdefault(name, {})[peer] = elsewhere(name, peer, folder, args.limit)
            print(name, peer, found[name][peer], flush=True)
            write_here("torch_compile", found)


if __name__ == "__main__":
    main()
