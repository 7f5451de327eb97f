"""Writes docs/performance.md from the results in docs/performance/: python docs/make_performance.py

    python docs/make_performance.py --measure [GROUP ...]

first measures these groups (all of them, if none is named) with the commands below; what a group's
file has already is not measured again.  All of it takes about half an hour, on a machine that
should do nothing else.  tests/bench/test_page.py fails when the page is not what this script would write.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import performance_tables as tables
from performance_text import (
    COMPILE,
    HEAD,
    LENGTHS,
    LONGEST,
    MISSING,
    NOT_RUN,
    ROOFLINE,
    RUNS,
    TARGETS,
    YOURS,
)

from rnndsl.bench.report import Case, Report, from_json
from rnndsl.bench.table import seconds_text

DOCS = Path(__file__).parent
RESULTS, PAGE = DOCS / "performance", DOCS / "performance.md"

CELLS = "lstm gru layernorm_lstm rhn nascell sru hyperlstm mlstm mingru"
STREAMED = " ".join(f"50,1,{size},{size}" for size in (32, 64, 128, 256, 512))
PEERS = "--peers auto,eager,nn,jax,ort,ort_scan"
# What is measured, as `rnndsl bench` takes it; each group has a file of its own.
GROUPS = {
    "library": f"{CELLS} --infer --train --peers auto,eager,nn,jax --seconds 1"
    " --shape 35,20,200,200 100,32,256,256 128,1,256,256",
    "large": "lstm gru layernorm_lstm --infer --train --peers auto,eager,nn,jax --seconds 3"
    " --shape 64,64,512,512",
    "small": f"lstm gru --infer --train {PEERS} --seconds 1 --shape 100,1,64,64 100,1,128,128",
    "stream": f"{CELLS} --stream {PEERS} --seconds 0.5 --shape {STREAMED}",
    "compile": "layernorm_lstm gru --train --peers auto,compile,compile_cell --seconds 2"
    " --shape 35,20,200,200",
}
COMMON = "--threads 2 --resume --steady 10"
SCRIPTS = ("measure_compile", "measure_lengths")


def measure(groups: Iterable[str]) -> None:
    """Run the commands, each in a process of its own."""
    RESULTS.mkdir(exist_ok=True)
    for group in groups:
        if group in GROUPS:
            options = [*GROUPS[group].split(), *COMMON.split()]
            words = ["-m", "rnndsl", "bench", *options, "--json", str(RESULTS / f"{group}.json")]
        else:
            words = [str(DOCS / f"{group}.py")]
        subprocess.run([sys.executable, *words], check=False, cwd=DOCS.parent)


def results() -> dict[str, Report]:
    """The reports by group; groups that have not been measured are left out."""
    paths = {group: RESULTS / f"{group}.json" for group in GROUPS}
    return {
        group: from_json(path.read_text(encoding="utf-8"))
        for group, path in paths.items()
        if path.exists()
    }


def record(name: str) -> Any:
    """What a script recorded, or None."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def page() -> str:
    """The text of docs/performance.md."""
    found = results()
    rates = tables.best_rates(found.values())
    cases = [case for report in found.values() for case in report.cases]
    verdicts = tables.verdicts(cases, rates)
    compiled, long = record("compile_times"), record("lengths")
    others = [
        *(tables.of_compile_times(compiled) if compiled else ()),
        *(tables.of_lengths(long) if long else ()),
    ]
    met = sum(v.met_outright for v in verdicts) + sum(found.met for found in others)
    near = sum(v.met and not v.met_outright for v in verdicts)
    parts = [
        HEAD.format(machine=_machine(next(iter(found.values()))), rates=_rates(rates)),
        TARGETS.format(met=met, near=near, count=len(verdicts) + len(others)),
        tables.targets(verdicts, others),
        ROOFLINE,
        *_tables(found, rates),
        *_compile_times(compiled),
        *_lengths(long),
        MISSING,
        tables.left_out(found),
        *(NOT_RUN.format(options=GROUPS[group]) for group in GROUPS if group not in found),
        YOURS,
        RUNS,
        _runs(found),
    ]
    return "\n".join(part for part in parts if part)


