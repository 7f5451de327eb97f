"""Write text with a compiled language model: numpy and apache-tvm-ffi, no torch, no rnndsl.

rnndsl train lstm --out run
rnndsl compile run --out library
python examples/run_library.py library
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np


def main(folder: str, prime: str = "ROMEO:\n", length: int = 300) -> None:
    manifest = next(
        path for path in Path(folder).glob("*.json") if "library" in json.loads(path.read_text())
    )
    sys.path.insert(0, folder)
    cell = importlib.import_module(manifest.stem).Cell()
    stored = np.load(Path(folder) / f"{manifest.stem}.text.npz")
    text = {name: stored[name] for name in stored.files}
    number = {token: k for k, token in enumerate(text["tokens"].tolist())}
    rng = np.random.default_rng(0)

    states, written, y = None, prime, None
    for token in prime:
        y, states = cell.step(text["embedding"][[number[token]]], states)
    began = time.perf_counter()
    for _ in range(length):
        scores = (text["decoder"] @ y[0] + text["bias"]) / 0.8
        chances = np.exp(scores - scores.max())
        token = int(rng.choice(len(chances), p=chances / chances.sum()))
        written += str(text["tokens"][token])
        y, states = cell.step(text["embedding"][[token]], states)
    seconds = time.perf_counter() - began
    print(written)
    print(
        f"\n{length / seconds:,.0f} characters per second; imported: "
        f"torch {'torch' in sys.modules}, rnndsl {'rnndsl' in sys.modules}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:2])
