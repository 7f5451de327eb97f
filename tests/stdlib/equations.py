"""The standard cells as plain NumPy equations, one example at a time, written by hand.

Each function takes the sequence x [T, D] and the parameters by name, and gives outputs [T, H].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Params = dict[str, Array]
Equations = Callable[[Array, Params, int], Array]


def sigma(v: Array) -> Array:
    return 1 / (1 + np.exp(-v))


def norm(v: Array, eps: float) -> Array:
    centred: Array = v - v.mean(-1, keepdims=True)
    return np.asarray(centred / np.sqrt(v.var(-1, keepdims=True) + eps))


def elman(x: Array, p: Params, H: int) -> Array:
    h, out = np.zeros(H), []
    for xt in x:
        h = np.tanh(p["a.x.weight"] @ xt + p["a.h.weight"] @ h + p["a.bias"])
        out.append(h)
    return np.array(out)


def elman_relu(x: Array, p: Params, H: int) -> Array:
    h, out = np.zeros(H), []
    for xt in x:
        h = np.maximum(p["a.x.weight"] @ xt + p["a.h.weight"] @ h + p["a.bias"], 0)
        out.append(h)
    return np.array(out)


def lstm(x: Array, p: Params, H: int) -> Array:
    h, c, out = np.zeros(H), np.zeros(H), []
    for xt in x:
        i, f, g, o = (
            p[f"{n}.x.weight"] @ xt + p[f"{n}.h.weight"] @ h + p[f"{n}.bias"] for n in "ifgo"
        )
        c = sigma(f) * c + sigma(i) * np.tanh(g)
        h = sigma(o) * np.tanh(c)
        out.append(h)
    return np.array(out)


def lstm_peephole(x: Array, p: Params, H: int) -> Array:
    h, c, out = np.zeros(H), np.zeros(H), []
    for xt in x:
        i, f, g, o = (
            p[f"{n}.x.weight"] @ xt + p[f"{n}.h.weight"] @ h + p[f"{n}.bias"] for n in "ifgo"
        )
        new = sigma(f + p["p_f"] * c) * c + sigma(i + p["p_i"] * c) * np.tanh(g)
        c = new
        h = sigma(o + p["p_o"] * c) * np.tanh(c)
        out.append(h)
    return np.array(out)


def _layernorm_lstm_step(
    xt: Array, h: Array, c: Array, p: Params, prefix: str = ""
) -> tuple[Array, Array]:
    def gate(n: str) -> Array:
        total = p[f"{prefix}{n}.x.weight"] @ xt + p[f"{prefix}{n}.h.weight"] @ h
        return p[f"{prefix}{n}.gamma"] * norm(total, 1e-3) + p[f"{prefix}{n}.beta"]

    c = sigma(gate("f") + 1) * c + sigma(gate("i")) * np.tanh(gate("g"))
    h_new = sigma(gate("o")) * np.tanh(p[f"{prefix}h.gamma"] * norm(c, 1e-3) + p[f"{prefix}h.beta"])
    return h_new, c


def layernorm_lstm(x: Array, p: Params, H: int) -> Array:
    h, c, out = np.zeros(H), np.zeros(H), []
    for xt in x:
        h, c = _layernorm_lstm_step(xt, h, c, p)
        out.append(h)
    return np.array(out)


def gru(x: Array, p: Params, H: int) -> Array:
    h, out = np.zeros(H), []
    for xt in x:
        r = sigma(p["r.x.weight"] @ xt + p["r.h.weight"] @ h + p["r.bias"])
        z = sigma(p["z.x.weight"] @ xt + p["z.h.weight"] @ h + p["z.bias"])
        inner = p["u.h.weight"] @ h + p["u.bias"]
        n = np.tanh(p["n.x.weight"] @ xt + p["n.bias"] + r * inner)
        h = (1 - z) * n + z * h
        out.append(h)
    return np.array(out)


def gru_reset_before(x: Array, p: Params, H: int) -> Array:
    h, out = np.zeros(H), []
    for xt in x:
        r = sigma(p["r.x.weight"] @ xt + p["r.h.weight"] @ h + p["r.bias"])
        z = sigma(p["z.x.weight"] @ xt + p["z.h.weight"] @ h + p["z.bias"])
        n = np.tanh(p["n.x.weight"] @ xt + p["n.rh.weight"] @ (r * h) + p["n.bias"])
        h = (1 - z) * n + z * h
        out.append(h)
    return np.array(out)


def _rhn_step(xt: Array, s: Array, p: Params, depth: int, prefix: str = "") -> list[Array]:
    states = []
    for d in range(depth):
        a = p[f"{prefix}a.{d}.y.weight"] @ s + p[f"{prefix}a.{d}.bias"]
        q = p[f"{prefix}q.{d}.y.weight"] @ s + p[f"{prefix}q.{d}.bias"]
        if d == 0:
            a = a + p[f"{prefix}a.0.x.weight"] @ xt
            q = q + p[f"{prefix}q.0.x.weight"] @ xt
        t = sigma(q)
        s = t * np.tanh(a) + (1 - t) * s
        states.append(s)
    return states


def rhn(x: Array, p: Params, H: int) -> Array:
    s, out = np.zeros(H), []
    for xt in x:
        s = _rhn_step(xt, s, p, 5)[-1]
        out.append(s)
    return np.array(out)


def hyperlstm(x: Array, p: Params, H: int) -> Array:
    small = p["k.i.gamma"].shape[0]
    h, c, hh, hc, out = np.zeros(H), np.zeros(H), np.zeros(small), np.zeros(small), []
    for xt in x:
        hh, hc = _layernorm_lstm_step(np.concatenate([xt, h]), hh, hc, p, "k.")
        pre = []
        for g in range(4):
            dx = p[f"dx.{g}.zx.weight"] @ (p[f"zx.{g}.k.weight"] @ hh + p[f"zx.{g}.bias"])
            dh = p[f"dh.{g}.zh.weight"] @ (p[f"zh.{g}.k.weight"] @ hh + p[f"zh.{g}.bias"])
            db = p[f"db.{g}.zb.weight"] @ (p[f"zb.{g}.k.weight"] @ hh)
            total = dx * (p[f"wx.{g}.x.weight"] @ xt) + dh * (p[f"wh.{g}.h.weight"] @ h)
            total = total + p[f"db.{g}.bias"] + db
            pre.append(p[f"a.{g}.gamma"] * norm(total, 1e-3) + p[f"a.{g}.beta"])
        i, j, f, o = pre
        c = sigma(f + 1) * c + sigma(i) * np.tanh(j)
        h = sigma(o) * np.tanh(p["h.gamma"] * norm(c, 1e-3) + p["h.beta"])
        out.append(h)
    return np.array(out)


def recurrent_highway_hypernetwork(x: Array, p: Params, H: int) -> Array:
    depth = sum(name.startswith("b_a.") for name in p)
    s, small, out = np.zeros(H), np.zeros(p["k.a.0.bias"].shape[0]), []
    for xt in x:
        states = _rhn_step(xt, small, p, depth, "k.")
        small = states[-1]
        for d in range(depth):
            z = p[f"z.{d}.u.weight"] @ states[d] + p[f"z.{d}.bias"]
            w = np.concatenate([p[f"r_a.{d}.y.weight"], p[f"r_q.{d}.y.weight"]]) @ s
            if d == 0:
                w = w + np.concatenate([p["r_a.0.x.weight"], p["r_q.0.x.weight"]]) @ xt
            w = np.concatenate([z, z]) * w + np.concatenate([p[f"b_a.{d}"], p[f"b_q.{d}"]])
            a, q = w[:H], w[H:]
            s = np.tanh(a) * sigma(q) + s * (1 - sigma(q))
        out.append(s)
    return np.array(out)


def nascell(x: Array, p: Params, H: int) -> Array:
    h, c, out = np.zeros(H), np.zeros(H), []
    for xt in x:
        u = [p[f"u.{k}.x.weight"] @ xt for k in range(8)]
        v = [p[f"v.{k}.h.weight"] @ h for k in range(8)]
        l0, l1 = sigma(u[0] + v[0]), np.maximum(u[1] + v[1], 0)
        l2, l3 = sigma(u[2] + v[2]), np.maximum(u[3] * v[3], 0)
        l4, l5 = np.tanh(u[4] + v[4]), sigma(u[5] + v[5])
        l6, l7 = np.tanh(u[6] + v[6]), sigma(u[7] + v[7])
        a, b = np.tanh(l0 * l1), np.tanh(l2 + l3)
        e, d = np.tanh(l4 * l5), sigma(l6 + l7)
        c = np.tanh(a + c) * b
        h = np.tanh(c * np.tanh(e + d))
        out.append(h)
    return np.array(out)


def sru(x: Array, p: Params, H: int) -> Array:
    c, out = np.zeros(H), []
    for xt in x:
        f = sigma(p["f.x.weight"] @ xt + p["v_f"] * c + p["f.bias"])
        r = sigma(p["r.x.weight"] @ xt + p["v_r"] * c + p["r.bias"])
        c = f * c + (1 - f) * (p["u.x.weight"] @ xt)
        out.append(r * c + (1 - r) * (p["w.x.weight"] @ xt))
    return np.array(out)


def _g(u: Array) -> Array:
    return np.where(u >= 0, u + 0.5, sigma(u))


def mingru(x: Array, p: Params, H: int) -> Array:
    h, out = np.zeros(H), []
    for xt in x:
        z = sigma(p["z.x.weight"] @ xt)
        h = (1 - z) * h + z * _g(p["u.x.weight"] @ xt)
        out.append(h)
    return np.array(out)


def minlstm(x: Array, p: Params, H: int) -> Array:
    h, out = np.zeros(H), []
    for xt in x:
        f, i = sigma(p["f.x.weight"] @ xt), sigma(p["i.x.weight"] @ xt)
        h = (f * h + i * _g(p["u.x.weight"] @ xt)) / (f + i)
        out.append(h)
    return np.array(out)


def mgu(x: Array, p: Params, H: int) -> Array:
    h, out = np.zeros(H), []
    for xt in x:
        f = sigma(p["f.x.weight"] @ xt + p["f.h.weight"] @ h + p["f.bias"])
        n = np.tanh(p["n.x.weight"] @ xt + p["n.fh.weight"] @ (f * h) + p["n.bias"])
        h = (1 - f) * h + f * n
        out.append(h)
    return np.array(out)


def linear_attention(x: Array, p: Params, H: int, heads: int = 1) -> Array:
    """The quadratic form: weights phi(q_t) . phi(k_s) over s <= t, normalised."""
    d, out = H // heads, []

    def phi(u: Array) -> Array:
        return np.where(u > 0, u + 1, np.exp(np.minimum(u, 0)))

    q, k, v = ((x @ p[f"{n}.x.weight"].T).reshape(len(x), heads, d) for n in "qkv")
    for t in range(len(x)):
        rows = []
        for n in range(heads):
            w = np.array([phi(q[t, n]) @ phi(k[s, n]) for s in range(t + 1)])
            rows.append(sum(w[s] * v[s, n] for s in range(t + 1)) / (w.sum() + 1e-6))
        out.append(np.concatenate(rows))
    return np.array(out)


def linear_attention_heads(x: Array, p: Params, H: int) -> Array:
    return linear_attention(x, p, H, 2)


def mlstm(x: Array, p: Params, H: int, heads: int = 1) -> Array:
    """Without stabilisation; the running maximum m only scales the small number added."""
    d, out = H // heads, []
    C, n, m = np.zeros((heads, d, d)), np.zeros((heads, d)), np.zeros(heads)
    for xt in x:
        q, k, v = (p[f"{g}.x.weight"] @ xt + p[f"{g}.bias"] for g in "qkv")
        qkv = np.concatenate([q, k, v])
        i = np.exp(p["i.qkv.weight"] @ qkv + p["i.bias"])
        f = sigma(p["f.qkv.weight"] @ qkv + p["f.bias"])
        m = np.maximum(np.log(f) + m, np.log(i))
        rows = []
        for a in range(heads):
            part = slice(a * d, (a + 1) * d)
            key = k[part] / np.sqrt(d)
            C[a] = f[a] * C[a] + i[a] * np.outer(key, v[part])
            n[a] = f[a] * n[a] + i[a] * key
            mass = max(abs(n[a] @ q[part]), 1.0) + 1e-6 * np.exp(m[a])
            rows.append(p["y.gamma"][a] * norm(C[a].T @ q[part] / mass, 1e-5))
        out.append(np.concatenate(rows))
    return np.array(out)


def mlstm_heads(x: Array, p: Params, H: int) -> Array:
    return mlstm(x, p, H, 2)


def slstm(x: Array, p: Params, H: int, heads: int = 1) -> Array:
    """Without the running maximum: exponential gates in the plain form."""
    d, out = H // heads, []
    y, c, n = np.zeros(H), np.zeros(H), np.zeros(H)
    for xt in x:
        pre = []
        for k, g in enumerate("ifzo"):
            blocks = p[f"R.{k}"]
            rec = np.concatenate([blocks[a] @ y[a * d : (a + 1) * d] for a in range(heads)])
            pre.append(p[f"{g}.x.weight"] @ xt + p[f"{g}.bias"] + rec)
        i, f, z, o = pre
        c = sigma(f) * c + np.exp(i) * np.tanh(z)
        n = sigma(f) * n + np.exp(i)
        y = sigma(o) * c / n
        out.append(y)
    return np.array(out)


def slstm_heads(x: Array, p: Params, H: int) -> Array:
    return slstm(x, p, H, 2)


def aft(x: Array, p: Params, H: int) -> Array:
    """The sums over the past, in full."""
    q, k, v = (x @ p[f"{n}.x.weight"].T for n in "qkv")
    out = []
    for t in range(len(x)):
        w = np.exp(k[: t + 1])
        out.append(sigma(q[t]) * (w * v[: t + 1]).sum(0) / w.sum(0))
    return np.array(out)


def bc3(x: Array, p: Params, H: int) -> Array:
    h, out = np.zeros(H), []
    for xt in x:
        f = sigma(p["f.x.weight"] @ xt + p["f.h.weight"] @ h)
        both = (p["xz.x.weight"] @ xt) * (p["uz.h.weight"] @ h)
        z = (p["z.xu.weight"] @ both) * (p["wz.x.weight"] @ xt)
        c = np.tanh(f * (p["c.x.weight"] @ xt) + (1 - f) * z)
        o = sigma(p["o.x.weight"] @ xt + p["o.h.weight"] @ h)
        h = o * c + (1 - o) * h
        out.append(h)
    return np.array(out)


def darts(x: Array, p: Params, H: int) -> Array:
    genotype: tuple[tuple[Callable[[Array], Array], int], ...] = (
        (sigma, 0),
        (lambda v: np.maximum(v, 0), 1),
        (lambda v: np.maximum(v, 0), 1),
        (lambda v: v, 1),
        (np.tanh, 2),
        (sigma, 5),
        (np.tanh, 3),
        (lambda v: np.maximum(v, 0), 5),
    )
    h, out = np.zeros(H), []
    for xt in x:
        a = p["a0.x.weight"] @ xt + p["a0.h.weight"] @ h
        t = sigma(p["t0.x.weight"] @ xt + p["t0.h.weight"] @ h)
        nodes = [h + t * (np.tanh(a) - h)]
        for k, (function, source) in enumerate(genotype, 1):
            s = nodes[source]
            a = p[f"a{k}.s{source}.weight"] @ s
            t = sigma(p[f"t{k}.s{source}.weight"] @ s)
            nodes.append(s + t * (function(a) - s))
        h = np.mean(nodes[1:], axis=0)
        out.append(h)
    return np.array(out)


# (name of the cell, its numbers, equations)
def s4d(x: Array, p: Params, H: int) -> Array:
    """As a convolution: y_t = sum over s <= t of C A^(t-s) B u_s, for each channel."""
    a = -np.exp(p["pole"])
    A = np.exp(np.exp(p["step"])[:, None] * a)
    u = x @ p["u.x.weight"].T + p["u.bias"]
    kernel = np.array([(p["C"] * A**t * (A - 1) / a).sum(1) for t in range(len(x))])
    sums = [sum(kernel[t - s] * u[s] for s in range(t + 1)) for t in range(len(x))]
    return np.array(sums) + p["skip"] * u


def gated_linear_attention(x: Array, p: Params, H: int, heads: int = 1) -> Array:
    """Every pair of steps by itself: q_t . (product of the gates after s) k_s, times v_s."""
    d, out = H // heads, []
    q, k, v = ((x @ p[f"{n}.x.weight"].T).reshape(len(x), heads, d) for n in "qkv")
    low = x @ p["low.x.weight"].T
    gate = sigma(low @ p["f.low.weight"].T + p["f.bias"]) ** (1 / 16)
    f = gate.reshape(len(x), heads, d)
    for t in range(len(x)):
        rows = np.zeros((heads, d))
        for s in range(t + 1):
            decay = np.prod(f[s + 1 : t + 1], axis=0)
            rows += (q[t] / np.sqrt(d) * decay * k[s]).sum(1, keepdims=True) * v[s]
        out.append(rows.reshape(H))
    return np.array(out)


def gated_linear_attention_heads(x: Array, p: Params, H: int) -> Array:
    return gated_linear_attention(x, p, H, 2)


def deltanet(x: Array, p: Params, H: int, heads: int = 1) -> Array:
    """As S' = (I - b k k^T) S + b k v^T with the matrix written out."""
    d, out = H // heads, []

    def unit(row: Array) -> Array:
        return np.asarray(row / np.sqrt((row * row).sum()))

    S = np.zeros((heads, d, d))
    for xt in x:
        q, k, v = ((p[f"{n}.x.weight"] @ xt).reshape(heads, d) for n in "qkv")
        q, k = q * sigma(q), k * sigma(k)
        b = sigma(p["b.x.weight"] @ xt)
        rows = []
        for n in range(heads):
            key = unit(k[n])
            S[n] = (np.eye(d) - b[n] * np.outer(key, key)) @ S[n] + b[n] * np.outer(key, v[n])
            rows.append(S[n].T @ unit(q[n]))
        out.append(np.concatenate(rows))
    return np.array(out)


