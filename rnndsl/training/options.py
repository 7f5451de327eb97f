"""The options of ``rnndsl train``: one table, from which the parser and the settings are made."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, get_args

from rnndsl.training.config import (
    DropoutKind,
    DtypeName,
    Form,
    OptimizerName,
    ScheduleName,
    TrainConfig,
)
from rnndsl.training.vocabulary import LEVELS

BACKENDS = ("auto", "torch", "tvm")


@dataclass(frozen=True, slots=True)
class Option:
    """``--name`` sets the field of that name; ``kind`` is int, float, str, bool or choices."""

    name: str
    kind: type | tuple[str, ...]
    help: str

    @property
    def field(self) -> str:
        return self.name.replace("-", "_")


GROUPS: tuple[tuple[str, tuple[Option, ...]], ...] = (
    (
        "data",
        (
            Option("data", str, "text file, or folder with train, valid and test text"),
            Option("level", LEVELS, "what a token is"),
            Option("min-count", int, "words seen fewer times are <unk>"),
        ),
    ),
    (
        "model",
        (
            Option("hidden", int, "hidden size H"),
            Option("layers", int, "recurrent layers"),
            Option("embedding", int, "embedding size"),
            Option("tied", bool, "share one matrix between embedding and decoder"),
            Option("dropout", float, "between layers and before the decoder"),
            Option("input-dropout", float, "on the embedded tokens"),
            Option("embedding-dropout", float, "of whole rows of the embedding"),
            Option("dropout-kind", get_args(DropoutKind), "one mask for all time, or one per step"),
            Option("activation-penalty", float, "on the mean square of the output"),
            Option("temporal-penalty", float, "on the mean square of its change over time"),
        ),
    ),
    (
        "how long",
        (
            Option("epochs", int, "at most so many passes over the text"),
            Option("steps", int, "at most so many steps"),
            Option("seconds", float, "at most so long"),
            Option("patience", int, "stop after so many validations without improvement"),
            Option("eval-every", int, "steps between validations"),
            Option("eval-tokens", int, "validate on at most so many tokens"),
            Option("checkpoint-every", int, "steps between checkpoints"),
            Option("log-every", int, "steps between records of the training loss"),
        ),
    ),
    (
        "optimisation",
        (
            Option("batch", int, "streams read side by side"),
            Option("bptt", int, "time steps of one truncated backpropagation"),
            Option("optimizer", get_args(OptimizerName), "update rule"),
            Option("lr", float, "learning rate"),
            Option("momentum", float, "of sgd"),
            Option("weight-decay", float, "of matrices"),
            Option("clip", float, "largest gradient norm"),
            Option("schedule", get_args(ScheduleName), "of the learning rate"),
            Option("warmup", int, "steps of linear warm-up"),
            Option("final-lr", float, "where the cosine ends, as a share of the learning rate"),
            Option("decay", float, "factor of one decay of the step and plateau schedules"),
            Option("decay-every", int, "steps between decays of the step schedule"),
            Option("plateau-patience", int, "validations without improvement before a decay"),
        ),
    ),
    (
        "how it runs",
        (
            Option("seed", int, "of initial weights and dropout"),
            Option("dtype", get_args(DtypeName), "precision"),
            Option("threads", int, "threads of the CPU"),
            Option("device", str, "cpu, or cuda"),
            Option("backend", BACKENDS, "auto is TVM on the CPU if installed, else PyTorch"),
            Option("memory-budget", str, "bytes that a backward pass may hold: 64MiB"),
            Option("form", get_args(Form), "how linear recurrences go through time"),
        ),
    ),
)

OPTIONS = tuple(option for _, options in GROUPS for option in options)

_DEFAULT_TEXT = {"data": "the bundled tiny Shakespeare", "embedding": "the hidden size"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare every option; one that is not given is None, so that a resumed run keeps its own."""
    defaults = TrainConfig.__dataclass_fields__
    for title, options in GROUPS:
        group = parser.add_argument_group(title)
        for option in options:
            default = _DEFAULT_TEXT.get(option.field, defaults[option.field].default)
            shown = f"{option.help} (default {'none' if default is None else default})"
            if option.kind is bool:
                group.add_argument(
                    f"--{option.name}", action=argparse.BooleanOptionalAction, help=shown
                )
            elif isinstance(option.kind, tuple):
                group.add_argument(f"--{option.name}", choices=option.kind, help=shown)
            else:
                group.add_argument(
                    f"--{option.name}", type=option.kind, metavar=_metavar(option.kind), help=shown
                )


def given_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that the command line names."""
    values = {option.field: getattr(args, option.field) for option in OPTIONS}
    return {name: value for name, value in values.items() if value is not None}


def _metavar(kind: type) -> str:
    return {int: "N", float: "X", str: "TEXT"}[kind]
