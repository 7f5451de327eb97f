"""Sampling text from a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rnndsl.diagnostics import RnndslError
from rnndsl.training.config import TrainConfig
from rnndsl.training.generate import Trained, generate, load_trained, sample
from rnndsl.training.loop import train

Factory = Callable[[int, int], nn.Module]


@pytest.fixture(params=["char", "word"])
def trained(
    request: pytest.FixtureRequest, tiny: TrainConfig, make_layer: Factory, tmp_path: Path
) -> Trained:
    folder = tmp_path / "run"
    config = replace(tiny, level=request.param, bptt=5, steps=5, run_dir=str(folder))
    train(config, make_layer=make_layer)
    return load_trained(folder, make_layer)


def test_seed_decides_the_text(trained: Trained) -> None:
    one, two, three = ("".join(generate(trained, 40, "one two", seed=seed)) for seed in (1, 1, 2))
    assert one == two
    assert one != three
    assert "<unk>" not in one


def test_length_counts_tokens(trained: Trained) -> None:
    assert len(list(generate(trained, 17, "one two"))) == 17
    assert list(generate(trained, 0)) == []


def test_likeliest_text_needs_no_seed(trained: Trained) -> None:
    one, two = ("".join(generate(trained, 20, temperature=0.0, seed=s)) for s in (1, 2))
    three = "".join(generate(trained, 20, top_k=1, seed=3))
    assert one == two == three


def test_words_are_separated_by_spaces(trained: Trained) -> None:
    text = "".join(generate(trained, 30, "one two"))
    if trained.vocabulary.level == "word":
        assert set(text.split()) <= set(trained.vocabulary.tokens)
        assert text[0] in " \n"


def test_characters_outside_the_vocabulary_are_refused_by_name(trained: Trained) -> None:
    if trained.vocabulary.level == "word":
        assert list(generate(trained, 1, "Zebra"))  # a word that is not known reads as <unk>
        return
    with pytest.raises(RnndslError) as caught:
        generate(trained, 10, "one Q? two")
    assert "'?', 'Q'" in str(caught.value)


@pytest.mark.parametrize("settings", [{"temperature": -1.0}, {"top_k": 0}, {"length": -1}])
def test_setting_out_of_its_range_is_refused(trained: Trained, settings: dict[str, Any]) -> None:
    with pytest.raises(RnndslError, match="E0707"):
        generate(trained, **settings)


def test_sampling_follows_temperature_and_top_k() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0]).double()

    def shares(temperature: float, top_k: int | None = None, excluded: int | None = None) -> Any:
        generator = torch.Generator().manual_seed(0)
        drawn = [sample(logits, generator, temperature, top_k, excluded) for _ in range(4000)]
        return torch.bincount(torch.tensor(drawn), minlength=4) / 4000

    # 4000 draws: a share's standard deviation is below 0.008.
    torch.testing.assert_close(shares(1.0).double(), logits.softmax(0), rtol=0, atol=0.04)
    torch.testing.assert_close(shares(2.0).double(), (logits / 2).softmax(0), rtol=0, atol=0.04)
    assert shares(1.0, top_k=2)[2:].sum() == 0
    assert shares(1.0, excluded=0)[0] == 0


def test_a_model_that_is_not_finite_is_an_error_after_the_text_so_far(trained: Trained) -> None:
    pieces = generate(trained, 20, "one two")
    begun = [next(pieces), next(pieces)]
    with torch.no_grad():
        trained.model.embedding.weight.fill_(torch.nan)
    with pytest.raises(RnndslError, match="E0720"):
        list(pieces)
    assert len(begun) == 2


@pytest.mark.parametrize("temperature", [1e-310, 1e300])
def test_extreme_temperatures_draw_a_token(temperature: float) -> None:
    logits = torch.tensor([3.0, 1e4, -1e4, 2.0])
    token = sample(logits, torch.Generator().manual_seed(0), temperature, None, excluded=1)
    assert token in {0, 2, 3}
