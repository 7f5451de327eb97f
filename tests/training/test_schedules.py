"""Learning rates, and settings out of their range."""

from __future__ import annotations

from typing import Any

import pytest

from rnndsl.diagnostics import RnndslError
from rnndsl.training.config import TrainConfig, config_from_json, config_to_json
from rnndsl.training.schedules import Plateau, learning_rate, planned_steps


def rates(config: TrainConfig, steps: int, total: int | None = 100) -> list[float]:
    return [learning_rate(config, step, total, 10, Plateau()) for step in range(steps)]


def test_constant_rate_stays() -> None:
    assert set(rates(TrainConfig(schedule="constant", lr=0.5), 50)) == {0.5}


def test_warmup_rises_to_the_full_rate() -> None:
    config = TrainConfig(schedule="constant", lr=1.0, warmup=4)
    assert rates(config, 6) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_falls_from_the_full_rate_to_its_share() -> None:
    found = rates(TrainConfig(schedule="cosine", lr=2.0, final_lr=0.1), 101)
    assert found[0] == 2.0
    assert found[50] == pytest.approx(1.1)
    assert found[100] == pytest.approx(0.2)
    assert found == sorted(found, reverse=True)


def test_step_schedule_decays_each_epoch_unless_told_otherwise() -> None:
    assert rates(TrainConfig(schedule="step", lr=1.0, decay=0.5), 21)[::10] == [1.0, 0.5, 0.25]
    config = TrainConfig(schedule="step", lr=1.0, decay=0.5, decay_every=2)
    assert rates(config, 5) == [1.0, 1.0, 0.5, 0.5, 0.25]


def test_plateau_decays_when_validations_stop_improving() -> None:
    config = TrainConfig(schedule="plateau", lr=1.0, decay=0.5, plateau_patience=2)
    plateau, found = Plateau(), []
    for loss in (3.0, 2.0, 2.5, 2.1, 1.9, 1.95, 1.9):
        plateau.observe(loss, config)
        found.append(learning_rate(config, 0, None, 10, plateau))
    assert found == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]


def test_the_nearest_bound_is_the_plan() -> None:
    assert planned_steps(TrainConfig(epochs=3, steps=100), 10) == 30
    assert planned_steps(TrainConfig(epochs=3, steps=7), 10) == 7
    assert planned_steps(TrainConfig(epochs=None, seconds=1.0), 10) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden": 0},
        {"batch": -1},
        {"lr": float("nan")},
        {"lr": 0.0},
        {"dropout": 1.0},
        {"clip": 0.0},
        {"schedule": "wavy"},
        {"level": "byte"},
        {"dtype": "int8"},
        {"epochs": None},
        {"seconds": -3.0},
        {"final_lr": 2.0},
    ],
)
def test_setting_out_of_its_range_is_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(RnndslError) as caught:
        TrainConfig(**settings)
    (found,) = caught.value.diagnostics
    assert found.code == "E0707"
    assert f"`{next(iter(settings)).replace('_', '-')}`" in found.title_text()


def test_settings_survive_json() -> None:
    config = TrainConfig(cell="rhn", numbers=(("depth", 3),), embedding=7, seconds=2.5)
    assert config_from_json(config_to_json(config), "rhn") == config
