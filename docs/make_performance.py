"""Writes docs/performance.md, and the page of each other kind of processor, from the records in
docs/performance/: python docs/make_performance.py

    python docs/make_performance.py --measure [GROUP ...]

first measures these groups (all of them, if none is named) with the commands below, for this kind
of processor; what a group's file has already is not measured again.  All of it takes about an
hour, on a machine that should do nothing else.  In pieces of 100 seconds, everything that is older than a time (UTC):

    until python docs/make_performance.py --measure --within 100 --since 2026-11-21T14:15; do :; done

It succeeds once nothing is left.  tests/bench/test_page.py fails when the page is not what this
script would write.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import performance_singles as singles
import performance_tables as tables
import records
from performance_text import (
    ANEW,
    CALLS,
    COMPILE,
    HEAD,
    LEAST,
    LENGTHS,
    LONGEST,
    MISSING,
    MODES,
    NOT_RUN,
    ROOFLINE,
    RUNS,
    TARGETS,
    TOKENS,
    TORCH_COMPILE,
    YOURS,
)

from rnndsl.bench.command import add_arguments, planned_cases
from rnndsl.bench.peers import choose
from rnndsl.bench.report import Case, Report, from_json
from rnndsl.bench.session import still_to_do
from rnndsl.bench.table import seconds_text

ROOT = records.DOCS.parent
CELLS = "lstm gru layernorm_lstm rhn nascell sru hyperlstm mlstm mingru"
STREAMED = " ".join(f"50,1,{size},{size}" for size in (32, 128, 256, 512))
PEERS = "--peers auto,eager,nn,jax,ort,ort_scan"
OFFLINE = "--infer --train --peers auto,eager,nn,jax"
# What is measured, as `rnndsl bench` takes it; each group has a file of its own.
GROUPS = {
    "small": f"lstm gru --infer --train {PEERS} --seconds 1 --shape 100,1,64,64 100,1,128,128",
    "library": f"{CELLS} --all {OFFLINE} --seconds 1 --shape 35,20,200,200 128,1,256,256",
    "middle": f"{CELLS} --all {OFFLINE} --seconds 1 --shape 100,32,256,256",
    "large": f"lstm gru layernorm_lstm {OFFLINE} --seconds 3 --shape 64,64,512,512",
    "stream": f"{CELLS} --all --stream {PEERS} --seconds 0.5 --shape 50,1,64,64",
    "widths": f"{CELLS} --stream {PEERS} --seconds 0.5 --shape {STREAMED}",
    # torch.compile keeps what it made on disk; docs/measure_torch_compile.py makes it.
    "compile": "lstm rhn layernorm_lstm sru --train --peers auto,compile,compile_cell --seconds 2"
    " --shape 35,20,200,200 --limit 90",
}
COMMON = "--threads 2 --resume --steady 10"
SCRIPTS = ("measure_compile", "measure_lengths", "measure_calls")
# The processor of docs/recurrences.md.
RECURRENCES = "avx512"
# Records of scripts, and what makes targets of them.
SINGLES: Mapping[str, Callable[[Any], Iterable[singles.Single]]] = {
    "compile_times": singles.of_compile_times,
    "lengths": singles.of_lengths,
    "memory": singles.of_peaks,
}


def measure(groups: Iterable[str], since: str, within: float) -> bool:
    """Run the commands, each in a process of its own; whether nothing is left of them.

    Scripts take their time as a whole, and are left out where there is a limit.
    """
    end = time.monotonic() + within
    for group in groups:
        rest = end - time.monotonic()
        if group not in GROUPS:
            if math.isinf(within):
                subprocess.run(
                    [sys.executable, records.DOCS / f"{group}.py"], check=False, cwd=ROOT
                )
            continue
        words = [*command(group), *(["--since", since] if since else [])]
        if (left := cases_left(words)) and rest > 0:
            print(f"{group}: {left} cases are left", flush=True)
            limit = [] if math.isinf(rest) else ["--within", f"{rest:.0f}"]
            whole = [sys.executable, "-m", "rnndsl", "bench", *words, *limit]
            subprocess.run(whole, check=False, cwd=ROOT)
            left = cases_left(words)
        if left:
            return False
    return True


def command(group: str) -> list[str]:
    """What `rnndsl bench` is given for a group."""
    file = str(records.folder_here() / f"{group}.json")
    return [*GROUPS[group].split(), *COMMON.split(), "--json", file]


def cases_left(words: Sequence[str]) -> int:
    """How many cases a command would measure, without those that turned out to be impossible."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(words)
    planned, report = planned_cases(args), Report((), {}, {})
    if args.json.exists():
        report = from_json(args.json.read_text(encoding="utf-8"))
    left = still_to_do(planned, report, choose(args.peers), math.inf, args.since)
    return sum(case.key not in report.failures for case in left)


def results(kind: str) -> dict[str, Report]:
    """The reports by group; groups that have not been measured are left out."""
    paths = {group: records.folder(kind) / f"{group}.json" for group in GROUPS}
    return {
        group: from_json(path.read_text(encoding="utf-8"))
        for group, path in paths.items()
        if path.exists()
    }


