"""Generated tasks: their answers are right, whoever computes them; and cells learn them."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rnndsl
from rnndsl.diagnostics import RnndslError
from rnndsl.training.errors import TrainingDivergedError
from rnndsl.training.tasks import TASKS, TaskConfig, find_task, train_task
from rnndsl.training.tasks.digits import draw_images
from rnndsl.training.tasks.signals import AHEAD, DELAY, WASHOUT, mackey_glass
from rnndsl.training.tasks.symbols import SPAN, SYMBOLS


def draw(name: str, batch: int = 400) -> tuple[np.ndarray, np.ndarray]:
    examples = TASKS[name].draw(np.random.default_rng(3), batch)
    return examples.inputs, examples.targets


@pytest.mark.parametrize("name", sorted(TASKS))
def test_examples_have_the_sizes_that_the_task_says(name: str) -> None:
    task = TASKS[name]
    inputs, targets = draw(name, 7)
    assert inputs.shape == (task.length, 7, task.inputs)
    assert inputs.dtype == np.float32
    assert targets.shape[1] == 7 and len(targets) <= task.length
    if task.kind == "classes":
        assert targets.dtype == np.int64
        assert targets.min() >= 0 and targets.max() < task.outputs
    else:
        assert targets.shape[2] == task.outputs


@pytest.mark.parametrize("name", sorted(TASKS))
def test_guessing_scores_what_the_task_says(name: str) -> None:
    task = TASKS[name]
    _, targets = draw(name, 4000)
    if task.kind == "classes":
        shares = np.bincount(targets.ravel(), minlength=task.outputs) / targets.size
        found = -(shares * np.log2(shares)).sum()
    else:
        found = targets.var() * task.scale
    assert found == pytest.approx(task.guess, rel=0.05)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_equal_seeds_draw_equal_examples(name: str) -> None:
    (first, _), (second, _) = draw(name, 5), draw(name, 5)
    assert (first == second).all()


def test_copy_asks_for_the_symbols_in_their_order() -> None:
    inputs, targets = draw("copy")
    assert (inputs[:SPAN, :, :SYMBOLS].argmax(-1) == targets).all()
    assert (inputs.sum(-1) == 1).all()
    # Between the symbols and the end there is nothing but blanks and one mark.
    rest = inputs[SPAN:].argmax(-1)
    assert ((rest == SYMBOLS + 1).sum(0) == 1).all() and (rest >= SYMBOLS).all()


def test_parity_says_whether_the_ones_so_far_are_odd() -> None:
    inputs, targets = draw("parity")
    for sequence in range(5):
        ones = 0
        for bit, answer in zip(inputs[:, sequence, 0], targets[:, sequence], strict=True):
            ones += bit > 0
            assert answer == ones % 2


def test_adding_sums_the_two_that_are_marked() -> None:
    inputs, targets = draw("adding")
    for sequence in range(20):
        numbers, marks = inputs[:, sequence, 0], inputs[:, sequence, 1]
        assert marks.sum() == 2
        assert targets[0, sequence, 0] == pytest.approx(numbers[marks == 1].sum(), rel=1e-5)


def test_mackey_glass_follows_its_equation() -> None:
    series = mackey_glass(np.random.default_rng(0), 3, 200).astype(float)
    now, then = series[DELAY + 1 : -1], series[1 : -DELAY - 1]
    slope = (series[DELAY + 2 :] - series[DELAY:-2]) / 2
    expected = 0.2 * then / (1 + then**10) - 0.1 * now
    assert np.abs(slope - expected).mean() < 0.01
    assert series.std() > 0.1  # it goes on moving


def test_mackey_glass_asks_for_the_future() -> None:
    inputs, targets = draw("mackey_glass", 3)
    assert (targets[:-AHEAD, :, 0] == inputs[WASHOUT + AHEAD :, :, 0]).all()


def test_frequencies_in_the_band_are_told_by_their_period() -> None:
    inputs, targets = draw("frequency")
    values, gaps = inputs[:, :, 0].astype(float), inputs[:, :, 1].astype(float)
    times = np.cumsum(gaps, axis=0)
    periods = np.concatenate([np.geomspace(1, 5, 60)[:-1], np.linspace(5, 6, 40)])
    periods = np.concatenate([periods, np.geomspace(6, 100, 200)[1:]])
    right = 0
    for sequence in range(60):
        # The period whose sine fits best, by least squares.
        waves = 2 * np.pi * times[:, sequence, None] / periods
        best = min(
            range(len(periods)),
            key=lambda k: np.linalg.lstsq(
                np.stack([np.sin(waves[:, k]), np.cos(waves[:, k])], -1),
                values[:, sequence],
                rcond=None,
            )[1].sum(),
        )
        right += bool(5 <= periods[best] <= 6) == bool(targets[0, sequence])
    assert right >= 55


def test_digits_of_a_kind_look_alike() -> None:
    generator = np.random.default_rng(0)
    means = np.stack([draw_images(generator, np.full(200, d)).mean(0) for d in range(10)])
    digits = generator.integers(10, size=400)
    images = draw_images(generator, digits)
    assert images.min() >= 0 and images.max() <= 1
    nearest = ((images[:, None] - means) ** 2).sum(-1).argmin(-1)
    assert (nearest == digits).mean() > 0.8


def test_a_cell_learns_and_the_same_run_gives_the_same_result() -> None:
    config = TaskConfig(
        "mackey_glass", "gru", hidden=8, steps=16, batch=8, lr=0.03, threads=1, backend="torch"
    )
    seen: list[tuple[int, float | None]] = []

    def note(step: int, loss: float | None) -> bool:
        seen.append((step, loss))
        return True

    first, again = train_task(config, note), train_task(config)
    assert first.best < 0.9
    assert first.history == again.history
    assert [step for step, _ in seen] == list(range(1, 17))
    assert seen[-1][1] == first.best
    assert 0 < first.test() < 1


def test_a_callback_ends_a_run() -> None:
    config = TaskConfig(
        "parity", "elman", hidden=4, steps=30, eval_steps=(5, 10), batch=4, backend="torch"
    )
    result = train_task(config, lambda step, loss: loss is None)
    assert result.stopped
    assert [step for step, _ in result.history] == [5]


def test_divergence_and_unknown_tasks_are_errors() -> None:
    wild = rnndsl.parse(
        "cell Wild(D, H):\n    input x: [D]\n    state h: [H]\n"
        "    h' = exp(h * h) + linear[H](x)\n    return h'\n"
    )
    with pytest.raises(TrainingDivergedError, match="diverged at step 1"):
        train_task(TaskConfig("parity", wild, hidden=4, steps=3, batch=4, backend="torch"))
    with pytest.raises(RnndslError, match="did you mean `adding`"):
        find_task("ading")
    assert math.isfinite(TASKS["copy"].guess)
