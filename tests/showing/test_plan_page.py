"""The page of a plan: recorded texts, and that what it says is what is run."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from rnndsl.backends.tvm.arranging import arrange
from rnndsl.backends.tvm.groups import groups_of, work_of
from rnndsl.backends.tvm.schedule import StepKind
from rnndsl.cell import list_cells, load
from rnndsl.cli import main
from rnndsl.compiler.cost import FAR, NEAR, TYPICAL, Bound, Rates, StageWork, Work, predict
from rnndsl.compiler.ir import Node
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.selection import Selection
from rnndsl.showing import machine
from rnndsl.showing.case import Case
from rnndsl.showing.setting import Setting
from rnndsl.showing.show import show

ROOT = Path(__file__).parents[2]
TIME = re.compile(r"\d[\d.,]* (ms|us|s)\b(, \d+%)?")
PLANS = Path(__file__).parent / "plans"
RECORDED = {"gru": {}, "elman": {}, "sru": {}, "rhn": {"depth": 2}}


@pytest.mark.parametrize("name", RECORDED)
def test_a_page_is_as_recorded(name: str, update_golden: bool) -> None:
    text = show(load(name), "plan", RECORDED[name], {"D": 64, "H": 128})
    path = PLANS / f"{name}.txt"
    if update_golden:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_every_recorded_page_has_its_cell() -> None:
    assert {path.stem for path in PLANS.glob("*.txt")} == RECORDED.keys()


@pytest.mark.parametrize("name", list_cells())
def test_every_value_runs_in_one_loop_and_every_loop_says_why_it_ends(name: str) -> None:
    case = Case(load(name), {}, Selection()).bound
    for plan in (case.forward_plan(True), case.backward_plan()):
        arranged = arrange(plan)
        groups = groups_of(arranged)
        values = [v for stage in groups for group in stage for v in group.values]
        steps = [
            step
            for stage in arranged.schedule.stages
            for step in (*stage.steps, *stage.sums)
            if step.kind is not StepKind.KEEP
        ]
        assert sorted(v for step in steps for v in step.values) == sorted(
            v for v in values if v not in _kept(arranged)
        )
        assert all(group.ends for stage in groups for group in stage)
        total = sum(loop.flops for stage in work_of(arranged) for loop in stage.loops)
        graph = arranged.plan.graph
        counted = 0
        for value in {v for step in steps for v in step.values}:
            node = graph.definition(value)
            if isinstance(node, Node):
                types = [graph.type_of(v) for v in node.operands]
                counted += OPS[node.op].flops(types, node.type, dict(node.attrs))
        assert total == counted


def _kept(arranged) -> set[int]:  # type: ignore[no-untyped-def]
    return {
        v
        for stage in arranged.schedule.stages
        for step in stage.steps
        if step.kind is StepKind.KEEP
        for v in step.values
    }


@pytest.mark.skipif(find_spec("tvm") is None, reason="TVM is not installed")
def test_the_kernel_is_made_of_the_loops_of_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    from rnndsl.backends.tvm import lower_kernel, lower_steps

    plan = Case(load("gru"), {}, Selection()).bound.forward_plan(True)
    lowered = []
    original = lower_steps.lower_step

    def watched(values, step, *rest):  # type: ignore[no-untyped-def]
        lowered.append(step.values)
        return original(values, step, *rest)

    monkeypatch.setattr(lower_kernel, "lower_step", watched)
    lower_kernel.lower(plan)
    shown = [group.values for stage in groups_of(arrange(plan)) for group in stage]
    assert [values for values in lowered if values in shown] == shown


def test_a_page_says_what_is_saved_and_what_is_made_again() -> None:
    text = show(load("gru"), "plan", sizes={"D": 8, "H": 8})
    saved, again = text.split("saved: ")[1].split("made again")
    assert "sigmoid costs more than its stream" in saved
    assert "there anyway: it is the output y" in saved
    assert "sub" in again and "costs less than its stream" in again
    assert "ends: h' is h of the next step: the product %" in text
    assert "not linear, mixes elements" in text


def test_the_page_in_the_documentation_is_one_that_is_printed() -> None:
    document = (ROOT / "docs" / "plan.md").read_text(encoding="utf-8")
    excerpt = re.findall(r"^```\n(saved.*?)^```", document, re.MULTILINE | re.DOTALL)
    printed = show(load("lstm"), "plan", sizes={"D": 200, "H": 200})
    lines = [TIME.sub("time", line) for line in printed.splitlines()]
    for line in excerpt[0].splitlines():
        assert line.strip() == "..." or TIME.sub("time", line) in lines


@pytest.mark.parametrize("name", ["mlstm", "gated_linear_attention"])
def test_the_page_of_a_cell_that_trains_in_blocks_shows_a_block(name: str) -> None:
    sizes = {"D": 64, "H": 64}
    text = show(load(name), "plan", sizes=sizes, setting=Setting(steps=67, batch=2))
    found = Case(load(name), sizes, Selection()).blocks
    assert found is not None
    form, _ = found
    count, rest = divmod(67, form.length)
    assert f"trains in blocks of {form.length} time steps" in text
    assert f"{count} here, and {rest} time steps left" in text
    assert "per example and block" in text
    assert "last block first" in text
    short = show(load(name), "plan", sizes=sizes, setting=Setting(steps=form.length - 1, batch=2))
    assert "blocks" not in short.splitlines()[3]


def test_every_operand_on_a_page_is_defined_there() -> None:
    for name in ("lstm", "gru", "mlstm"):
        pages = show(load(name), "plan", sizes={"D": 8, "H": 8}).split("backward: ")
        for page in (pages[0].split("forward: ")[1], pages[1]):
            made = set(re.findall(r"^ +\*? +(%\d+)", page, re.MULTILINE))
            read = set(re.findall(r"(%\d+)\b", "\n".join(re.findall(r" = (.*)", page))))
            assert read <= made, name


def test_longer_sequences_and_slower_machines_take_longer() -> None:
    case = Case(load("lstm"), {"D": 64, "H": 64}, Selection())
    work = work_of(arrange(case.forward_plan(False)))
    short, long = (predict(work, TYPICAL, steps, 4).seconds for steps in (10, 1000))
    assert 10 * short < long
    slow = Rates(
        *(getattr(TYPICAL, k) / 2 for k in ("products", "elements", "near", "far", "memory"))
    )
    assert predict(work, slow, 100, 8).seconds > predict(work, TYPICAL, 100, 8).seconds


def test_a_loop_is_bound_by_what_it_has_most_of() -> None:
    def bound(work: Work, scan: bool = True, batch: int = 1) -> Bound:
        found = predict([StageWork(scan, (work,))], TYPICAL, 1000, batch)
        return found.loops[0][0].bound

    assert bound(Work(products=10**9)) is Bound.ARITHMETIC
    assert bound(Work(products=10**5, shared=10**6)) is Bound.WEIGHTS
    assert bound(Work(elements=10, streamed=10**6), False) is Bound.MEMORY
    assert bound(Work(kept=10**7)) is Bound.CACHE
    assert bound(Work(elements=1)) is Bound.NOTHING


def test_data_comes_from_where_it_fits() -> None:
    assert [TYPICAL.bytes_per_second(size) for size in (NEAR, FAR, FAR + 1)] == [
        TYPICAL.near,
        TYPICAL.far,
        TYPICAL.memory,
    ]


# ----------------------------------------------------------------------------- the machine


def test_the_machine_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNDSL_CACHE", str(tmp_path))
    measured: list[Rates] = []

    def measure() -> Rates:
        measured.append(TYPICAL)
        return TYPICAL

    monkeypatch.setattr(machine, "_measured", measure)
    assert machine.machine_rates(measure=False) is None
    assert machine.machine_rates() == machine.machine_rates() == TYPICAL
    assert len(measured) == 1
    (path,) = tmp_path.rglob("machine.json")
    kept = json.loads(path.read_text(encoding="utf-8"))
    for spoilt in ("{", json.dumps({**kept, "machine": "another"}), json.dumps([])):
        path.write_text(spoilt, encoding="utf-8")
        assert machine.machine_rates(measure=False) is None


def test_the_command_takes_steps_and_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "machine_rates", lambda: TYPICAL)
    assert main(["show", "elman", "--at", "plan", "--steps", "7", "--batch", "3"]) == 0
    shown = capsys.readouterr().out
    assert shown == show(load("elman"), "plan", setting=Setting(7, 3, TYPICAL))
    assert re.search(r"T = 7, B = 3, .*float32\n", shown)
    assert "measured here" in shown
    with pytest.raises(SystemExit):
        main(["show", "elman", "--batch", "0"])


def test_the_program_of_the_page_on_plans_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "machine_rates", lambda: TYPICAL)
    page = (Path(__file__).parents[2] / "docs" / "plan.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(program, "plan.md", "exec"), {})  # noqa: S102
    assert 0 < float(capsys.readouterr().out) < 1