def page(kind: str) -> str:
    """The text of a kind of processor's page."""
    found = results(kind)
    rates = tables.best_rates(found.values())
    cases = [case for report in found.values() for case in report.cases]
    verdicts = tables.verdicts(cases, rates)
    compiled, long = records.read(kind, "compile_times"), records.read(kind, "lengths")
    known = ((find, records.read(kind, name)) for name, find in SINGLES.items())
    others = [one for find, kept in known if kept for one in find(kept)]
    if kind == RECURRENCES:
        others += singles.of_recurrences(
            (records.DOCS / "recurrences.md").read_text(encoding="utf-8")
        )
    met = sum(v.met_outright for v in verdicts) + sum(found.met for found in others)
    near = sum(v.met and not v.met_outright for v in verdicts)
    parts = [
        HEAD.format(
            machine=_machine(next(iter(found.values()))), others=_others(kind), rates=_rates(rates)
        ),
        TARGETS.format(met=met, near=near, count=len(verdicts) + len(others)),
        tables.targets(verdicts, others),
        ROOFLINE.format(kind=kind),
        *_tables(found, rates),
        *_compile_times(compiled),
        *_torch_compile(records.read(kind, "torch_compile")),
        *_calls(records.read(kind, "calls")),
        *_lengths(long, kind),
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


def _others(kind: str) -> str:
    pages = (f"[{k.upper()}]({path.name})" for k, path in records.PAGES.items() if k != kind)
    return ", ".join(pages)


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
    anew = all(entry.get("memory") == "new" for entry in found.values())
    yield COMPILE.format(later=ANEW if anew else "")
    header = ["cell", "cold", "cold, T = 100", "from disk", "imports what compiles"]
    yield tables.rows(
        header,
        (
            [
                cell,
                *(_of_rounds(entry, key) for key in ("cold", "cold_longer", "warm")),
                "yes" if entry["warm_imports_compiler"] else "no",
            ]
            for cell, entry in sorted(found.items())
        ),
    )


def _of_rounds(entry: Mapping[str, Any], key: str) -> str:
    """The median, and the least and the most of the rounds where there were several."""
    text = seconds_text(entry[key])
    if "rounds" not in entry:
        return text
    seconds = [found[key] for found in entry["rounds"]]
    return f"{text} ({seconds_text(min(seconds))} - {seconds_text(max(seconds))})"


def _torch_compile(found: Any) -> Iterable[str]:
    if found is None:
        return
    yield TORCH_COMPILE
    peers = ("compile_cell", "compile")
    body = ([cell, *(_seconds(by.get(peer, "")) for peer in peers)] for cell, by in found.items())
    yield tables.rows(["cell", *peers], body)


def _calls(found: Any) -> Iterable[str]:
    if found is None:
        return
    yield CALLS
    header = ["cell", "H", "mode", "ours", "its kernels", "nn", "nn / ours", "nn / kernels"]
    yield tables.rows(
        header,
        (
            [
                row["cell"],
                str(row["size"]),
                MODES[row["mode"]],
                *(seconds_text(row[name]) for name in ("ours", "kernels", "nn")),
                *(f"{row['nn'] / row[name]:.2f}" for name in ("ours", "kernels")),
            ]
            for row in found
        ),
    )


def _seconds(found: float | str) -> str:
    return found if isinstance(found, str) else seconds_text(found)


def _lengths(found: Any, kind: str) -> Iterable[str]:
    if found is None:
        return
    least = LEAST.format(again=found["again"]) if "again" in found else ""
    yield LENGTHS.format(batch=found["batch"], kind=kind, least=least)
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
    longest, tokens = found["longest"], found.get("tokens", [])
    yield LONGEST.format(limit=found["limit"] / 1e9, size=longest[0]["H"], batch=found["batch"])
    if tokens:
        yield TOKENS.format(budget=_mebibytes(tokens[1]["budget"]))
    yield tables.rows(
        ["", "bytes for each step", "longest T", "peak when tried", "by nn.LSTM's"],
        (
            [
                row["kind"],
                f"{row['bytes_per_step']:,.0f}" if "bytes_per_step" in row else "",
                f"{row['T']:,}",
                f"{row['peak'] / 1e9:.2f} GB",
                f"{row['T'] / longest[0]['T']:.2f}",
            ]
            for row in [*longest, *tokens]
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


def draw(kind: str) -> None:
    """The pictures of a page."""
    import performance_plots as plots

    found, place = results(kind), records.folder(kind)
    cases = [case for report in found.values() for case in report.cases]
    plots.roofline(cases, tables.best_rates(found.values()), place / "roofline.svg")
    if (measured := records.read(kind, "lengths")) is not None:
        plots.lengths(measured, place / "lengths.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    known = [*GROUPS, *SCRIPTS]
    parser.add_argument("--measure", nargs="*", metavar="GROUP", choices=known)
    parser.add_argument("--since", default="", metavar="TIME", help="measure again what is older")
    parser.add_argument("--within", type=float, default=math.inf, metavar="SECONDS")
    args = parser.parse_args()
    if args.measure is not None and not measure(args.measure or known, args.since, args.within):
        sys.exit("there is more to measure: the same command goes on")
    for kind, path in records.PAGES.items():
        path.write_text(page(kind), encoding="utf-8")
        draw(kind)


if __name__ == "__main__":
    main()