def deltanet_heads(x: Array, p: Params, H: int) -> Array:
    return deltanet(x, p, H, 2)


CASES: tuple[tuple[str, dict[str, int | float], Equations], ...] = (
    ("elman", {}, elman),
    ("elman", {"rectified": 1}, elman_relu),
    ("lstm", {}, lstm),
    ("lstm_peephole", {}, lstm_peephole),
    ("layernorm_lstm", {}, layernorm_lstm),
    ("gru", {}, gru),
    ("gru_reset_before", {}, gru_reset_before),
    ("rhn", {}, rhn),
    ("hyperlstm", {"hyper": 7, "z": 3}, hyperlstm),
    (
        "recurrent_highway_hypernetwork",
        {"hyper": 5, "depth": 3},
        recurrent_highway_hypernetwork,
    ),
    ("nascell", {}, nascell),
    ("sru", {}, sru),
    ("mingru", {}, mingru),
    ("minlstm", {}, minlstm),
    ("mgu", {}, mgu),
    ("linear_attention", {}, linear_attention),
    ("linear_attention", {"heads": 2}, linear_attention_heads),
    ("mlstm", {}, mlstm),
    ("mlstm", {"heads": 2}, mlstm_heads),
    ("slstm", {}, slstm),
    ("slstm", {"heads": 2}, slstm_heads),
    ("aft", {}, aft),
    ("bc3", {}, bc3),
    ("darts", {}, darts),
    ("s4d", {}, s4d),
    ("gated_linear_attention", {}, gated_linear_attention),
    ("gated_linear_attention", {"heads": 2}, gated_linear_attention_heads),
    ("deltanet", {}, deltanet),
    ("deltanet", {"heads": 2}, deltanet_heads),
)
