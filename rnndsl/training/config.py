"""What one training run is: every choice that its result depends on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from rnndsl.compiler.byte_count import parse_bytes
from rnndsl.training.errors import BadSetting, training_error
from rnndsl.training.vocabulary import LEVELS, Level

if TYPE_CHECKING:
    from rnndsl.cell import Cell

OptimizerName = Literal["adamw", "sgd"]
ScheduleName = Literal["constant", "cosine", "step", "plateau"]
DtypeName = Literal["float32", "float64"]
DropoutKind = Literal["locked", "plain"]
Form = Literal["auto", "steps", "chunked", "convolution"]

Number = int | float


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a run is made of; equal configurations give equal results on one machine.

    ``data`` is a text file or a folder, None for the bundled tiny Shakespeare.  ``epochs``,
    ``steps`` and ``seconds`` bound the run, whichever comes first.  ``embedding`` is the size
    of a token's vector, None for ``hidden`` (at most the vocabulary's size plus one at
    character level has no use, but does no harm).
    """

    cell: str | Cell = "lstm"
    data: str | None = None
    level: Level = "char"
    min_count: int = 1  # words seen fewer times are <unk>

    hidden: int = 256
    layers: int = 1
    embedding: int | None = None
    tied: bool = False
    numbers: tuple[tuple[str, Number], ...] = ()  # the cell's own numbers, by name

    dropout: float = 0.0  # between layers and before the decoder
    input_dropout: float = 0.0  # on the embedded tokens
    embedding_dropout: float = 0.0  # whole rows of the embedding
    dropout_kind: DropoutKind = "locked"
    activation_penalty: float = 0.0  # mean square of the output
    temporal_penalty: float = 0.0  # mean square of its change over time

    batch: int = 64
    bptt: int = 64
    epochs: int | None = 5
    steps: int | None = None
    seconds: float | None = None

    optimizer: OptimizerName = "adamw"
    lr: float = 3e-3
    momentum: float = 0.9  # sgd only
    weight_decay: float = 0.01
    clip: float | None = 1.0
    schedule: ScheduleName = "cosine"
    warmup: int = 0  # steps of linear warm-up
    final_lr: float = 0.1  # cosine ends at this share of lr
    decay_every: int | None = None  # step schedule: steps between decays, None for one epoch
    decay: float = 0.5  # step and plateau: factor of one decay
    plateau_patience: int = 2  # validations without improvement before a decay

    eval_every: int | None = None  # steps; None: after each epoch
    eval_steps: tuple[int, ...] = ()  # after these steps, in the place of ``eval_every``
    eval_tokens: int | None = None  # at most so many tokens of the validation text
    patience: int | None = None  # validations without improvement before stopping early
    checkpoint_every: int | None = 200  # steps between checkpoints that no validation asks for
    log_every: int = 20  # steps between records of the training loss

    seed: int = 0
    dtype: DtypeName = "float32"
    device: str = "cpu"
    threads: int | None = None
    backend: str = "auto"
    memory_budget: str | None = None  # bytes that a backward pass may hold of the forward pass
    form: Form = "auto"  # how linear recurrences go through time
    run_dir: str | None = None

    def __post_init__(self) -> None:
        check_config(self)

    @property
    def cell_name(self) -> str:
        """The cell's name, or the name or path that it was given by."""
        return self.cell if isinstance(self.cell, str) else self.cell.name

    @property
    def embedding_size(self) -> int:
        return self.hidden if self.embedding is None else self.embedding


# Settings that say how long or where to run, not what is trained: they may change on resuming.
FREE_ON_RESUME = frozenset(
    {
        "epochs",
        "steps",
        "seconds",
        "patience",
        "checkpoint_every",
        "log_every",
        "threads",
        "device",
        "backend",
        "memory_budget",
        "form",
        "run_dir",
        "data",  # the fingerprint of the tokens is compared instead
        "cell",  # the text of the cell is compared instead
    }
)

