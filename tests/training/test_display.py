"""What is shown while training."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from rnndsl.training.display import BarDisplay, LineDisplay, describe, format_seconds, open_display
from rnndsl.training.progress import Progress

PROGRESS = Progress(
    step=20,
    total_steps=100,
    epoch=2,
    epochs=5,
    level="char",
    loss=1.4,
    train_loss=1.3862943611198906,  # two bits
    valid_loss=None,
    best_loss=2.0,
    learning_rate=1e-3,
    gradient_norm=0.5,
    tokens=5000,
    tokens_per_second=12345.6,
    seconds=9.0,
    eta=65.0,
)


def test_line_tells_bits_per_character_speed_and_time_left() -> None:
    line = describe(PROGRESS)
    assert "step 20/100  epoch 2/5  train 2.000 bits/char" in line
    assert "12,346 chars/s  1 min 05 s left" in line
    assert "valid" not in line


def test_words_are_told_by_perplexity() -> None:
    line = describe(replace(PROGRESS, level="word", valid_loss=2.0))
    assert "train perplexity 4.0" in line
    assert "valid perplexity 7.4  (best)" in line


def test_plain_lines_come_for_the_first_step_and_validations() -> None:
    stream = io.StringIO()
    display = open_display(stream)
    assert isinstance(display, LineDisplay)
    for step in range(1, 31):
        valid = 1.5 if step % 10 == 0 else None
        display.show(replace(PROGRESS, step=step, valid_loss=valid))
    shown = [line.split("/")[0] for line in stream.getvalue().splitlines()]
    assert shown == ["step 1", "step 10", "step 20", "step 30"]
    assert "\x1b" not in stream.getvalue()


def test_bar_keeps_a_line_for_each_validation() -> None:
    stream = io.StringIO()
    display = BarDisplay(Console(file=stream, force_terminal=True, width=120))
    with display:
        display.show(PROGRESS)
        display.show(replace(PROGRESS, step=21, valid_loss=1.9))
    assert "2.000 bits/char" in stream.getvalue()
    assert "valid 2.741 bits/char" in stream.getvalue()


def test_seconds_read_as_people_say_them() -> None:
    assert [format_seconds(s) for s in (0.4, 59.4, 65, 3600, 7810)] == [
        "0 s",
        "59 s",
        "1 min 05 s",
        "1 h 00 min",
        "2 h 10 min",
    ]
