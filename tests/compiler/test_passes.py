"""Every pass and every rule keeps what a graph computes; pipelines run and name their passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rnndsl.compiler import rewrite as rewriting
from rnndsl.compiler.autodiff import differentiate
from rnndsl.compiler.builder import Builder
from rnndsl.compiler.interpreter import run, run_step
from rnndsl.compiler.ir import Graph, LeafRole, Node, ResultRole, Type
from rnndsl.compiler.ops import OPS
from rnndsl.compiler.passes.canonicalize import RULES
from rnndsl.compiler.pipeline import (
    PASSES,
    PIPELINES,
    Timer,
    UnknownPassError,
    dumping,
    find_pass,
    parse_pipeline,
    run_pipeline,
    run_to_fixpoint,
    verifying,
)
from rnndsl.compiler.rewrite import Grade, RewriteError, Rule, Term, law, parse_term, rewrite
from rnndsl.compiler.rules import EXACT_LAWS, REAL_LAWS, STOP_GRAD_LAWS
from rnndsl.compiler.separate import separate
from rnndsl.compiler.text import parse_graph
from rnndsl.compiler.verify import verify, verify_step
from rnndsl.dims import dim
from tests.compiler.make import lstm, random_leaves
from tests.compiler.random_graphs import random_graph
from tests.compiler.tolerance import assert_same, flat

SEEDS = range(20)
# These find little to do in graphs that are random all over; test_gates.py has more for them.
FOR_GATES = ("pack-gates", "pack-elementwise", "associate-sums", "factor-adjoints")


def check_same(graph: Graph, changed: Graph, seed: int, reverse: bool = False) -> None:
    leaves = random_leaves(graph, 4, 2, seed)
    with np.errstate(all="ignore"):
        found = flat(run(changed, *leaves, reverse))
    assert_same(found, graph, *leaves, reverse=reverse)


@pytest.mark.parametrize("name", PASSES)
def test_pass_keeps_the_function_of_random_graphs(name: str) -> None:
    changes = 0
    for seed in SEEDS:
        graph = random_graph(seed, derived=bool(seed % 2))
        if name == "pack-gates":  # knows canonical contractions
            graph = PASSES["canonicalize"].run(graph)
        changed = PASSES[name].run(graph)
        if changed is graph:
            continue
        changes += 1
        verify(changed)
        assert changed != graph
        check_same(graph, changed, seed)
    assert changes or name in ("dce", *FOR_GATES)


@pytest.mark.parametrize("name", [name for name in PASSES if name != "pack-gates"])
def test_pass_returns_the_same_object_when_it_is_done(name: str) -> None:
    for seed in SEEDS:
        done = PASSES[name].run(random_graph(seed, derived=True))
        assert PASSES[name].run(done) is done


@pytest.mark.parametrize("seed", SEEDS)
def test_default_pipeline_then_derivative_then_final_pipeline(seed: int) -> None:
    graph = random_graph(seed, derived=True)
    packed = run_pipeline(graph, PIPELINES["default"], [verifying()])
    check_same(graph, packed, seed)
    step = separate(packed).step
    verify_step(step)
    backward = differentiate(step).backward
    changed = run_pipeline(backward, PIPELINES["backward"], [verifying()])
    check_same(backward, changed, seed, reverse=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_compare_pipeline_keeps_finite_values(seed: int) -> None:
    graph = random_graph(seed, derived=True)
    check_same(graph, run_to_fixpoint(graph, PIPELINES["compare"]), seed)


def test_packed_lstm_has_one_product_for_each_vector() -> None:
    def products(graph: Graph) -> int:
        return sum(node.op == "contract" for node in graph.nodes)

    packed = run_pipeline(lstm(), PIPELINES["default"])
    assert (products(lstm()), products(packed)) == (8, 2)
    step = separate(packed).step
    backward = run_pipeline(differentiate(step).backward, PIPELINES["final"])
    # Two for the cotangents of x and h, two for the gradients of the joined weights.
    assert products(backward) == 4
    assert not any(node.op == "pad" for node in backward.nodes)
    bound = lstm().bind({"D": 3, "H": 5})
    check_same(bound, packed.bind({"D": 3, "H": 5}), seed=0)


# --- every rule of the tables, on random values ------------------------------------------------

LAWS = (*EXACT_LAWS, *REAL_LAWS, *STOP_GRAD_LAWS)
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -3.5, 40.0, -40.0, np.inf, -np.inf, np.nan)


def variables(term: Term) -> set[str]:
    if not term.args:
        return {term.head} if isinstance(term.head, str) else set()
    return set().union(*(variables(arg) for arg in term.args))


def term_graph(rule: Rule, side: int) -> Graph:
    """One side of a law as a graph of vectors."""
    b = Builder()
    sides = [parse_term(text.strip()) for text in rule.name.split(" = ")]
    kind = Type((dim(LENGTH),), batched=True)
    names = sorted(variables(sides[0]))
    values = {name: b.leaf(name, LeafRole.INPUT, kind) for name in names}

    def build(term: Term) -> int:
        if isinstance(term.head, float):
            return b.full(term.head, kind.shape)
        if not term.args:
            return values[term.head]
        return b.op(term.head, *(build(arg) for arg in term.args))

    b.result("y", ResultRole.OUTPUT, build(sides[side]))
    return b.finish("law")


LENGTH = len(SPECIAL) ** 2


@pytest.mark.parametrize("rule", LAWS, ids=lambda rule: rule.name)
def test_law_holds(rule: Rule) -> None:
    left, right = term_graph(rule, 0), term_graph(rule, 1)
    rng = np.random.default_rng(0)
    special = {
        leaf.name: np.repeat(SPECIAL, len(SPECIAL))[None]
        if k % 2
        else np.tile(SPECIAL, len(SPECIAL))[None]
        for k, leaf in enumerate(left.leaves)
    }
    normal = {leaf.name: 3 * rng.standard_normal((1, LENGTH)) for leaf in left.leaves}
    for leaves in (special, normal):
        if rule.grade is Grade.REAL and leaves is special:
            continue
        with np.errstate(all="ignore"):
            wanted, found = (run_step(side, leaves)["output.y"] for side in (left, right))
        if rule.grade in (Grade.ROUNDED, Grade.REAL):
            np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-13)
            continue
        np.testing.assert_array_equal(found, wanted)
        if rule.grade is Grade.EXACT:
            signs = ~np.isnan(wanted)
            np.testing.assert_array_equal(np.signbit(found[signs]), np.signbit(wanted[signs]))


@pytest.mark.parametrize("rule", LAWS, ids=lambda rule: rule.name)
def test_law_applies_to_its_own_left_side(rule: Rule) -> None:
    rewriter = rewriting.Rewriter([rule], may_unbatch=True)
    rewriter.sweep(term_graph(rule, 0))
    assert rewriter.fired[rule.name]


@pytest.mark.parametrize("rule", EXACT_LAWS, ids=lambda rule: rule.name)
def test_exact_law_keeps_gradients(rule: Rule) -> None:
    found = []
    for side in (0, 1):
        graph = term_graph(rule, side)
        derivative = differentiate(graph)
        rng = np.random.default_rng(1)
        leaves = {leaf.name: rng.standard_normal((1, LENGTH)) for leaf in graph.leaves}
        # At zero too, where some derivatives are a convention.
        leaves = {name: np.where(array > 1, 0.0, array) for name, array in leaves.items()}
        with np.errstate(all="ignore"):
            forward = run_step(derivative.forward, leaves)
            read = [leaf.name for leaf in derivative.backward.leaves]
            saved = {name: forward[f"output.{name}"] for name in read if name in derivative.saved}
            seeds = {**leaves, **saved, "d.y": np.ones((1, LENGTH))}
            gradients = run_step(derivative.backward, seeds)
        zero = np.zeros((1, LENGTH))
        found.append({name: gradients.get(f"output.d.{name}", zero) for name in leaves})
    for name, gradient in found[0].items():
        np.testing.assert_allclose(gradient, found[1][name], rtol=1e-12, atol=1e-12)


def test_every_op_in_a_law_is_an_op() -> None:
    def heads(term: Term) -> set[str]:
        inner = set().union(*(heads(arg) for arg in term.args)) if term.args else set()
        return inner | ({str(term.head)} if term.args else set())

    for rule in LAWS:
        for text in rule.name.split(" = "):
            assert heads(parse_term(text)) <= OPS.keys()


def test_default_rules_are_exact_or_say_what_they_lose() -> None:
    assert {rule.grade for rule in RULES} <= {Grade.EXACT, Grade.ZERO_SIGN, Grade.ROUNDED}
    assert [rule.name for rule in RULES if rule.grade is Grade.ROUNDED] == ["pow(x, 2) = mul(x, x)"]


def sine() -> Graph:
    return parse_graph("graph g {\n input x: batch[]\n %1: batch[] = sin(x)\n output y = %1\n}")


def test_right_sides_are_rewritten_too() -> None:
    rules = [law("sin(x)", "neg(x)"), law("neg(x)", "abs(x)")]
    assert [node.op for node in rewrite(sine(), rules).nodes] == ["abs"]


def test_rules_that_undo_each_other_are_named() -> None:
    rules = [law("sin(x)", "cos(x)"), law("cos(x)", "sin(x)")]
    with pytest.raises(RewriteError, match=r"`cos\(x\) = sin\(x\)`, `sin\(x\) = cos\(x\)`"):
        rewrite(sine(), rules)


def test_a_rule_that_applies_in_every_round_is_named() -> None:
    rounds: list[rewriting.Rewriter] = []

    def again(rewriter: rewriting.Rewriter, node: Node) -> int | None:
        if rewriter in rounds:
            return None
        rounds.append(rewriter)
        return rewriter.op("sin", *node.operands)

    with pytest.raises(RewriteError, match="these rules keep applying: `again`"):
        rewrite(sine(), [Rule("again", "sin", Grade.EXACT, again)])
    assert len(rounds) == rewriting.SWEEP_LIMIT


def test_a_batched_value_is_never_replaced_by_a_shared_one() -> None:
    text = (
        "graph g {\n input x: batch[]\n %1: shared[] = full() {shape=(), value=0.0}\n"
        " %2: batch[] = where(%1, x, %1)\n state_line\n}"
    ).replace(" state_line", " output y = %2")
    graph = parse_graph(text)
    assert rewrite(graph, RULES) is graph
    assert rewrite(graph, RULES, may_unbatch=True) is not graph


# --- pipelines -----------------------------------------------------------------------------------


def test_pipeline_text_reads_back() -> None:
    for pipeline in PIPELINES.values():
        assert parse_pipeline(str(pipeline)) == pipeline
    assert [p.name for p in parse_pipeline(" cse , dce").passes] == ["cse", "dce"]


def test_unknown_pass_suggests_the_nearest() -> None:
    with pytest.raises(UnknownPassError, match="there is no pass `canonicalise`; did you mean"):
        parse_pipeline("cse,canonicalise")
    with pytest.raises(UnknownPassError, match="there are: canonicalize, "):
        find_pass("zzz")


def test_every_pass_is_found_and_documented() -> None:
    for name, entry in PASSES.items():
        assert entry.name == name
        assert entry.doc
        assert entry.run(lstm()).leaves == lstm().leaves


def test_observers_see_every_pass_in_order(tmp_path: Path) -> None:
    timer = Timer()
    pipeline = parse_pipeline("canonicalize,pack-gates,dce")
    final = run_pipeline(lstm(), pipeline, [verifying("any"), dumping(tmp_path), timer])
    files = sorted(tmp_path.iterdir())
    assert [f.name for f in files] == ["01-canonicalize.ir", "02-pack-gates.ir", "03-dce.ir"]
    assert parse_graph(files[-1].read_text(encoding="utf-8")) == final
    assert [name for name, _ in timer.seconds] == ["canonicalize", "pack-gates", "dce"]
    assert all(seconds >= 0 for _, seconds in timer.seconds)


def test_stop_after_ends_early() -> None:
    pipeline = parse_pipeline("canonicalize,pack-gates")
    assert run_pipeline(lstm(), pipeline, stop_after=0) == lstm()
    after_one = run_pipeline(lstm(), pipeline, stop_after=1)
    assert after_one == PASSES["canonicalize"].run(lstm())
