"""Training from beginning to end, in process."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import rnndsl
from rnndsl.diagnostics import RnndslError
from rnndsl.training.checkpoint import load_checkpoint
from rnndsl.training.config import TrainConfig
from rnndsl.training.corpus import load_corpus
from rnndsl.training.errors import TrainingDivergedError
from rnndsl.training.loop import train
from rnndsl.training.metrics import read_metrics
from rnndsl.training.progress import Progress, StopTraining
from rnndsl.training.states import State

Factory = Callable[[int, int], nn.Module]


def test_loss_falls_below_that_of_letter_frequencies(
    tiny: TrainConfig, make_layer: Factory
) -> None:
    config = replace(
        tiny, layers=1, hidden=32, embedding=None, steps=120, eval_every=None, epochs=20,
        dropout=0.0, input_dropout=0.0, embedding_dropout=0.0,
    )  # fmt: skip
    corpus = load_corpus(config.data)
    shares = torch.bincount(torch.from_numpy(corpus.train)).double() / len(corpus.train)
    entropy = -(shares * shares.log()).sum().item()
    result = train(config, make_layer=make_layer)
    assert result.best_loss is not None
    assert result.best_loss < 0.6 * entropy
    assert result.bits_per_token == pytest.approx(result.best_loss / math.log(2))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_configuration_gives_the_same_bits(
    tiny: TrainConfig, make_layer: Factory, optimizer: str, dtype: str
) -> None:
    config = replace(tiny, steps=6, optimizer=optimizer, dtype=dtype)  # type: ignore[arg-type]
    torch.manual_seed(123)
    one = train(config, make_layer=make_layer)
    torch.manual_seed(456)  # what the caller draws has no influence
    two = train(config, make_layer=make_layer)
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, two.model.state_dict()[name]), name
    assert one.valid_loss == two.valid_loss


def test_run_without_a_folder_leaves_random_state_threads_and_files_alone(
    tiny: TrainConfig, make_layer: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    random_state, threads = torch.get_rng_state(), torch.get_num_threads()
    train(replace(tiny, steps=3, threads=threads + 1), make_layer=make_layer)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert torch.get_num_threads() == threads
    assert list(folder.iterdir()) == []


def test_run_is_validated_every_n_steps_and_at_its_end(
    tiny: TrainConfig, make_layer: Factory
) -> None:
    result = train(replace(tiny, steps=25), make_layer=make_layer)
    assert [v.step for v in result.history] == [10, 20, 25]
    assert result.stopped == "finished"
    by_epoch = train(replace(tiny, eval_every=None, steps=None, epochs=2), make_layer=make_layer)
    steps = [v.step for v in by_epoch.history]
    assert len(steps) == 2
    assert steps[1] == 2 * steps[0]


def test_callback_sees_every_step_and_can_end_the_run(
    tiny: TrainConfig, make_layer: Factory
) -> None:
    seen: list[Progress] = []

    def refuse(progress: Progress) -> bool:
        seen.append(progress)
        return progress.step < 12

    result = train(tiny, refuse, make_layer=make_layer)
    assert result.stopped == "pruned"
    assert [p.step for p in seen] == list(range(1, 13))
    assert seen[9].valid_loss == result.valid_loss
    assert all((p.valid_loss is None) == (p.step != 10) for p in seen)

    def stop(progress: Progress) -> None:
        raise StopTraining

    assert train(tiny, stop, make_layer=make_layer).step == 1


def test_run_stops_early_when_validation_stops_improving(
    tiny: TrainConfig, make_layer: Factory
) -> None:
    config = replace(tiny, lr=1e-12, weight_decay=0.0, eval_every=2, steps=1000, patience=3)
    # So small a rate changes nothing in single precision: no validation beats the first.
    result = train(config, make_layer=make_layer)
    assert result.stopped == "early"
    assert result.step <= 12


def test_run_stops_when_its_time_is_used_up(tiny: TrainConfig, make_layer: Factory) -> None:
    result = train(replace(tiny, steps=None, seconds=1e-9), make_layer=make_layer)
    assert result.stopped == "time"
    assert result.step == 1
    assert result.valid_loss is not None


class Exploding(nn.Module):
    """A layer whose output is infinite from the fourth call in training on."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden)
        self.calls = 0

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        y, state = self.lstm(x, state)
        self.calls += self.training
        return (y * math.inf if self.calls >= 4 else y), state


