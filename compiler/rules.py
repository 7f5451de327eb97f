"""Identities of elementwise ops, as a table.  Tests check every row on random numbers.

The default pipeline uses the rows that are exact, exact but for the sign of a zero, or
rounded no worse than before.  So it leaves ``mul(x, 0)`` alone (x may be infinite) and
``sub(x, x)`` too, and it never reorders sums.
"""

from __future__ import annotations

from rnndsl.compiler.rewrite import Grade, Rule, law

EXACT_LAWS: tuple[Rule, ...] = (
    # signs
    law("neg(neg(x))", "x"),
    law("add(x, neg(y))", "sub(x, y)"),
    law("sub(x, neg(y))", "add(x, y)"),
    law("mul(neg(x), neg(y))", "mul(x, y)"),
    law("div(neg(x), neg(y))", "div(x, y)"),
    law("neg(sub(x, y))", "sub(y, x)", Grade.ZERO_SIGN),
    # neutral elements
    law("add(x, 0)", "x", Grade.ZERO_SIGN),  # -0 + 0 is 0
    law("sub(x, 0)", "x", Grade.ZERO_SIGN),
    law("sub(0, x)", "neg(x)", Grade.ZERO_SIGN),
    law("mul(x, 1)", "x"),
    law("mul(x, -1)", "neg(x)"),
    law("div(x, 1)", "x"),
    law("div(x, -1)", "neg(x)"),
    law("pow(x, 1)", "x"),
    law("pow(x, 2)", "mul(x, x)", Grade.ROUNDED),  # a product is rounded correctly
    law("add(x, x)", "mul(x, 2)"),
    # choices
    law("max(x, x)", "x"),
    law("min(x, x)", "x"),
    law("where(c, x, x)", "x"),
    law("where(0, x, y)", "y"),
    law("where(1, x, y)", "x"),
    law("where(ne(c, 0), x, y)", "where(c, x, y)"),
    law("where(eq(c, 0), x, y)", "where(c, y, x)"),
    law("gt(x, y)", "lt(y, x)"),
    law("ge(x, y)", "le(y, x)"),
    law("lt(0, x)", "step(x)"),
    # doing it twice
    law("abs(abs(x))", "abs(x)"),
    law("abs(neg(x))", "abs(x)"),
    law("abs(relu(x))", "relu(x)", Grade.ZERO_SIGN),
    law("relu(relu(x))", "relu(x)", Grade.ZERO_SIGN),
    law("relu(abs(x))", "abs(x)", Grade.ZERO_SIGN),
    law("relu(sigmoid(x))", "sigmoid(x)", Grade.ZERO_SIGN),
    law("sign(sign(x))", "sign(x)"),
    law("step(step(x))", "step(x)"),
    law("floor(floor(x))", "floor(x)"),
    law("floor(round(x))", "round(x)"),
    law("round(floor(x))", "floor(x)"),
    law("round(round(x))", "round(x)"),
    law("stop_grad(stop_grad(x))", "stop_grad(x)"),
)

# Only once gradients are taken: before, stop_grad means something.
STOP_GRAD_LAWS: tuple[Rule, ...] = (law("stop_grad(x)", "x"),)

# For comparing cells, not for computing with them.
REAL_LAWS: tuple[Rule, ...] = (
    law("mul(x, 0)", "0", Grade.REAL),
    law("sub(x, x)", "0", Grade.REAL),
    law("pow(x, 0)", "1", Grade.REAL),
    law("max(x, 0)", "relu(x)", Grade.REAL),  # the gradient at 0 differs
    law("mul(neg(x), y)", "neg(mul(x, y))", Grade.REAL),
    law("div(neg(x), y)", "neg(div(x, y))", Grade.REAL),
    law("div(x, neg(y))", "neg(div(x, y))", Grade.REAL),
    law("tanh(neg(x))", "neg(tanh(x))", Grade.REAL),
    law("erf(neg(x))", "neg(erf(x))", Grade.REAL),
    law("sin(neg(x))", "neg(sin(x))", Grade.REAL),
    law("cos(neg(x))", "cos(x)", Grade.REAL),
    law("sub(1, sigmoid(x))", "sigmoid(neg(x))", Grade.REAL),
    law("log(exp(x))", "x", Grade.REAL),
    law("log(sigmoid(x))", "logsigmoid(x)", Grade.REAL),
)
