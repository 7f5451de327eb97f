"""The pictures of docs/performance.md; they read well on light and on dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from performance_text import MODES

from rnndsl.bench.machine import Rates
from rnndsl.bench.report import Case

matplotlib.use("svg")
from matplotlib import pyplot as plt

# Mid tones, which stand out from white and from black alike.
INK = "#808080"
COLOURS = {
    "auto": "#1f8fff",
    "nn": "#e0801c",
    "eager": "#9a8f80",
    "jax": "#2ea05a",
    "ort": "#b066d9",
    "ort_scan": "#d97ab5",
    "compile": "#c9a400",
}
MARKERS = {"auto": "o", "nn": "s", "eager": "v", "jax": "^", "ort": "D", "ort_scan": "d"}
LABELS = {
    "auto": "ours",
    "nn": "torch.nn",
    "eager": "eager loop",
    "jax": "JAX scan",
    "ort": "ONNX Runtime",
    "ort_scan": "ONNX Scan",
}
OPTIONS: Any = {
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": INK,
    "grid.alpha": 0.25,
    "svg.hashsalt": "rnndsl",
    "svg.fonttype": "path",
}


def save(figure: Any, path: Path) -> None:
    """The same bytes for the same data, on a ground that lets the page through."""
    figure.savefig(path, transparent=True, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)


def roofline(cases: Sequence[Case], rates: Rates, path: Path) -> None:
    """Operations for each byte that has to move, against the rate that was reached; a panel
    for each way of running, a point for each cell, shape and implementation."""
    with plt.rc_context(OPTIONS):
        figure, panels = plt.subplots(1, 2, figsize=(9.5, 4.2), sharey=True)
        for panel, (mode, title) in zip(panels, MODES.items(), strict=True):
            found = [case for case in cases if case.mode == mode]
            for name in ("eager", "jax", "nn", "auto"):
                points = [
                    (case.flops / case.bytes, entry.flops_per_second / 1e9)
                    for case in found
                    for entry in case.entries
                    if entry.name == name
                ]
                if points:
                    x, y = zip(*points, strict=True)
                    panel.scatter(
                        x,
                        y,
                        18,
                        COLOURS[name],
                        MARKERS[name],
                        alpha=0.75,
                        linewidths=0,
                        label=LABELS[name],
                        zorder=3,
                    )
            intensity = np.geomspace(1, 1500, 400)
            roof = np.minimum(rates.flops, intensity * rates.bytes) / 1e9
            panel.plot(intensity, roof, color=INK, linewidth=1.5)
            panel.plot(intensity, 0.75 * roof, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
            panel.set(xscale="log", yscale="log", title=title, xlim=(1, 1500), ylim=(0.8, None))
            panel.set_xlabel("operations per byte")
            panel.grid(True, which="major")
        panels[0].set_ylabel("GFLOP/s")
        if panels[0].get_legend_handles_labels()[0]:
            panels[0].legend(frameon=False, loc="lower left", fontsize=9)
        matrix, memory = rates.flops / 1e9, rates.bytes / 1e9
        panels[1].annotate(
            f"matrix product {matrix:.0f} GFLOP/s",
            (1500, matrix),
            (0, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
        )
        panels[1].annotate(
            f"memory {memory:.0f} GB/s",
            (1.3, 1.3 * memory),
            (6, -16),
            textcoords="offset points",
            ha="left",
            fontsize=8,
        )
        figure.tight_layout()
        save(figure, path)


def lengths(found: Mapping[str, Any], path: Path) -> None:
    """Peak memory and time of a training step against T."""
    styles = {
        "nn": ("nn.LSTM", COLOURS["nn"], "s"),
        "ours": ("ours", COLOURS["auto"], "o"),
        "ours, budget": ("ours, memory_budget", COLOURS["jax"], "^"),
    }
    with plt.rc_context(OPTIONS):
        figure, panels = plt.subplots(1, 2, figsize=(9.5, 3.4))
        for kind, (label, colour, marker) in styles.items():
            rows = [row for row in found["curves"] if row["kind"] == kind]
            steps = [row["T"] for row in rows]
            for panel, values in zip(
                panels,
                ([row["bytes"] / 2**20 for row in rows], [row["seconds"] for row in rows]),
                strict=True,
            ):
                panel.plot(steps, values, color=colour, marker=marker, markersize=4, label=label)
        for panel, title in zip(panels, ("peak memory, MiB", "seconds"), strict=True):
            panel.set(xlabel="T", title=f"a training step: {title}", ylim=(0, None))
            panel.grid(True)
        panels[0].legend(frameon=False)
        figure.tight_layout()
        save(figure, path)