def test_divergence_names_the_step_and_keeps_the_checkpoints(
    tiny: TrainConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    config = replace(tiny, layers=1, eval_every=100, checkpoint_every=2, run_dir=str(folder))
    with pytest.raises(TrainingDivergedError) as caught:
        train(config, make_layer=Exploding)
    assert caught.value.step == 4
    assert "training diverged at step 4: the loss is nan" in str(caught.value)
    assert "the output of layer 0 is not finite" in str(caught.value)
    payload = load_checkpoint(folder / "last.pt")
    assert payload["position"]["step"] == 2
    assert all(value.isfinite().all() for value in payload["model"].values())


def test_device_that_is_not_there_is_refused(tiny: TrainConfig, make_layer: Factory) -> None:
    with pytest.raises(RnndslError, match="`device` cannot be abacus"):
        train(replace(tiny, device="abacus"), make_layer=make_layer)


def test_model_that_does_not_fit_is_refused(tiny: TrainConfig) -> None:
    def too_large(inputs: int, hidden: int) -> nn.Module:
        torch.empty(1 << 60)
        raise AssertionError

    with pytest.raises(RnndslError, match="E0719"):
        train(tiny, make_layer=too_large)


GROWING = """
cell Growing(D, H):
    input x: [D]
    state s: [H] = 1
    a = exp(3 * s)
    s' = a + 0 * linear[H](x)
    return tanh(s')
"""


def test_divergence_inside_a_cell_points_into_its_text(tiny: TrainConfig) -> None:
    with pytest.raises(TrainingDivergedError) as caught:
        train(replace(tiny, cell=rnndsl.parse(GROWING, file="growing.rnn"), layers=1))
    message = str(caught.value)
    assert "training diverged at step 1" in message
    assert "growing.rnn:5" in message
    assert "is infinite at step 2 of layer 0" in message


def test_parameters_that_overflow_are_never_saved(
    tiny: TrainConfig, make_layer: Factory, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    config = replace(tiny, checkpoint_every=1, run_dir=str(folder))

    def overflow(inputs: int, hidden: int) -> nn.Module:
        lstm = make_layer(inputs, hidden)
        # Set after the forward pass of step 3, as an update might.
        calls = iter(range(10))

        def spoil(module: nn.Module, *_: object) -> None:
            if module.training and next(calls) == 2:
                with torch.no_grad():
                    next(module.parameters()).fill_(math.inf)

        lstm.register_full_backward_hook(spoil)
        return lstm

    with pytest.raises(
        TrainingDivergedError, match=r"step 3: the parameter `layers.*` is (inf|nan)"
    ):
        train(config, make_layer=overflow)
    payload = load_checkpoint(folder / "last.pt")
    assert payload["position"]["step"] == 2
    assert all(value.isfinite().all() for value in payload["model"].values())


def test_metrics_are_lines_of_json_in_order(
    tiny: TrainConfig, make_layer: Factory, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    train(replace(tiny, run_dir=str(folder)), make_layer=make_layer)
    records = read_metrics(folder / "metrics.jsonl")
    assert [r["step"] for r in records] == [10, 20, 30]
    assert all({"train_loss", "valid_loss", "tokens", "seconds"} <= set(r) for r in records)
    names = {p.name for p in folder.iterdir()}
    assert names == {"config.json", "cell.rnn", "metrics.jsonl", "last.pt", "best.pt"}