def _machine(report: Report) -> str:
    machine = report.machine
    versions = ", ".join(f"{name} {text}" for name, text in machine["versions"].items())
    return (
        f"The machine: {machine['cpu']}, {machine['cores']} cores,\n"
        f"{machine['system']};\n{versions}.\nThreads: {machine['threads']}, for everyone."
    )


def _rates(rates: Any) -> str:
    return f"{rates.flops / 1e9:.0f} GFLOP/s and {rates.bytes / 1e9:.0f} GB/s"


def _tables(found: dict[str, Report], rates: Any) -> Iterable[str]:
    for report in found.values():
        for heading, cases in tables.by_shape(report.cases):
            yield f"## {heading}\n"
            yield tables.times(cases, rates)


def _compile_times(found: Any) -> Iterable[str]:
    if found is None:
        return
    yield COMPILE
    header = ["cell", "cold", "cold, T = 100", "from disk", "imports what compiles"]
    yield tables.rows(
        header,
        (
            [
                cell,
                *(seconds_text(entry[key]) for key in ("cold", "cold_longer", "warm")),
                "yes" if entry["warm_imports_compiler"] else "no",
            ]
            for cell, entry in sorted(found.items())
        ),
    )


def _lengths(found: Any) -> Iterable[str]:
    if found is None:
        return
    yield LENGTHS.format(batch=found["batch"])
    header = ["T", "nn.LSTM", "ours", "ours, budget", "the budget", "time / nn.LSTM", "with budget"]
    body = []
    by_steps: dict[int, dict[str, Any]] = {}
    for row in found["curves"]:
        by_steps.setdefault(row["T"], {})[row["kind"]] = row
    for steps, kinds in by_steps.items():
        plain = kinds["nn"]["seconds"]
        rows = [kinds[kind] for kind in ("nn", "ours", "ours, budget")]
        body.append(
            [
                str(steps),
                *(_mebibytes(row["bytes"]) for row in rows),
                _mebibytes(rows[2]["budget"]),
                *(f"{row['seconds'] / plain:.2f}" for row in rows[1:]),
            ]
        )
    yield tables.rows(header, body)
    longest = found["longest"]
    yield LONGEST.format(limit=found["limit"] / 1e9, size=longest[0]["H"], batch=found["batch"])
    yield tables.rows(
        ["", "bytes for each step", "longest T", "peak when tried", "by nn.LSTM's"],
        (
            [
                row["kind"],
                f"{row['bytes_per_step']:,.0f}",
                f"{row['T']:,}",
                f"{row['peak'] / 1e9:.2f} GB",
                f"{row['T'] / longest[0]['T']:.2f}",
            ]
            for row in longest
        ),
    )


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def _runs(found: dict[str, Report]) -> str:
    body = []
    for report in found.values():
        matrix, memory = report.rates["flops"] / 1e9, report.rates["bytes"] / 1e9
        rates = f"{matrix:.0f} GFLOP/s, {memory:.0f} GB/s"
        for command in report.commands:
            body.append([f"`{command}`", _span(report.cases), _loads(report.cases), rates])
    return tables.rows(["command", "when", "load", "matrix product, memory"], body)


def _span(cases: Sequence[Case]) -> str:
    begun = sorted(case.started for case in cases)
    return f"{begun[0][:16]} to {begun[-1][11:16]}" if begun else ""


def _loads(cases: Sequence[Case]) -> str:
    loads = [case.load for case in cases if case.load is not None]
    return f"{min(loads):.1f} to {max(loads):.1f}" if loads else ""


def draw() -> None:
    """The pictures beside the page."""
    import performance_plots as plots

    found = results()
    cases = [case for report in found.values() for case in report.cases]
    plots.roofline(cases, tables.best_rates(found.values()), RESULTS / "roofline.svg")
    if (measured := record("lengths")) is not None:
        plots.lengths(measured, RESULTS / "lengths.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    known = [*GROUPS, *SCRIPTS]
    parser.add_argument("--measure", nargs="*", metavar="GROUP", choices=known)
    wanted = parser.parse_args().measure
    if wanted is not None:
        measure(wanted or known)
    PAGE.write_text(page(), encoding="utf-8")
    draw()


if __name__ == "__main__":
    main()
