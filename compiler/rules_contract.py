"""Identities of ``contract``: one spelling for every product, transposes inside its spec.

They keep every product and every term of every sum; the order of a sum's terms was never
part of the op's meaning.
"""

from __future__ import annotations

from rnndsl.compiler.ir import Node
from rnndsl.compiler.op_types import ints_attr, parse_spec
from rnndsl.compiler.rewrite import Grade, Rewriter, Rule

_LETTERS = "ijklmnopqrstuvwxyzabcdefgh"


def _spec(node: Node) -> tuple[str, str, str]:
    return parse_spec(node.attr("spec"))


def _perm(node: Node) -> tuple[int, ...]:
    return ints_attr(dict(node.attrs), "perm")


def _contract(
    r: Rewriter, node: Node, operands: tuple[int, ...], letters: tuple[str, str, str]
) -> int:
    left, right, output = letters
    spec = f"{left},{right}->{output}"
    return r.op("contract", *operands, spec=spec, sum_batch=node.attr("sum_batch"))


def _operand_order(r: Rewriter, node: Node) -> int | None:
    """contract(x, y) = contract(y, x): shared before batched, matrices before vectors"""
    first, second = node.operands

    def rank(value: int) -> tuple[bool, int, int]:
        kind = r.type_of(value)
        return kind.batched, -kind.rank, value

    if rank(first) <= rank(second):
        return None
    left, right, output = _spec(node)
    return _contract(r, node, (second, first), (right, left, output))


def _letter_names(r: Rewriter, node: Node) -> int | None:
    """contract = contract, with the letters i, j, k, ... in order of appearance"""
    left, right, output = _spec(node)
    names = dict(zip(dict.fromkeys(left + right), _LETTERS, strict=False))
    renamed = tuple("".join(names[c] for c in part) for part in (left, right, output))
    if renamed == (left, right, output):
        return None
    return _contract(r, node, node.operands, (renamed[0], renamed[1], renamed[2]))


def _transposed_operand(r: Rewriter, node: Node) -> int | None:
    """contract(transpose(x), y) = contract(x, y), with the letters of x in another order"""
    letters = list(_spec(node))
    operands = list(node.operands)
    for place in (0, 1):
        inner = r.node(operands[place], "transpose")
        if inner is not None:
            # Axis k of the transposed operand is axis perm[k] of the operand itself.
            own = dict(zip(_perm(inner), letters[place], strict=True))
            letters[place] = "".join(own[axis] for axis in range(len(own)))
            operands[place] = inner.operands[0]
    if tuple(operands) == node.operands:
        return None
    return _contract(r, node, (operands[0], operands[1]), (letters[0], letters[1], letters[2]))


def _transposed_result(r: Rewriter, node: Node) -> int | None:
    """transpose(contract(x, y)) = contract(x, y), with the letters of the result reordered"""
    inner = r.node(node.operands[0], "contract")
    if inner is None or not r.used_once(node.operands[0]):
        return None
    left, right, output = _spec(inner)
    moved = "".join(output[axis] for axis in _perm(node))
    return _contract(r, inner, inner.operands, (left, right, moved))


def _elementwise_product(r: Rewriter, node: Node) -> int | None:
    """contract(x, y) = mul(x, y), if all letters stay in place"""
    left, right, output = _spec(node)
    if not left == right == output or node.attr("sum_batch"):
        return None
    return r.op("mul", *node.operands)


CONTRACT_RULES: tuple[Rule, ...] = tuple(
    Rule(apply.__doc__ or "", op, Grade.EXACT, apply)
    for op, apply in (
        ("contract", _elementwise_product),
        ("contract", _transposed_operand),
        ("contract", _operand_order),
        ("contract", _letter_names),
        ("transpose", _transposed_result),
    )
)
