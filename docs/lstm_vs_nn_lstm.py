"""Our LSTM beside torch.nn.LSTM: the same weights, the same batches, five epochs, three seeds.

    python docs/lstm_vs_nn_lstm.py

trains six character models of tiny Shakespeare on one thread (about half an hour),
checks that the losses of the first 200 steps agree within 1e-4, and draws
docs/lstm_vs_nn_lstm.svg.  It can be interrupted and started again: each run continues
from its last checkpoint.
"""

from __future__ import annotations

import argparse
import sys
from itertools import accumulate
from pathlib import Path

import torch
from torch import nn

import rnndsl
from rnndsl.training import TrainConfig, load_corpus, train
from rnndsl.training.display import open_display
from rnndsl.training.evaluate import bits
from rnndsl.training.metrics import read_metrics
from rnndsl.training.rundir import RunDir

PICTURE = Path(__file__).resolve().with_suffix(".svg")
SEEDS = (0, 1, 2)
COMPARED = 200  # steps whose losses have to agree
TOLERANCE = 1e-4  # nats


def plain(input_size: int, hidden_size: int) -> nn.LSTM:
    """nn.LSTM with one bias for each gate: its second is redundant, and stays zero here.

    Two trained biases would move twice as fast as the one that a gate of ours has.
    """
    lstm = nn.LSTM(input_size, hidden_size)
    second = lstm.get_parameter("bias_hh_l0")
    nn.init.zeros_(second)
    second.requires_grad_(False)
    return lstm


def ours(input_size: int, hidden_size: int) -> nn.Module:
    """The layer that this package compiles from lstm.rnn, with the weights of ``plain``."""
    return rnndsl.from_torch(plain(input_size, hidden_size))


KINDS = {"nn.LSTM": plain, "rnndsl": ours}


def run_dir(folder: Path, kind: str, seed: int) -> RunDir:
    return RunDir(folder / f"{kind}-{seed}")


def train_all(folder: Path) -> None:
    """Train what is not trained yet."""
    corpus = load_corpus(None)
    for seed in SEEDS:
        for kind, make_layer in KINDS.items():
            place = run_dir(folder, kind, seed)
            config = TrainConfig(
                hidden=256,
                embedding=64,
                layers=1,
                batch=64,
                bptt=64,
                epochs=5,
                seed=seed,
                threads=1,
                log_every=1,
                run_dir=str(place.path),
            )
            print(f"{kind}, seed {seed}", flush=True)
            with open_display() as display:
                result = train(
                    config,
                    display.show,
                    corpus=corpus,
                    make_layer=make_layer,
                    resume=place.last.exists(),
                )
            if result.stopped == "interrupted":
                sys.exit(130)


def losses(folder: Path, kind: str, seed: int) -> list[float]:
    """The training loss of every step, in nats per character."""
    records = read_metrics(run_dir(folder, kind, seed).metrics)
    return [record["loss"] for record in records if "loss" in record]


def curve(folder: Path, kind: str, seed: int) -> list[float]:
    """The validation loss after each epoch, in bits per character."""
    records = read_metrics(run_dir(folder, kind, seed).metrics)
    return [bits(record["valid_loss"]) for record in records if "valid_loss" in record]


def differences(folder: Path, seed: int) -> list[float]:
    """How far the two losses lie apart, step by step."""
    pairs = zip(*(losses(folder, kind, seed) for kind in KINDS), strict=True)
    return [abs(one - two) for one, two in pairs]


def report(folder: Path) -> bool:
    """Print the numbers; whether the first losses agree."""
    agree = True
    print("| seed | largest difference, steps 1-200 | nn.LSTM | rnndsl |")
    print("|---|---|---|---|")
    for seed in SEEDS:
        largest = max(differences(folder, seed)[:COMPARED])
        agree = agree and largest <= TOLERANCE
        ends = [curve(folder, kind, seed)[-1] for kind in KINDS]
        shown = " | ".join(f"{end:.4f}" for end in ends)
        print(f"| {seed} | {largest:.1e} nats | {shown} |")
    return agree


def draw(folder: Path, path: Path) -> None:
    """Validation curves on the left, differences of the losses on the right."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "rnndsl"  # the same picture for the same numbers
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    styles = {"nn.LSTM": ("o", "#d1495b", 9.0), "rnndsl": (".", "#00798c", 5.0)}
    for kind, (marker, colour, size) in styles.items():
        for seed in SEEDS:
            values = curve(folder, kind, seed)
            label = kind if seed == SEEDS[0] else None
            left.plot(
                range(1, len(values) + 1),
                values,
                marker=marker,
                markersize=size,
                markerfacecolor="none" if marker == "o" else colour,
                color=colour,
                linestyle="-" if marker == "o" else "--",
                linewidth=1.2,
                label=label,
            )
    left.set(xlabel="epoch", ylabel="validation, bits per character", xticks=range(1, 6))
    left.legend(frameon=False)
    for seed in SEEDS:
        largest = list(accumulate(differences(folder, seed), max, initial=1e-8))[1:]
        right.semilogy(range(1, len(largest) + 1), largest, label=f"seed {seed}")
    bound = f"{TOLERANCE:g} over {COMPARED} steps"
    right.plot([0, COMPARED], [TOLERANCE, TOLERANCE], color="black", linestyle=":", label=bound)
    right.set(xlabel="step", ylabel="largest difference of losses so far, nats")
    right.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/lstm_vs_nn_lstm"))
    folder: Path = parser.parse_args().out
    torch.set_num_threads(1)
    train_all(folder)
    agree = report(folder)
    draw(folder, PICTURE)
    print(f"drawn: {PICTURE}")
    print("the first losses agree" if agree else "THE FIRST LOSSES DIFFER")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