_POSITIVE = (
    "hidden",
    "layers",
    "batch",
    "bptt",
    "min_count",
    "lr",
    "plateau_patience",
    "log_every",
)
_POSITIVE_OR_NONE = (
    "embedding",
    "epochs",
    "steps",
    "seconds",
    "clip",
    "decay_every",
    "eval_every",
    "eval_tokens",
    "patience",
    "checkpoint_every",
    "threads",
)
_NOT_NEGATIVE = ("activation_penalty", "temporal_penalty", "weight_decay", "warmup", "seed")
_SHARES = ("dropout", "input_dropout", "embedding_dropout", "momentum")  # in [0, 1)
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "level": LEVELS,
    "optimizer": get_args(OptimizerName),
    "schedule": get_args(ScheduleName),
    "dtype": get_args(DtypeName),
    "dropout_kind": get_args(DropoutKind),
    "form": get_args(Form),
}


def check_config(config: TrainConfig) -> None:
    """RnndslError (E0707) for the first setting that is out of its range."""
    for name in _POSITIVE:
        _require(config, name, _is_number(config, name) and getattr(config, name) > 0, "above 0")
    for name in _POSITIVE_OR_NONE:
        value = getattr(config, name)
        _require(config, name, value is None or (value > 0 and _is_number(config, name)), "above 0")
    for name in _NOT_NEGATIVE:
        _require(config, name, _is_number(config, name) and getattr(config, name) >= 0, "0 or more")
    for name in _SHARES:
        _require(config, name, 0 <= getattr(config, name) < 1, "at least 0 and below 1")
    _require(config, "lr", config.lr <= 1000, "at most 1000")
    _require(config, "decay", 0 < config.decay <= 1, "above 0 and at most 1")
    _require(config, "final_lr", 0 <= config.final_lr <= 1, "between 0 and 1")
    for name, choices in _CHOICES.items():
        _require(config, name, getattr(config, name) in choices, f"one of {', '.join(choices)}")
    wanted = "a number of bytes, such as 64MiB"
    _require(config, "memory_budget", _is_byte_count(config.memory_budget), wanted)
    if config.epochs is None and config.steps is None and config.seconds is None:
        raise training_error(
            BadSetting(name="epochs", value="None", wanted="set, or steps or seconds with it")
        )


def _is_byte_count(text: str | None) -> bool:
    try:
        return text is None or parse_bytes(text) > 0
    except ValueError:
        return False


def _is_number(config: TrainConfig, name: str) -> bool:
    return math.isfinite(getattr(config, name))


def _require(config: TrainConfig, name: str, holds: bool, wanted: str) -> None:
    if not holds:
        raise training_error(
            BadSetting(name=name.replace("_", "-"), value=str(getattr(config, name)), wanted=wanted)
        )


def config_to_json(config: TrainConfig) -> dict[str, Any]:
    """Plain values for JSON and checkpoints; the cell becomes its name."""
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    values["cell"] = config.cell_name
    values["numbers"] = [list(pair) for pair in config.numbers]
    values["eval_steps"] = list(config.eval_steps)
    return values


def config_from_json(values: Mapping[str, Any], cell: str | Cell) -> TrainConfig:
    """The inverse of ``config_to_json``; unknown settings are left out, ``cell`` is put in."""
    known = {f.name for f in dataclasses.fields(TrainConfig)}
    kept = {name: value for name, value in values.items() if name in known}
    kept["cell"] = cell
    kept["numbers"] = tuple((str(name), value) for name, value in kept.get("numbers", ()))
    kept["eval_steps"] = tuple(kept.get("eval_steps", ()))
    return TrainConfig(**kept)


def changed_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences about the settings that differ and may not: ``hidden was 256, now 128``."""
    return tuple(
        f"{name} was {old.get(name)}, now {value}"
        for name, value in new.items()
        if name not in FREE_ON_RESUME and name in old and old[name] != value
    )


def resolve_path(path: str | None) -> str | None:
    """``path`` made absolute, so that a run resumes from any working directory."""
    return None if path is None else str(Path(path).resolve())
